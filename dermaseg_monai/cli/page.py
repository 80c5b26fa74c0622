"""Commands of the page: ``app`` and ``site``."""

from __future__ import annotations

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.cli.arguments import typed


@typed
def app(
    host: str = "127.0.0.1",
    port: int = 7860,
    bundle: str | tuple[str, ...] = (),
    ckpt_dir: str = "",
    prefix: str = "",
    token_file: str = "",
    cors: str | tuple[str, ...] = (),
    queue: int = 64,
    rate: int = 0,
    timeout: float = 60.0,
    workers: int | None = None,
) -> None:
    """Serve a local web page, and an interface for programs: drop photos, see outlines and measurements.

    Args:
        host: address to listen at; the default answers this computer alone.
        port: port to listen at; 0 takes any free one.
        bundle: a bundle to offer first, by name or folder, or several, separated by commas.
        ckpt_dir: folder of that one bundle's model.pt, where it is elsewhere.
        prefix: path below which a reverse proxy shows the page, such as /lesions.
        token_file: file of the token that every request must bear.
        cors: address of a site whose pages may use the interface, or several, separated by commas.
        queue: requests that may be under way at once; the others are told to come back.
        rate: requests a minute that one address may send; 0 for any number.
        timeout: seconds for a request to arrive, and again to be answered.
        workers: photos that are worked on at once; as many as cores by default.
    """
    from dermaseg_monai.app import run_app
    from dermaseg_monai.app.limits import Limits, read_token

    token = read_token(token_file) if token_file else None
    limits = Limits(queue, timeout, rate, token, _listed(cors))
    run_app(host, port, _listed(bundle), ckpt_dir or None, limits, prefix, workers)


@typed
def site(
    output: str,
    bundle: str = FLAGSHIP,
    ckpt_dir: str = "",
    runtime: str = "",
    int8: str = "",
    webgpu: bool = False,
    clicks: str = "",
) -> None:
    """Write the web page as a folder whose network runs in the visitor's browser, without a server of ours.

    Args:
        output: the folder to write.
        bundle: name of a bundle that outlines lesions, or its folder.
        ckpt_dir: folder of its model.pt, where it is elsewhere.
        runtime: archive of the npm package of ONNX Runtime Web; npm fetches it otherwise.
        int8: folder of example photos, to have the network compute in 8-bit integers.
        webgpu: let the network run on the GPU where the browser offers one.
        clicks: a promptable bundle such as lesion_mobile_sam, to answer clicks in the browser as well.
    """
    from dermaseg_monai.app.site import write_site

    folder = write_site(
        output, bundle, ckpt_dir or None, runtime or None, int8 or None, webgpu, clicks or None
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder} holds the page, {size / 1e6:.1f} MB; try it: python -m http.server -d {folder}")


def _listed(value: str | tuple[str, ...]) -> list[str]:
    """The parts of a text between commas; Fire has split some already."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else list(value)

"""The page as a static folder: networks run in the visitor's browser, and no server is needed but for files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermaseg_monai.app.models import Model
from dermaseg_monai.app.server import STATIC, example_photo
from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.inference.quantise import quantise
from dermaseg_monai.sam.export import export_onnx
from dermaseg_monai.sam.preprocess import SAM_MEAN, SAM_STD, SamPreprocessd
from dermaseg_monai.sam.session import PromptSession
from dermaseg_monai.transforms import NormalisePhotod
from dermaseg_monai.transforms.uncertainty import heat_palette
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_folder

RUNTIME = "onnxruntime-web@1.30.0"
"""The npm package that runs networks in a browser."""

RUNTIME_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Its archive's integrity, as the registry of npm gives it."""

_WASM = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_WEBGPU = (
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
_SERVED = ("api.html", "js/interface.js", "js/engine-server.js")  # of no use without a server
_EXAMPLE = 5  # seed of the synthetic photo
_SMALLEST_HALVED = 1024  # weights: smaller tensors keep their precision


def write_site(
    output: str | os.PathLike[str],
    bundle: str = FLAGSHIP,
    ckpt_dir: str | os.PathLike[str] | None = None,
    runtime: str | os.PathLike[str] | None = None,
    int8: str | os.PathLike[str] | None = None,
    webgpu: bool = False,
    clicks: str | os.PathLike[str] | None = None,
) -> Path:
    """Write the page, a bundle and ONNX Runtime Web as a folder for any web server.

    Args:
        output: the folder; it must not exist.
        bundle: name in the catalogue, or a bundle's folder, of one that outlines lesions.
        ckpt_dir: folder of its ``model.pt``; the bundle's own by default.
        runtime: the archive of the npm package :data:`RUNTIME`; the ``npm`` client fetches it by default.
        int8: folder of example photos, to have the network compute in 8-bit integers; in float32 by default, with
            weights kept in float16.
        webgpu: whether the network shall run on a GPU where the browser offers one; the folder gets larger.
        clicks: name or folder of a promptable bundle with SAM's preprocessing, such as "lesion_mobile_sam", that
            answers clicks in the browser; the folder gets larger. No clicks by default.

    Returns:
        ``output``.

    Raises:
        InputError: the folder exists, a bundle cannot run in a browser, or the runtime cannot be had.
    """
    output = Path(output)
    if output.exists():
        raise InputError(f"{output} exists; choose another folder, or remove it.")
    model = Model.find(bundle, ckpt_dir)
    settings = site_settings(model)
    session = None if clicks is None else PromptSession.of_bundle(clicks, device="cpu")
    click_settings = None if session is None else _click_settings(session)
    with tempfile.TemporaryDirectory() as work, atomic_folder(output) as site:
        shutil.copytree(STATIC, site, dirs_exist_ok=True)
        for name in _SERVED:
            (site / name).unlink()
        archive = Path(runtime) if runtime is not None else _fetched(Path(work))
        _unpack(archive, (*_WASM, *_WEBGPU) if webgpu else _WASM, site / "runtime")
        _export(model, settings["image_size"], Path(work) / "model.onnx")
        if int8 is None:
            _halve_weights(Path(work) / "model.onnx", site / "model.onnx")
        else:
            quantise(Path(work) / "model.onnx", int8, site / "model.onnx")
        if session is not None:
            (site / "clicks").mkdir()
            for exported in export_onnx(work, session):
                _halve_weights(exported, site / "clicks" / exported.name)
        config = {
            "engine": "local",
            "languages": ["en"],
            "webgpu": webgpu,
            "clicks": click_settings,
            **settings,
        }
        (site / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (site / "example.jpg").write_bytes(example_photo(_EXAMPLE))
        (site / "sw.js").write_text(_service_worker(site), encoding="utf-8")
    return output


def site_settings(model: Model) -> dict[str, Any]:
    """What the browser has to know of a bundle: the values of its inference.json that its own code follows.

    Raises:
        InputError: the bundle is not one for lesions, has no weights, or uses what the page cannot do.
    """
    if model.task != "lesion":
        raise InputError(f"{model.name} does not outline lesions; name a bundle that does.")
    model.check({})
    used = [
        name for name in ("ensemble", "opening", "closing", "remove_small", "crop_lens") if model.value(name)
    ]
    if used:
        raise InputError(
            f"{model.name} uses {', '.join(used)}, which the page cannot; choose another bundle."
        )
    calibration = model.value("calibration")
    (normalise,) = (step for step in model.preprocessing if isinstance(step, NormalisePhotod))
    (load,) = (step for step in model.preprocessing if hasattr(step, "reduce_to"))
    return {
        "bundle": model.name,
        "image_size": list(model.value("image_size")),
        "aspect": model.value("aspect"),
        "mode": model.value("mode"),
        "threshold": float(model.value("threshold")),
        "temperature": calibration.temperature[0],
        "bounds": None if calibration.inner is None else [calibration.inner, calibration.outer],
        "largest_component": bool(model.value("largest_component")),
        "fill_holes": bool(model.value("fill_holes")),
        "reduce_to": load.reduce_to,
        "scale": [1 / (255 * deviation) for deviation in normalise.std],
        "shift": [-mean / deviation for mean, deviation in zip(normalise.mean, normalise.std, strict=True)],
        "palette": base64.b64encode(heat_palette()).decode(),
    }


def _click_settings(session: PromptSession) -> dict[str, Any]:
    """What the browser has to know of a promptable network."""
    if not isinstance(session.preprocess, SamPreprocessd):
        raise InputError(
            f"clicks on the page need SAM's preprocessing, but this bundle has {session.preprocess.name}'s; "
            "choose another, such as lesion_mobile_sam."
        )
    return {
        "side": session.network.image_size,
        "mask_factor": session.network.mask_factor,
        "threshold": session.threshold,
        "mean": SAM_MEAN,
        "std": SAM_STD,
    }


def _fetched(folder: Path) -> Path:
    """The runtime's archive, by npm's own client."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm is needed to fetch {RUNTIME}; install it, or give the package's archive with --runtime."
        )
    command = [npm, "pack", RUNTIME, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    archives = sorted(folder.glob("*.tgz"))
    if run.returncode or len(archives) != 1:
        reason = (run.stderr.strip().splitlines() or ["no archive came"])[-1]
        raise InputError(f"npm could not fetch {RUNTIME} ({reason}); give its archive with --runtime.")
    return archives[0]


def _unpack(archive: Path, names: tuple[str, ...], folder: Path) -> None:
    """Take files out of the runtime's archive, once it is known to be the one that was meant."""
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise InputError(
            f"{archive} cannot be read ({error.strerror}); give the archive of {RUNTIME}."
        ) from None
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if digest != RUNTIME_SHA512:
        raise InputError(f"{archive} is not the archive of {RUNTIME}: its SHA-512 is {digest}.")
    folder.mkdir()
    with tarfile.open(archive) as files:
        for name in names:
            member = files.extractfile(f"package/dist/{name}")
            assert member is not None  # the hash says so
            (folder / name).write_bytes(member.read())


def _export(model: Model, size: list[int], path: Path) -> None:
    """Write the network as ONNX, for one photo at the bundle's size."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise InputError('a site needs ONNX; run pip install "dermaseg-monai[app,export]".') from None
    import torch

    network = model.loaded.cpu().to(memory_format=torch.contiguous_format)
    names: Mapping[str, Any] = {"input_names": ["image"], "output_names": ["pred"]}
    torch.onnx.export(
        network, (torch.zeros(1, 3, *size),), str(path), dynamo=False, opset_version=17, **names
    )


def _halve_weights(source: Path, target: Path) -> None:
    """Keep weights in float16 and have them cast when the network is loaded: half the file, the same arithmetic."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(source))
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALLEST_HALVED:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _service_worker(site: Path) -> str:
    """The script that keeps the site's files in the browser, with their names and what they hold as its version."""
    files = sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode() + b"\0" + (site / name).read_bytes())
    text = Path(__file__).with_name("service_worker.js").read_text(encoding="utf-8")
    text = text.replace('"{{version}}"', json.dumps(digest.hexdigest()[:16]))
    return text.replace('"{{files}}"', json.dumps(["./", *files]))

"""The page without a server of ours: what is written, what is refused, and that it works offline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dermaseg_monai.app import site as site_module
from dermaseg_monai.app.models import Model
from dermaseg_monai.app.site import RUNTIME, site_settings, write_site
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.utils.errors import InputError
from tests.app.site import npm_archive, static_server
from tests.browser import open_page
from tests.tiny_bundle import write_tiny_bundle

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("fastapi", reason="FastAPI is not installed")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_archive(RUNTIME, tmp_path_factory.mktemp("npm"))


def test_the_flagship_s_site(runtime: Path, tmp_path: Path) -> None:
    folder = write_site(tmp_path / "site", runtime=runtime)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 25e6
    text = (folder / "sw.js").read_text(encoding="utf-8")
    assert "{{" not in text
    listed = json.loads(text.split("FILES = ")[1].split(";")[0])
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(listed) == (files - {"sw.js"}) | {"./"}
    assert not files & {"api.html", "js/engine-server.js"}
    # weights in float16 change next to nothing
    flagship = bundle_folder("lesion_mobilenetv2_unet")
    model = Model(flagship)
    image = np.random.default_rng(0).normal(size=(1, 3, *model.value("image_size"))).astype(np.float32)
    (logits,) = onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"image": image})
    import torch

    with torch.no_grad():
        expected = model.loaded(torch.from_numpy(image)).numpy()
    assert np.abs(logits - expected).max() < 0.05


def test_without_a_network(runtime: Path, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "lesion_tiny", "lesion_unet", mode="binary")
    folder = write_site(tmp_path / "site", bundle=str(bundle), runtime=runtime)
    with open_page() as page:
        page.set_default_timeout(120_000)
        with static_server(folder) as url:
            page.goto(f"{url}/")
            page.wait_for_selector("body[data-ready]")
            page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        page.get_by_role("button", name="Try a synthetic photo").click()
        page.wait_for_selector("#status[data-state=done]")
        assert page.get_by_role("alert").inner_text() == ""
        assert page.locator("#strip img").count() == 1


def test_the_wheel_carries_the_page() -> None:
    package = Path(site_module.__file__).parents[1]
    settings = (package.parent / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^dermaseg_monai = \[(.+?)\]", settings, flags=re.M | re.S)
    carried = {path for pattern in re.findall(r'"([^"]+)"', listed) for path in package.glob(pattern)}
    files = {
        path for path in (package / "app").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert len(files) > 20
    assert files <= carried


def test_a_runtime_of_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_tiny_bundle(tmp_path / "lesion_tiny", "lesion_unet")
    (tmp_path / "runtime.tgz").write_bytes(b"another")
    with pytest.raises(InputError, match="is not the archive of onnxruntime-web@"):
        write_site(tmp_path / "site", str(bundle), runtime=tmp_path / "runtime.tgz")
    assert not (tmp_path / "site").exists()
    with pytest.raises(InputError, match="cannot be read"):
        write_site(tmp_path / "site", str(bundle), runtime=tmp_path / "none.tgz")
    monkeypatch.setattr(site_module.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="npm is needed"):
        write_site(tmp_path / "site", str(bundle))
    (tmp_path / "site").mkdir()
    with pytest.raises(InputError, match="exists"):
        write_site(tmp_path / "site", str(bundle))


def test_bundles_that_a_browser_cannot_run(tmp_path: Path) -> None:
    for base, changes, message in [
        ("attribute_unet", {}, "does not outline lesions"),
        ("lesion_unet", {"crop_lens": True, "opening": 0.01}, "uses opening, crop_lens"),
    ]:
        folder = write_tiny_bundle(tmp_path / message[:9].replace(" ", "_"), base, **changes)
        with pytest.raises(InputError, match=message):
            site_settings(Model(folder))
    with pytest.raises(InputError, match="has no weights; train it first"):
        site_settings(Model(folder, tmp_path))


def test_settings(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "lesion_tiny", "lesion_unet", aspect="pad", threshold=0.4)
    settings = site_settings(Model(folder))
    assert (settings["aspect"], settings["threshold"]) == ("pad", 0.4)
    assert (settings["image_size"], settings["reduce_to"]) == ([32, 32], 64)
    black = np.array(settings["shift"])
    assert black == pytest.approx(-np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    assert 255 * np.array(settings["scale"]) + black == pytest.approx(
        (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    )

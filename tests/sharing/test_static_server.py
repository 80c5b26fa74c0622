"""A static web server is a bundle store: MONAI's own download, then every stage from what came."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import run

from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.phantoms import write_phantoms
from dermaseg_monai.sharing.install import install
from dermaseg_monai.sharing.pack import pack
from tests.sharing.nginx import NGINX, serving

NAME = "lesion_mobilenetv2_unet"

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    pack([NAME], folder)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder / "official", count=12, size=64)
    prepare(folder / "official", folder / "prepared")
    return folder / "prepared"


def test_monai_downloads_trains_evaluates_and_infers(store: Path, prepared: Path, tmp_path: Path) -> None:
    with serving(store, tmp_path / "nginx") as url:
        command = (
            *(sys.executable, "-m", "monai.bundle", "download", "--name", NAME, "--version", "0.1.0"),
            *("--url", f"{url}{NAME}_v0.1.0.zip", "--bundle_dir", str(tmp_path / "bundles")),
        )
        finished = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    folder = tmp_path / "bundles" / NAME
    settings = {
        "bundle_root": str(folder),
        "dataset_dir": str(prepared),
        "image_size": [64, 64],
        "batch_size": 4,
        "device": "$torch.device('cpu')",
    }
    configs = {name: str(folder / "configs" / f"{name}.json") for name in ("train", "evaluate", "inference")}
    # with the weights that came
    run(
        run_id="inferring",
        config_file=configs["inference"],
        **{**settings, "dataset_dir": str(prepared / "images"), "output_dir": str(tmp_path / "masks")},
    )
    assert len(list((tmp_path / "masks").glob("*_segmentation.png"))) == 12
    shipped = (folder / "models" / "model.pt").read_bytes()
    run(
        run_id="training",
        config_file=configs["train"],
        **settings,
        encoder_weights="$None",
        max_epochs=1,
        output_dir=str(tmp_path / "train"),
    )
    assert (folder / "models" / "model.pt").read_bytes() != shipped
    run(
        run_id="evaluating",
        config_file=[configs["train"], configs["evaluate"]],
        **settings,
        output_dir=str(tmp_path / "evaluation"),
    )
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert summary["images"] == len(json.loads((prepared / "datalist.json").read_text())["test"])


def test_get_from_nginx_takes_up_a_part(store: Path, tmp_path: Path) -> None:
    archive = (store / f"{NAME}_v0.1.0.zip").read_bytes()
    digest = json.loads((store / "model_info.json").read_text())[f"{NAME}_v0.1.0"]["checksum"]
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    (bundles / f".{NAME}_v0.1.0.{digest[:16]}.part").write_bytes(archive[:5_000_000])
    with serving(store, tmp_path / "nginx") as url:
        assert install(NAME, url, bundles).version == "0.1.0"
        log = (tmp_path / "nginx" / "access.log").read_text()
    assert f'"GET /{NAME}_v0.1.0.zip HTTP/1.1" 206 {len(archive) - 5_000_000} ' in log

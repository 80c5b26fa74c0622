"""The shipped weights on real dermoscopic images, where the machine has them.

Set ``DERMASEG_ISIC2018`` to the folder of the official archives (at any size) to run this.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from monai.bundle import run

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.datasets import official_split, prepare

IMAGES = 60


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = os.environ.get("DERMASEG_ISIC2018")
    if not source:
        pytest.skip("DERMASEG_ISIC2018 is not set: no real images to test on")
    output = tmp_path_factory.mktemp("real") / "prepared"
    prepare(source, output, task="both")
    return output


def test_official_archives_are_complete(prepared: Path) -> None:
    datalist = json.loads((prepared / "datalist.json").read_text())
    for section, ids in official_split().items():
        assert [item["id"] for item in datalist[section]] == list(ids)
    assert sum(len(datalist[section]) for section in official_split()) == 2594


def test_flagship_segments_validation_images(prepared: Path, tmp_path: Path) -> None:
    # the whole validation split scores above this; its first images are enough to notice broken weights
    datalist = json.loads((prepared / "datalist.json").read_text())
    datalist["validation"] = datalist["validation"][:IMAGES]
    (prepared / "datalist.json").write_text(json.dumps(datalist))
    folder = bundle_folder("lesion_mobilenetv2_unet")
    run(
        run_id="evaluating",
        config_file=[str(folder / "configs" / f"{name}.json") for name in ("train", "evaluate")],
        bundle_root=str(folder),
        dataset_dir=str(prepared),
        output_dir=str(tmp_path),
        section="validation",
    )
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["images"] == IMAGES
    assert summary["metrics"]["dice"]["mean"] > 0.88
    assert summary["metrics"]["threshold_jaccard"]["mean"] > 0.7

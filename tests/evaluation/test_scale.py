"""Distances in mm by the scale of DICOM photos, from their files to the scores."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from scipy import ndimage

from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets import prepare
from dermaseg_monai.evaluation.masks import evaluate_masks
from dermaseg_monai.handlers import LesionScores
from dermaseg_monai.image_files import open_photo, read_mask
from dermaseg_monai.transforms import write_mask
from dermaseg_monai.utils.errors import InputError

pytest.importorskip("pydicom")
from tests.dicom.objects import disc_object, save

SPACINGS = {"square": (0.05, 0.05), "oblong": (0.05, 0.1), "unknown": None, "damaged": (0, 0.05)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """DICOM photos of 48 x 64 pixels with the spacings above, one of them with the detector's alone, and masks."""
    folder = tmp_path / "source"
    for name, spacing in SPACINGS.items():
        dataset = disc_object(name)
        del dataset.PixelSpacing
        if spacing is None:
            dataset.ImagerPixelSpacing = [0.5, 0.5]
        else:
            dataset.PixelSpacing = list(spacing)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        save(dataset, folder / "images" / f"{name}.dcm")
        rows, columns = np.indices((48, 64))
        write_mask(np.hypot(rows - 24, columns - 32) < 12, folder / "masks" / f"{name}.png")
    return folder


@pytest.mark.parametrize(("size", "scale"), [(None, 20.0), (32, 10.0)])
def test_dicom_photos_are_scored_in_mm(source: Path, tmp_path: Path, size: int | None, scale: float) -> None:
    dataset, masks = tmp_path / "prepared", tmp_path / "masks"
    prepare(source, dataset, split="external", size=size)
    prepare(source, dataset, split="external", size=size)  # the journal keeps the scale
    items = {item["id"]: item for item in load_datalist(dataset, "test")}
    assert {name: item.get("pixels_per_mm") for name, item in items.items()} == {
        "square": scale, "oblong": None, "unknown": None, "damaged": None,
    }  # fmt: skip
    for name, item in items.items():
        write_mask(
            ndimage.binary_dilation(read_mask(item["label"]), iterations=2),
            masks / f"{name}_segmentation.png",
        )
    table = evaluate_masks(masks, tmp_path / "out", dataset).set_index("id")
    assert table["hd95_mm"].notna().to_dict() == {name: name == "square" for name in items}
    square = table.loc["square"]
    for name in ("hd95", "assd"):
        assert square[f"{name}_mm"] == pytest.approx(square[name] / scale)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["images"], summary["images_with_scale"]) == (4, 1)
    assert summary["metrics"]["assd_mm"] == {"mean": pytest.approx(square["assd_mm"], abs=1e-6), "sd": 0.0}
    # a scale that is given wins
    given = evaluate_masks(masks, tmp_path / "given", dataset, pixels_per_mm=4).set_index("id")
    np.testing.assert_allclose(given["assd_mm"], given["assd"] / 4)


def test_an_evaluation_of_a_bundle_takes_the_photos_own_scale(tmp_path: Path) -> None:
    masks = [torch.zeros(1, 8, 6, dtype=torch.uint8) for _ in range(2)]
    masks[0][0, 1, 1] = masks[1][0, 5, 4] = 1  # 5 pixels apart
    item = {"id": "one", "pred": masks[0], "label": masks[1], "pixels_per_mm": 2.0}
    for given, expected in ((None, 2.5), (10, 0.5)):
        engine = Engine(lambda engine, batch: {})
        LesionScores(tmp_path, SimpleNamespace(failures=[]), {}, pixels_per_mm=given).attach(engine)
        engine.run([[item]])
        assert json.loads((tmp_path / "summary.json").read_text())["metrics"]["hd95_mm"]["mean"] == expected


def test_other_files_tell_no_scale(source: Path, tmp_path: Path) -> None:
    assert open_photo(source / "images" / "square.dcm").pixels_per_mm == pytest.approx(20)
    assert open_photo(source / "masks" / "square.png").pixels_per_mm is None


@pytest.mark.parametrize("value", [0, -1, "20", None, True])
def test_a_wrong_scale_in_a_list_is_refused(source: Path, tmp_path: Path, value: object) -> None:
    dataset = tmp_path / "prepared"
    prepare(source, dataset, split="external")
    path = dataset / "datalist.json"
    content = json.loads(path.read_text())
    content["test"][0]["pixels_per_mm"] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="pixels_per_mm; give a number above 0"):
        load_datalist(dataset, "test")

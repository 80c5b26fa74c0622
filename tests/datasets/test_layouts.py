from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.datasets import official_split, prepare
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import mask, official_files, photo, write_archives, write_folder

IDS = [f"CASE_{index:04d}" for index in range(6)]


def pairs(
    photos: str, masks: str, ids: list[str], mask_ending: str = "_segmentation.png"
) -> dict[str, bytes]:
    files = {f"{photos}/{name}.jpg": photo(seed=seed) for seed, name in enumerate(ids)}
    return {**files, **{f"{masks}/{name}{mask_ending}": mask() for name in ids}}


def isic_2017() -> dict[str, bytes]:
    files = pairs("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth", ["A", "B"])
    files |= pairs("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth", ["C"])
    files |= pairs("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth", ["D"])
    return {
        **files,
        "ISIC-2017_Training_Data/A_superpixels.png": mask(),
        "ISIC-2017_Training_Data/meta.csv": b"x",
    }


def isic_2016() -> dict[str, bytes]:
    files = pairs(
        "ISBI2016_ISIC_Part1_Training_Data",
        "ISBI2016_ISIC_Part1_Training_GroundTruth",
        IDS,
        "_Segmentation.png",
    )
    return files | pairs(
        "ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth", ["T"], "_Segmentation.png"
    )


def ham10000() -> dict[str, bytes]:
    rows = io.StringIO()
    table = csv.writer(rows)
    table.writerow(["lesion_id", "image_id", "dx"])
    table.writerows([f"HAM_{index // 3}", f"ISIC_00{30_000 + index}", "nv"] for index in range(60))
    ids = [f"ISIC_00{30_000 + index}" for index in range(60)]
    files = pairs("HAM10000_images_part_1", "HAM10000_segmentations_lesion_tschandl", ids[:30])
    files |= pairs("HAM10000_images_part_2", "HAM10000_segmentations_lesion_tschandl", ids[30:])
    return files | {"HAM10000_metadata.csv": rows.getvalue().encode()}


def ph2() -> dict[str, bytes]:
    files = {}
    for index in range(4):
        name = f"IMD{index:03d}"
        folder = f"PH2Dataset/PH2 Dataset images/{name}"
        files[f"{folder}/{name}_Dermoscopic_Image/{name}.bmp"] = photo(seed=index, form="BMP")
        files[f"{folder}/{name}_lesion/{name}_lesion.bmp"] = mask()
        files[f"{folder}/{name}_roi/{name}_R1_Label3.bmp"] = mask()
    return files


def own() -> dict[str, bytes]:
    return pairs("clinic/images", "clinic/masks", IDS, ".png")


def sections(output: Path) -> dict[str, set[str]]:
    content = json.loads((output / "datalist.json").read_text())
    return {
        section: {item["id"] for item in content[section]} for section in ("training", "validation", "test")
    }


@pytest.mark.parametrize(
    ("files", "name", "count"),
    [(isic_2017, "ISIC 2017", 2), (isic_2016, "ISIC 2016", 6), (ham10000, "HAM10000", 60), (ph2, "PH2", 4),
     (own, "source", 6)],
)  # fmt: skip
@pytest.mark.parametrize("write", [write_folder, write_archives])
def test_layouts_are_recognised(tmp_path: Path, files: Any, name: str, count: int, write: Any) -> None:
    if files is ham10000 and write is write_archives:
        pytest.skip("its table lies in no folder to pack; another test packs the rest")
    summary = prepare(write(tmp_path / "source", files()), tmp_path / "out", size=16)
    assert not summary.left_out
    assert sum(summary.counts.values()) == count
    assert json.loads((tmp_path / "out/datalist.json").read_text())["name"] == name
    assert "passed over" not in str(summary)


def test_ham10000_zips_are_named_like_their_folders(tmp_path: Path) -> None:
    files = ham10000()
    table = files.pop("HAM10000_metadata.csv")
    flat = write_archives(tmp_path / "source", files, top="")
    (flat / "HAM10000_metadata.csv").write_bytes(table)
    assert "20 groups, the largest of 3 images" in str(prepare(flat, tmp_path / "out", size=16))


def test_lesions_of_ham10000_stay_together(tmp_path: Path) -> None:
    prepare(write_folder(tmp_path / "source", ham10000()), tmp_path / "out", size=16)
    split = sections(tmp_path / "out")
    assert all(split.values())
    lesions = {section: {(int(name[-5:]) - 30_000) // 3 for name in ids} for section, ids in split.items()}
    assert sum(len(ids) for ids in lesions.values()) == 20


def test_official_parts_of_other_years(tmp_path: Path) -> None:
    prepare(write_folder(tmp_path / "a", isic_2017()), tmp_path / "2017", split="official")
    assert sections(tmp_path / "2017") == {"training": {"A", "B"}, "validation": {"C"}, "test": {"D"}}
    summary = prepare(write_folder(tmp_path / "b", isic_2016()), tmp_path / "2016", split="official")
    assert sections(tmp_path / "2016") == {"training": set(IDS), "validation": set(), "test": {"T"}}
    assert "no image falls into validation" in str(summary)
    with pytest.raises(InputError, match="a folder of your own has no official split"):
        prepare(write_folder(tmp_path / "c", own()), tmp_path / "own", split="official")


def test_external_puts_everything_into_test(tmp_path: Path) -> None:
    summary = prepare(write_folder(tmp_path / "source", isic_2017()), tmp_path / "out", split="external")
    assert sections(tmp_path / "out") == {
        "training": set(),
        "validation": set(),
        "test": {"A", "B", "C", "D"},
    }
    assert "falls into" not in str(summary)
    with pytest.raises(InputError, match="no training images to divide"):
        prepare(tmp_path / "source", tmp_path / "out", split="external", folds=2)


def test_photos_that_the_bundles_were_trained_on_are_told(tmp_path: Path) -> None:
    known = list(official_split()["training"][:2])
    files = pairs("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth", [*known, "ISIC_0099999"])
    summary = prepare(write_folder(tmp_path / "source", files), tmp_path / "out", layout="isic2017")
    assert "2 of the images are in ISIC 2018's training set" in str(summary)
    official = write_folder(tmp_path / "2018", official_files(known))
    assert "ISIC 2018's training set" not in str(prepare(official, tmp_path / "2018 out"))


def test_several_data_sets_need_a_choice(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", {**isic_2017(), **official_files(IDS)})
    with pytest.raises(
        InputError, match=r"holds ISIC 2018 and ISIC 2017; choose by --layout isic2018 or --layout"
    ):
        prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out", layout="isic2018")
    assert set().union(*sections(tmp_path / "out").values()) == set(IDS)
    with pytest.raises(InputError, match="no layout 'isic2019'; the ones known are isic2018, isic2017"):
        prepare(source, tmp_path / "out", layout="isic2019")


def test_only_isic_2018_has_attributes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only ISIC 2018 has attribute masks"):
        prepare(write_folder(tmp_path / "source", ph2()), tmp_path / "out", task="both")


@pytest.mark.parametrize(
    ("photo_name", "mask_name"),
    [
        ("images/{}_image.jpg", "masks/{}_mask.png"),
        ("photos/{} photo.jpg", "labels/{}.png"),
        ("images/{}.jpg", "segmentations/mask_{}.png"),
        ("Images/{}_img.jpg", "Masks/{}_img_Segmentation.PNG"),
    ],
)
def test_names_that_people_give(tmp_path: Path, photo_name: str, mask_name: str) -> None:
    files = {photo_name.format(name): photo(seed=seed) for seed, name in enumerate(IDS)}
    files |= {mask_name.format(name): mask() for name in IDS}
    summary = prepare(write_folder(tmp_path / "source", files), tmp_path / "out")
    assert sum(summary.counts.values()) == len(IDS)
    assert not summary.left_out


def test_a_photo_without_an_ending_has_its_own_mask(tmp_path: Path) -> None:
    files = {f"images/{name}.jpg": photo() for name in ("a", "a_image")}
    files |= {f"masks/{name}.png": mask() for name in ("a", "a_image")}
    assert not prepare(write_folder(tmp_path / "source", files), tmp_path / "out").left_out

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from monai.data import Dataset

from dermaseg_monai.data.datalist import cache_folder, fold_count, item_ids, list_photos, load_datalist
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import ATTRIBUTES


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    items = []
    for index in range(7):
        attributes = [f"attributes/{index}_attribute_{name}.png" for name in ATTRIBUTES]
        item = {"id": f"{index}", "image": f"images/{index}.jpg", "label": f"masks/{index}_segmentation.png"}
        items.append({**item, "attributes": attributes})
        for name in (item["image"], item["label"], *attributes):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    write(tmp_path, {"training": items[:5], "validation": items[5:6], "test": items[6:]})
    return tmp_path


def write(folder: Path, content: Any) -> None:
    (folder / "datalist.json").write_text(json.dumps(content))


def read(folder: Path) -> Any:
    return json.loads((folder / "datalist.json").read_text())


def test_lesion_items_are_absolute(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        "id": "5",
        "image": str(prepared / "images/5.jpg"),
        "label": str(prepared / "masks/5_segmentation.png"),
    }
    assert load_datalist(prepared, "validation") == [expected]
    monkeypatch.chdir(prepared.parent)
    assert load_datalist(prepared.name, "validation") == [expected]


def test_attribute_items_come_from_either_form(prepared: Path) -> None:
    both = load_datalist(prepared, "test", task="attribute")
    assert both[0]["label"] == [str(prepared / f"attributes/6_attribute_{name}.png") for name in ATTRIBUTES]
    content = read(prepared)
    content["test"][0]["label"] = content["test"][0].pop("attributes")
    write(prepared, content)
    assert load_datalist(prepared, "test", task="attribute") == both


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 5), (0.5, 3), (0.4, 2), (0.2, 1), (0.01, 1)])
def test_fraction_is_a_prefix(prepared: Path, fraction: float, count: int) -> None:
    ids = [item["id"] for item in load_datalist(prepared, "training", fraction=fraction)]
    assert ids == ["0", "1", "2", "3", "4"][:count]


def test_fraction_is_not_fooled_by_rounding(prepared: Path) -> None:
    content = read(prepared)
    items = content["training"]
    content["training"] = [item | {"id": f"{item['id']}, {copy}"} for copy in range(20) for item in items]
    write(prepared, content)
    assert 0.07 * 100 > 7
    assert len(load_datalist(prepared, "training", fraction=0.07)) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"section": "train"}, "training, validation, test"),
        ({"section": "test", "task": "both"}, "lesion or attribute"),
        ({"section": "training", "fraction": 0.0}, "above 0"),
        ({"section": "training", "fraction": 1.5}, "above 0"),
        ({"section": "test", "fraction": 0.5}, "only the training images"),
    ],
)
def test_wrong_arguments(prepared: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_datalist(prepared, **arguments)


def test_folder_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dermaseg prepare"):
        load_datalist(tmp_path, "training")


def test_broken_json_names_the_line(prepared: Path) -> None:
    (prepared / "datalist.json").write_text('{\n "training": [\n  {]\n}')
    with pytest.raises(InputError, match="line 3"):
        load_datalist(prepared, "training")


def test_damaged_lists(prepared: Path) -> None:
    good = read(prepared)
    for content, message in [
        ([], "object"),
        ({"training": {}}, "no list 'training'"),
        ({**good, "training": []}, "no image for training"),
        ({**good, "training": [good["training"][0], "x"]}, 'training item 1 must have an "id"'),
        ({**good, "training": [{"id": "0", "image": 3}]}, "training item 0"),
    ]:
        write(prepared, content)
        with pytest.raises(InputError, match=message):
            load_datalist(prepared, "training")


def test_list_for_the_other_task(prepared: Path) -> None:
    content = read(prepared)
    for item in content["training"]:
        del item["attributes"]
    write(prepared, content)
    with pytest.raises(InputError, match="no attribute masks"):
        load_datalist(prepared, "training", task="attribute")
    for item in content["training"]:
        item["label"] = [item["label"]] * 5
    write(prepared, content)
    with pytest.raises(InputError, match="no lesion masks"):
        load_datalist(prepared, "training")
    content["training"][0]["label"] = content["training"][0]["label"][:4]
    write(prepared, content)
    with pytest.raises(InputError, match="5 attribute mask paths"):
        load_datalist(prepared, "training", task="attribute")


def test_listed_file_that_is_gone(prepared: Path) -> None:
    (prepared / "masks/5_segmentation.png").unlink()
    with pytest.raises(InputError, match=r"5_segmentation\.png, which is not there"):
        load_datalist(prepared, "validation")


def test_photos_of_a_folder(tmp_path: Path) -> None:
    photos = ["a.JPG", "b.jpeg", "c.png", "d.bmp", "e.tif", "f.TIFF", "g.dcm"]
    others = ["a_segmentation.png", "a_Superpixels.PNG", "a_attribute_streaks.png", ".h.jpg", "notes.txt"]
    for name in (*reversed(photos), *others):
        (tmp_path / name).touch()
    (tmp_path / "inner.jpg").mkdir()
    (tmp_path / "inner.jpg" / "z.jpg").touch()
    expected = [{"id": name.split(".")[0], "image": str(tmp_path / name)} for name in photos]
    assert list_photos(tmp_path) == expected
    assert list_photos(tmp_path / "a.JPG") == expected[:1]


def test_photos_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a_segmentation.png").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="no photo"):
        list_photos(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        list_photos(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no photo"):
        list_photos(tmp_path / "notes.txt")


def test_photos_whose_results_would_collide(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.jpg and a\.png"):
        list_photos(tmp_path)


def test_ids_of_items_are_found_behind_datasets() -> None:
    data = [{"id": "a", "image": "a.jpg"}, {"image": "b.jpg"}]
    assert item_ids(Dataset(data)) == item_ids(Dataset(Dataset(data))) == ["a", "b.jpg"]


def renamed(folder: Path, prefix: str) -> Path:
    """The prepared folder with other ids."""
    content = read(folder)
    for section in ("training", "validation", "test"):
        for item in content[section]:
            item["id"] = prefix + item["id"]
    write(folder, content)
    return folder


def test_several_folders_with_a_share_of_each(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("clinics") / "other"
    shutil.copytree(prepared, other)
    with pytest.raises(InputError, match="is in both"):
        load_datalist([prepared, other], "training")
    renamed(other, "b")
    items = load_datalist([str(prepared), str(other)], "training", fraction=[1.0, 0.4])
    assert [item["id"] for item in items] == ["0", "1", "2", "3", "4", "b0", "b1"]
    assert {item["folder"] for item in items} == {prepared.name, "other"}
    assert len(load_datalist((prepared, other), "test")) == 2
    assert cache_folder([str(prepared), str(other)]) == cache_folder(str(prepared)) == f"{prepared}/cache"
    content = read(other)
    write(other, {**content, "validation": []})
    assert [item["id"] for item in load_datalist([other, prepared], "validation")] == ["5"]
    with pytest.raises(InputError, match="1 shares were given for 2 folders"):
        load_datalist([prepared, other], "training", fraction=[0.5])
    with pytest.raises(InputError, match="is given twice"):
        load_datalist([other, f"{other}/"], "training")


def test_folders_of_one_name_are_told_apart(prepared: Path, tmp_path: Path) -> None:
    folders = [tmp_path / city / "prepared" for city in ("graz", "wien")]
    for folder in folders:
        shutil.copytree(prepared, folder)
        renamed(folder, folder.parent.name)
    items = load_datalist(folders, "validation")
    assert [item["folder"] for item in items] == ["graz/prepared", "wien/prepared"]


def test_folds_leave_out_and_hold(prepared: Path) -> None:
    write(prepared, {**read(prepared), "folds": [["0", "3"], ["1", "2", "4"]]})
    assert [item["id"] for item in load_datalist(prepared, "training", fold=0)] == ["1", "2", "4"]
    assert [item["id"] for item in load_datalist(prepared, "fold", fold=0)] == ["0", "3"]
    assert [item["id"] for item in load_datalist(prepared, "validation", fold=0)] == ["5"]
    assert len(load_datalist(prepared, "training")) == 5
    assert fold_count(prepared) == 2
    with pytest.raises(InputError, match="has 2 folds, so none of number 2"):
        load_datalist(prepared, "training", fold=2)
    with pytest.raises(InputError, match="give --fold"):
        load_datalist(prepared, "fold")

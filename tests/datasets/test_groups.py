from __future__ import annotations

import json
from pathlib import Path

import pytest

from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.groups import joined, members, read_groups
from dermaseg_monai.datasets.splits import assign, make_folds, official_split
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import mask, photo, write_folder


@pytest.mark.parametrize(
    "text",
    [
        "id,patient\na,1\nb,1\nc,2\n",
        "patient_id;image\n1;a.jpg\n1;b.JPG\n2;c\n",
        "\ufeffage\tlesion_id\tISIC_ID\n40\t1\ta\n40\t1\tb\n50\t2\tc\n",
        "id,lesion,patient\na,x,1\nb,y,1\nc,x,2\n",
        "id,group\na,1\nb,1\nc,2\nd,\n\n",
        " Image ID , Patient ID \na,1\nb,1\nc,2\n",
        "file,patient\nC:\\photos\\a.jpg,1\nphotos/b.jpg,1\nc,2\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_groups(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "groups.csv").write_text(
        text.removeprefix("\ufeff" * (encoding == "utf-16")), encoding=encoding
    )
    assert read_groups(tmp_path / "groups.csv") == {"a": "1", "b": "1", "c": "2"}


def test_ids_of_missing_values_are_ids(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("id,patient\nNA,null\nnull,null\n")
    assert members(read_groups(tmp_path / "groups.csv")) == [("NA", "null")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,age\na,1\n", "has the columns name, age; it needs one called id"),
        ("", "has the columns none"),
        ("id,patient\na,1\na,2\n", "has a in the groups 1 and 2"),
    ],
)
def test_tables_that_say_nothing(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_groups(tmp_path / "groups.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_groups(tmp_path / "nowhere.csv")


def test_groups_with_an_id_in_common_are_one() -> None:
    groups = [("a", "b"), ("c", "d"), ("e",), ("d", "b"), ("f", "e")]
    assert sorted(joined(groups)) == [("a", "b", "c", "d"), ("e", "f")]


def test_a_group_shares_a_section_also_with_official_ids() -> None:
    official = official_split()
    torn = (official["training"][0], official["test"][0], "own")
    split = assign([*torn, *(f"x{index}" for index in range(20))], [torn])
    assert any(set(torn) <= set(ids) for ids in split.values())


def test_folds_divide_the_ids_by_group_and_lesion_size() -> None:
    ids = [f"id{index:03d}" for index in range(103)]
    groups = [tuple(ids[start : start + 3]) for start in range(0, 60, 3)]
    areas = {name: (index * 37 % 103) / 103 for index, name in enumerate(ids)}
    folds = make_folds(ids, 5, groups, areas)
    assert sorted(name for fold in folds for name in fold) == ids
    assert max(map(len, folds)) - min(map(len, folds)) <= 3
    for group in groups:
        assert sum(bool(set(group) & set(fold)) for fold in folds) == 1
    means = [sum(areas[name] for name in fold) / len(fold) for fold in folds]
    assert max(means) - min(means) < 0.08
    assert folds == make_folds(list(reversed(ids)), 5, list(reversed(groups)), areas)
    with pytest.raises(InputError, match=r"2 groups cannot be divided into 3 folds"):
        make_folds(["a", "b", "c"], 3, [("a", "b")], dict.fromkeys("abc", 0.0))


def test_prepare_writes_folds_of_the_training_section(tmp_path: Path) -> None:
    files = {}
    for index in range(24):
        files[f"images/p{index // 2}_{index % 2}.jpg"] = photo(16, 16, seed=index)
        files[f"masks/p{index // 2}_{index % 2}.png"] = mask(16, 16, box=(0, 0, 1 + index // 3, 8))
    source = write_folder(tmp_path / "source", files)
    rows = "".join(
        f"{Path(name).stem},{Path(name).stem[:-2]}\n" for name in files if name.startswith("images")
    )
    (tmp_path / "groups.csv").write_text("id,patient\n" + rows)
    summary = prepare(source, tmp_path / "out", groups=tmp_path / "groups.csv", folds=3)
    content = json.loads((tmp_path / "out/datalist.json").read_text())
    training = {item["id"] for item in content["training"]}
    assert sorted(name for fold in content["folds"] for name in fold) == sorted(training)
    for sets in (
        content["folds"],
        [[item["id"] for item in content[s]] for s in ("training", "validation", "test")],
    ):
        patients = [{name[:-2] for name in names} for names in sets]
        assert sum(map(len, patients)) == len(set().union(*patients))
    assert "12 groups, the largest of 2 images; 0 images are in none" in str(summary)
    with pytest.raises(InputError, match="folds must be a whole number of at least 2"):
        prepare(source, tmp_path / "out", folds=1)


def test_a_table_that_names_no_image_is_refused(tmp_path: Path) -> None:
    files = {f"images/a{index}.jpg": photo() for index in range(4)}
    files |= {f"masks/a{index}.png": mask() for index in range(4)}
    source = write_folder(tmp_path / "source", files)
    table = tmp_path / "groups.csv"
    table.write_text("id,patient\nA0,1\nA1,1\n")
    with pytest.raises(
        InputError, match=r"names none of the 4 images: it has ids such as 'A0', .* called 'a0'"
    ):
        prepare(source, tmp_path / "out", groups=table)

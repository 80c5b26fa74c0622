from __future__ import annotations

from importlib.resources import files
from itertools import chain

import pytest

from dermaseg_monai.datasets.isic2018 import NEAR_DUPLICATES
from dermaseg_monai.datasets.splits import (
    SPLIT_FILE,
    assign,
    official_split,
    shuffled,
)
from dermaseg_monai.utils.errors import InputError
from scripts.make_split import random_split, split_text


def official_ids() -> list[str]:
    return sorted(name for names in official_split().values() for name in names)


def names(count: int, prefix: str = "PHANTOM") -> list[str]:
    return [f"{prefix}_{index:07d}" for index in range(count)]


def test_committed_split_has_the_published_sizes() -> None:
    split = official_split()
    assert {section: len(ids) for section, ids in split.items()} == {
        "training": 1816,
        "validation": 389,
        "test": 389,
    }
    assert len(set(official_ids())) == 2594
    assert official_ids()[0] == "ISIC_0000000"
    assert official_ids()[-1] == "ISIC_0016072"


def test_committed_split_is_what_the_script_makes() -> None:
    text = files("dermaseg_monai.datasets").joinpath(SPLIT_FILE).read_text(encoding="utf-8")
    assert split_text(random_split(reversed(official_ids()))) == text


def test_near_duplicates_share_a_section() -> None:
    section_of = {name: section for section, ids in official_split().items() for name in ids}
    for first, second in NEAR_DUPLICATES:
        assert section_of[first] == section_of[second]


def test_training_order_is_shuffled() -> None:
    training = list(official_split()["training"])
    # early ids come from another camera than late ones: a prefix must hold both
    early = {name for name in training if name < "ISIC_0010000"}
    share = len(early.intersection(training[:182])) / 182
    assert share == pytest.approx(len(early) / len(training), abs=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_random_split_keeps_groups_together_at_exact_sizes(seed: int) -> None:
    ids = names(40)
    groups = [ids[0:2], ids[2:4], ids[4:6], [ids[6], "elsewhere"]]
    split = random_split(ids, groups, seed=seed)
    assert {section: len(members) for section, members in split.items()} == {
        "training": 28,
        "validation": 6,
        "test": 6,
    }
    assert sorted(chain(*split.values())) == ids
    for group in groups[:3]:
        assert sum(set(group) <= set(members) for members in split.values()) == 1


def test_random_split_depends_on_the_seed_alone() -> None:
    ids = names(40)
    assert random_split(ids, ()) == random_split(ids[::-1], ())
    assert random_split(ids, ()) != random_split(ids, (), seed=1)


def test_random_split_refuses_nonsense() -> None:
    with pytest.raises(InputError, match="twice"):
        random_split(["a", "a"])
    with pytest.raises(InputError, match="add up to 1"):
        random_split(["a", "b"], fractions=(0.5, 0.5, 0.5))


def test_assign_keeps_official_ids_where_they_are() -> None:
    some = official_ids()[::7]
    split = assign([*some, *names(30)])
    for section, ids in official_split().items():
        assert set(some).intersection(ids) == set(some).intersection(split[section])
    training = [name for name in split["training"] if name in set(some)]
    assert training == [name for name in official_split()["training"] if name in set(some)]
    assert assign(official_ids()) == {section: list(ids) for section, ids in official_split().items()}


def test_assign_sends_other_ids_by_their_name_alone() -> None:
    many, few = assign(names(2000)), assign(names(2000)[500:1500])
    assert len(many["training"]) == pytest.approx(1400, abs=60)
    assert len(many["validation"]) == pytest.approx(300, abs=40)
    for section in many:
        assert set(few[section]) == set(many[section]).intersection(names(2000)[500:1500])
    assert assign(names(50)[::-1]) == assign(names(50))
    assert many["training"] == shuffled(many["training"]) != sorted(many["training"])


@pytest.mark.parametrize("prefix", [f"clinic{number}" for number in range(12)])
@pytest.mark.parametrize("count", [3, 4, 5, 8])
def test_assign_leaves_no_section_of_a_small_set_empty(prefix: str, count: int) -> None:
    split = assign(names(count, prefix))
    assert all(split.values())
    assert sorted(chain(*split.values())) == names(count, prefix)


def test_assign_keeps_other_groups_together() -> None:
    ids = names(60)
    groups = [ids[index : index + 2] for index in range(0, 60, 2)]
    section_of = {name: section for section, members in assign(ids, groups).items() for name in members}
    assert all(section_of[first] == section_of[second] for first, second in groups)

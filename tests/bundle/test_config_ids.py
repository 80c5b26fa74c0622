"""Values are set where an id says, and nowhere else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dermaseg_monai.bundle.config_ids import all_ids, nearest, set_id
from dermaseg_monai.utils.errors import InputError

CONFIG: dict[str, Any] = {
    "learning_rate": 0.1,
    "optimizer": {"_target_": "torch.optim.Adam", "lr": "@learning_rate"},
    "train": {"handlers": [{"_target_": "TrainingLog", "folder": "a"}, {"_target_": "ResumableCheckpoint"}]},
    "nothing": None,
    "name": "text",
}


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(CONFIG)


def test_all_ids(config) -> None:
    assert list(all_ids(config)) == [
        "learning_rate",
        "optimizer",
        "optimizer#_target_",
        "optimizer#lr",
        "train",
        "train#handlers",
        "train#handlers#0",
        "train#handlers#0#_target_",
        "train#handlers#0#folder",
        "train#handlers#1",
        "train#handlers#1#_target_",
        "nothing",
        "name",
    ]


@pytest.mark.parametrize(
    ("identifier", "where"),
    [
        ("learning_rate", lambda config: config["learning_rate"]),
        ("optimizer#lr", lambda config: config["optimizer"]["lr"]),
        ("optimizer#weight_decay", lambda config: config["optimizer"]["weight_decay"]),
        ("train#handlers#0#folder", lambda config: config["train"]["handlers"][0]["folder"]),
        ("train#handlers#1", lambda config: config["train"]["handlers"][1]),
        ("average", lambda config: config["average"]),
    ],
)
def test_set(config, identifier, where) -> None:
    set_id(config, identifier, {"new": 1})
    assert where(config) == {"new": 1}
    before, after = dict(_leaves(CONFIG)), dict(_leaves(config))
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert all(key.startswith(identifier) for key in changed)


def _leaves(config: Any):
    for identifier in all_ids(config):
        value = config
        for key in identifier.split("#"):
            value = value[int(key) if isinstance(value, list) else key]
        if not isinstance(value, (dict, list)):
            yield identifier, value


@pytest.mark.parametrize(
    "identifier",
    [
        "train#handler",  # a new key, but not of a component
        "train#handlers#2",
        "train#handlers#one",
        "train#handlers#7#folder",
        "trainer#handlers",
        "learning_rate#lr",
        "nothing#more",
        "name#text",
        "name#more",
    ],
)
def test_what_is_not_there_is_refused(config, identifier) -> None:
    with pytest.raises(InputError, match=f"^the config has no id '{identifier}'"):
        set_id(config, identifier, 1)
    assert config == CONFIG


def test_the_nearest_is_named(config) -> None:
    with pytest.raises(InputError, match=r"no id 'train#handler'; did you mean 'train#handlers'\?"):
        set_id(config, "train#handler", 1)
    assert nearest("zzz", ["learning_rate"]) == ""

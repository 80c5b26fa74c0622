"""Named differences: set, removed, added and put before, where they say."""

from __future__ import annotations

from typing import Any

import pytest

from dermaseg_monai.bundle.config_ids import apply_overlay
from dermaseg_monai.utils.errors import InputError


@pytest.fixture
def config() -> dict[str, Any]:
    return {
        "seed": 0,
        "imports": ["$import os"],
        "train": {"steps": [{"_target_": "Load"}, {"_target_": "a.b.Fit", "size": 4}, {"_target_": "Load"}]},
        "validate#handlers": [{"_target_": "Scores", "settings": {"section": "test"}}],
    }


def test_components_go_by_their_class(config: dict[str, Any]) -> None:
    apply_overlay(config, {"train#steps#Fit#size": 8, "<train#steps#Fit": {"_target_": "Crop"}})
    assert [step["_target_"] for step in config["train"]["steps"]] == ["Load", "Crop", "a.b.Fit", "Load"]
    assert config["train"]["steps"][2]["size"] == 8


def test_removal_takes_the_first_of_a_class(config: dict[str, Any]) -> None:
    apply_overlay(config, {"~train#steps#Load": None, "~seed": None})
    assert [step["_target_"] for step in config["train"]["steps"]] == ["a.b.Fit", "Load"]
    assert "seed" not in config


def test_lists_and_dictionaries_grow(config: dict[str, Any]) -> None:
    apply_overlay(config, {"+imports": ["$import re"], "+validate#handlers#Scores#settings": {"flips": []}})
    assert config["imports"] == ["$import os", "$import re"]
    assert config["validate#handlers"][0]["settings"] == {"section": "test", "flips": []}


@pytest.mark.parametrize(
    "name", ["~seeds", "+train#step", "<train#steps#Fitted", "train#steps#Fitted#size", "~train#steps#7"]
)
def test_what_is_not_there_is_refused(config: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match="the config has no id"):
        apply_overlay(config, {name: []})

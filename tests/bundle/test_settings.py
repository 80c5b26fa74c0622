from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.render import render
from dermaseg_monai.bundle.settings import SETTINGS, checked
from dermaseg_monai.utils.errors import InputError


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("batch_size", [1, 24], [0, -1, 1.5, True, "8", None]),
        ("seed", [0, 3], [-1, 0.5, "x"]),
        ("threshold", [0, 0.5, 1, [0.1, 0.2, 0.3, 0.4, 0.5]], [50, -0.1, "half", [0.5], float("nan")]),
        ("image_size", [[256, 256], (64, 96)], [256, [256], [0, 256], ["a", "b"], [256.5, 256]]),
        ("data_fraction", [0.1, 1, 1.0], [0, 1.5, "all"]),
        ("learning_rate", [1e-4], [0, -1, float("inf"), "fast"]),
        ("clip_norm", [None, 1.0], [0, "x"]),
        ("aspect", ["squash", "pad"], ["stretch", 1]),
        ("section", ["test", "validation", "training"], ["tests"]),
        ("crop_lens", [True, False, "yes", "OFF", 0], ["maybe", None, 2]),
        ("flips", [[], ["horizontal"], ("both", "vertical")], ["horizontal", ["diagonal"]]),
        ("ensemble_weights", [None, [1, 2.5]], [[-1, 1], "equal"]),
        ("mean", [[0.5, 0.5, 0.5]], [[0.5, 0.5], 0.5]),
        ("std", [[0.5, 0.5, 0.5]], [[0, 0.5, 0.5], 0.5]),
        ("amp", [True, "off", "float16", None], ["half", 2, 16]),
        ("ckpt_dir", ["a", Path("b")], ["", None, 3]),
        ("start_from", ["a", None], [3, ["a"]]),
        ("device", ["cpu", "cuda:0"], [0, None, ""]),
    ],
)
def test_what_an_id_takes(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert checked(name, value) == value
    for value in bad:
        with pytest.raises(InputError, match=f"--{name} is "):
            checked(name, value)


def test_expressions_and_other_ids_pass() -> None:
    assert checked("image_size", "$[64, 64]") == "$[64, 64]"
    assert checked("threshold", "@other") == "@other"
    assert checked("loss", 3) == 3


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_defaults_of_all_bundles_are_taken(bundle: Any) -> None:
    for path, text in render(bundle).items():
        if path.endswith(".json") and "metadata" not in path:
            for name, value in json.loads(text).items():
                checked(name, value)


def test_every_setting_is_an_id() -> None:
    ids = {
        name
        for bundle in BUNDLES
        for path, text in render(bundle).items()
        if path.endswith(".json") and "metadata" not in path
        for name in json.loads(text)
    }
    assert set(SETTINGS) <= ids

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from dermaseg_monai.losses import CrossEntropyLoss, DiceLoss, WeightedSum
from dermaseg_monai.utils.errors import InputError
from tests.losses.reference import FOUR_LABELS, FOUR_PIXELS


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, 0.593468),  # 0.25 + 0.343468
        ([0.5, 0.5], 0.296734),
        ([2, 0], 0.5),
    ],
)
def test_four_pixels(weights: list[float] | None, expected: float) -> None:
    loss = WeightedSum([DiceLoss(smooth=1e-9), CrossEntropyLoss()], weights)
    assert loss(FOUR_PIXELS, FOUR_LABELS).item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"_target_": "dermaseg_monai.losses.DiceLoss"}, 0.25),
        (
            {"_target_": "dermaseg_monai.losses.TverskyLoss", "alpha": 0.3, "beta": 0.7},
            0.221698,
        ),  # 0.47 / 2.12
        (
            {"_target_": "dermaseg_monai.losses.FocalTverskyLoss", "gamma": 1.25},
            0.299647,
        ),  # (0.47 / 2.12) ** 0.8
    ],
)
def test_configs_state_sums(other: dict[str, object], expected: float) -> None:
    config = {
        "mode": "binary",
        "loss": {
            "_target_": "dermaseg_monai.losses.WeightedSum",
            "losses": [
                {"_target_": "dermaseg_monai.losses.CrossEntropyLoss", "mode": "@mode"},
                {**other, "mode": "@mode", "smooth": 1e-9},
            ],
        },
    }
    loss = ConfigParser(config).get_parsed_content("loss")
    assert loss(FOUR_PIXELS, FOUR_LABELS).item() == pytest.approx(0.343468 + expected, abs=1.5e-6)


@pytest.mark.parametrize(
    ("count", "weights", "message"),
    [
        (0, None, "got 0 losses and 0 weights; give one weight per loss"),
        (2, [1.0], "got 2 losses and 1 weights"),
        (1, [-1.0], "a weight of WeightedSum must not be negative, but is -1.0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(count: int, weights: list[float] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WeightedSum([DiceLoss() for _ in range(count)], weights)

"""Temperature and calibration error against straightforward arithmetic on every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from dermaseg_monai.metrics import (
    expected_calibration_error,
    fit_temperature,
    logit_histogram,
    negative_log_likelihood,
)
from dermaseg_monai.utils.errors import InputError


def overconfident(temperature: float, count: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two channels that are ``temperature`` times too far from 0, and masks drawn from the true ones."""
    generator = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(2, count, count, generator=generator, dtype=torch.float64)
    mask = torch.rand(true.shape, generator=generator, dtype=torch.float64) < torch.sigmoid(true)
    return temperature * true, mask


@pytest.mark.parametrize("factor", [0.6, 1.0, 2.5])
def test_the_temperature_that_was_planted_is_found(factor: float) -> None:
    logits, mask = overconfident(factor)
    fitted = fit_temperature(logit_histogram(torch.sigmoid(logits), mask))
    torch.testing.assert_close(fitted, torch.full((2,), factor, dtype=torch.float64), rtol=0.02, atol=0)


def test_temperature_and_likelihood_agree_with_scipy_on_all_pixels() -> None:
    logits, mask = overconfident(1.7)
    plain, truth = logits[0].numpy(), mask[0].numpy()

    def loss(temperature: float) -> float:
        return float(np.logaddexp(0, np.where(truth, -plain, plain) / temperature).mean())

    histogram = logit_histogram(torch.sigmoid(logits[:1]), mask[:1])
    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded")
    assert fit_temperature(histogram).item() == pytest.approx(best.x, rel=1e-3)
    for temperature in (0.5, 1.0, 3.0):
        counted = negative_log_likelihood(histogram, torch.tensor([temperature])).item()
        assert counted == pytest.approx(loss(temperature), rel=1e-3)


def test_the_calibration_error_of_known_shares() -> None:
    # a quarter of the pixels says 0.9 and is right half the time, the others say 0.12 and never are
    probability = torch.full((1, 4, 4), 0.12)
    probability[0, 0] = 0.9
    mask = torch.zeros(1, 4, 4)
    mask[0, 0, :2] = 1
    histogram = logit_histogram(probability, mask)
    expected = 0.25 * 0.4 + 0.75 * 0.12
    assert expected_calibration_error(histogram, torch.ones(1)).item() == pytest.approx(expected, abs=2e-3)


def test_photos_count_alike_whatever_their_size() -> None:
    small, large = torch.full((1, 2, 2), 0.8), torch.full((1, 40, 40), 0.8)
    right, wrong = torch.ones_like(small), torch.zeros_like(large)
    histogram = logit_histogram(small, right) + logit_histogram(large, wrong)
    assert expected_calibration_error(histogram, torch.ones(1)).item() == pytest.approx(0.3, abs=2e-3)


def test_a_channel_without_foreground_keeps_its_probabilities() -> None:
    histogram = logit_histogram(torch.full((1, 3, 3), 0.2), torch.zeros(1, 3, 3))
    assert fit_temperature(histogram).tolist() == [1.0]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"probabilities \(1, 2, 2\) and target \(1, 2, 3\) differ"):
        logit_histogram(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))

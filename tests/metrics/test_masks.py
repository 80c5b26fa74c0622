from __future__ import annotations

import pytest
import torch

from dermaseg_monai.metrics import MODES, prediction_masks
from dermaseg_monai.utils.errors import InputError


def test_binary_is_sigmoid_above_one_half():
    logits = torch.tensor([[[[-3.0, -1e-6, 0.0, 1e-6, 3.0, torch.nan]]]])
    masks = prediction_masks(logits, "binary")
    assert masks.tolist() == [[[[False, False, False, True, True, False]]]]
    assert masks.dtype == torch.bool


def test_two_class_is_the_larger_channel():
    logits = torch.tensor([[[[1.0, 2.0, 3.0]], [[2.0, 2.0, 2.0]]]])
    assert prediction_masks(logits, "two_class").tolist() == [[[[True, False, False]]]]
    assert prediction_masks(logits[0], "two_class").tolist() == [[[True, False, False]]]


def test_two_class_equals_argmax_and_multilabel_keeps_channels():
    logits = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(prediction_masks(logits, "two_class"), logits.argmax(1, keepdim=True) == 1)
    assert torch.equal(prediction_masks(logits, "multilabel"), logits.sigmoid() > 0.5)


def test_masks_pass_through():
    masks = torch.tensor([[[[0.0, 1.0]]]])
    assert prediction_masks(masks, "mask") is masks
    assert MODES == ("binary", "two_class", "multilabel", "mask")


@pytest.mark.parametrize(
    ("shape", "mode", "message"),
    [
        ((1, 2, 4, 4), "binary", r"\(1, 2, 4, 4\).*mode 'binary' takes 1"),
        ((1, 1, 4, 4), "two_class", "mode 'two_class' takes 2"),
        ((4, 4), "multilabel", r"\(4, 4\)"),
        ((1, 1, 4, 4), "softmax", "mode is 'softmax'; it must be one of binary, two_class"),
    ],
)
def test_wrong_input_is_named(shape, mode, message):
    with pytest.raises(InputError, match=message):
        prediction_masks(torch.zeros(shape), mode)

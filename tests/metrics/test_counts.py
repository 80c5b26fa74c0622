from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from dermaseg_monai.metrics import COUNT_NAMES, confusion_counts
from dermaseg_monai.utils.errors import InputError
from tests.metrics.reference import mask_pairs

PREDICTION = [[1, 1, 0], [0, 1, 0]]
TARGET = [[1, 0, 0], [1, 1, 0]]


def test_order_and_literal_counts():
    counts = confusion_counts(torch.tensor([[PREDICTION]]), torch.tensor([[TARGET]]))
    assert COUNT_NAMES == ("tp", "fp", "fn", "tn")
    assert counts.tolist() == [[[2, 1, 1, 2]]]
    assert counts.dtype == torch.int64


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float64]
)
def test_any_dtype_reads_the_same(dtype):
    prediction, target = torch.tensor([[PREDICTION]]).to(dtype), torch.tensor([[TARGET]])
    assert confusion_counts(prediction, target).tolist() == [[[2, 1, 1, 2]]]
    assert confusion_counts(target, prediction).tolist() == [[[2, 1, 1, 2]]]


def test_file_values_nan_and_metadata():
    file = torch.tensor([[PREDICTION]], dtype=torch.uint8) * 255
    assert confusion_counts(file, torch.tensor([[TARGET]])).tolist() == [[[2, 1, 1, 2]]]
    broken = torch.full((1, 1, 2, 3), torch.nan)
    assert confusion_counts(broken, torch.tensor([[TARGET]])).tolist() == [[[0, 0, 3, 3]]]
    counts = confusion_counts(MetaTensor(file.float()), MetaTensor([[TARGET]]))
    assert type(counts) is torch.Tensor
    assert counts.tolist() == [[[2, 1, 1, 2]]]


def test_floats_are_foreground_above_one_half():
    soft = torch.tensor([[[[0.4, 0.5, 0.6, 1.0]]]])
    assert confusion_counts(soft, torch.ones(1, 1, 1, 4)).tolist() == [[[2, 0, 2, 0]]]
    assert confusion_counts(torch.ones(1, 1, 1, 4), soft).tolist() == [[[2, 2, 0, 0]]]


def test_large_masks_do_not_saturate():
    full = torch.ones((1, 1, 600, 600), dtype=torch.uint8)
    assert confusion_counts(full, full).tolist() == [[[360000, 0, 0, 0]]]


def test_never_waits_for_the_device():
    # tensors without data raise wherever a value would have to be fetched
    mask = torch.zeros((2, 5, 8, 8), device="meta")
    assert confusion_counts(mask > 0, mask).shape == (2, 5, 4)


def test_batches_and_channels_stay_apart():
    generator = np.random.default_rng(1)
    prediction, target = generator.random((2, 3, 4, 9, 7)) < 0.4
    counts = confusion_counts(torch.from_numpy(prediction), torch.from_numpy(target))
    assert counts.shape == (3, 4, 4)
    for image in range(3):
        for channel in range(4):
            p, t = prediction[image, channel], target[image, channel]
            expected = [(p & t).sum(), (p & ~t).sum(), (~p & t).sum(), (~p & ~t).sum()]
            assert counts[image, channel].tolist() == expected


def test_equal_to_sklearn():
    confusion_matrix = pytest.importorskip("sklearn.metrics").confusion_matrix
    for prediction, target in mask_pairs(60):
        counts = confusion_counts(
            torch.from_numpy(prediction)[None, None], torch.from_numpy(target)[None, None]
        )
        tn, fp, fn, tp = confusion_matrix(target.ravel(), prediction.ravel(), labels=[False, True]).ravel()
        assert counts[0, 0].tolist() == [tp, fp, fn, tn]


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), r"prediction has shape \(2, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4), r"target has shape \(2, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 5), "differ in shape"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4), "differ in shape"),
        (torch.zeros(2, 1, 0, 4), torch.zeros(2, 1, 0, 4), "non-empty"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.complex64), torch.zeros(1, 1, 4, 4), "complex64"),
        (np.zeros((1, 1, 4, 4)), torch.zeros(1, 1, 4, 4), "ndarray"),
        (torch.zeros(1, 1, 4, 4, device="meta"), torch.zeros(1, 1, 4, 4), "meta"),
    ],
)
def test_wrong_input_is_named(prediction, target, message):
    with pytest.raises(InputError, match=message):
        confusion_counts(prediction, target)

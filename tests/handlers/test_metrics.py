"""Scores and curves as ignite metrics, against the functions that they are of."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator

from dermaseg_monai.handlers import (
    CurveHandler,
    FittedJaccardHandler,
    SegmentationHandler,
    prediction_and_label,
)
from dermaseg_monai.metrics import (
    THRESHOLDS,
    aggregate,
    average_precision,
    best_thresholds,
    confusion_counts,
    roc_auc,
    score_histogram,
)
from dermaseg_monai.utils.errors import InputError

GENERATOR = torch.Generator().manual_seed(0)
LABELS = (torch.rand((7, 5, 12, 12), generator=GENERATOR) < 0.5).float()
LABELS[::3, 1] = 0
LOGITS = torch.randn((7, 5, 12, 12), generator=GENERATOR) + 3 * LABELS - 1.5
LOGITS[0, 1] = -1.0


def run(handler, outputs):
    engine = Engine(lambda engine, output: output)
    handler.attach(engine, "score")
    return engine.run(outputs)


def batches(logits=LOGITS, labels=LABELS, size=3):
    return [
        {"pred": logits[start : start + size], "label": labels[start : start + size]}
        for start in range(0, len(labels), size)
    ]


def expected(masks, labels, metric, reduction="image_mean"):
    return aggregate(confusion_counts(masks, labels), metric, reduction).item()


@pytest.mark.parametrize("reduction", ["image_mean", "present_mean", "pooled_macro", "pooled_micro"])
@pytest.mark.parametrize("metric", ["dice", "threshold_jaccard"])
def test_multilabel_logits(metric, reduction):
    state = run(SegmentationHandler(metric, "multilabel", reduction), batches())
    assert state.metrics["score"] == expected(LOGITS.sigmoid() > 0.5, LABELS, metric, reduction)
    assert isinstance(state.metrics["score"], float)
    assert state.metric_details["score"].shape == (7, 5)
    if reduction == "image_mean":
        assert state.metric_details["score"].mean().item() == pytest.approx(state.metrics["score"])


def test_binary_and_two_class_agree():
    one, label = LOGITS[:, :1], LABELS[:, :1]
    binary = run(SegmentationHandler("jaccard", "binary"), batches(one, label))
    two = run(SegmentationHandler("jaccard", "two_class"), batches(torch.cat([-one, one], 1), label))
    masks = run(SegmentationHandler("jaccard", "mask"), batches((one > 0).float(), label))
    assert binary.metrics == two.metrics == masks.metrics
    assert binary.metrics["score"] == expected(one > 0, label, "jaccard")


def test_decollated_dictionary_and_custom_outputs_agree():
    whole = run(SegmentationHandler("jaccard", "multilabel"), batches()).metrics["score"]
    forms = {
        "decollated": [decollate_batch(output) for output in batches()],
        "dictionary": [{**output, "pred": {"logits": output["pred"], "boundary": 0}} for output in batches()],
        "decollated dictionary": [
            [{"pred": {"logits": item["pred"]}, "label": item["label"]} for item in decollate_batch(output)]
            for output in batches()
        ],
        "with metadata": [{key: MetaTensor(value) for key, value in output.items()} for output in batches()],
        "half precision": [{**output, "pred": output["pred"].bfloat16()} for output in batches()],
    }
    for form, outputs in forms.items():
        assert run(SegmentationHandler("jaccard", "multilabel"), outputs).metrics["score"] == whole, form
    pairs = [(output["pred"], output["label"]) for output in batches()]
    handler = SegmentationHandler("jaccard", "multilabel", output_transform=lambda pair: pair)
    assert run(handler, pairs).metrics["score"] == whole


def test_decollated_images_of_different_sizes():
    items = [{"pred": LOGITS[i, :, : 5 + i], "label": LABELS[i, :, : 5 + i]} for i in range(7)]
    score = run(SegmentationHandler("dice", "multilabel"), [items[:4], items[4:]]).metrics["score"]
    scores = [expected(item["pred"][None] > 0, item["label"][None], "dice") for item in items]
    assert score == pytest.approx(sum(scores) / 7)


def test_every_epoch_starts_anew():
    engine = Engine(lambda engine, output: output)
    SegmentationHandler("jaccard", "multilabel").attach(engine, "score")
    first = engine.run(batches()).metrics["score"]
    assert engine.run(batches()).metrics["score"] == first
    assert engine.state.metric_details["score"].shape == (7, 5)


def test_not_nan_for_empty_labels_and_nan_logits():
    nothing = torch.zeros_like(LABELS)
    assert run(SegmentationHandler("dice", "multilabel"), batches(nothing - 1, nothing)).metrics["score"] == 1
    broken = torch.full_like(LOGITS, torch.nan)
    for reduction in ("image_mean", "present_mean", "pooled_macro", "pooled_micro"):
        handler = SegmentationHandler("dice", "multilabel", reduction)
        score = run(handler, batches(broken, torch.ones_like(LABELS))).metrics["score"]
        assert score == 0


@pytest.mark.parametrize("decollate", [False, True])
def test_key_metric_of_a_monai_evaluator(decollate):
    loader = DataLoader(
        Dataset([{"image": LOGITS[i, :1], "label": LABELS[i, :1]} for i in range(7)]), batch_size=3
    )
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=torch.nn.Identity(),
        key_val_metric={"threshold_jaccard": SegmentationHandler("threshold_jaccard", "binary")},
        additional_metrics={
            "dice": SegmentationHandler("dice", save_details=False),
            "auc": CurveHandler(1),
        },
        decollate=decollate,
    )
    evaluator.run()
    assert evaluator.state.best_metric == expected(LOGITS[:, :1] > 0, LABELS[:, :1], "threshold_jaccard")
    assert evaluator.state.metrics["dice"] == expected(LOGITS[:, :1] > 0, LABELS[:, :1], "dice")
    assert list(evaluator.state.metric_details) == ["threshold_jaccard"]
    histogram = score_histogram(LOGITS[:, :1], LABELS[:, :1])
    assert evaluator.state.metrics["auc"] == pytest.approx(roc_auc(histogram).item())


def test_curves():
    labels = LABELS.clone()
    labels[:, 4] = 0
    histogram = score_histogram(LOGITS, labels)
    for curve, function in {"roc_auc": roc_auc, "average_precision": average_precision}.items():
        handler = CurveHandler(5, curve)
        score = run(handler, batches(labels=labels)).metrics["score"]
        assert score == pytest.approx(function(histogram)[:4].mean().item())
        assert torch.isnan(handler.per_channel).tolist() == [False] * 4 + [True]
        outputs = [decollate_batch(output) for output in batches(labels=labels)]
        assert run(CurveHandler(5, curve), outputs).metrics["score"] == score


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda handler: pickle.loads(pickle.dumps(handler))])
def test_copies_are_independent(clone):
    for original in (SegmentationHandler("jaccard", "multilabel", "pooled_micro"), CurveHandler(5)):
        duplicate = clone(original)
        score = run(duplicate, batches()).metrics["score"]
        assert run(original, batches()[:1]).metrics["score"] != score
        assert run(original, batches()).metrics["score"] == score


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="mode is "):
        SegmentationHandler(mode="sigmoid")
    with pytest.raises(InputError, match="unknown metric"):
        SegmentationHandler("iou")
    with pytest.raises(InputError, match="unknown reduction"):
        SegmentationHandler(reduction="mean")
    with pytest.raises(InputError, match="unknown curve 'pr'"):
        CurveHandler(5, "pr")
    with pytest.raises(InputError, match=r"keys \['image'\]; give 'pred' and 'label'"):
        prediction_and_label({"image": 0})
    with pytest.raises(InputError, match="output is a Tensor"):
        prediction_and_label(torch.zeros(1))
    with pytest.raises(InputError, match="no images to score"):
        SegmentationHandler().compute()
    engine = Engine(lambda engine, output: output)
    engine.logger.disabled = True
    SegmentationHandler(mode="binary").attach(engine, "score")
    with pytest.raises(InputError, match="mode 'binary' takes 1"):
        engine.run(batches())


def best_macro_jaccard(logits, labels):
    """By trying every threshold on masks: per channel the best official index."""
    probability = [channels.sigmoid() for channels in logits]
    scores = []
    for step in range(THRESHOLDS + 1):
        counts = torch.cat(
            [
                confusion_counts((one >= step / THRESHOLDS)[None], label[None])
                for one, label in zip(probability, labels, strict=True)
            ]
        )
        scores.append(aggregate(counts, "jaccard", "pooled_macro", per_channel=True))
    return torch.stack(scores).max(dim=0).values.mean().item()


def test_fitted_jaccard_is_that_of_the_best_of_all_thresholds():
    logits, labels = LOGITS - 3, LABELS  # nearly nothing reaches one half
    handler = FittedJaccardHandler(5)
    fitted = run(handler, batches(logits, labels)).metrics["score"]
    assert fitted == pytest.approx(best_macro_jaccard(logits, labels), abs=1e-12)
    at_half = run(SegmentationHandler("jaccard", "multilabel", "pooled_macro"), batches(logits, labels))
    assert fitted > at_half.metrics["score"] + 0.2
    assert max(best_thresholds(handler.histogram)) < 0.5


def test_fitted_jaccard_of_images_of_several_sizes():
    logits = [LOGITS[0], LOGITS[1, :, :6, :5], LOGITS[2, :, :3]]
    labels = [LABELS[0], LABELS[1, :, :6, :5], LABELS[2, :, :3]]
    outputs = [{"pred": logits[:2], "label": labels[:2]}, {"pred": logits[2:], "label": labels[2:]}]
    score = run(FittedJaccardHandler(5), outputs).metrics["score"]
    assert score == pytest.approx(best_macro_jaccard(logits, labels), abs=1e-12)


def test_fitted_jaccard_starts_afresh_each_epoch():
    handler = FittedJaccardHandler(5)
    first = run(handler, batches()).metrics["score"]
    assert run(handler, batches()).metrics["score"] == first
    with pytest.raises(InputError, match="logits have 5 channels; give 4 as announced"):
        run(FittedJaccardHandler(4), batches())

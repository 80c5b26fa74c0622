"""Two processes score as one."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from ignite.engine import Engine

from dermaseg_monai.handlers import CurveHandler, FittedJaccardHandler, SegmentationHandler
from dermaseg_monai.metrics import SegmentationMetric
from tests.processes import run_together

IMAGES = 7


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand((IMAGES, 5, 10, 10), generator=generator) < 0.4).float()
    return torch.randn(labels.shape, generator=generator) + labels, labels


def scores(images: list[int]) -> dict[str, torch.Tensor]:
    """The scores of a process with these images, in batches of two."""
    logits, labels = data()
    engine = Engine(lambda engine, output: output)
    for reduction in ("image_mean", "present_mean", "pooled_macro", "pooled_micro"):
        SegmentationHandler("jaccard", "multilabel", reduction).attach(engine, reduction)
    for curve in ("roc_auc", "average_precision"):
        CurveHandler(5, curve).attach(engine, curve)
    fitted = FittedJaccardHandler(5)
    fitted.attach(engine, "fitted")
    batches = [images[start : start + 2] for start in range(0, len(images), 2)]
    state = engine.run([{"pred": logits[batch], "label": labels[batch]} for batch in batches])
    results = {name: torch.tensor(score, dtype=torch.float64) for name, score in state.metrics.items()}
    results["histogram"] = fitted.histogram
    results["per image"] = state.metric_details["image_mean"]
    return results


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = scores([0, 1, 2, 3, 4] if rank == 0 else [5, 6])
    logits, labels = data()
    alone = SegmentationMetric("jaccard")
    if rank == 1:
        alone(logits > 0, labels)
    results["one process has all"] = alone.aggregate()
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_score_as_one(tmp_path):
    run_together(worker, tmp_path)
    single = scores(list(range(IMAGES)))
    single["one process has all"] = single["image_mean"]
    for rank in range(2):
        results = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert results.keys() == single.keys()
        for name, score in results.items():
            assert torch.equal(score, single[name]), name

"""The command ``compare-prompts``."""

from __future__ import annotations

import random
from pathlib import Path

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.cli.arguments import typed


@typed
def compare_prompts(
    dataset_dir: str,
    output: str,
    weights: str,
    model: str = "medsam_vit_b",
    section: str = "test",
    predicted_by: str = FLAGSHIP,
    points: int = 1,
    negative_points: int = 0,
    multimask: bool | None = None,
    seed: int = 0,
    cache_dir: str | None = None,
    prompts_file: str | None = None,
    clicks: int = 0,
    count: int | None = None,
    device: str | None = None,
) -> None:
    """Compare kinds of prompts: boxes, points, and both, each from the ground truth (the oracle) and from a prediction.

    Args:
        dataset_dir: prepared folder.
        output: folder for tables and curve.
        weights: published or fine-tuned weights, or a folder that holds the published file.
        model: whose weights they are: sam_vit_b, sam_vit_l, sam_vit_h, medsam_vit_b or mobile_sam.
        section: training, validation or test.
        predicted_by: the bundle whose masks give the predicted prompts, or a folder of masks it wrote.
        points: positive points of a prompt.
        negative_points: negative points of a prompt.
        multimask: take the best of three proposed masks; by default for single points alone.
        seed: start of all randomness.
        cache_dir: folder of embeddings; dataset_dir/cache/embeddings by default.
        prompts_file: a further row for prompts that a person wrote.
        clicks: simulate as many clicks on each photo, each in the largest error of the mask before it.
        count: how many photos of the section are scored, drawn by the seed; all by default.
        device: where to compute; a GPU where there is one.
    """
    import torch

    from dermaseg_monai.bundle.published_weights import get_checkpoint
    from dermaseg_monai.data.datalist import load_datalist
    from dermaseg_monai.sam.cache import EmbeddingCache
    from dermaseg_monai.sam.comparison import PromptComparison
    from dermaseg_monai.sam.network import SamNetwork
    from dermaseg_monai.sam.preprocess import PREPROCESSING
    from dermaseg_monai.sam.sources import BundlePredictor, SavedMasks
    from dermaseg_monai.sam.weights import load_checkpoint
    from dermaseg_monai.utils.precision import default_device

    compute_device = torch.device(device or default_device())
    published = get_checkpoint(model)
    network = load_checkpoint(SamNetwork(published.architecture, multimask), weights, model).to(
        compute_device
    )
    cache = EmbeddingCache(
        network,
        PREPROCESSING[published.preprocessing](size=network.image_size),
        cache_dir or Path(dataset_dir) / "cache" / "embeddings",
    )
    data = load_datalist(dataset_dir, section)
    if count is not None:
        random.Random(seed).shuffle(data)
    holds_masks = Path(predicted_by).is_dir() and any(Path(predicted_by).glob("[!.]*_segmentation.png"))
    comparison = PromptComparison(
        cache,
        data[:count],
        output,
        SavedMasks(predicted_by) if holds_masks else BundlePredictor(predicted_by, device=compute_device),
        points=points,
        negative_points=negative_points,
        seed=seed,
        prompts_file=prompts_file,
        clicks=clicks,
    )
    comparison.run()

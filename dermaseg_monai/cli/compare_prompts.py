"""``python -m dermaseg_monai.sam``: compare kinds and sources of prompts in one command."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import torch

from dermaseg_monai.bundle.published_weights import get_checkpoint
from dermaseg_monai.data.datalist import load_datalist
from dermaseg_monai.sam.cache import EmbeddingCache
from dermaseg_monai.sam.comparison import PromptComparison
from dermaseg_monai.sam.network import SamNetwork
from dermaseg_monai.sam.preprocess import PREPROCESSING
from dermaseg_monai.sam.sources import BundlePredictor, SavedMasks
from dermaseg_monai.sam.weights import load_checkpoint
from dermaseg_monai.utils.command import run_command
from dermaseg_monai.utils.precision import default_device


def compare(
    dataset_dir: str,
    output_dir: str,
    weights: str,
    model: str = "medsam_vit_b",
    section: str = "test",
    predicted_by: str = "lesion_mobilenetv2_unet",
    points: int = 1,
    negative_points: int = 0,
    multimask: bool | None = None,
    seed: int = 0,
    cache_dir: str | None = None,
    prompts_file: str | None = None,
    clicks: int = 0,
    images: int | None = None,
    device: str | None = None,
) -> None:
    """Score boxes, points, and both, each from the ground truth (the oracle) and from a prediction.

    Args:
        dataset_dir: prepared folder.
        output_dir: folder for tables and curve.
        weights: published or fine-tuned weights, or a folder that holds the published file.
        model: sam_vit_b, sam_vit_l, sam_vit_h, medsam_vit_b or mobile_sam.
        section: training, validation or test.
        predicted_by: the bundle whose masks give the predicted prompts, or a folder of masks it wrote.
        points: positive points of a prompt.
        negative_points: negative points of a prompt.
        multimask: take the best of three proposed masks; by default for single points alone.
        seed: start of all randomness.
        cache_dir: folder of embeddings; dataset_dir/cache/embeddings by default.
        prompts_file: a further row for prompts that a person wrote.
        clicks: simulate as many clicks on each photo, each in the largest error of the mask before it.
        images: score no more than as many photos, drawn by the seed.
        device: where to compute; a GPU where there is one.
    """
    place = torch.device(device or default_device())
    known = get_checkpoint(model)
    network = load_checkpoint(SamNetwork(known.architecture, multimask), weights, model).to(place)
    cache = EmbeddingCache(
        network,
        PREPROCESSING[known.preprocessing](size=network.image_size),
        cache_dir or Path(dataset_dir) / "cache" / "embeddings",
    )
    data = load_datalist(dataset_dir, section)
    if images is not None:
        random.Random(seed).shuffle(data)
    holds_masks = Path(predicted_by).is_dir() and any(Path(predicted_by).glob("[!.]*_segmentation.png"))
    comparison = PromptComparison(
        cache,
        data[:images],
        output_dir,
        SavedMasks(predicted_by) if holds_masks else BundlePredictor(predicted_by, device=place),
        points=points,
        negative_points=negative_points,
        seed=seed,
        prompts_file=prompts_file,
        clicks=clicks,
    )
    comparison.run()


def main() -> None:
    """Run the command; what the user got wrong is said in one sentence, with exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run_command(compare, "python -m dermaseg_monai.sam")


if __name__ == "__main__":
    main()

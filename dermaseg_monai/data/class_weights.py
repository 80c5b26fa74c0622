"""Class weights of the set that a run trains on, written into the run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermaseg_monai.data.masks import count_pixels
from dermaseg_monai.losses import inverse_frequency_weights
from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text

logger = logging.getLogger(__name__)

_KINDS = ("presence", "attribute")


def class_weights(
    dataset: Any, output_dir: str | os.PathLike[str], names: Sequence[str], by: str = "presence"
) -> list[list[float]]:
    """Weigh classes by the inverse of their pixels in a training set, and write what came out.

    ``<output_dir>/class_weights.json`` holds the share of pixels and the weights of each channel.

    Args:
        dataset: a set that :func:`dermaseg_monai.data.masks.mask_batches` takes; pixels are counted before
            any augmentation.
        output_dir: folder of what the run writes.
        names: of the channels.
        by: "presence" weighs absent against present pixels within each channel, so that both count the same
            there; "attribute" weighs the channels against each other, so that rare ones count as much as
            frequent ones. Both are normalised to a mean of 1.

    Returns:
        A pair per channel, of absent and present, as ``CrossEntropyLoss(mode="multilabel")`` takes them.

    Raises:
        InputError: ``by`` is unknown, or the masks have another number of channels.
    """
    if by not in _KINDS:
        raise InputError(f"class weights are by {' or '.join(_KINDS)}, not by '{by}'.")
    present, pixels = count_pixels(dataset)
    if len(present) != len(names):
        raise InputError(f"masks have {len(present)} channels, but {len(names)} names were given.")
    counts = present.tolist()
    if by == "presence":
        weights = [inverse_frequency_weights([pixels - count, count]) for count in counts]
    else:
        weights = [[weight] * 2 for weight in inverse_frequency_weights(counts, channels=True)]
    if rank() == 0:
        table = {
            name: {"pixel_share": count / pixels, "absent": pair[0], "present": pair[1]}
            for name, count, pair in zip(names, counts, weights, strict=True)
        }
        path = Path(output_dir) / "class_weights.json"
        write_text(path, json.dumps({"by": by, "classes": table}, indent=2) + "\n")
        logger.info("class weights by %s written to %s", by, path)
    return weights

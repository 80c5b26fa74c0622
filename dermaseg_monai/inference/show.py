"""One image of a dataset, its ground truth and a bundle's prediction, in one picture."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.folder import BundleFolder, check_reserved
from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets import ATTRIBUTES, SECTIONS
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.visualize import draw_attribute_panel, draw_panel
from dermaseg_monai.visualize.saved_cases import saved_attribute_case, saved_case


def show(
    bundle: str,
    image: str | int,
    dataset_dir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    section: str | None = None,
    **overrides: Any,
) -> Path:
    """Segment one image of a prepared dataset and draw it with its ground truth.

    Args:
        bundle: name in the catalogue, or a bundle's folder.
        image: id of the image, or its index in ``section``.
        dataset_dir: folder that ``prepare`` wrote.
        output: the PNG to write.
        section: "training", "validation" or "test"; needed for an index, else all are searched.
        **overrides: ids of the bundle's inference.json, such as ``ckpt_dir``.

    Returns:
        ``output``.

    Raises:
        InputError: there is no such bundle, image or section, or the bundle has no weights.
    """
    folder = BundleFolder.find(bundle)
    check_reserved(overrides)
    item = _find(image, dataset_dir, folder.task, section)
    title = f"{item['id']}, {folder.name}"
    with tempfile.TemporaryDirectory() as masks:
        photo = {"id": item["id"], "image": item["image"]}
        folder.run(masks, **{"dataset#data": [photo], **overrides})
        if folder.task == "attribute":
            case = saved_attribute_case(title, item, Path(masks), ATTRIBUTES)
            draw_attribute_panel([case], output)
        else:
            draw_panel([saved_case(title, item, Path(masks))], output, columns=1)
    return Path(output)


def _find(
    image: str | int, dataset_dir: str | os.PathLike[str], task: str, section: str | None
) -> dict[str, Any]:
    if isinstance(image, int):
        if section is None:
            raise InputError(f"{image} is an index; say which --section it counts in, or give an id.")
        items = load_datalist(dataset_dir, section, task)
        if not 0 <= image < len(items):
            raise InputError(f"there is no image {image} in {section}, which has {len(items)} from 0 on.")
        return items[image]
    for name in SECTIONS if section is None else (section,):
        for item in load_datalist(dataset_dir, name, task):
            if item["id"] == image:
                return item
    raise InputError(
        f"{dataset_dir} has no image '{image}' in {section or 'any section'}; look at its datalist.json."
    )

"""What a prepared folder holds, and which photos a folder holds."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from dermaseg_monai.data import isic2018
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import as_text
from dermaseg_monai.image_files import is_photo_file

logger = logging.getLogger(__name__)

DATALIST_NAME = "datalist.json"
_MEND = "mend it, or remove it and run `dermaseg prepare` again"


def load_datalist(
    dataset_dir: str | os.PathLike[str], section: str, task: str = "lesion", fraction: float = 1.0
) -> list[dict[str, Any]]:
    """Read one section of a prepared folder.

    Args:
        dataset_dir: folder that ``prepare`` wrote.
        section: "training", "validation" or "test".
        task: "lesion" (one mask) or "attribute" (five masks).
        fraction: share of the training images to keep, above 0 and up to 1; smaller shares are part of
            larger ones.

    Returns:
        A dictionary of absolute paths for every image: "id", "image", and "label" (a path, or a list of five
        in the order of ``ATTRIBUTES``).

    Raises:
        InputError: when the folder is not prepared, was prepared for the other task, has no image in the
            section, its datalist is damaged, or an id comes twice in it.
    """
    if section not in isic2018.SECTIONS:
        raise InputError(f"The section must be one of {', '.join(isic2018.SECTIONS)}, not {section!r}.")
    if task not in ("lesion", "attribute"):
        raise InputError(f"The task must be lesion or attribute, not {task!r}.")
    if not 0 < fraction <= 1:
        raise InputError(f"The fraction of the training images must be above 0, up to 1, not {fraction}.")
    if fraction < 1 and section != "training":
        raise InputError(f"Only the training images can be reduced to a fraction, not those for {section}.")
    folder = Path(dataset_dir).expanduser().absolute()
    path = folder / DATALIST_NAME
    content = _read(path)
    items = content.get(section)
    if not isinstance(items, list):
        raise InputError(f"{path} has no list {section!r}; {_MEND}.")
    if not items:
        raise InputError(f"{path} has no image for {section}; prepare more images, or choose another split.")
    _check_ids(path, content)
    loaded = [_item(item, path, f"{section} item {index}", task) for index, item in enumerate(items)]
    # rounding first: 0.07 * 100 is a little more than 7
    return loaded[: math.ceil(round(fraction * len(loaded), 6))]


def item_ids(dataset: Any) -> list[str]:
    """Name what a dataset was made of.

    Args:
        dataset: whose ``data`` are items of :func:`load_datalist`, or a dataset of them in its turn.

    Returns:
        The id of every item, or the path of its photo where it has none.
    """
    data = dataset.data
    while hasattr(data, "data"):
        data = data.data
    return [item.get("id", item["image"]) for item in data]


def list_photos(source: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The photos of a folder, for inference.

    A file is a photo by its ending or by its content. Hidden files, folders inside the folder, and masks
    (``_segmentation.png``, ``_superpixels.png``, ``_attribute_*.png``, ``_uncertainty.png``) are left out; other files
    that are no photos are named in one warning.

    Args:
        source: a folder, or one photo.

    Returns:
        "id" (the file name without its ending) and "image" (absolute path) of every photo, sorted by file
        name.

    Raises:
        InputError: when there is no photo, or two photos have the same name apart from the ending, so that
            their results would fall on one another.
    """
    source = Path(source).expanduser().absolute()
    if source.is_file():
        if not is_photo_file(source):
            raise InputError(f"{source} is no photo; give a file such as jpg, png, tif or dcm.")
        files = [source]
    elif source.is_dir():
        # a link that leads nowhere is a file that cannot be read, and to be told
        entries = sorted(
            path for path in source.iterdir() if not path.name.startswith(".") and not path.is_dir()
        )
        entries = [path for path in entries if not _is_written(path)]
        files = [path for path in entries if is_photo_file(path)]
        passed = [as_text(path.name) for path in entries if path not in set(files)]
        if passed:
            named = f"{', '.join(passed[:3])}{' ...' * (len(passed) > 3)}"
            logger.warning("passed over %d files that are no photos: %s", len(passed), named)
    else:
        raise InputError(f"{source} does not exist; give a photo or a folder of photos.")
    if not files:
        raise InputError(f"the folder {source} holds no photo, such as jpg, png, tif or dcm.")
    photos: dict[str, Path] = {}
    for file in files:
        name = as_text(file.stem)
        if name in photos:
            raise InputError(
                f"the results of {photos[name].name} and {file.name} in {file.parent} would have one "
                "name; rename one of the photos."
            )
        photos[name] = file
    return [{"id": name, "image": str(path)} for name, path in photos.items()]


def _is_written(path: Path) -> bool:
    """Whether a file is a mask or map of the program's, or a table that lies beside them."""
    return isic2018.is_mask(path.name) or path.name.endswith("_uncertainty.png") or path.suffix == ".csv"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"There is no {path.name} in {path.parent}; make one with "
            f"`dermaseg prepare --source <archives> --output {path.parent}`."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not valid JSON ({error.msg} in line {error.lineno}); {_MEND}."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; {_MEND}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold an object with the lists {_listed(isic2018.SECTIONS)}.")
    return content


def _check_ids(path: Path, content: dict[str, Any]) -> None:
    """An image that is in two sections would be trained on and tested, and one that comes twice count twice."""
    seen: dict[str, str] = {}
    for section in isic2018.SECTIONS:
        entries = content.get(section)
        for item in entries if isinstance(entries, list) else ():
            name = item.get("id") if isinstance(item, dict) else None
            if isinstance(name, str) and name in seen:
                raise InputError(
                    f"{path} has the id {name!r} twice, for {seen[name]} and {section}; {_MEND}."
                )
            seen[str(name)] = section


def _item(item: Any, path: Path, where: str, task: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("id", "image")):
        raise InputError(f'{path}: {where} must have an "id" and an "image"; {_MEND}.')
    label = item.get("label")
    if task == "attribute":
        label = item.get("attributes", label)
        count = len(isic2018.ATTRIBUTES)
        if isinstance(label, str) or label is None:
            raise InputError(f"{path} has no attribute masks; prepare again with `--task attribute`.")
        if not (
            isinstance(label, list) and len(label) == count and all(isinstance(name, str) for name in label)
        ):
            raise InputError(f"{path}: {where} must have {count} attribute mask paths; {_MEND}.")
    elif not isinstance(label, str):
        raise InputError(f"{path} has no lesion masks; prepare again with `--task lesion`.")
    image, *labels = (
        _existing(path, name) for name in (item["image"], *([label] if isinstance(label, str) else label))
    )
    return {"id": item["id"], "image": image, "label": labels if task == "attribute" else labels[0]}


def _existing(path: Path, name: str) -> str:
    file = path.parent / name
    if not file.is_file():
        raise InputError(f"{path} names {name}, which is not there; {_MEND}.")
    return str(file)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"

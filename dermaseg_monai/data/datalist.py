"""Lists of photos: the sections of prepared folders, and the photos of any folder."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dermaseg_monai.datasets import isic2018
from dermaseg_monai.image_files import is_photo_file, read_mask
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import as_text
from dermaseg_monai.utils.words import counted, first_of

logger = logging.getLogger(__name__)

_MEND = "mend it, or remove it and run `dermaseg prepare` again"

FOLD = "fold"
"""The section of the training images that a fold leaves out, beside the three of a datalist."""

Folders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def load_datalist(
    dataset_dir: Folders,
    section: str,
    task: str = "lesion",
    fraction: float | Sequence[float] = 1.0,
    fold: int | None = None,
) -> list[dict[str, Any]]:
    """Read one section of a prepared folder, or of several.

    Args:
        dataset_dir: folder that ``prepare`` wrote, or a list of them; one without images in the section adds none.
        section: "training", "validation", "test", or "fold" for the images of ``fold``.
        task: "lesion" (one mask) or "attribute" (five masks).
        fraction: share of the training images to keep, above 0 and up to 1, or a list with one for each folder;
            smaller shares are part of larger ones.
        fold: one of the folds that ``prepare`` made, from 0; the training section is then without its images.

    Returns:
        A dictionary of absolute paths for every image: "id", "image", and "label" (a path, or a list of five
        in the order of ``ATTRIBUTES``); "pixels_per_mm", a number, where the scale is known; of several folders,
        "folder" is the name of its own, with as many folders around it as tell the names apart.

    Raises:
        InputError: a folder is not prepared, was prepared for the other task, no image is in the section, a
            datalist is damaged or has no such fold, or an id comes twice.
    """
    several = not isinstance(dataset_dir, str | os.PathLike)
    paths = [dataset_dir] if isinstance(dataset_dir, str | os.PathLike) else dataset_dir
    folders = [Path(folder).expanduser().absolute() for folder in paths]
    shares = list(fraction) if isinstance(fraction, Sequence) else [fraction] * len(folders)
    _check_arguments(folders, section, task, shares, fold)
    contents = [_read(folder / isic2018.DATALIST_NAME) for folder in folders]
    _check_apart(folders, contents)
    items: list[dict[str, Any]] = []
    for folder, content, share, name in zip(folders, contents, shares, _names(folders), strict=True):
        names = {"folder": name} if several else {}
        items += [{**item, **names} for item in _section(folder, content, section, task, share, fold)]
    if not items:
        where = " and ".join(str(folder / isic2018.DATALIST_NAME) for folder in folders)
        raise InputError(f"{where} has no image for {section}; prepare more images, or choose another split.")
    return items


def fold_count(dataset_dir: Folders) -> int:
    """How many folds a prepared folder has, or each of several at least; 0 where one was prepared without.

    Raises:
        InputError: the folder is not prepared.
    """
    folders = absolute(dataset_dir)
    lists = [
        _read(Path(folder) / isic2018.DATALIST_NAME).get("folds", [])
        for folder in ([folders] if isinstance(folders, str) else folders)
    ]
    return min(len(folds) if isinstance(folds, list) else 0 for folds in lists)


def filled_sections(dataset_dir: str | os.PathLike[str]) -> list[str]:
    """Those of the three sections of a prepared folder that hold images.

    Raises:
        InputError: the folder is not prepared.
    """
    content = _read(Path(dataset_dir).expanduser().absolute() / isic2018.DATALIST_NAME)
    return [section for section in isic2018.SECTIONS if content.get(section)]


def absolute(dataset_dir: Folders) -> str | list[str]:
    """The same folder, or list of them, from wherever it is looked at."""
    if isinstance(dataset_dir, str | os.PathLike):
        return os.path.abspath(os.path.expanduser(dataset_dir))
    return [os.path.abspath(os.path.expanduser(folder)) for folder in dataset_dir]


def cache_folder(dataset_dir: Folders) -> str:
    """Where decoded pixels of a prepared folder are kept, or of several: in the first of them."""
    first = dataset_dir if isinstance(dataset_dir, str | os.PathLike) else dataset_dir[0]
    return os.path.join(first, "cache")


def _check_arguments(
    folders: Sequence[Path], section: str, task: str, shares: Sequence[float], fold: int | None
) -> None:
    if section not in (*isic2018.SECTIONS, FOLD):
        raise InputError(
            f"the section must be one of {', '.join((*isic2018.SECTIONS, FOLD))}, not {section!r}."
        )
    if task not in ("lesion", "attribute"):
        raise InputError(f"the task must be lesion or attribute, not {task!r}.")
    if not folders or len(shares) != len(folders):
        raise InputError(f"{len(shares)} shares were given for {len(folders)} folders; give one for each.")
    for share in shares:
        if not 0 < share <= 1:
            raise InputError(f"the fraction of the training images must be above 0, up to 1, not {share}.")
        if share < 1 and section != "training":
            raise InputError(
                f"only the training images can be reduced to a fraction, not those for {section}."
            )
    if section == FOLD and fold is None:
        raise InputError("the section fold needs the number of the fold; give --fold, from 0.")


def _names(folders: Sequence[Path]) -> list[str]:
    for depth in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _check_apart(folders: Sequence[Path], contents: Sequence[dict[str, Any]]) -> None:
    """An image that is in two folders would be trained on twice, or be trained on and tested."""
    for folder in folders:
        if sum(os.path.samefile(folder, other) for other in folders) > 1:
            raise InputError(f"the folder {folder} is given twice; give each once.")
    seen: dict[str, Path] = {}
    for folder, content in zip(folders, contents, strict=True):
        _check_ids(folder / isic2018.DATALIST_NAME, content)
        sections = (content.get(section) for section in isic2018.SECTIONS)
        entries = [item for section in sections if isinstance(section, list) for item in section]
        for name in {
            item["id"] for item in entries if isinstance(item, dict) and isinstance(item.get("id"), str)
        }:
            if seen.setdefault(name, folder) != folder:
                raise InputError(
                    f"{name} is in both {seen[name]} and {folder}; prepare one of them without it."
                )


def _section(
    folder: Path, content: dict[str, Any], section: str, task: str, share: float, fold: int | None
) -> list[dict[str, Any]]:
    path = folder / isic2018.DATALIST_NAME
    source = "training" if section == FOLD else section
    items = content.get(source)
    if not isinstance(items, list):
        raise InputError(f"{path} has no list {source!r}; {_MEND}.")
    loaded = [_item(item, path, f"{source} item {index}", task) for index, item in enumerate(items)]
    if fold is not None and source == "training":
        folds = content.get("folds")
        if not isinstance(folds, list) or not 0 <= fold < len(folds):
            count = len(folds) if isinstance(folds, list) else 0
            raise InputError(
                f"{path} has {count} folds, so none of number {fold} (they count from 0); prepare with --folds."
            )
        loaded = [item for item in loaded if (item["id"] in folds[fold]) == (section == FOLD)]
    # rounding first: 0.07 * 100 is a little more than 7
    return loaded[: math.ceil(round(share * len(loaded), 6))]


def read_labels(item: Mapping[str, Any]) -> np.ndarray:
    """Read the masks of an item.

    Args:
        item: of :func:`load_datalist`.

    Returns:
        uint8 ``(C, H, W)`` of 0 and 1, a channel for the lesion or for each attribute.

    Raises:
        InputError: a mask cannot be read.
    """
    label = item["label"]
    return np.stack([read_mask(path) for path in ([label] if isinstance(label, str) else label)])


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
        InputError: there is no photo, or two photos have the same name apart from the ending, so that
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
        files, passed = [], []
        for path in entries:
            if is_photo_file(path):
                files.append(path)
            else:
                passed.append(as_text(path.name))
        if passed:
            logger.warning("passed over %s: in no format of photos", counted(passed, "file"))
    else:
        raise InputError(f"{source} does not exist; give a photo or a folder of photos.")
    if not files:
        inside = any(path.is_dir() for path in source.iterdir())
        raise InputError(
            f"the folder {source} holds no photo, such as jpg, png, tif or dcm"
            f"{', and folders in it are not searched; give one of these' * inside}."
        )
    photos: dict[str, Path] = {}
    twice: list[str] = []
    for file in files:
        name = as_text(file.stem)
        if photos.setdefault(name, file) != file:
            twice.append(f"{as_text(photos[name].name)} and {as_text(file.name)}")
    if twice:
        raise InputError(
            f"the results of {first_of(twice)} in {source} would have one name; rename one of the two."
        )
    return [{"id": name, "image": str(path)} for name, path in photos.items()]


def _is_written(path: Path) -> bool:
    """Whether a file is a mask or map of the program's, or a table that lies beside them."""
    return isic2018.is_mask(path.name) or path.name.endswith("_uncertainty.png") or path.suffix == ".csv"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"there is no {path.name} in {path.parent}; make one with "
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
    scale = {"pixels_per_mm": item["pixels_per_mm"]} if "pixels_per_mm" in item else {}
    for value in scale.values():
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise InputError(f"{path}: {where} has {value!r} pixels_per_mm; give a number above 0.")
    return {"id": item["id"], "image": image, "label": labels if task == "attribute" else labels[0], **scale}


def _existing(path: Path, name: str) -> str:
    file = path.parent / name
    if not file.is_file():
        raise InputError(f"{path} names {name}, which is not there; {_MEND}.")
    return str(file)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"

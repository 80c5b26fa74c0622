"""Prompts that a person wrote down: ``prompts.json``."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from dermaseg_monai.sam.prompt import Box, Point, Prompt
from dermaseg_monai.utils.errors import InputError

_FIELDS = ("boxes", "points", "labels")


def read_prompts(path: str | os.PathLike[str]) -> dict[str, list[Prompt]]:
    """Read prompts from a JSON file.

    The file holds an object with an entry for each photo, under the photo's id or file name::

        {"ISIC_0000000": {"boxes": [[left, top, right, bottom]], "points": [[x, y]], "labels": [1]}}

    in pixels of the photo, measured from its top left corner, the way viewers show it. An entry has boxes, points
    or both. Without a box, all points together point at one lesion. With one box they go with it; with several,
    each box is a lesion of its own that takes the positive points within it and all negative ones.

    Args:
        path: the file.

    Returns:
        The prompts of each entry.

    Raises:
        InputError: the file is missing or not of this form; the message names the entry and the field.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no {path}; give a JSON file of prompts.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error.msg} in line {error.lineno}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; write it as UTF-8.") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} must hold an object with an entry for each photo.")
    return {name: _prompts(entry, f"{path}: entry '{name}'") for name, entry in content.items()}


def check_inside(prompts: list[Prompt], size: tuple[int, int], name: str) -> None:
    """Raise InputError where a prompt of the entry ``name`` lies beyond its photo of ``size`` (height, width)."""
    height, width = size
    for prompt in prompts:
        for field, corners in (
            ("boxes", [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]),
            ("points", list(prompt.points)),
        ):
            for x, y in corners:
                if not (0 <= x <= width and 0 <= y <= height):
                    raise InputError(
                        f"entry '{name}': {field} has ({x:g}, {y:g}), beyond the photo of {width} x {height} pixels."
                    )


def _prompts(entry: Any, where: str) -> list[Prompt]:
    if not isinstance(entry, dict):
        raise InputError(f"{where} is no object; give it boxes, or points and labels.")
    unknown = sorted(set(entry) - set(_FIELDS))
    if unknown:
        raise InputError(
            f"{where} has the unknown field '{unknown[0]}'; the fields are {', '.join(_FIELDS)}."
        )
    boxes = [_box(box, f"{where}, boxes[{index}]") for index, box in _listed(entry, "boxes", where)]
    points = [_point(point, f"{where}, points[{index}]") for index, point in _listed(entry, "points", where)]
    labels = [_label(label, f"{where}, labels[{index}]") for index, label in _listed(entry, "labels", where)]
    if len(labels) != len(points):
        raise InputError(
            f"{where}, labels: there are {len(labels)} labels for {len(points)} points; give one for each."
        )
    if not boxes and not points:
        raise InputError(f"{where} has neither boxes nor points; give at least one of them.")
    pairs = list(zip(points, labels, strict=True))
    if not boxes:
        if not any(labels):
            raise InputError(f"{where}, labels: no point lies on the lesion; label at least one with 1.")
        return [Prompt(None, tuple(points), tuple(labels))]
    if len(boxes) == 1:
        return [Prompt(boxes[0], tuple(points), tuple(labels))]
    for index, (point, label) in enumerate(pairs):
        if label and not any(_holds(box, point) for box in boxes):
            raise InputError(
                f"{where}, points[{index}] lies in none of the boxes; move it, or label it with 0."
            )
    prompts = []
    for box in boxes:
        within = [(point, label) for point, label in pairs if not label or _holds(box, point)]
        prompts.append(Prompt(box, tuple(point for point, _ in within), tuple(label for _, label in within)))
    return prompts


def _listed(entry: dict[str, Any], field: str, where: str) -> list[tuple[int, Any]]:
    values = entry.get(field, [])
    if not isinstance(values, list):
        raise InputError(f"{where}, {field} is no list.")
    return list(enumerate(values))


def _box(value: Any, where: str) -> Box:
    left, top, right, bottom = _numbers(value, 4, where, "[left, top, right, bottom]")
    if right <= left or bottom <= top:
        raise InputError(f"{where} is {value}; right must be greater than left, and bottom than top.")
    return (left, top, right, bottom)


def _point(value: Any, where: str) -> Point:
    x, y = _numbers(value, 2, where, "[x, y]")
    return (x, y)


def _label(value: Any, where: str) -> int:
    if isinstance(value, bool) or value not in (0, 1):
        raise InputError(f"{where} is {value!r}; give 1 for a point on the lesion and 0 for one beside it.")
    return int(value)


def _numbers(value: Any, count: int, where: str, form: str) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise InputError(f"{where} is {value!r}; give {form} in pixels.")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(f"{where} is {value!r}; give {form} as numbers.")
    return [float(number) for number in value]


def _holds(box: Box, point: Point) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]

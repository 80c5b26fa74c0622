"""A study of the user's own: a small JSON file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.studies.catalogue import get_study
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.run_bundles import base_config
from dermaseg_monai.utils.errors import InputError

_KEYS = ("name", "title", "bundle", "overrides", "variants", "baseline", "metric", "task", "seeds")
_VARIANT_KEYS = ("name", "title", "bundle", "overrides", "axis", "weights")
_AXIS_KEYS = ("data_fraction", "schedule", "architecture")


def find_study(name: str | os.PathLike[str]) -> Study:
    """The study that a name of the collection or a JSON file stands for.

    Raises:
        InputError: there is no such study or file, or the file is not a study.
    """
    return load_study(name) if str(name).endswith(".json") else get_study(str(name))


def load_study(path: str | os.PathLike[str]) -> Study:
    """Read a study's file.

    Args:
        path: JSON with ``bundle`` (base of all variants) and ``variants`` (overrides by name, or a list of
            objects with ``name``, ``overrides``, and optionally ``title``, ``bundle``, ``axis`` and ``weights``, a
            trained bundle or its ``model.pt`` that is evaluated as it is, without a training); optionally
            ``name`` (that of the file), ``title``, ``overrides`` (of all variants), ``baseline`` (the first
            variant), ``metric`` and ``seeds``. The ``study.json`` of a study that ran is such a file.

    Raises:
        InputError: the file is missing or not JSON, a key is unknown, or a value is not what it must be.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read the study {path} ({error.strerror}); give a name or a JSON file."
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from None
    try:
        return _study(content, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _study(content: Any, stem: str) -> Study:
    _check_keys(content, _KEYS, "the study")
    entries = content.get("variants")
    if isinstance(entries, Mapping):
        entries = [{"name": name, "overrides": overrides} for name, overrides in entries.items()]
    if not isinstance(entries, list) or not entries:
        raise InputError(
            '"variants" must hold overrides by name, such as {"plain": {}, "slow": {"learning_rate": 1e-5}}.'
        )
    variants = tuple(_variant(entry, content) for entry in entries)
    names = [variant.name for variant in variants]
    if len(set(names)) < len(names):
        raise InputError(f"two variants have one name: {', '.join(names)}.")
    baseline = content.get("baseline", names[0])
    if baseline not in names:
        raise InputError(f"the baseline '{baseline}' is none of the variants{nearest(str(baseline), names)}")
    tasks = {base_config(variant.bundle, "train").get("task") for variant in variants}
    if len(tasks) != 1 or not tasks <= {"lesion", "attribute"}:
        raise InputError("the bundles of a study must all be of one task, lesion or attribute.")
    seeds = content.get("seeds", [0, 1, 2])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise InputError(f'"seeds" is {seeds!r}; give a list of whole numbers, such as [0, 1, 2].')
    name = _checked_name(content.get("name", stem))
    metric = content.get("metric")
    return Study(
        name=name,
        title=_text("title", content.get("title", name)),
        variants=variants,
        baseline=baseline,
        task=tasks.pop(),  # type: ignore[arg-type]
        seeds=tuple(seeds),
        metric=None if metric is None else _text("metric", metric),
    )


def _variant(entry: Any, study: Mapping[str, Any]) -> Variant:
    _check_keys(entry, _VARIANT_KEYS, "a variant")
    name = _checked_name(entry.get("name"))
    bundle = entry.get("bundle", study.get("bundle"))
    if not isinstance(bundle, str):
        raise InputError(f'variant \'{name}\' has no bundle; give "bundle", such as "lesion_unet", for all.')
    overrides = entry.get("overrides", {})
    common = study.get("overrides", {})
    for values in (overrides, common):
        if not isinstance(values, Mapping):
            raise InputError(f"the overrides of '{name}' must be values by id, not {values!r}.")
    axis = entry.get("axis", {})
    _check_keys(axis, _AXIS_KEYS, f"the axis of '{name}'")
    fraction = axis.get("data_fraction", 1.0)
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise InputError(f"the data_fraction of '{name}' is {fraction!r}; give a number above 0, up to 1.")
    for key in set(axis) - {"data_fraction"}:
        _text(key, axis[key])
    title = _text("title", entry.get("title", name))
    weights = entry.get("weights")
    return Variant(
        name, title, bundle, {**common, **overrides}, axis, None if weights is None else _weights(weights)
    )


def _weights(source: Any) -> str:
    path = Path(_text("weights", source)).expanduser()
    file = path if path.is_file() else BundleFolder.find(source).weights
    if file is None or file.name != "model.pt":
        raise InputError(f"\"weights\" is '{source}'; give a trained bundle, or its model.pt.")
    return str(file.absolute())


def _check_keys(content: Any, known: tuple[str, ...], what: str) -> None:
    if not isinstance(content, Mapping):
        raise InputError(f"{what} must be a JSON object with {', '.join(known)}.")
    for key in content:
        if key not in known:
            raise InputError(
                f"{what} has no '{key}'{nearest(key, list(known)) or '; known are ' + ', '.join(known)}"
            )


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f'"{key}" is {value!r}; give a text.')
    return value


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise InputError(f"the name {name!r} is to be a folder's: letters, digits, '_', '-' and '.' only.")
    return name

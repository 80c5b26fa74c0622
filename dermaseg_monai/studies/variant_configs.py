"""Named differences, written into the configs of a bundle."""

from __future__ import annotations

import inspect
import json
import pydoc
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from dermaseg_monai.bundle.config_ids import all_ids, apply_overlay, nearest
from dermaseg_monai.utils.errors import InputError

Configs = dict[str, dict[str, Any]]

SHARED = ("network_def", "image_size", "aspect", "crop_lens", "mean", "std", "mode")
"""Ids that train.json and inference.json must agree on; evaluate.json takes them from train.json."""


def with_overrides(configs: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Any]) -> Configs:
    """Write overrides into a bundle's configs.

    An id within a part that evaluate.json replaces as a whole (``validate#preprocessing#transforms``) is set there
    alone. An id of train.json is set there, and in inference.json too where both must agree on it; any other is set in
    evaluate.json and, where it has it, inference.json.

    Args:
        configs: ``train``, ``evaluate`` and ``inference``, and any others, which stay as they are.
        overrides: values by id, as :func:`dermaseg_monai.bundle.config_ids.apply_overlay` takes them.

    Returns:
        The changed configs; what was given is left alone.

    Raises:
        InputError: an id is in neither config, a component has no such argument, or a value refers to an id that
            does not exist; the nearest right one is named.
    """
    changed = {name: deepcopy(dict(config)) for name, config in configs.items()}
    added: list[tuple[str, str]] = []
    for identifier, value in overrides.items():
        for name in _configs_with(changed, identifier):
            if identifier not in all_ids(changed[name]):
                added.append((name, identifier))
            apply_overlay(changed[name], {identifier: deepcopy(value)})
    # afterwards, when each component's _target_ is the one that counts
    for name, identifier in added:
        _check_argument(changed[name], identifier)
    for identifier, value in overrides.items():
        _check_references(changed, identifier, value)
    return changed


def _configs_with(configs: Mapping[str, Mapping[str, Any]], identifier: str) -> list[str]:
    whole = identifier.lstrip("~+<>")
    if any(whole.startswith(f"{key}#") for key in configs["evaluate"] if "#" in key):
        return ["evaluate"]  # which puts a part of its own in the place of the training's
    top = whole.split("#")[0]
    if top in configs["train"]:
        return ["train", "inference"] if top in SHARED else ["train"]
    if top in configs["evaluate"] or any(key.split("#")[0] == whole for key in configs["evaluate"]):
        return [name for name in ("evaluate", "inference") if top in configs[name]]
    known = [*configs["train"], *configs["evaluate"]]
    every = [*all_ids(dict(configs["train"])), *all_ids(dict(configs["evaluate"]))]
    raise InputError(f"the bundle has no id '{whole}'{nearest(top, known) or nearest(whole, every) or '.'}")


def _check_argument(config: Mapping[str, Any], identifier: str) -> None:
    """Refuse an argument that its component does not take, which set_id must let through."""
    parent, _, last = identifier.rpartition("#")
    component: Any = config
    for key in parent.split("#") if parent else ():
        if not isinstance(component, dict) or key not in component:
            return  # a list place or a key of an overlay: apply_overlay knows those
        component = component[key]
    if not isinstance(component, dict) or "_target_" not in component or last.startswith("_"):
        return
    target = pydoc.locate(str(component["_target_"]))
    if not callable(target):
        if "." in str(component["_target_"]):
            raise InputError(f"'{identifier}' belongs to {component['_target_']}, which does not exist.")
        return  # MONAI's own components may go by their bare name
    parameters = inspect.signature(target).parameters
    if last not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputError(
            f"{component['_target_']} has no argument '{last}' (given as '{identifier}')"
            f"{nearest(last, list(parameters))}"
        )


def _check_references(configs: Configs, identifier: str, value: Any) -> None:
    known = [*all_ids(configs["train"]), *all_ids(configs["evaluate"]), *configs["evaluate"]]
    for name in re.findall(r"@(\w+(?:#\w+)*)", json.dumps(value)):
        if name not in known:
            raise InputError(
                f"'{identifier}' refers to '@{name}', which does not exist{nearest(name, known)}"
            )

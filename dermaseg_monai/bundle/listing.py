"""The catalogue as people and machines read it."""

from __future__ import annotations

import json
from typing import Any

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.utils.errors import InputError


def list_bundles() -> list[dict[str, Any]]:
    """List the bundles of the collection.

    Returns:
        A dictionary for each bundle: ``name``, ``title``, ``task`` ("lesion" or "attribute"), ``mode``, ``image_size``
        (height and width), ``parameters``, ``version``, ``weights`` (whether its folder has any), ``summary``,
        ``source_recipe`` and ``own_recipe``.

    Example:
        >>> [bundle["name"] for bundle in list_bundles() if bundle["task"] == "lesion"][:2]
        ['lesion_unet', 'lesion_unet_compact']
    """
    return [_entry(bundle) for bundle in BUNDLES]


def as_json() -> str:
    """Every bundle as :func:`list_bundles` gives it, as a JSON list."""
    return json.dumps(list_bundles(), indent=2)


def as_table() -> str:
    """Every bundle, a line each."""
    rows = [("bundle", "task", "input", "parameters", "weights", "what it is")]
    for bundle in BUNDLES:
        height, width = bundle.image_size
        millions = f"{bundle.parameters / 1e6:.1f} M"
        weights = "yes" if _has_weights(bundle) else "-"
        rows.append((bundle.name, bundle.task, f"{height} x {width}", millions, weights, bundle.summary))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*map(str.ljust, row[:-1], widths), row[-1]]) for row in rows)


def _entry(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "title": bundle.title,
        "task": bundle.task,
        "mode": bundle.mode,
        "image_size": list(bundle.image_size),
        "parameters": bundle.parameters,
        "version": bundle.version,
        "weights": _has_weights(bundle),
        "summary": bundle.summary,
        "source_recipe": bundle.source_recipe,
        "own_recipe": bundle.own_recipe,
    }


def _has_weights(bundle: Bundle) -> bool:
    try:
        return BundleFolder.find(bundle.name).weights is not None
    except InputError:
        return False

"""The catalogue as people and machines read it."""

from __future__ import annotations

import json

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.utils.errors import InputError


def as_json() -> str:
    """Every bundle with its task, size, parameters, version and whether it has weights, as a JSON list."""
    return json.dumps([_entry(bundle) for bundle in BUNDLES], indent=2)


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


def _entry(bundle: Bundle) -> dict[str, object]:
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
        return (bundle_folder(bundle.name) / "models" / "model.pt").is_file()
    except InputError:
        return False

"""Rendering of complete bundle folders from the catalogue."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Template

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.config_ids import apply_overlay
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.metadata import metadata
from dermaseg_monai.bundle.published_weights import CHECKPOINTS
from dermaseg_monai.utils.files import write_text
from dermaseg_monai.utils.templates import text_template

_COLUMNS = 120

BASE = resources.files("dermaseg_monai.bundle") / "base"
"""The files that every bundle is made of."""

_VERBATIM = {
    "configs/logging.conf": "logging.conf",
    "docs/data_license.txt": "data_license.txt",
    "LICENSE": "LICENSE",
}

_ENCODER = {
    "encoder_start": "$weights.encoder_start(@encoder_weights, @start_from, @ckpt_dir, flags.is_on(@resume))",
    "encoder_rate": 1.0,
    "optimizer#params": "$optimizers.parameter_groups(@network, @optimizer#lr * @encoder_rate)",
    "+recipe": {"encoder_rate": "@encoder_rate"},
}
"""What train.json of a bundle with a pretrained encoder has beside the start's weights."""


def render(bundle: Bundle) -> dict[str, str]:
    """Make every file of a bundle.

    Args:
        bundle: the catalogue's entry.

    Returns:
        Text by path within the bundle's folder.
    """
    train = _train(bundle)
    configs = {
        "train": train,
        "evaluate": _changed("evaluate", bundle, bundle.evaluate)
        | ({"encoder_start": None} if bundle.encoder_weights else {}),
        "inference": _changed("inference", bundle, _shared(bundle, bundle.network) | dict(bundle.inference)),
        "multi_gpu_train": _changed("multi_gpu_train", bundle),
        **({} if bundle.checkpoint else {"dictionary_train": _changed("dictionary_train", bundle)}),
        "metadata": metadata(bundle),
    }
    for name in ("evaluate", "multi_gpu_train"):
        # MONAI reads them after train.json, whose ids they use: they add to its imports
        further = [line for line in configs[name].pop("imports") if line not in train["imports"]]
        configs[name] = ({"+imports": further} if further else {}) | configs[name]
    files = {f"configs/{name}.json": as_text(content) for name, content in configs.items()}
    files |= {path: (BASE / name).read_text(encoding="utf-8") for path, name in _VERBATIM.items()}
    if bundle.checkpoint and not bundle.ships_weights:
        files["large_files.yml"] = _large_files(bundle.checkpoint)
    if bundle.weights_license:
        files["docs/weights_license.txt"] = (BASE / bundle.weights_license).read_text(encoding="utf-8")
    return files | {"docs/README.md": _readme(bundle)}


def write_bundles(root: Path, bundles: Iterable[Bundle] = BUNDLES) -> None:
    """Write the rendered folder of each bundle under ``root``."""
    for bundle in bundles:
        for path, text in render(bundle).items():
            write_text(root / bundle.name / path, text)


def _train(bundle: Bundle) -> dict[str, Any]:
    if bundle.encoder_weights is None:
        return _changed("train", bundle, _shared(bundle, bundle.network) | dict(bundle.train))
    network = {**bundle.network, "encoder_weights": "@encoder_start"}
    config = _changed("train", bundle, _shared(bundle, network) | _ENCODER | dict(bundle.train))
    return _inserted(config, "encoder_weights", bundle.encoder_weights, before="encoder_start")


def _shared(bundle: Bundle, network: Any) -> dict[str, Any]:
    """What train.json and inference.json must agree on."""
    shared = {"network_def": dict(network), "mode": bundle.mode}
    if bundle.checkpoint:
        return {**shared, "checkpoint": bundle.checkpoint}
    return {**shared, "image_size": list(bundle.image_size)}


def _changed(name: str, bundle: Bundle, changes: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The base config, with what its task and then the bundle itself change in it."""
    config = _base(name)
    known = list(config)
    overlay = f"{bundle.family}_{name}"
    if (BASE / f"{overlay}.json").is_file():
        apply_overlay(config, _base(overlay))
    apply_overlay(config, copy.deepcopy(dict(changes)))
    for key in [key for key in config if key not in known]:
        # settings stand together, before the first thing that is built from them
        config = _inserted(config, key, value := config.pop(key), before=_following(config, value))
    return config


def _following(config: dict[str, Any], value: Any) -> str:
    """The key of ``config`` before which something new is read best."""
    built = isinstance(value, dict) and "_target_" in value
    if built or any(name in str(value) for name in ("@device", "@network_def")):
        return "network"
    return next(key for key in config if key in ("device", "network"))


def _inserted(config: dict[str, Any], key: str, value: Any, before: str) -> dict[str, Any]:
    items = list(config.items())
    position = list(config).index(before)
    return dict([*items[:position], (key, value), *items[position:]])


def _large_files(checkpoint: str) -> str:
    """What ``python -m monai.bundle download_large_files`` reads: one file, others of its kind to choose from."""
    lines = ["large_files:"]
    family = CHECKPOINTS[checkpoint].family
    for name, file in CHECKPOINTS.items():
        if file.family != family:
            continue
        mark = "" if name == checkpoint else "# "
        lines += [
            f"# {name}, {file.size} bytes" + ("" if name == checkpoint else "; uncomment it to use it"),
            f'{mark}- path: "models/{file.file}"',
            f'{mark}  url: "{file.url}"',
            f'{mark}  hash_val: "{file.sha256}"',
            f'{mark}  hash_type: "sha256"',
        ]
    return "\n".join(lines) + "\n"


def _base(name: str) -> dict[str, Any]:
    return json.loads((BASE / f"{name}.json").read_text(encoding="utf-8"))


def as_text(content: Any) -> str:
    """A config as it stands in a rendered file, in lines of 120 columns.

    What holds nothing but values and lists of values stands on one line where that is long enough; otherwise a
    component's ``_target_`` has the first line, and its arguments share the next ones.
    """
    return _formatted(content, 0, 0) + "\n"


def _formatted(value: Any, indent: int, used: int) -> str:
    """JSON of a value whose first line begins after ``used`` columns, and which is followed by a comma at most."""
    line = _json(value)
    if not isinstance(value, (dict, list)) or not value:
        return line
    shallow = not any(map(_nests, value.values() if isinstance(value, dict) else value))
    if shallow and used + len(line) < _COLUMNS:
        return line
    inner = " " * (indent + 4)
    if isinstance(value, list):
        rows = [_formatted(item, indent + 4, indent + 4) for item in value]
        return "[\n" + ",\n".join(inner + row for row in rows) + f"\n{' ' * indent}]"
    rows = []
    for key, item in value.items():
        row = f"{_json(key)}: "
        row += _formatted(item, indent + 4, indent + 4 + len(row))
        if shallow and rows and "_target_" not in rows[-1] and indent + 7 + len(rows[-1] + row) < _COLUMNS:
            rows[-1] += f", {row}"
        else:
            rows.append(row)
    return "{\n" + ",\n".join(inner + row for row in rows) + f"\n{' ' * indent}}}"


def _nests(value: Any) -> bool:
    """Whether a value is more than a list of values."""
    if isinstance(value, list):
        return any(isinstance(item, (dict, list)) for item in value)
    return isinstance(value, dict) and bool(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _readme(bundle: Bundle) -> str:
    return template("README.md.j2").render(bundle=bundle, metadata=metadata(bundle), checkpoints=CHECKPOINTS)


@cache
def template(name: str) -> Template:
    """The Jinja template ``name`` of the base folder, for text."""
    return text_template((BASE / name).read_text(encoding="utf-8"))

"""Screening of untrusted bundles: what their files would do, found before any of it is done.

A MONAI config is a program. ``_target_`` names any callable of any installed package, a string that starts with
``$`` is evaluated, ``logging.conf`` is evaluated too, and weights may be pickles. This module reads these as
text, by MONAI's own substitution of references and Python's own parser, and lets through what is on its lists
and nothing else.
"""

from __future__ import annotations

import configparser
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dermaseg_monai.bundle.config_ids import entries
from dermaseg_monai.bundle.files import RECORD, is_part
from dermaseg_monai.sharing import allow_list
from dermaseg_monai.sharing.expressions import (
    Scope,
    expression_problems,
    import_problems,
    is_import,
    leads_away,
    parsed,
    target_problem,
)

MAX_CONFIG_BYTES = 1 << 20
MAX_SIDE = 4096
"""Longest side in pixels that a bundle may say its network takes."""

MAX_CHANNELS = 256

_SHAPE = re.compile(r"\*|\d{1,2}( ?\*\* ?p)?( ?\* ?n)?", re.ASCII)


@dataclass(frozen=True)
class Finding:
    """Something in a bundle that is not let through.

    Attributes:
        location: file and id, such as ``configs/train.json, network_def#_target_``.
        reason: what is there and why not.
    """

    location: str
    reason: str

    def __str__(self) -> str:
        return f"{self.location}: {self.reason}"


def screen(folder: Path) -> list[Finding]:
    """Look through an unpacked bundle without importing, instantiating or evaluating anything it names.

    Only packages that are installed and on the lists of this module are imported, to see what a name stands for.

    Args:
        folder: the bundle's.

    Returns:
        What is not let through, in the order of files and ids; an empty list for a bundle of this collection.
    """
    findings = []
    configs: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            findings.append(Finding(name, "is a link"))
        elif path.is_dir() or name == RECORD:
            continue
        elif not is_part(name):
            findings.append(Finding(name, "is no file that bundles are made of"))
        elif name.endswith((".json", ".conf", ".yml")) and path.stat().st_size > MAX_CONFIG_BYTES:
            findings.append(Finding(name, f"is larger than {MAX_CONFIG_BYTES:,} bytes"))
        elif name.endswith(".json"):
            try:
                configs[name] = json.loads(path.read_bytes())
            except (ValueError, RecursionError):
                findings.append(Finding(name, "is no JSON"))
        elif name.endswith(".conf"):
            findings.extend(Finding(name, reason) for reason in _logging_problems(path))
        elif name.endswith(".yml"):
            findings.extend(Finding(name, reason) for reason in _large_files_problems(path))
    try:
        return findings + _config_findings(configs)
    except RecursionError:
        return [*findings, Finding("configs", "are nested too deeply")]


def _config_findings(configs: Mapping[str, Any]) -> list[Finding]:
    """Every file is read with the imports of all: which of them are run together is the user's choice."""
    scope = Scope()
    findings: list[Finding] = []
    strings = [(name, *entry) for name, content in configs.items() for entry in _leaves(content)]
    for name, identifier, text in strings:
        if (tree := parsed(text)) is not None and is_import(tree):
            findings.extend(
                Finding(f"{name}, {identifier}", reason) for reason in import_problems(tree, scope)
            )
    for name, content in configs.items():
        for identifier, reason in _problems(content, scope):
            findings.append(Finding(f"{name}, {identifier}" if identifier else name, reason))
        if name.endswith("metadata.json"):
            findings.extend(Finding(name, reason) for reason in _shape_problems(content))
    return findings


def _problems(config: Any, scope: Scope, identifier: str = "") -> Iterator[tuple[str, str]]:
    """Ids below ``identifier`` and what is wrong with them."""
    # a key of an overlay is an id itself: "network_def#_target_"
    last = re.split(r"#|::", identifier)[-1]
    if last == "_target_":
        if reason := target_problem(config):
            yield identifier, reason
        return
    if last == "_mode_" and config not in ("default", "callable"):
        yield identifier, f"is the mode {config!r}; only default and callable are let through"
    if last == "_debug_":
        yield identifier, "would start a debugger"
    if isinstance(config, str):
        for reason in _string_problems(config, scope):
            yield identifier, reason
    for key, value in entries(config):
        yield from _problems(value, scope, f"{identifier}#{key}" if identifier else key)


def _string_problems(text: str, scope: Scope) -> Iterator[str]:
    if text.startswith("%"):
        yield f"{text!r} takes in another part or file; write it out"
    elif text.startswith("$"):
        tree = parsed(text)
        if tree is None:
            yield f"{text!r} is no expression that Python can read"
        elif not is_import(tree):
            for reason in expression_problems(tree, scope):
                yield f"{text!r} {reason}"
    elif leads_away(text) or text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        yield f"{text!r} is a path or address outside the bundle"


def _shape_problems(metadata: Any) -> Iterator[str]:
    """MONAI evaluates the sizes that metadata gives as text, and makes an input of that size."""
    for identifier, value in _leaves(metadata):
        if re.search(r"spatial_shape(#\d+)?$", identifier):
            if not (_is_count(value, MAX_SIDE) or (isinstance(value, str) and _SHAPE.fullmatch(value))):
                yield f"{identifier} is {value!r}, no size up to {MAX_SIDE}"
        elif identifier.endswith("num_channels") and not _is_count(value, MAX_CHANNELS):
            yield f"{identifier} is {value!r}, no number up to {MAX_CHANNELS}"


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and 0 < value <= most


def _leaves(config: Any, identifier: str = "") -> Iterator[tuple[str, Any]]:
    if not config or not isinstance(config, dict | list):
        yield identifier, config
    for key, value in entries(config):
        yield from _leaves(value, f"{identifier}#{key}" if identifier else key)


def _logging_problems(path: Path) -> Iterator[str]:
    """``fileConfig`` evaluates ``class`` and ``args`` of handlers, and imports ``class`` of formatters."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_file(io.StringIO(path.read_text(encoding="utf-8")))
    except (configparser.Error, UnicodeDecodeError):
        yield "is no logging configuration"
        return
    for section in parser.sections():
        for key, value in parser.items(section):
            if key == "class" and value not in allow_list.LOGGING_CLASSES:
                yield f"[{section}] class is {value!r}; only {sorted(allow_list.LOGGING_CLASSES)} are let through"
            elif key == "args" and value not in allow_list.LOGGING_ARGUMENTS:
                yield f"[{section}] args is {value!r}; only the standard streams are let through"
            elif key in ("kwargs", "()", "factory"):
                yield f"[{section}] {key} is not on the list"


def _large_files_problems(path: Path) -> Iterator[str]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        files = content["large_files"]
        listed = [
            (str(entry["path"]), str(entry["url"]), set(entry), str(entry.get("hash_val"))) for entry in files
        ]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError):
        yield "is no list of large files, each with path and url"
        return
    for name, url, keys, digest in listed:
        if not re.fullmatch(r"models/[\w-]+\.(pt|pth)", name, re.ASCII):
            yield f"path is {name!r}; only files of weights in models/ are let through"
        if not url.startswith("https://"):
            yield f"url is {url!r}; only https is let through"
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"{name} has no SHA-256 as hash_val"
        if extra := keys - {"path", "url", "hash_val", "hash_type"}:
            yield f"{name} has the unknown {', '.join(sorted(extra))}"

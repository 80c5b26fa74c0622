"""Screening of untrusted bundles: what their files would do, found before any of it is done.

A MONAI config is a program. ``_target_`` names any callable of any installed package, a string that starts with
``$`` is evaluated, ``logging.conf`` is evaluated too, and weights may be pickles. This module reads these as
text, by MONAI's own substitution of references and Python's own parser, and lets through what is on its lists
and nothing else.
"""

from __future__ import annotations

import ast
import builtins
import configparser
import inspect
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from dermaseg_monai.bundle.files import RECORD, is_part
from dermaseg_monai.sharing import allow_list

MAX_CONFIG_BYTES = 1 << 20
MAX_SIDE = 4096
"""Longest side in pixels that a bundle may say its network takes."""

MAX_CHANNELS = 256

# fmt: off
_NODES = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.Call, ast.keyword, ast.Constant,
    ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.List, ast.Tuple, ast.Dict, ast.Set,
    ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
    ast.Lambda, ast.arguments, ast.arg, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)
# fmt: on
_PLAIN_TARGET = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
_SHAPE = re.compile(r"\*|\d{1,2}( ?\*\* ?p)?( ?\* ?n)?", re.ASCII)
_REFERENCES = "__local_refs"
_MODULES = (*allow_list.OWN_MODULES, *allow_list.CLASS_MODULES, *allow_list.MONAI_MODULES)


@dataclass(frozen=True)
class Finding:
    """Something in a bundle that is not let through.

    Attributes:
        place: file and id, such as ``configs/train.json, network_def#_target_``.
        reason: what is there and why not.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass
class _Scope:
    """What names mean within a bundle's expressions: modules that MONAI gives, and those the configs import."""

    modules: dict[str, str] = field(
        default_factory=lambda: {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
    )
    things: dict[str, str] = field(default_factory=dict)


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
    scope = _Scope()
    findings: list[Finding] = []
    strings = [(name, *entry) for name, content in configs.items() for entry in _leaves(content)]
    for name, identifier, text in strings:
        if (tree := _parsed(text)) is not None and _is_import(tree):
            findings.extend(
                Finding(f"{name}, {identifier}", reason) for reason in _import_problems(tree, scope)
            )
    for name, content in configs.items():
        for identifier, reason in _problems(content, scope):
            findings.append(Finding(f"{name}, {identifier}" if identifier else name, reason))
        if name.endswith("metadata.json"):
            findings.extend(Finding(name, reason) for reason in _shape_problems(content))
    return findings


def _entries(config: Any) -> Iterator[tuple[str, Any]]:
    entries = (
        config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    )
    for key, value in entries:
        yield str(key), value


def _problems(config: Any, scope: _Scope, identifier: str = "") -> Iterator[tuple[str, str]]:
    """Ids below ``identifier`` and what is wrong with them."""
    # a key of an overlay is an id itself: "network_def#_target_"
    last = re.split(r"#|::", identifier)[-1]
    if last == "_target_":
        if reason := _target_problem(config):
            yield identifier, reason
        return
    if last == "_mode_" and config not in ("default", "callable"):
        yield identifier, f"is the mode {config!r}; only default and callable are let through"
    if last == "_debug_":
        yield identifier, "would start a debugger"
    if isinstance(config, str):
        for reason in _string_problems(config, scope):
            yield identifier, reason
    for key, value in _entries(config):
        yield from _problems(value, scope, f"{identifier}#{key}" if identifier else key)


def _string_problems(text: str, scope: _Scope) -> Iterator[str]:
    if text.startswith("%"):
        yield f"{text!r} takes in another part or file; write it out"
    elif text.startswith("$"):
        tree = _parsed(text)
        if tree is None:
            yield f"{text!r} is no expression that Python can read"
        elif not _is_import(tree):
            for reason in dict.fromkeys(_Expression(scope).problems(tree)):
                yield f"{text!r} {reason}"
    elif _leads_away(text) or text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        yield f"{text!r} is a path or address outside the bundle"


def _leads_away(text: str) -> bool:
    parts = re.split(r"[/\\]", text)
    # papers and schemas are cited in metadata by https addresses: nothing reads from them
    return (
        ".." in parts or parts[0].startswith("~") or bool(re.match(r"(?!https?:)[A-Za-z][\w+.-]*://", text))
    )


def _parsed(text: Any) -> ast.Module | None:
    """The syntax of an expression as it is evaluated: after MONAI has put references in, text for text.

    A reference within a string ends that string there: ``$'@f {...}'`` becomes ``'__local_refs['f'] {...}'``,
    where an f-string runs code. So this reads what MONAI's own functions make of it, and no paraphrase.
    """
    from monai.bundle import ReferenceResolver
    from monai.bundle.config_parser import ConfigParser

    if not isinstance(text, str) or not text.startswith("$"):
        return None
    try:
        # the level that a relative id starts from does not matter for what kind of text it becomes
        text = ConfigParser.resolve_relative_ids("a::b::c::d::e::f::g::h", text)
        text = ReferenceResolver.update_refs_pattern(text, _Anything())
        return ast.parse(text.removeprefix("$"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Anything(dict[str, Any]):
    """References that are all there."""

    def __contains__(self, key: object) -> bool:
        return True


def _is_import(tree: ast.Module) -> bool:
    return bool(tree.body) and isinstance(tree.body[0], (ast.Import, ast.ImportFrom))


def _import_problems(tree: ast.Module, scope: _Scope) -> Iterator[str]:
    statement = tree.body[0]
    assert isinstance(statement, (ast.Import, ast.ImportFrom))
    if len(tree.body) != 1 or len(statement.names) != 1:
        yield "imports more than one thing in one line"
        return
    alias = statement.names[0]
    source = f"{statement.module}." if isinstance(statement, ast.ImportFrom) else ""
    path, name = f"{source}{alias.name}", alias.asname or alias.name
    if isinstance(statement, ast.ImportFrom) and (statement.level or not statement.module):
        yield "imports by a relative name"
    elif _is_listed_module(path):
        if "." in name:  # MONAI gives a dotted import no name that an expression could use
            return
        if (
            scope.modules.setdefault(name, path) != path
            or name in scope.things
            or name in allow_list.BUILTINS
        ):
            yield f"gives the name {name!r} a second meaning"
    elif isinstance(statement, ast.ImportFrom) and _path_problem(path) is None:
        if (
            scope.things.setdefault(name, path) != path
            or name in scope.modules
            or name in allow_list.BUILTINS
        ):
            yield f"gives the name {name!r} a second meaning"
    else:
        yield f"imports {path}, which is not on the list"


def _is_listed_module(path: str) -> bool:
    if path in allow_list.NAMES or path in _parents((*_MODULES, "torch.backends")):
        return True
    return _is_below(path, _MODULES) and _module(path) is not None


@cache
def _parents(modules: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        ".".join(parts[:length])
        for parts in (module.split(".") for module in modules)
        for length in range(1, len(parts) + 1)
    )


def _is_below(path: str, modules: tuple[str, ...]) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in modules)


@cache
def _module(path: str) -> ModuleType | None:
    """The installed module called ``path``; asked for only below the listed ones."""
    if any(part.startswith("_") for part in path.split(".")):
        return None
    try:
        return import_module(path)
    except Exception:  # whatever it is that keeps a module from being imported, it is no module to use
        return None


def _path_problem(path: str) -> str | None:
    """Why a dotted name is not let through, or None."""
    parent, _, name = path.rpartition(".")
    if name.startswith("_"):
        return f"names {path}, which is private"
    if name in allow_list.NAMES.get(parent, ()):
        return None
    thing = _resolve(path)
    home = getattr(thing, "__module__", "") or ""
    is_class = inspect.isclass(thing)
    if (is_class or inspect.isfunction(thing)) and _is_below(home, allow_list.OWN_MODULES):
        return None
    if is_class and _is_below(home, allow_list.CLASS_MODULES):
        return None
    if is_class and _is_below(home, allow_list.MONAI_MODULES) and thing.__name__ in allow_list.MONAI_CLASSES:
        return None
    return f"names {path}, which is not on the list"


def _resolve(path: str) -> Any:
    """What a dotted name stands for, if it is a thing directly in a module below the listed ones."""
    parent, _, name = path.rpartition(".")
    if not _is_below(parent, _MODULES):
        return None
    module = _module(parent)
    # by its own dictionary: no lazy attribute of a package is asked for
    return vars(module).get(name) if module is not None else None


def _target_problem(target: Any) -> str | None:
    if not isinstance(target, str) or not _PLAIN_TARGET.fullmatch(target):
        return f"{target!r} is no plain name of a class or function"
    if "." in target:
        return _path_problem(target)
    found = _locator().get_component_module_name(target)
    homes = found if isinstance(found, list) else [found] if found else []
    if not homes:
        return f"names {target}, which MONAI does not have"
    return next((reason for home in homes if (reason := _path_problem(f"{home}.{target}"))), None)


@cache
def _locator() -> Any:
    from monai.bundle import ComponentLocator

    return ComponentLocator()


class _Expression:
    """The problems of one expression."""

    def __init__(self, scope: _Scope) -> None:
        self.scope = scope
        self.bound: set[str] = set()

    def problems(self, tree: ast.Module) -> Iterator[str]:
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
            yield "is no single expression"
            return
        for node in ast.walk(tree.body[0].value):
            if isinstance(node, ast.arg):
                self.bound.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bound.add(node.id)
        taken = self.bound & ({*self.scope.modules, *self.scope.things, _REFERENCES} | set(dir(builtins)))
        if taken:
            yield f"gives {min(taken)} another meaning"
        yield from self.visit(tree.body[0].value)

    def visit(self, node: ast.AST) -> Iterator[str]:
        check: dict[type, Callable[[Any], Iterator[str]]] = {
            ast.Name: self.name,
            ast.Attribute: self.attribute,
            ast.Subscript: self.subscript,
            ast.Constant: self.constant,
        }
        if not isinstance(node, _NODES) or isinstance(node, (ast.Pow, ast.MatMult)):
            yield f"uses {type(node).__name__}, which is not on the list"
        elif type(node) in check:
            yield from check[type(node)](node)
        else:
            yield from self.children(node)

    def children(self, node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            yield from self.visit(child)

    def name(self, node: ast.Name) -> Iterator[str]:
        if node.id in self.scope.modules:
            yield f"hands the module {self.scope.modules[node.id]} on"
        elif node.id == _REFERENCES:
            yield f"reads {_REFERENCES} itself"
        elif node.id not in {*self.bound, *self.scope.things, *allow_list.BUILTINS}:
            yield f"uses the name {node.id}, which is not on the list"

    def attribute(self, node: ast.Attribute) -> Iterator[str]:
        if path := self.dotted(node):
            if path == "os.environ":
                yield "reads the environment"
            elif reason := _path_problem(path):
                yield reason
            return
        # private names lead to frames and modules, and are no more on the list than others
        if node.attr not in allow_list.ATTRIBUTES:
            yield f"uses the attribute {node.attr}, which is not on the list"
        yield from self.visit(node.value)

    def dotted(self, node: ast.AST) -> str | None:
        """The dotted name that a chain of attributes spells, if it starts at a module."""
        if isinstance(node, ast.Name):
            return None if node.id in self.bound else self.scope.modules.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        parent = self.dotted(node.value)
        return f"{parent}.{node.attr}" if parent and _is_listed_module(parent) else None

    def subscript(self, node: ast.Subscript) -> Iterator[str]:
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(node.value, ast.Name) and node.value.id == _REFERENCES:
            if not isinstance(key, str):
                yield f"reads {_REFERENCES} itself"
        elif self.dotted(node.value) == "os.environ":
            if key not in allow_list.ENVIRONMENT:
                yield f"reads the environment beyond {', '.join(sorted(allow_list.ENVIRONMENT))}"
        else:
            yield from self.children(node)

    def constant(self, node: ast.Constant) -> Iterator[str]:
        if isinstance(node.value, bytes):
            yield "has bytes"
        elif isinstance(node.value, str) and (_leads_away(node.value) or "__" in node.value):
            yield f"has the text {node.value!r}, a path or name outside the bundle"


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
    entries = list(_entries(config))
    if not entries:
        yield identifier, config
    for key, value in entries:
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
        entries = [
            (str(entry["path"]), str(entry["url"]), set(entry), str(entry.get("hash_val"))) for entry in files
        ]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError):
        yield "is no list of large files, each with path and url"
        return
    for place, url, keys, digest in entries:
        if not re.fullmatch(r"models/[\w-]+\.(pt|pth)", place, re.ASCII):
            yield f"path is {place!r}; only files of weights in models/ are let through"
        if not url.startswith("https://"):
            yield f"url is {url!r}; only https is let through"
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"{place} has no SHA-256 as hash_val"
        if extra := keys - {"path", "url", "hash_val", "hash_type"}:
            yield f"{place} has the unknown {', '.join(sorted(extra))}"

"""Screening of the expressions and names of an untrusted config, by Python's own parser; nothing is evaluated."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from dermaseg_monai.sharing import allow_list

# fmt: off
_NODES = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.Call, ast.keyword, ast.Constant,
    ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.List, ast.Tuple, ast.Dict, ast.Set,
    ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
    ast.Lambda, ast.arguments, ast.arg, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)
# fmt: on
_PLAIN_TARGET = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
_REFERENCES = "__local_refs"
_MODULES = (*allow_list.OWN_MODULES, *allow_list.CLASS_MODULES, *allow_list.MONAI_MODULES)


@dataclass
class Scope:
    """What names mean within a bundle's expressions: modules that MONAI gives, and those the configs import."""

    modules: dict[str, str] = field(
        default_factory=lambda: {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
    )
    things: dict[str, str] = field(default_factory=dict)


def parsed(text: Any) -> ast.Module | None:
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


def is_import(tree: ast.Module) -> bool:
    """Whether an expression is an import, as MONAI allows one of them in its place."""
    return bool(tree.body) and isinstance(tree.body[0], (ast.Import, ast.ImportFrom))


def import_problems(tree: ast.Module, scope: Scope) -> Iterator[str]:
    """What is wrong with an import; the name that it gives is added to ``scope``."""
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


def target_problem(target: Any) -> str | None:
    """Why a ``_target_`` is not let through, or None."""
    if not isinstance(target, str) or not _PLAIN_TARGET.fullmatch(target):
        return f"{target!r} is no plain name of a class or function"
    if "." in target:
        return _path_problem(target)
    located = _locator().get_component_module_name(target)
    modules = located if isinstance(located, list) else [located] if located else []
    if not modules:
        return f"names {target}, which MONAI does not have"
    return next((reason for module in modules if (reason := _path_problem(f"{module}.{target}"))), None)


def expression_problems(tree: ast.Module, scope: Scope) -> list[str]:
    """What is wrong with an expression, each thing once.

    Args:
        tree: of :func:`parsed`.
        scope: what names mean in it.
    """
    return list(dict.fromkeys(_Expression(scope).problems(tree)))


class _Expression:
    """The problems of one expression."""

    def __init__(self, scope: Scope) -> None:
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
        elif isinstance(node.value, str) and (leads_away(node.value) or "__" in node.value):
            yield f"has the text {node.value!r}, a path or name outside the bundle"


def leads_away(text: str) -> bool:
    """Whether a text is a path or an address outside the bundle."""
    parts = re.split(r"[/\\]", text)
    # papers and schemas are cited in metadata by https addresses: nothing reads from them
    return (
        ".." in parts or parts[0].startswith("~") or bool(re.match(r"(?!https?:)[A-Za-z][\w+.-]*://", text))
    )


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
    module = getattr(thing, "__module__", "") or ""
    is_class = inspect.isclass(thing)
    if (is_class or inspect.isfunction(thing)) and _is_below(module, allow_list.OWN_MODULES):
        return None
    if is_class and _is_below(module, allow_list.CLASS_MODULES):
        return None
    if (
        is_class
        and _is_below(module, allow_list.MONAI_MODULES)
        and thing.__name__ in allow_list.MONAI_CLASSES
    ):
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


@cache
def _locator() -> Any:
    from monai.bundle import ComponentLocator

    return ComponentLocator()

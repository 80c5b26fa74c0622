"""Packages whose modules are imported when one of their names is asked for.

The face of a package, its ``__init__``, usually imports all that the package offers. ``import monai`` brings every
module of MONAI that way, and with them MLflow, Matplotlib and scikit-learn: more than half of the time from
``dermaseg predict photo.jpg`` to its mask. With lazy faces a name costs the modules that it needs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, NamedTuple


def import_lazily(*packages: str) -> None:
    """Give packages lazy faces, in this process, from now on.

    A name that a face imports from the package's own modules is imported at its first use (PEP 562). What else a face
    does stays as it is, except MONAI's call of ``load_submodules``, which imports everything. What has been imported
    already stays as it is.

    Args:
        packages: names of top-level packages, such as ``monai``.
    """
    sys.meta_path.insert(0, _Finder(packages))


class _Finder:
    """Finds packages as Python does, and has them loaded with a lazy face."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.split(".", 1)[0] not in self.packages:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.submodule_search_locations and type(spec.loader) is SourceFileLoader:
            spec.loader = _LazyFace(spec.loader.name, spec.loader.path)
        return spec


class _Origin(NamedTuple):
    """Where a name of a face comes from: a module, or its attribute."""

    module: str
    attribute: str | None


class _Face(ModuleType):
    """A package whose names are imported when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        origin = self.__dict__["_origins"].get(name)
        if origin is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value: Any = import_module(origin.module)
        if origin.attribute:
            value = getattr(value, origin.attribute)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Python puts an imported module into its package, but this name is what the module's face took from it
        origin = self.__dict__["_origins"].get(name)
        if origin is None or origin.attribute is None or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


class _LazyFace(SourceFileLoader):
    """Loads the ``__init__`` of a package without the package's modules."""

    def exec_module(self, module: ModuleType) -> None:
        package, path = module.__name__, self.get_filename()
        tree = ast.parse(self.get_data(path), path)
        modules = {entry.name for entry in iter_modules(module.__path__)}
        origins = {name: _Origin(f"{package}.{name}", None) for name in modules}
        body = []
        for statement in tree.body:
            names = dict(_own_names(statement, package, modules))
            origins.update(names)
            if not names and not _loads_everything(statement):
                body.append(statement)
        module.__dict__["_origins"] = origins
        module.__class__ = _Face
        for node in (node for statement in body for node in ast.walk(statement)):
            if isinstance(node, ast.Name) and node.id in origins:
                getattr(module, node.id)  # the face itself uses it
        tree.body = body
        exec(compile(tree, path, "exec", dont_inherit=True), module.__dict__)


def _own_names(statement: ast.stmt, package: str, modules: set[str]) -> Iterator[tuple[str, _Origin]]:
    """The names that a statement of a package's face imports from the package's own modules."""
    if not isinstance(statement, ast.ImportFrom) or statement.level > 1:
        return
    source = f"{package}.{statement.module or ''}".rstrip(".") if statement.level else statement.module or ""
    whole = source == package and all(alias.name in modules for alias in statement.names)
    if not whole and not source.startswith(f"{package}."):
        return
    for alias in statement.names:
        if whole:
            yield alias.asname or alias.name, _Origin(f"{package}.{alias.name}", None)
        elif alias.name == "*":
            yield from ((name, _Origin(source, name)) for name in _exported(source))
        else:
            yield alias.asname or alias.name, _Origin(source, alias.name)


def _exported(source: str) -> list[str]:
    """The names in the literal ``__all__`` of a module that is not imported; none where it has no such list."""
    spec = find_spec(source)
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        return []
    path = spec.loader.get_filename()
    for statement in ast.parse(spec.loader.get_data(path), path).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            try:
                return list(ast.literal_eval(statement.value))
            except ValueError:
                return []
    return []


def _loads_everything(statement: ast.stmt) -> bool:
    """Whether a statement is MONAI's call of ``load_submodules``."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "load_submodules"
    )

"""The plan of the house: each package imports only what stands on a floor below its own."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "dermaseg_monai"

# from the roof to the ground
FLOORS = (
    ("cli",),
    ("app", "monai_label", "dicom"),
    ("evaluation",),
    ("studies",),
    ("sam",),
    ("inference",),
    ("engines",),
    ("handlers",),
    ("inferers",),
    ("visualize", "sharing"),
    ("bundle",),
    ("data",),
    ("networks", "losses", "metrics", "optimizers", "transforms"),
    ("datasets",),
    ("image_files",),
    ("utils",),
)
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}


def imported(source: str) -> set[str]:
    """The packages of the project that a module imports from, inside functions as well."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [module.split(".") for module in modules]
    return {part[1] for part in parts if part[0] == "dermaseg_monai" and part[1:] and part[1] in FLOOR_OF}


def climbs(package: str, source: str) -> set[str]:
    """What a module of ``package`` imports although it stands beside it or above it."""
    return {other for other in imported(source) - {package} if FLOOR_OF[other] <= FLOOR_OF[package]}


def test_every_package_has_a_floor() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(FLOOR_OF)


def test_a_climbing_import_is_seen() -> None:
    assert climbs("losses", "def f():\n    from dermaseg_monai.metrics import dice\n") == {"metrics"}
    assert climbs("utils", "import dermaseg_monai.networks.blocks") == {"networks"}
    assert climbs("engines", "from dermaseg_monai.handlers import EpochSeed") == set()


def test_imports_go_down() -> None:
    climbing = {
        str(path.relative_to(PACKAGE)): up
        for path in sorted(PACKAGE.glob("*/**/*.py"))
        if (up := climbs(path.relative_to(PACKAGE).parts[0], path.read_text(encoding="utf-8")))
    }
    assert not climbing

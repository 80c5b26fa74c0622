"""What README and docs say is there."""

from __future__ import annotations

import inspect
import json
import re
from functools import cache
from pathlib import Path

import pytest

import dermaseg_monai.handlers
import dermaseg_monai.losses
import dermaseg_monai.networks
import dermaseg_monai.transforms
from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.render import render
from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.metrics import METRICS, REDUCTIONS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(page: Path) -> str:
    """All code of a page: indented and fenced blocks, and spans; continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^    [^\n]+$|^```\w*\n.*?^```$", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_readme_lists_the_bundle(bundle: Bundle) -> None:
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    row = next((row for row in rows if row.startswith(f"| [`{bundle.name}`]")), None)
    assert row, f"README's table of bundles has no row for {bundle.name}"
    *_, size, parameters = (cell.strip() for cell in row.strip("|").split("|"))
    height, width = re.findall(r"\d+", size)
    assert (int(height), int(width)) == bundle.image_size
    assert parameters == f"{bundle.parameters / 1e6:.1f} M"


def test_readme_lists_no_other_bundle() -> None:
    named = re.findall(r"^\| \[`(\w+)`\]", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert named == [bundle.name for bundle in BUNDLES]


def test_readme_leads_to_every_page() -> None:
    linked = re.findall(r"\]\((docs/[^)#]+\.md)", README.read_text(encoding="utf-8"))
    there = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(set(linked)) == sorted(there)


@pages
def test_relative_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            goal = page.parent / path if path else page
            assert goal.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors_of(goal), f"{page.name} links to {target}"


def anchors_of(page: Path) -> list[str]:
    """What the headings of a page are called in addresses."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pages
def test_subcommands_and_their_options_exist(page: Path) -> None:
    for name, rest in re.findall(r"\bdermaseg ([a-z-]+)\b(.*)", code_of(page)):
        name = name.replace("-", "_")
        assert hasattr(Commands, name), f"{page.name}: dermaseg {name}"
        command = getattr(Commands, name)
        if inspect.isclass(command):  # a group of commands
            inner = rest.split()[0] if rest.split() else ""
            assert not inner or hasattr(command, inner), f"{page.name}: dermaseg {name} {inner}"
            command = getattr(command, inner, command)
        known = inspect.signature(command).parameters
        ids = set().union(*ids_by_config().values()) if "overrides" in known else set()
        fixed = {"help", *(["from"] if name == "get" else [])}
        unknown = set(re.findall(r"--(\w+)", rest)) - set(known) - ids - fixed
        assert not unknown, f"{page.name}: dermaseg {name} has no {unknown}"


@pages
def test_files_exist(page: Path) -> None:
    code = code_of(page)
    for name in re.findall(
        r"(?<![\w/.])(?:tests|scripts|benchmarks|dermaseg_monai|\.ci|\.github)/[\w./*-]+", code
    ):
        assert list(ROOT.glob(name)), f"{page.name} names {name}"
    for name in re.findall(r"`([a-z_]+/[\w/]+\.py)`", page.read_text(encoding="utf-8")):
        assert any((folder / name).is_file() for folder in (ROOT, ROOT / "dermaseg_monai")), name
    for name in re.findall(r"^ *make ([a-z-]+)", code, flags=re.MULTILINE):
        assert f"\n{name}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), f"{page.name}: make {name}"


@pages
def test_config_files_exist(page: Path) -> None:
    for name in re.findall(r"configs/(\w+\.\w+)", page.read_text(encoding="utf-8")):
        assert list((ROOT / "bundles").glob(f"*/configs/{name}")), (
            f"{page.name}: no bundle has configs/{name}"
        )


@pages
def test_overrides_are_ids_of_the_configs(page: Path) -> None:
    # MONAI takes a misspelt id without a word, so a reader would never learn of it
    launcher = {"config_file", "nproc_per_node", "standalone"}
    for command in re.findall(r"monai\.bundle run .*", code_of(page)):
        files = re.findall(r"configs/(\w+)\.json", command)
        known = launcher.union(*(ids_by_config()[name] for name in files))
        unknown = {name.split("#")[0] for name in re.findall(r"--([\w#]+)", command)} - known
        assert not unknown, f"{page.name}: {command.strip()} sets {unknown}"


@cache
def ids_by_config() -> dict[str, set[str]]:
    """Top-level ids that any bundle's config has, by the config's name."""
    ids: dict[str, set[str]] = {}
    for bundle in BUNDLES:
        for path, text in render(bundle).items():
            if path.endswith(".json") and "metadata" not in path:
                ids.setdefault(Path(path).stem, set()).update(json.loads(text))
    return ids


@pytest.mark.parametrize("config", sorted(ids_by_config()))
def test_reference_names_every_config_id(config: str) -> None:
    text = (ROOT / "docs" / "reference" / "config-ids.md").read_text(encoding="utf-8")
    chapter = text.split(f"## `{config}.json`", 1)[1].split("\n## ")[0]
    missing = [
        name
        for name in ids_by_config()[config]
        if f"`{name}`" not in chapter and f"`{name}` (" not in chapter
    ]
    assert not missing, f"docs/reference/config-ids.md, {config}.json: {missing}"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("networks", dermaseg_monai.networks.__all__),
        ("losses", [name for name in dermaseg_monai.losses.__all__ if name != "contour_band"]),
        ("metrics", [*METRICS, *REDUCTIONS]),
        ("transforms", dermaseg_monai.transforms.__all__),
        ("handlers", dermaseg_monai.handlers.__all__),
        (
            "cli",
            [f"dermaseg {name.replace('_', '-')}" for name in vars(Commands) if not name.startswith("_")],
        ),
    ],
)
def test_reference_is_complete(page: str, names: list[str]) -> None:
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in text and f"`{name}(" not in text]

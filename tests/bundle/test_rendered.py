"""What is committed under bundles/ is what the catalogue renders."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from dermaseg_monai.bundle import metadata
from dermaseg_monai.bundle.catalogue import BUNDLES, get_bundle
from dermaseg_monai.bundle.config_ids import all_ids
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.render import render
from dermaseg_monai.datasets import ATTRIBUTES

ROOT = Path(__file__).parents[2] / "bundles"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_committed_files_are_rendered(bundle: Bundle) -> None:
    rendered = render(bundle)
    folder = ROOT / bundle.name
    listed = subprocess.run(
        ["git", "ls-files", "--", str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    committed = {str(Path(path).relative_to(f"bundles/{bundle.name}")) for path in _from_root(listed)}
    trained = {"models/model.pt", "models/thresholds.json", "models/calibration.json"}
    assert committed - trained == set(rendered), "run scripts/render_bundles.py and commit"
    for path, text in rendered.items():
        assert (folder / path).read_text(encoding="utf-8") == text, f"{path}: run scripts/render_bundles.py"


COMBINATIONS = (
    ("train",),
    ("train", "dictionary_train"),
    ("train", "multi_gpu_train"),
    ("train", "evaluate"),
    ("inference",),
)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_reference_has_its_id(bundle: Bundle) -> None:
    rendered = render(bundle)
    for names in COMBINATIONS:
        paths = [f"configs/{name}.json" for name in names]
        if not all(path in rendered for path in paths):
            continue
        parser = ConfigParser(json.loads(rendered[paths[0]]))
        for path in paths[1:]:
            parser.update(json.loads(rendered[path]))
        known = set(all_ids(parser.config))
        referred = set(re.findall(r"@(\w+(?:#\w+)*)", json.dumps(parser.config)))
        assert referred <= known, f"{names} of {bundle.name}"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_module_of_an_expression_is_imported(bundle: Bundle) -> None:
    rendered = render(bundle)
    modules = set(re.findall(r"import [\w.]+ as (\w+)", "".join(rendered.values())))
    for names in COMBINATIONS:
        config: dict[str, Any] = {}
        for name in names:
            for key, value in json.loads(rendered.get(f"configs/{name}.json", "{}")).items():
                merge_kv(config, key, value)
        imported = set(re.findall(r"import [\w.]+ as (\w+)", json.dumps(config.pop("imports"))))
        expressions = re.findall(r'"(\$(?:[^"\\]|\\.)*)"', json.dumps(config))
        used = {name for text in expressions for name in re.findall(r"(?<![\w@.#'/])(\w+)\.", text)}
        assert used & modules <= imported, f"{names} of {bundle.name}"


def test_configs_are_read_at_a_glance() -> None:
    rendered = render(get_bundle("lesion_unet"))
    for name, most in {"train": 260, "evaluate": 130, "inference": 125}.items():
        assert rendered[f"configs/{name}.json"].count("\n") <= most, name


def _from_root(paths: list[str]) -> list[str]:
    return [path if path.startswith("bundles/") else f"bundles/{path}" for path in paths]


def test_no_folder_without_an_entry() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"ablations"}
    assert folders == {bundle.name for bundle in BUNDLES}


def test_catalogue_needs_no_torch() -> None:
    code = "import dermaseg_monai.bundle.listing, dermaseg_monai.bundle.render, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_attribute_order_is_one() -> None:
    described = metadata.metadata(get_bundle("attribute_unet"))["network_data_format"]["outputs"]["pred"]
    assert list(described["channel_def"].values()) == ["background", *ATTRIBUTES]

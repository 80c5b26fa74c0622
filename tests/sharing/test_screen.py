"""The screen lets the collection's own bundles through, and nothing that would run what a stranger wrote."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.sharing.pack import all_bundles
from dermaseg_monai.sharing.screen import screen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle without weights, free to be spoilt."""
    shutil.copytree(
        bundle_folder("lesion_unet"), tmp_path / "bundle", ignore=shutil.ignore_patterns("models")
    )
    return tmp_path / "bundle"


def change(folder: Path, config: str, edit: Callable[[Any], None]) -> None:
    path = folder / "configs" / f"{config}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def found(folder: Path) -> list[str]:
    return [str(finding) for finding in screen(folder)]


def test_own_bundles_pass(tmp_path: Path) -> None:
    for folder in all_bundles():
        findings = [finding for finding in found(folder) if "is no file that bundles" not in finding]
        assert findings == [], folder


EXPRESSIONS = [
    "__import__('os').system('id')",
    "eval('1')",
    "exec('import os')",
    "open('/etc/passwd').read()",
    "getattr(torch, 'load')('x')",
    "vars(torch)['load']('x')",
    "globals()",
    "type(1)",
    "print(1)",
    "breakpoint()",
    "compile('1', 'x', 'eval')",
    "os.system('id')",
    "os.path.os.system('id')",
    "os.environ",
    "os.environ['HOME']",
    "os.environ.copy()",
    "torch.load('models/model.pt', weights_only=False)",
    "torch.hub.load('a/b', 'c')",
    "torch.jit.load('x')",
    "torch.os.system('id')",
    "torch.utils.data.os.system('id')",
    "torch.nn.modules.module.torch.load('x')",
    "torch.ops.load_library('x')",
    "torch",
    "[torch][0].load('x')",
    "(lambda m: m.load)(torch)",
    "(lambda torch: 1)(2)",
    "[torch for torch in [1]]",
    "np.load('x', allow_pickle=True)",
    "np.lib.npyio.os.system('id')",
    "numpy.fromfile('x')",
    "monai.bundle.run(config_file='x')",
    "monai.utils.module.locate('os.system')('id')",
    "monai.apps.download_url('http://x', 'y')",
    "monai.transforms.LoadImage(reader='os.system')",
    "handlers.resumable_checkpoint.torch.load('x')",
    "handlers.resumable_checkpoint.os.remove('x')",
    "engines.write_text('x', 'y')",
    "engines.messages.sys.exit()",
    "().__class__.__bases__[0].__subclasses__()",
    "(1).__class__",
    "@network.__class__.__init__.__globals__",
    "@network.forward.__globals__['os']",
    "(x for x in [1]).gi_frame.f_globals",
    "'{0.__class__}'.format(1)",
    "'%s' % ().__class__",
    "f'{().__class__}'",
    "'@f {torch.load(1)} @f'",
    "'@f {().__class__} '",
    "__local_refs",
    "__local_refs[0]",
    "(y := 1)",
    "[].append(1)",
    "9 ** 9 ** 9",
    "import os; os.system('id')",
    "1; torch.load('x')",
    "(yield)",
    "'../../etc/passwd'",
    "'~/.ssh/id_rsa'",
    "'file:///etc/passwd'",
    "b'x'",
    "1 +",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_are_refused(folder: Path, expression: str) -> None:
    change(folder, "inference", lambda content: content["inferer"].update(flips=["$1", f"${expression}"]))
    findings = found(folder)
    assert findings
    assert all(line.startswith("configs/inference.json, inferer#flips#1: ") for line in findings)


@pytest.mark.parametrize(
    "statement",
    [
        "import subprocess",
        "import os.path as os",  # os is torch's neighbour in the other configs, under its own meaning
        "import torch.hub",
        "import torch.utils.model_zoo as zoo",
        "import sys",
        "import builtins",
        "import monai.bundle as engines",
        "import dermaseg_monai.utils.files as files",
        "import dermaseg_monai.cli.commands as command",
        "import dermaseg_monai.sharing.install as install",
        "import torch as optimizers",
        "import math as len",
        "import torch, os",
        "from os import system",
        "from os.path import os",
        "from torch import load",
        "from dermaseg_monai.handlers.resumable_checkpoint import torch",
        "from dermaseg_monai.engines import *",
        "from . import x",
    ],
)
def test_imports_are_refused(folder: Path, statement: str) -> None:
    change(folder, "inference", lambda content: content["imports"].append(f"${statement}"))
    # of two meanings of a name, the one that is read second is refused
    assert any(re.match(r"configs/\w+\.json, imports#", line) for line in found(folder)), found(folder)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "eval",
        "builtins.exec",
        "run",
        "download",
        "instantiate",
        "LoadImage",
        "SaveImaged",
        "PatchInferer",
        "PersistentDataset",
        "CheckpointLoader",
        "PerceptualLoss",
        "torch.load",
        "torch.hub.load",
        "torch.nn.modules.module.torch.load",
        "torch.optim.optimizer.os.system",
        "monai.bundle.run",
        "monai.utils.module.instantiate",
        "monai.transforms.LoadImage",
        "monai.data.utils.pickle.loads",
        "dermaseg_monai.utils.files.write_text",
        "dermaseg_monai.handlers.resumable_checkpoint.torch.load",
        "dermaseg_monai.networks.encoder_weights.pickle.loads",
        "dermaseg_monai.sharing.install.install",
        "dermaseg_monai.engines.__builtins__",
        "dermaseg_monai.engines.TrainingLog.__init__",
        "NoSuchClass",
        "$torch.load",
        "@network",
        "%train.json#network",
        "",
        ["os.system"],
        None,
    ],
)
def test_targets_are_refused(folder: Path, target: Any) -> None:
    change(folder, "inference", lambda content: content["network_def"].update(_target_=target))
    change(folder, "evaluate", lambda content: content.update({"network_def#_target_": target}))
    findings = found(folder)
    assert any(line.startswith("configs/inference.json, network_def#_target_: ") for line in findings)
    assert any(line.startswith("configs/evaluate.json, network_def#_target_: ") for line in findings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_mode_", "debug"),
        ("_debug_", True),
        ("net", "%/etc/evil.json#network"),
        ("net", "%network_def"),
        ("output_dir", "/root/.ssh"),
        ("output_dir", "../../elsewhere"),
        ("output_dir", "~/elsewhere"),
        ("output_dir", "C:\\Windows"),
        ("weights", "ftp://example.org/x"),
    ],
)
def test_other_values_are_refused(folder: Path, key: str, value: Any) -> None:
    change(folder, "inference", lambda content: content["network_def"].update({key: value}))
    assert any(line.startswith(f"configs/inference.json, network_def#{key}: ") for line in found(folder))


def test_names_hold_for_all_configs_together(folder: Path) -> None:
    """What is harmless under one config's imports must not mean another thing under those of the next."""
    change(folder, "inference", lambda content: content["imports"].append("$import math as transforms"))
    assert any("a second meaning" in line for line in found(folder))


@pytest.mark.parametrize(
    "size", ["().__class__", "9**9**9", "p" * 31, 100_000, 0, "4096*n*p", "exec('1')", "100000", [], None]
)
def test_sizes_in_metadata_are_numbers(folder: Path, size: Any) -> None:
    def edit(content: Any) -> None:
        content["network_data_format"]["inputs"]["image"]["spatial_shape"][0] = size

    change(folder, "metadata", edit)
    assert any(line.startswith("configs/metadata.json") and "spatial_shape" in line for line in found(folder))


def test_expressions_in_metadata_are_screened(folder: Path) -> None:
    change(folder, "metadata", lambda content: content.update(description="$__import__('os').system('id')"))
    assert found(folder)[0].startswith("configs/metadata.json, description: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class=StreamHandler", "class=__import__('os').system('id')"),
        ("args=(sys.stdout,)", "args=(__import__('os').system('id'),)"),
        ("class=StreamHandler", "class=FileHandler"),
        ("[formatter_fullFormatter]", "[formatter_fullFormatter]\nclass=os.system"),
        ("args=(sys.stdout,)", "args=(sys.stdout,)\nkwargs={'a': open('x')}"),
        ("[loggers]", "loggers"),
    ],
)
def test_logging_configuration_is_screened(folder: Path, old: str, new: str) -> None:
    path = folder / "configs" / "logging.conf"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert found(folder)[0].startswith("configs/logging.conf: ")


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("path: ../../evil.pt\n  url: https://x/y\n  hash_val: {sha}", "path is"),
        ("path: configs/train.json\n  url: https://x/y\n  hash_val: {sha}", "path is"),
        ("path: models/model.pt\n  url: http://x/y\n  hash_val: {sha}", "only https"),
        ("path: models/model.pt\n  url: file:///etc/passwd\n  hash_val: {sha}", "only https"),
        ("path: models/model.pt\n  url: https://x/y", "no SHA-256"),
        (
            "path: models/model.pt\n  url: https://x/y\n  hash_val: {sha}\n  filepath: /etc/x",
            "unknown filepath",
        ),
        ("!!python/object/apply:os.system ['id']", "no list of large files"),
        ("path: models/model.pt", "no list of large files"),
    ],
)
def test_large_files_are_screened(folder: Path, entry: str, word: str) -> None:
    (folder / "large_files.yml").write_text("large_files:\n- " + entry.format(sha="0" * 64) + "\n")
    assert any(line.startswith("large_files.yml: ") and word in line for line in found(folder))


@pytest.mark.parametrize(
    "name", ["scripts/evil.py", "configs/evil.py", "configs/train.yaml", "models/evil.ts", "models/evil.pkl",
             "evil/configs/inference.json", "sitecustomize.py", ".env"],
)  # fmt: skip
def test_other_files_are_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("{}")
    assert f"{name}: is no file that bundles are made of" in found(folder)


def test_links_and_monsters_are_refused(folder: Path) -> None:
    (folder / "docs" / "link.md").symlink_to("/etc/hostname")
    (folder / "configs" / "deep.json").write_text("[" * 100_000)
    (folder / "configs" / "large.json").write_text('"' + "a" * 2_000_000 + '"')
    deep: Any = "$1"
    for _ in range(900):
        deep = [deep]
    (folder / "configs" / "nested.json").write_text(json.dumps(deep))
    findings = found(folder)
    assert "docs/link.md: is a link" in findings
    assert "configs/deep.json: is no JSON" in findings
    assert "configs/large.json: is larger than 1,048,576 bytes" in findings


def test_nothing_is_run_by_the_screen(folder: Path, tmp_path: Path) -> None:
    """The proof by what would be left: each of these writes a file if it is built, evaluated or imported."""
    mark = tmp_path / "mark"
    change(folder, "inference", lambda content: content.update(x=f"$open('{mark}', 'w')"))
    change(
        folder,
        "train",
        lambda content: content.update(x={"_target_": "pathlib.Path.touch", "self": str(mark)}),
    )
    (folder / "configs" / "evil.py").write_text(f"open('{mark}', 'w')")
    assert len(found(folder)) >= 3
    assert not mark.exists()

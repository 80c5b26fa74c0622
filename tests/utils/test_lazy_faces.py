"""Lazy faces of packages, in processes of their own: what has been imported cannot be imported lazily."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

FACE = '''
"""A face."""
from __future__ import annotations
from . import tools
from .early import START
from .late import finish
from .late import finish as end
from toys.deep.depth import depth
from .echo import echo
from .stars import *
from os.path import join
NEXT = START + 1
'''
MODULES = {
    "__init__": FACE,
    "tools": "size = 3",
    "early": "START = 1",
    "late": "def finish(): return 'finished'",
    "finish": "raise RuntimeError('never asked for')",
    "stars": "__all__ = ['bright']\nbright, dark = 'bright', 'dark'",
    "deep/__init__": "from .depth import depth",
    "deep/depth": "depth = 9",
    "echo": "def echo(): return 'heard'",
}


def run(code: str, folder: Path) -> str:
    """What a program prints that finds packages in ``folder``."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def write_toys(folder: Path) -> None:
    for name, text in MODULES.items():
        file = folder / "toys" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


LAZILY = "from dermaseg_monai.utils.lazy_faces import import_lazily; import_lazily('toys'); import toys; "
LOADED = "print(sorted(name for name in sys.modules if name.startswith('toys.')))"


def test_a_face_imports_only_what_it_uses_itself(tmp_path: Path) -> None:
    write_toys(tmp_path)
    assert run(LAZILY + LOADED, tmp_path) == "['toys.early']"


def test_names_are_what_they_are_without(tmp_path: Path) -> None:
    write_toys(tmp_path)
    stated = (
        "from toys import finish, bright; import toys.echo; print([toys.NEXT, toys.end(), finish(), bright"
    )
    stated += ", toys.echo(), toys.tools.size, toys.depth, toys.deep.depth, toys.join is not None"
    stated += ", hasattr(toys, 'dark'), hasattr(toys, 'none')])"
    eagerly = run("import toys; " + stated, tmp_path)
    assert eagerly == "[2, 'finished', 'finished', 'bright', 'heard', 3, 9, 9, True, False, False]"
    assert run(LAZILY + stated, tmp_path) == eagerly


def test_one_photo_costs_no_imports_for_other_ends(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (200, 150, 130)).save(tmp_path / "skin.png")
    code = f"""
from dermaseg_monai.cli.commands import main
sys.argv[1:] = ["predict", {str(tmp_path / "skin.png")!r}, "--output", {str(tmp_path / "out")!r}]
main()
dear = "matplotlib mlflow sklearn timm torch._dynamo torch.distributed.fsdp monai.apps.mmars torchvision.ops.roi_align"
print([name for name in dear.split() if name in sys.modules])
from dermaseg_monai.bundle.locator import Locator
find = Locator().get_component_module_name
print([find("Compose"), find("monai.networks.nets.UNet"), find("HighResNet")])
"""
    code = f"exec({code!r})"
    *_, imported, actual = run(code, tmp_path).splitlines()
    assert (tmp_path / "out" / "skin_segmentation.png").is_file()
    assert imported == "[]"
    assert actual == "['monai.transforms.compose', None, 'monai.networks.nets.highresnet']"

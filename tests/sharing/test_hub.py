"""The call of docs/how-to/share.md that publishes a bundle on the Hugging Face hub, up to the network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from dermaseg_monai.sharing.pack import pack
from tests.sharing.hub import running_hub

NAME = "lesion_mobilenetv2_unet"


def test_push_to_the_hub(tmp_path: Path) -> None:
    (packed,) = pack([NAME], tmp_path / "dist")
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(tmp_path / "hub")
        pushed = {name.removeprefix(f"{NAME}/"): archive.read(name) for name in archive.namelist()}
    call = f"push_to_hf_hub(repo='someone/{NAME}', name='{NAME}', bundle_dir='hub', version='0.1.0', private=False)"
    command = (sys.executable, "-c", f"from monai.bundle import push_to_hf_hub; {call}")
    with running_hub() as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_token",
            "HF_HOME": str(tmp_path / "home"),
        }
        finished = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert finished.returncode == 0, f"{finished.stderr[-2000:]}\n{hub.requests}"
        assert hub.repositories == {f"someone/{NAME}": False}
        assert hub.tags == ["0.1.0"]
        assert hub.tokens == {"Bearer hf_token"}
        card = hub.files.pop("README.md").decode()
        assert hub.files == pushed
    assert card.startswith("---\ntags:\n- monai\n- medical\nlibrary_name: monai\nlicense: apache-2.0\n---\n")
    assert card.endswith(pushed["docs/README.md"].decode())

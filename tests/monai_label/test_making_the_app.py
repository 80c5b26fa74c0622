"""The folder that the server runs in, without MONAI Label."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dermaseg_monai.monai_label.server import command, environment, make_app, serve
from dermaseg_monai.utils.errors import InputError
from tests.monai_label.bundles import small_copy


def test_copies_are_made_once(tmp_path: Path) -> None:
    folder = small_copy("lesion_unet", tmp_path / "own")
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_bytes(b"published")
    app = tmp_path / "app"
    assert make_app(app, [folder, "lesion_unet_compact"]) == ["own", "lesion_unet_compact"]
    assert (app / "model" / "lesion_unet_compact" / "configs" / "train.json").is_file()
    (app / "model" / "own" / "models" / "model.pt").write_bytes(b"learnt from labels")
    make_app(app, [folder])
    assert (app / "model" / "own" / "models" / "model.pt").read_bytes() == b"learnt from labels"
    assert (folder / "models" / "model.pt").read_bytes() == b"published"


def test_tasks_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a photo has one final label"):
        make_app(tmp_path, ["lesion_unet", "attribute_unet"])


def test_photos_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        serve(str(tmp_path / "nowhere"))


def test_the_server_listens_to_this_machine_alone(tmp_path: Path) -> None:
    arguments = command(tmp_path / "app", tmp_path, ["a", "b"])
    assert arguments[:4] == [sys.executable, "-m", "monailabel.main", "start_server"]
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert arguments[arguments.index("models") + 1] == "a,b"
    assert arguments[arguments.index("zoo_source") + 1] == "local"
    assert '"*.JPG"' in environment()["MONAI_LABEL_DATASTORE_FILE_EXT"]

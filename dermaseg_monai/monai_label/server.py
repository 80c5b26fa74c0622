"""The folder that MONAI Label's server runs in, and the command that starts it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.image_files.kinds import PHOTO_SUFFIXES
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_folder, write_text

_MAIN = '''"""What MONAI Label's server looks for."""

from dermaseg_monai.monai_label.app import LabelApp

__all__ = ["LabelApp"]
'''

_CLIENTS = """\
MONAI Label will answer at {address} in about ten seconds. Stop it with Ctrl+C.

  photos   {studies}
  labels   {studies}/labels/final
  models   {app}/model (copies; training changes these and not the originals)

Clients:
  3D Slicer   extension MONAILabel, server {address}
  CVAT        MONAI Label as a serverless function (plugins/cvat of MONAI Label), server {address}
  QuPath      extension qupath-extension-monailabel, server {address}
  REST        {address}/infer/{model}?image=NAME&output=image   (all calls: {address}/docs)
"""


def make_app(app: str | os.PathLike[str], bundles: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Make or complete the folder of the server's app, with copies of the bundles in ``model/``.

    A bundle that is there already stays as it is, with the weights that people's labels have given it.

    Args:
        app: the folder.
        bundles: names of the collection, or folders; all of one task.

    Returns:
        The bundles' names.

    Raises:
        InputError: a bundle is unknown, two have one name, or they segment different things.
    """
    app = Path(app)
    folders = [bundle_folder(bundle) for bundle in bundles]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"two of the bundles have the same name ({', '.join(names)}); rename a folder.")
    labels = {name: _labels(folder) for name, folder in zip(names, folders, strict=True)}
    if len(set(labels.values())) > 1:
        listed = "; ".join(f"{name}: {', '.join(parts)}" for name, parts in labels.items())
        raise InputError(
            f"the bundles segment different things ({listed}), but a photo has one final label; start a server "
            "for each, with a folder of photos of its own."
        )
    for name, folder in zip(names, folders, strict=True):
        target = app / "model" / name
        if not target.is_dir():
            with atomic_folder(target) as temporary:
                ignored = shutil.ignore_patterns("output", "data", "last.pt")
                shutil.copytree(folder, temporary, ignore=ignored, dirs_exist_ok=True)
    write_text(app / "main.py", _MAIN)
    return names


def command(
    app: str | os.PathLike[str],
    studies: str | os.PathLike[str],
    names: Sequence[str],
    host: str = "127.0.0.1",
    port: int = 8000,
) -> list[str]:
    """The command line of MONAI Label's server.

    Args:
        app: what :func:`make_app` made.
        studies: folder of photos.
        names: of the bundles to serve.
        host: address to listen at.
        port: port to listen at.
    """
    options = {"app": app, "studies": studies, "host": host, "port": port}
    options["uvicorn_app"] = "dermaseg_monai.monai_label.web:app"
    conf = {"models": ",".join(names), "zoo_source": "local", "sam2": "false"}
    return [
        *(sys.executable, "-m", "monailabel.main", "start_server"),
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        *(part for name, value in conf.items() for part in ("--conf", name, value)),
    ]


def environment() -> dict[str, str]:
    """The variables that MONAI Label's server is started with: photos of all usual endings are listed."""
    endings = [ending for suffix in PHOTO_SUFFIXES for ending in (suffix, suffix.upper())]
    return {"MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps([f"*{ending}" for ending in endings]), **os.environ}


def serve(
    studies: str,
    *bundles: str,
    app: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Serve bundles to annotation clients; this process becomes MONAI Label's server.

    Args:
        studies: folder of photos (jpg, jpeg, png, ... in any letter case); labels go to its labels/.
        bundles: names or folders, all of one task; lesion_mobilenetv2_unet where none is given.
        app: the server's folder, with the copies of the bundles that it trains; <studies>-monailabel by default.
        host: address to listen at; whoever can reach it may read and change everything the server holds.
        port: port to listen at.
    """
    photos = Path(str(studies)).expanduser().resolve()
    if not photos.is_dir():
        raise InputError(f"there is no folder {photos}; give the folder of the photos to label.")
    folder = Path(app).expanduser().resolve() if app else photos.with_name(f"{photos.name}-monailabel")
    names = make_app(folder, bundles or (FLAGSHIP,))
    address = f"http://{host}:{port}"
    print(_CLIENTS.format(address=address, studies=photos, app=folder, model=names[0]), flush=True)
    arguments = command(folder, photos, names, host, port)
    os.chdir(folder)  # MONAI Label would read settings from an .env file of the present folder
    os.execve(arguments[0], arguments, environment())


def _labels(folder: Path) -> tuple[str, ...]:
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    outputs = metadata["network_data_format"]["outputs"]
    return tuple(next(iter(outputs.values()))["channel_def"].values())

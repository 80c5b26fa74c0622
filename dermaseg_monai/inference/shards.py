"""Prediction of a big folder on a Ray cluster, in shards that are each done once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.bundle.folder import BundleFolder, bundle_folder, check_reserved
from dermaseg_monai.data import list_photos
from dermaseg_monai.image_files import read_photo
from dermaseg_monai.utils.errors import InputError, find_input_error
from dermaseg_monai.utils.files import as_text, atomic_path, read_table, write_text
from dermaseg_monai.utils.ray_cluster import connected, on_ray

_DONE = "done.json"


def predict_on_ray(
    photos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    bundle: str = FLAGSHIP,
    address: str | None = None,
    shard_size: int = 200,
    cpus: float = 1.0,
    gpus: float | None = None,
    **overrides: Any,
) -> pd.DataFrame:
    """Segment a folder of photos on a Ray cluster; the same files come out as from :func:`predict`.

    The folder is cut into shards, each a task. What a shard yields is kept until all are done, so that a run which
    was killed goes on with the shards that are missing, and a lost node costs the shard at hand. All nodes must see
    the photos, the bundle and the output folder.

    Args:
        photos: one photo, or a folder of photos of any size.
        output: where results go.
        bundle: name in the catalogue, or a bundle's folder.
        address: of the cluster; None for a cluster of this machine alone.
        shard_size: photos of a task, at least 1.
        cpus: processors that a task takes.
        gpus: share of a GPU that a task takes; None for a whole one where the cluster has any.
        **overrides: ids of the bundle's inference.json.

    Returns:
        The rows of ``predictions.csv``.

    Raises:
        InputError: Ray is not installed or not at the address, the bundle is unknown, has no weights or no such
            id, or there is no photo that can be read.
    """
    if shard_size < 1:
        raise InputError(f"shard_size is {shard_size}; it must be at least 1.")
    folder, output = BundleFolder(bundle_folder(bundle).absolute()), Path(output).absolute()
    check_reserved(overrides)
    folder.check(overrides)
    folder.table_id()  # refused before anything is begun
    items = list_photos(photos)
    shards = [items[begin : begin + shard_size] for begin in range(0, len(items), shard_size)]
    folders = [output / ".shards" / _key(shard, folder, overrides) for shard in shards]
    left = [index for index, shard_folder in enumerate(folders) if not (shard_folder / _DONE).is_file()]
    if left:
        with connected(address) as ray:
            if gpus is None:
                gpus = 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
            calls = [(shards[index], folder, output, folders[index], overrides) for index in left]
            for _, error in on_ray(ray, _predict_shard, calls, cpus, gpus):
                if error is not None:
                    raise error
    table, failures = (_joined(folders, name) for name in ("predictions.csv", "failures.csv"))
    if table.empty:
        raise InputError(f"none of the {len(items)} photos could be read; the first: {failures['reason'][0]}")
    for name, rows in (("predictions.csv", table), ("failures.csv", failures)):
        if rows.empty:
            (output / name).unlink(missing_ok=True)
            continue
        with atomic_path(output / name) as temporary:
            rows.to_csv(temporary, index=False)
    shutil.rmtree(output / ".shards")
    return read_table(output / "predictions.csv")


def _predict_shard(
    items: list[dict[str, str]],
    folder: BundleFolder,
    output: Path,
    shard_folder: Path,
    overrides: Mapping[str, Any],
) -> None:
    """Segment some photos; masks and overlays go to ``output``, tables to ``shard_folder``."""
    targets = {"dataset#data": items, f"{folder.table_id()}#output_dir": str(shard_folder)}
    try:
        folder.run(output, overlays=True, **{**overrides, **targets})
    except Exception as error:
        refusal = find_input_error(error)
        reasons = [_unreadable(item) for item in items] if refusal is not None else []
        if not reasons or not all(reasons):
            raise
        rows = [
            {**item, "image": as_text(item["image"]), "reason": reason}
            for item, reason in zip(items, reasons, strict=True)
        ]
        with atomic_path(shard_folder / "failures.csv") as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)
    write_text(shard_folder / _DONE, "{}\n")


def _unreadable(item: Mapping[str, str]) -> str | None:
    try:
        read_photo(item["image"])
    except InputError as error:
        return str(error)
    return None


def _joined(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """The shards' tables as one, every cell as it was written."""
    tables = [
        pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        for folder in folders
        if (folder / name).is_file()
    ]
    joined = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return joined if joined.empty else joined.sort_values("id", ignore_index=True, kind="stable")


def _key(items: Sequence[Mapping[str, str]], folder: BundleFolder, overrides: Mapping[str, Any]) -> str:
    """A name for what a shard is made from: the photos, the bundle's files, the settings."""
    config = folder.path / "configs" / "inference.json"
    weights = Path(overrides.get("ckpt_dir", folder.ckpt_dir))
    fitted = [weights / name for name in ("model.pt", "thresholds.json", "calibration.json")]
    files = [item["image"] for item in items] + [str(file) for file in (config, *fitted) if file.is_file()]
    stamps = [(file, (stat := os.stat(file)).st_size, stat.st_mtime_ns) for file in files]
    content = json.dumps([stamps, overrides], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:24]

"""The official archives from the challenge's public storage."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from dermaseg_monai.datasets.isic2018 import ARCHIVES, BASE_URL, SECTIONS, TASKS, Archive, kinds
from dermaseg_monai.utils.download import fetch, sha256_of
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text


def download_isic2018(
    output: str | os.PathLike[str],
    task: str = "both",
    sections: Sequence[str] = ("training",),
    base_url: str = BASE_URL,
) -> list[Path]:
    """Fetch the official archives into a folder.

    A dropped connection is taken up where it broke, within a run and from one run to the next (the part lies
    in ``<archive>.part``). An archive gets its name only once its size and checksum are right; one that is
    there already is checked and not fetched again. Where no checksum is published the archive's own CRCs are
    checked. The SHA-256 of every archive is recorded in ``<archive>.sha256`` and holds for later runs.

    Args:
        output: folder for the zip files; it is made where it is missing.
        task: "lesion", "attribute" or "both": which masks come with the photos.
        sections: any of "training", "validation" and "test".
        base_url: address of the folder with the archives, for a mirror.

    Returns:
        The archives' paths.

    Raises:
        InputError: an argument is wrong, the server has no such file or cannot be reached, the disk is
            too small, or an archive is damaged.
    """
    sections = (sections,) if isinstance(sections, str) else tuple(sections)
    if task not in TASKS:
        raise InputError(f"the task must be one of {', '.join(TASKS)}, not {task!r}.")
    if not sections or not set(sections) <= set(SECTIONS):
        raise InputError(f"the sections must be some of {', '.join(SECTIONS)}, not {sections}.")
    output = Path(output).expanduser()
    if output.exists() and not output.is_dir():
        raise InputError(f"the output {output} is a file; give a folder.")
    output.mkdir(parents=True, exist_ok=True)
    wanted = [ARCHIVES[section, kind] for section in dict.fromkeys(sections) for kind in kinds(task)]
    return [_obtain(archive, output, base_url.rstrip("/")) for archive in wanted]


def _obtain(archive: Archive, output: Path, base_url: str) -> Path:
    path = output / archive.file_name
    if path.exists():
        problem = _problem(path, archive)
        if problem:
            raise InputError(f"the archive {path} {problem}; delete it and run the same command again.")
        return path
    part = path.with_name(f"{path.name}.part")
    fetch(f"{base_url}/{archive.file_name}", part, archive.file_name, archive.size)
    problem = _problem(part, archive)
    if problem:
        part.unlink()
        raise InputError(
            f"{archive.file_name} as downloaded {problem} and was removed; run the command again."
        )
    os.replace(part, path)
    return path


def _problem(path: Path, archive: Archive) -> str | None:
    """What is wrong with a whole archive, or None; records its checksum where it is right."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"has {size:,} bytes instead of {archive.size:,}"
    record = path.with_name(f"{archive.file_name}.sha256")
    recorded = record.read_text(encoding="utf-8").split(maxsplit=1)[:1] if record.exists() else []
    digest = sha256_of(path, archive.file_name)
    expected = archive.sha256 or (recorded[0] if recorded and path.suffix == ".zip" else None)
    if expected is not None and digest != expected:
        return f"has the sha256 {digest} instead of {expected}"
    if expected is None and (damage := _damage(path)):
        return damage
    if recorded != [digest]:
        write_text(record, f"{digest}  {archive.file_name}\n")
    return None


def _damage(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as file:
            member = file.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        return f"is not a whole zip archive ({error})"
    return f"is damaged at {member}" if member else None

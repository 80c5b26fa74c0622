"""Photos on their way through the node, on disk: whatever is killed when, nothing is lost and nothing done twice.

A photo is one file or folder at a time, and moves by renaming:

    incoming/<entry>.dcm  ->  outgoing/<entry>/<number>.dcm  ->  done/<key>
                          ->  refused/<entry>.dcm, <entry>.txt

An entry is named by when it came and by its key, which is a hash: names tell nothing about patients. What is done
leaves an empty file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dermaseg_monai.studies.lock import LockedError, locked
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_folder, atomic_path, write_bytes, write_text

MAX_ATTEMPTS = 5
"""How often a photo may be begun: one that ends the whole process each time is set aside."""


@dataclass(frozen=True)
class Parcel:
    """A derived object to be sent.

    Attributes:
        path: its file.
    """

    path: Path

    @property
    def begun(self) -> bool:
        """Whether sending it was begun and may have succeeded."""
        return self._mark.exists()

    def begin(self) -> None:
        """Note that it is being sent."""
        self._mark.touch()

    def finish(self) -> None:
        """Note that it has been sent."""
        self.path.unlink()

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".sending")


@contextmanager
def owned(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other nodes out of a spool for as long as the block lasts, or this process lives.

    Raises:
        InputError: another node works there.
    """
    try:
        with locked(Path(folder) / "lock"):
            yield
    except LockedError:
        raise InputError(f"another node works in {folder}; give each a --spool of its own.") from None


class Spool:
    """The photos of one node.

    Args:
        folder: of the node alone; made where it is missing, and tidied up after a kill.
        salt: what the work depends on beside the photo, such as a bundle's checksum.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], salt: str) -> None:
        self.folder = Path(folder).absolute()
        self.salt = salt
        self._lock = threading.Lock()
        self.incoming, self.outgoing, self.refused, self.done = (
            self.folder / name for name in ("incoming", "outgoing", "refused", "done")
        )
        for path in (self.incoming, self.outgoing, self.refused, self.done):
            path.mkdir(parents=True, exist_ok=True)
            for half in path.glob(".*"):  # what a killed writer left
                shutil.rmtree(half) if half.is_dir() else half.unlink()
        for parcel in self.outgoing.iterdir():
            if (self.done / _key_of(parcel.name)).exists():
                shutil.rmtree(parcel)
        for photo in self.waiting():
            if self._is_beyond(_key_of(photo.stem)):
                photo.unlink()

    @property
    def scratch(self) -> Path:
        """A folder for work at hand; what is in it may be deleted at any time."""
        return self.folder / "scratch"

    def accept(self, uid: str, content: bytes) -> bool:
        """Take a photo in.

        Args:
            uid: its SOP Instance UID.
            content: the file.

        Returns:
            Whether it is new; one that came before is not taken again.

        Raises:
            OutputError: there is no room for it.
        """
        key = hashlib.sha256(f"{self.salt}\0{uid}".encode()).hexdigest()[:32]
        with self._lock:
            if self._is_beyond(key) or any(self.incoming.glob(f"*-{key}.dcm")):
                return False
            write_bytes(self.incoming / f"{time.time_ns():020d}-{key}.dcm", content)
        return True

    def waiting(self) -> list[Path]:
        """The photos that came in, in the order in which they came."""
        return sorted(self.incoming.glob("[!.]*.dcm"))

    def attempt(self, photo: Path) -> int:
        """Count that work on a photo begins.

        Returns:
            How often it has begun.
        """
        count = photo.with_suffix(".attempts")
        number = 1 + (int(count.read_text() or 0) if count.exists() else 0)
        write_text(count, str(number))
        return number

    def finish(self, photo: Path, objects: Sequence[Path]) -> None:
        """Put what was derived from a photo in place of it, to be sent.

        Args:
            photo: one of :meth:`waiting`.
            objects: the derived files, in the order in which they are to be sent; they are copied.
        """
        with atomic_folder(self.outgoing / photo.stem) as folder:
            for number, path in enumerate(objects):
                with atomic_path(folder / f"{number:06d}.dcm") as temporary:
                    shutil.copyfile(path, temporary)
        self._remove(photo)

    def drop(self, photo: Path) -> None:
        """Forget a photo that needs nothing done."""
        (self.done / _key_of(photo.stem)).touch()
        self._remove(photo)

    def refuse(self, entry: Path, reason: str) -> None:
        """Set a photo, or what is to be sent for one, aside.

        Args:
            entry: one of :meth:`waiting` or :meth:`parcels`.
            reason: one sentence, which goes beside it.
        """
        write_text(self.refused / f"{entry.stem}.txt", f"{reason}\n")
        os.replace(entry, self.refused / entry.name)
        entry.with_suffix(".attempts").unlink(missing_ok=True)

    def parcels(self) -> list[Path]:
        """The folders of what is to be sent, in the order in which the photos came."""
        return sorted(self.outgoing.glob("[!.]*"))

    def left(self, entry: Path) -> list[Parcel]:
        """What is still to be sent of one of :meth:`parcels`."""
        return [Parcel(path) for path in sorted(entry.glob("[!.]*.dcm"))]

    def sent(self, entry: Path) -> None:
        """Everything of one of :meth:`parcels` has been sent."""
        (self.done / _key_of(entry.name)).touch()
        shutil.rmtree(entry)

    def _is_beyond(self, key: str) -> bool:
        """Whether the work on a photo is over."""
        if (self.done / key).exists():
            return True
        # a reason alone is that of a photo whose moving aside was interrupted
        names = (f"*-{key}", f"*-{key}.dcm")
        return any(any(folder.glob(name)) for folder in (self.outgoing, self.refused) for name in names)

    def _remove(self, photo: Path) -> None:
        photo.unlink()
        photo.with_suffix(".attempts").unlink(missing_ok=True)


def _key_of(entry: str) -> str:
    return entry.rpartition("-")[2]

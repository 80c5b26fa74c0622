"""A DICOM node that takes photos, segments them, and sends the results back, by itself."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.dicom.derive import Deriver
from dermaseg_monai.dicom.peer import Sender, parse_peer
from dermaseg_monai.dicom.source import PHOTO_CLASSES, NoPhotoError, read_sources
from dermaseg_monai.dicom.spool import MAX_ATTEMPTS, Spool, owned
from dermaseg_monai.utils.errors import InputError, OutputError, explained

logger = logging.getLogger(__name__)

_SUCCESS, _OUT_OF_RESOURCES = 0x0000, 0xA700
_TOGETHER = 16  # frames segmented at a time
_PAUSE_WITHOUT_ROOM = 10.0  # seconds


def run_node(
    ae_title: str,
    port: int,
    return_to: str,
    accept: Sequence[str],
    spool: str,
    bundle: str = FLAGSHIP,
    host: str = "0.0.0.0",
    outline: bool = False,
    **overrides: Any,
) -> None:
    """Serve until the process is told to end (SIGTERM or Ctrl-C); what is at hand is finished first.

    Args:
        ae_title: the node's own name, up to 16 characters.
        port: to listen at.
        return_to: where results go, ``AE@host:port``.
        accept: AE titles whose photos and echoes are taken; all others are rejected.
        spool: folder of photos on their way; the node goes on with what is there.
        bundle: name in the catalogue, or a bundle's folder.
        host: address to listen at.
        outline: also send the photo with its outline, as Secondary Capture.
        **overrides: ids of the bundle's inference.json.

    Raises:
        InputError: a title or the peer's address has another form, the port is taken, or the bundle cannot be used.
    """
    titles = [_title(title) for title in (ae_title, *accept)]
    if len(titles) < 2:
        raise InputError("no AE title may send photos; name those that may with --accept CAMERA,PACS.")
    peer = parse_peer(return_to, titles[0])
    deriver = Deriver(bundle, overrides, outline)
    with owned(spool):
        node = Node(Spool(spool, deriver.algorithm.checksum), deriver)
        _serve(node, Sender(node.spool, peer), (titles[0], host, port), titles[1:])


def _serve(node: Node, sender: Sender, address: tuple[str, str, int], accept: Sequence[str]) -> None:
    threads = [
        threading.Thread(target=node.work, daemon=True),
        threading.Thread(target=sender.run, args=(node.results, node.stop), daemon=True),
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.end())
    server = node.listen(*address, accept)
    logger.info("%s listens at %s:%d; results go to %s", *address, sender.peer.title)
    for thread in threads:
        thread.start()
    node.stop.wait()
    server.shutdown()
    for thread in threads:
        thread.join()


@dataclass
class Node:
    """What the node's threads share.

    Attributes:
        spool: photos on their way.
        deriver: the bundle.
        photos: set when there may be a new photo.
        results: set when there may be new results to send.
        stop: set when all shall end.
    """

    spool: Spool
    deriver: Deriver
    photos: threading.Event = field(default_factory=threading.Event)
    results: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        """Let every thread finish what it has at hand."""
        self.stop.set()
        self.photos.set()
        self.results.set()

    def listen(self, title: str, host: str, port: int, accept: Sequence[str]) -> Any:
        """Take photos and echoes from now on, in threads.

        Returns:
            The server, to be shut down.

        Raises:
            InputError: the address cannot be listened at.
        """
        entity = AE(ae_title=title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(accept)
        entity.maximum_pdu_size = 0
        entity.add_supported_context(Verification)
        for uid in PHOTO_CLASSES:
            entity.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
        try:
            return entity.start_server(
                (host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._receive)]
            )
        except OSError as error:
            raise InputError(
                f"{host}:{port} cannot be listened at ({error.strerror}); choose another --port."
            ) from None

    def work(self) -> None:
        """Segment photos in the order in which they came, until all shall end."""
        while not self.stop.is_set():
            self.photos.clear()
            for photo in self.spool.waiting():
                if self.stop.is_set():
                    return
                try:
                    self._derive(photo)
                except Exception as error:
                    # no room now is no fault of the photo; of anything else, only what is known to name no patient
                    self._wait_or_refuse(photo, error)
            self.photos.wait()

    def _receive(self, event: Any) -> int:
        try:
            new = self.spool.accept(event.request.AffectedSOPInstanceUID, event.encoded_dataset())
        except Exception as error:
            logger.warning("a photo cannot be taken: %s", _reason(error))
            return _OUT_OF_RESOURCES
        if new:
            self.photos.set()
        return _SUCCESS

    def _derive(self, photo: Path) -> None:
        if self.spool.attempt(photo) > MAX_ATTEMPTS:
            raise InputError(f"{MAX_ATTEMPTS} times it was begun, and the node did not survive it.")
        try:
            sources = iter(read_sources(photo, photo.stem))
        except NoPhotoError:
            self.spool.drop(photo)
            return
        scratch, objects = self.spool.scratch, []
        while chunk := list(islice(sources, _TOGETHER)):
            derived = self.deriver.derive(chunk, scratch / "objects", scratch / "photos")
            if derived.failures:
                raise InputError(derived.failures[0]["reason"])
            objects += [path for source in chunk for path in derived.objects[source.id]]
        self.spool.finish(photo, objects)
        shutil.rmtree(scratch, ignore_errors=True)
        logger.info("%s: segmented", photo.stem)
        self.results.set()

    def _wait_or_refuse(self, photo: Path, error: Exception) -> None:
        if isinstance(error, OutputError):
            logger.warning("%s: %s", photo.stem, _reason(error))
            self.stop.wait(_PAUSE_WITHOUT_ROOM)
            self.photos.set()
            return
        logger.warning("set aside: %s: %s", photo.stem, _reason(error))
        self.spool.refuse(photo, _reason(error))


def _reason(error: Exception) -> str:
    return explained(error) or f"an error of the kind {type(error).__name__}."


def _title(title: str) -> str:
    title = title.strip()
    if not (0 < len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title):
        raise InputError(f"{title!r} is no AE title; it has 1 to 16 letters and digits.")
    return title

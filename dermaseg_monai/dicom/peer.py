"""Sending derived objects to another DICOM node, each once."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, Association, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dermaseg_monai.dicom.spool import Parcel, Spool
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds until a peer that is away is tried again; each pause is twice the last."""

_ADDRESS = re.compile(r"(?P<title>[^@\\]{1,16})@(?P<host>[^@]+):(?P<port>\d{1,5})")
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_WARNINGS = range(0xB000, 0xC000)
_PLAIN: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class AwayError(Exception):
    """The peer cannot take anything now."""


class RefusedError(Exception):
    """The peer does not want an object, and would not later either."""


@dataclass(frozen=True)
class Peer:
    """Another DICOM node.

    Attributes:
        title: its AE title.
        host: name or address.
        port: number.
        own_title: what this node calls itself.
    """

    title: str
    host: str
    port: int
    own_title: str

    @contextmanager
    def connected(self) -> Iterator[Association]:
        """An association, for as long as the block lasts.

        Raises:
            AwayError: there is none to be had.
        """
        entity = AE(ae_title=self.own_title)
        entity.acse_timeout = entity.connection_timeout = 15
        entity.dimse_timeout = entity.network_timeout = 60
        contexts = [build_context(uid, _PLAIN) for uid in (SegmentationStorage, ComprehensiveSRStorage)]
        contexts.append(build_context(SecondaryCaptureImageStorage, str(JPEGBaseline8Bit)))
        contexts.append(build_context(StudyRootQueryRetrieveInformationModelFind, _PLAIN))
        contexts.append(build_context(Verification, _PLAIN))
        association = entity.associate(self.host, self.port, contexts=contexts, ae_title=self.title)
        if not association.is_established:
            raise AwayError("it rejects this node" if association.is_rejected else "it cannot be reached")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()
            else:
                association.abort()


def parse_peer(address: str, own_title: str) -> Peer:
    """Read ``AE@host:port``.

    Raises:
        InputError: it is of another form.
    """
    match = _ADDRESS.fullmatch(address.strip())
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise InputError(f"the peer {address!r} is not of the form AE@host:port, such as PACS@10.0.0.5:4242.")
    return Peer(match["title"].strip(), match["host"], int(match["port"]), own_title)


def send_parcel(association: Association, parcel: Parcel) -> None:
    """Send one object.

    Where an earlier try may have reached the peer, the peer is asked first; one that answers no questions gets the
    object again, with the same UID.

    Raises:
        AwayError: the peer is gone, or full.
        RefusedError: the peer does not want it.
    """
    dataset = dcmread(parcel.path)
    if not (parcel.begun and _has(association, dataset)):
        parcel.begin()
        try:
            status = association.send_c_store(dataset).get("Status")
        except ValueError:  # no presentation context
            raise AwayError(f"it takes no {dataset.SOPClassUID.name} objects") from None
        except RuntimeError:
            status = None
        if status is None:
            raise AwayError("the connection broke off")
        if status in _OUT_OF_RESOURCES:
            raise AwayError(f"it has no room (status {status:#06x})")
        if status and status not in _WARNINGS:
            raise RefusedError(f"the peer refuses it (status {status:#06x}).")
    parcel.finish()


def _has(association: Association, dataset: Dataset) -> bool:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(identifier, name, dataset[name].value)
    try:
        answers = association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind)
        matches = [match for status, match in answers if status and match is not None]
    except (RuntimeError, ValueError):
        return False
    return any(match.get("SOPInstanceUID") == dataset.SOPInstanceUID for match in matches)


class Sender:
    """Sends what a spool has for a peer, for as long as it takes.

    Args:
        spool: of the node.
        peer: where things go.
    """

    def __init__(self, spool: Spool, peer: Peer) -> None:
        self.spool = spool
        self.peer = peer

    def run(self, wake: threading.Event, stop: threading.Event) -> None:
        """Send, wait for more, and try again after growing pauses while the peer is away.

        Args:
            wake: set when there may be something new.
            stop: set to end after the object at hand.
        """
        pause = FIRST_PAUSE
        while not stop.is_set():
            wake.clear()
            try:
                self._send_all(stop)
                pause = FIRST_PAUSE
                wake.wait()
            except AwayError as reason:
                logger.warning(
                    "the peer %s is away: %s; tried again in %g s, %d photos wait",
                    self.peer.title,
                    reason,
                    pause,
                    len(self.spool.parcels()),
                )
                stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _send_all(self, stop: threading.Event) -> None:
        entries = self.spool.parcels()
        if not entries:
            return
        with self.peer.connected() as association:
            while entries and not stop.is_set():
                for entry in entries:
                    self._send(association, entry)
                    if stop.is_set():
                        return
                entries = self.spool.parcels()

    def _send(self, association: Association, entry: Path) -> None:
        parcels = self.spool.left(entry)
        try:
            for parcel in parcels:
                send_parcel(association, parcel)
        except RefusedError as reason:
            self.spool.refuse(entry, str(reason))
            logger.warning("set aside: %s: %s", entry.name, reason)
            return
        self.spool.sent(entry)
        logger.info("%s: sent", entry.name)

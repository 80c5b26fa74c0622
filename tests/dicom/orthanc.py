"""An Orthanc of one's own, on loopback: the archive and the peer that the tests speak with."""

from __future__ import annotations

import json
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"

needs_orthanc = pytest.mark.skipif(
    shutil.which("Orthanc") is None or not PLUGIN.is_file(),
    reason="Orthanc and its DICOMweb plugin (Debian: orthanc, orthanc-dicomweb) are not installed",
)

# every object that comes in, also one that is there already, leaves a line in the log
_LUA = "function ReceivedInstanceFilter(dicom, origin) print('CAME ' .. dicom.SOPInstanceUID) return true end"


def free_port() -> int:
    """A port of loopback that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Orthanc:
    """A running Orthanc.

    Attributes:
        folder: its configuration, log and database.
        dicom: port of its DICOM node.
        http: port of its web server.
    """

    folder: Path
    dicom: int
    http: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.http}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def get(self, path: str, **options: Any) -> Any:
        """What its REST interface answers, decoded."""
        return requests.get(f"{self.url}/{path}", timeout=30, **options).json()

    def instances(self) -> list[dict[str, Any]]:
        """The main tags of all that it stores."""
        tags = "instances?expand&requestedTags=SOPClassUID;SOPInstanceUID"
        return [entry["MainDicomTags"] for entry in self.get(tags)]

    def count(self, modality: str) -> int:
        """How many instances of a modality it stores."""
        series = [
            entry for entry in self.get("series?expand") if entry["MainDicomTags"]["Modality"] == modality
        ]
        return sum(len(entry["Instances"]) for entry in series)

    def file(self, modality: str) -> bytes:
        """The only instance of a modality."""
        (series,) = (
            entry for entry in self.get("series?expand") if entry["MainDicomTags"]["Modality"] == modality
        )
        return requests.get(f"{self.url}/instances/{series['Instances'][0]}/file", timeout=30).content

    def arrivals(self) -> list[str]:
        """The UID of every object that ever came in, also of those that were there already."""
        return re.findall(r"CAME ([\d.]+)", (self.folder / "log").read_text())


@contextmanager
def running(folder: Path, dicom: int | None = None, **settings: Any) -> Iterator[Orthanc]:
    """Run Orthanc for as long as the block lasts.

    Args:
        folder: empty, or of an earlier run, whose database it keeps.
        dicom: port of its DICOM node; any free one by default.
        **settings: of its configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    orthanc = Orthanc(folder, dicom or free_port(), free_port())
    (folder / "filter.lua").write_text(_LUA)
    config: Mapping[str, Any] = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAet": TITLE,
        "DicomPort": orthanc.dicom,
        "HttpPort": orthanc.http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "OverwriteInstances": True,
        "Plugins": [str(PLUGIN)],
        "LuaScripts": [str(folder / "filter.lua")],
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            for _ in range(600):
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                if "Orthanc has started" in (folder / "log").read_text().rpartition("stopped")[2]:
                    break
                time.sleep(0.1)
            yield orthanc
        finally:
            process.terminate()
            process.wait(30)
            (folder / "log").open("a").write("stopped\n")


@contextmanager
def behind_tls(port: int, certificate: Path) -> Iterator[int]:
    """Speak TLS in front of a server on loopback, as a proxy does; Debian's Orthanc crashes when it does so itself.

    Args:
        port: of the server.
        certificate: file of the key and the certificate.

    Yields:
        The port to speak TLS with.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Pump(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(self.request, server_side=True) as secure,
            ):
                back = threading.Thread(target=self._pump, args=(plain, secure), daemon=True)
                back.start()
                self._pump(secure, plain)
                back.join()

        def _pump(self, source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while block := source.recv(1 << 16):
                    target.sendall(block)
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pump) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()

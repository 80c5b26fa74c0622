"""A DICOMweb archive: what it holds, fetching from it, and storing in it (PS3.18)."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from dermaseg_monai.utils.errors import InputError

TOKEN, USER, PASSWORD = "DERMASEG_DICOMWEB_TOKEN", "DERMASEG_DICOMWEB_USER", "DERMASEG_DICOMWEB_PASSWORD"
"""Environment variables that credentials are read from."""

_PAGE = 500  # answers asked for at a time
_TIMEOUT = (15, 300)  # seconds to connect, and between two bytes
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Answer = Mapping[str, Any]


class Archive:
    """A DICOMweb server.

    Args:
        url: the service root, such as ``https://pacs.example/dicom-web``.
        credentials: ``{"token": ...}`` or ``{"user": ..., "password": ...}``, or nothing.
        authority: file of certificates to trust, in place of the system's.

    Raises:
        InputError: the address is none, or credentials would be sent in the clear.
    """

    def __init__(self, url: str, credentials: Mapping[str, str], authority: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                "the address of the archive must begin with https:// (or http://), and name a host."
            )
        if parts.username or parts.password or parts.query:
            raise InputError(
                "the address of the archive must hold neither credentials nor a query; give credentials in a file."
            )
        if credentials and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise InputError("credentials are not sent over http://; give the archive's https:// address.")
        if authority is not None and not Path(authority).is_file():
            raise InputError(f"there is no file of certificates {authority}.")
        self.url = url.rstrip("/")
        self.host = parts.netloc
        self.session = requests.Session()
        # given with every request: requests prefers the environment's certificates to a session's
        self.verify = authority or True
        if "token" in credentials:
            self.session.headers["Authorization"] = f"Bearer {credentials['token']}"
        elif credentials:
            self.session.auth = (credentials["user"], credentials["password"])
        # storing twice what has the same UID is storing it once
        retry = Retry(
            total=5,
            backoff_factor=1,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=retry))

    def search(self, path: str, filters: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """Query for studies or instances (QIDO-RS).

        Args:
            path: below the service root, such as ``studies``.
            filters: attributes and values.

        Yields:
            Each answer, in DICOM's JSON model.

        Raises:
            InputError: the archive cannot be reached, or refuses.
        """
        begin = 0
        while True:
            page = {**(filters or {}), "limit": str(_PAGE), "offset": str(begin)}
            response = self._request("GET", path, params=page, headers={"Accept": "application/dicom+json"})
            if response.status_code == 204:
                return
            try:
                answers = response.json()
            except ValueError:
                raise InputError(
                    f"{self.host} does not answer as a DICOMweb archive; check the address."
                ) from None
            yield from answers
            if len(answers) < _PAGE:
                return
            begin += len(answers)

    def fetch(self, path: str) -> bytes:
        """Retrieve one instance (WADO-RS), as it is stored.

        Args:
            path: ``studies/.../series/.../instances/...``.

        Returns:
            The file's content.

        Raises:
            InputError: the archive cannot be reached, refuses, or sends something else.
        """
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        response = self._request("GET", path, headers={"Accept": accept})
        return _first_part(response.headers.get("Content-Type", ""), response.content)

    def store(self, study: str, objects: Sequence[Path]) -> None:
        """Store objects (STOW-RS).

        Args:
            study: the UID of their study.
            objects: DICOM files.

        Raises:
            InputError: the archive cannot be reached, or does not store all of them.
        """
        boundary = f"dermaseg{secrets.token_hex(16)}"
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = (
            b"".join(head + path.read_bytes() + b"\r\n" for path in objects) + f"--{boundary}--\r\n".encode()
        )
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        response = self._request("POST", f"studies/{study}", data=body, headers=headers)
        try:
            failed = response.json().get("00081198", {}).get("Value", [])
        except (ValueError, AttributeError):
            failed = []
        if failed:
            code = failed[0].get("00081197", {}).get("Value", [0])[0]
            raise InputError(f"the archive did not store {len(failed)} of the results (reason {code:#06x}).")

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            response = self.session.request(
                method, f"{self.url}/{path}", timeout=_TIMEOUT, verify=self.verify, **options
            )
        except requests.exceptions.SSLError:
            raise InputError(
                f"the certificate of {self.host} is not trusted; give its authority's with --authority FILE."
            ) from None
        except requests.RequestException as error:
            # the error's own words hold the address asked for, which names patients' studies
            raise InputError(
                f"{self.host} cannot be reached ({type(error).__name__}); run it again later."
            ) from None
        if response.status_code in (401, 403):
            raise InputError(
                f"{self.host} refuses access ({response.status_code}); give credentials in {TOKEN}, in {USER} and "
                f"{PASSWORD}, or with --credentials FILE."
            )
        if response.status_code >= 300:
            raise InputError(
                f"{self.host} answers {response.status_code} to a {method} request; ask its operator."
            )
        return response


def read_credentials(file: str | None) -> dict[str, str]:
    """Credentials from a file, or else from the environment.

    Args:
        file: JSON with ``token``, or with ``user`` and ``password``, that nobody but its owner may read.

    Returns:
        What :class:`Archive` takes; empty where there are none.

    Raises:
        InputError: the file is missing, open to others, or holds something else.
    """
    if file is None:
        token, user, password = (os.environ.get(name) for name in (TOKEN, USER, PASSWORD))
        if token:
            return {"token": token}
        return {"user": user, "password": password} if user and password else {}
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"there is no file of credentials {path}.")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"others may read {path}; run chmod 600 on it.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if isinstance(content, dict) and set(content) in ({"token"}, {"user", "password"}):
        return {name: str(value) for name, value in content.items()}
    raise InputError(f'{path} must hold {{"token": "..."}} or {{"user": "...", "password": "..."}}.')


def _first_part(kind: str, content: bytes) -> bytes:
    """The first part of a multipart answer (RFC 2046)."""
    if not kind.startswith("multipart/"):
        return content
    parameters = dict(part.strip().partition("=")[::2] for part in kind.split(";"))
    boundary = parameters.get("boundary", "").strip('"')
    mark = f"--{boundary}".encode()
    begin = content.find(mark)
    head = content.find(b"\r\n\r\n", begin)
    end = content.find(b"\r\n" + mark, head)
    if not boundary or min(begin, head, end) < 0:
        raise InputError("the archive's answer is cut short; run it again.")
    return content[head + 4 : end]

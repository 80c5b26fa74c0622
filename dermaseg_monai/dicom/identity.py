"""UIDs of derived objects: new ones, and the same again for the same input."""

from __future__ import annotations

import hashlib
from uuid import UUID


def derived_uid(*parts: object) -> str:
    """Make a UID out of what it identifies.

    Args:
        *parts: what together names the object, such as the source's UID and the bundle's checksum.

    Returns:
        A UID below 2.25 (PS3.5 Annex B.2), of a version 5 UUID as RFC 9562 makes them of a name.
    """
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{UUID(bytes=digest[:16], version=5).int}"

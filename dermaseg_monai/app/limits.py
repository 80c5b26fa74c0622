"""Limits of a visitor: size, rate and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dermaseg_monai.utils.errors import InputError

MAX_PHOTO_BYTES = 64 * 2**20
"""Largest file that is taken."""

MAX_PHOTOS = 16
"""Photos in one request."""

MAX_BODY = 4 * MAX_PHOTO_BYTES
"""Largest request, in bytes."""


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask of the server.

    Attributes:
        places: requests that may be under way at once; the others are told to come back.
        seconds: time for sending a request, and again for its answer.
        per_minute: requests that one address may send in a minute; 0 for any number.
        token: what a request must bear; None for none.
        origins: other sites whose pages may use the interface.

    Raises:
        InputError: a number is out of range.
    """

    places: int = 64
    seconds: float = 60.0
    per_minute: int = 0
    token: str | None = None
    origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.places < 1:
            raise InputError(f"--queue is {self.places}; give at least 1.")
        if self.seconds <= 0:
            raise InputError(f"--timeout is {self.seconds}; give a number of seconds above 0.")
        if self.per_minute < 0:
            raise InputError(f"--rate is {self.per_minute}; give requests per minute, or 0 for any number.")


def read_token(path: str | Path) -> str:
    """The token in a file, without white space around it.

    Raises:
        InputError: the file cannot be read, or holds fewer than 16 characters or white space among them.
    """
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a token ({error}); give a file of ASCII text.") from error
    if len(token) < 16 or len(token.split()) != 1:
        raise InputError(f"{path} holds no token; write one of 16 characters or more, without spaces.")
    return token

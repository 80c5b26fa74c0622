"""The libraries of the extra ``dicom``."""

from __future__ import annotations

import importlib.util
import logging
import warnings

from dermaseg_monai.utils.errors import InputError

_LIBRARIES = ("highdicom", "pydicom", "pynetdicom", "requests")
_TALKATIVE = ("highdicom", "pydicom", "pynetdicom", "urllib3")


def require_dicom() -> None:
    """Make sure that the libraries are there, and quiet: what they log names patients.

    Raises:
        InputError: one of them is not installed.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f'DICOM needs {", ".join(missing)}, not installed here; run pip install "dermaseg-monai[dicom]".'
        )
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=name)

"""``python -m dermaseg_monai.label STUDIES [BUNDLE...]``, in MONAI Label's environment."""

from __future__ import annotations

import sys

import fire

from dermaseg_monai.errors import find_input_error
from dermaseg_monai.label.server import serve

if __name__ == "__main__":
    try:
        fire.Fire(serve, name="monailabel.sh")
    except Exception as error:
        found = find_input_error(error)
        if found is None:
            raise
        sys.exit(f"error: {found}")

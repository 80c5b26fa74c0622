"""``python -m dermaseg_monai.label STUDIES [BUNDLE...]``, in MONAI Label's environment."""

from __future__ import annotations

from dermaseg_monai.command import run_command
from dermaseg_monai.label.server import serve

if __name__ == "__main__":
    run_command(serve, "monailabel.sh")

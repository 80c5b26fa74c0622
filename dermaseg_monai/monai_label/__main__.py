"""``python -m dermaseg_monai.monai_label STUDIES [BUNDLE...]``, in MONAI Label's environment."""

from __future__ import annotations

from dermaseg_monai.monai_label.server import serve
from dermaseg_monai.utils.command import run_command

if __name__ == "__main__":
    run_command(serve, "monailabel.sh")

"""Report of a benchmark: the machine and a table, or JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pandas as pd
import torch


def machine() -> str:
    """The processor or GPU, its count, and the library versions that decide speed."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        device = f"{os.cpu_count()} x {names[0] if names else platform.processor()}"
    return f"{device}, torch {torch.__version__}, Python {platform.python_version()}"


def show(title: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows under a title."""
    if as_json:
        print(json.dumps({"benchmark": title, "machine": machine(), "rows": rows}, indent=2))
        return
    print(f"\n{title}\n{machine()}\n")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3g}"))

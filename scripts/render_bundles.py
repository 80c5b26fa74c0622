"""Write the bundle folders that the catalogue describes, after a change of catalogue or base configs."""

from __future__ import annotations

from pathlib import Path

from dermaseg_monai.zoo.render import write_bundles

if __name__ == "__main__":
    write_bundles(Path(__file__).resolve().parent.parent / "bundles")

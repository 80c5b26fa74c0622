"""Write the bundle folders that the catalogues describe, after a change of a catalogue or base configs."""

from __future__ import annotations

from pathlib import Path

from dermaseg_monai.bundle.render import write_bundles
from dermaseg_monai.studies.run_bundles import write_ablations

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent / "bundles"
    write_bundles(root)
    write_ablations(root / "ablations")

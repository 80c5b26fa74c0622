"""Draw the picture of the README, from phantoms alone.

    python scripts/readme_picture.py [--output docs/images/overview.png] [--seeds "[7,22,28,40,12,46]"]

Each column is a phantom: as it is, and below with the outline of its lesion. Where the flagship has its weights,
its predicted outline is drawn too, at the size of the phantom, with the settings of its inference.json.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import fire
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.datasets.phantoms import Phantom, render_phantom
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.utils.files import atomic_path
from dermaseg_monai.visualize.colours import PREDICTION_COLOUR, TRUTH_COLOUR

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = "lesion_mobilenetv2_unet"
SIZE = (240, 320)


def main(
    output: str = str(ROOT / "docs" / "images" / "overview.png"),
    seeds: Sequence[int] = (7, 22, 28, 40, 12, 46),
) -> None:
    """Draw the phantoms of ``seeds`` to ``output``."""
    phantoms = [render_phantom(seed, SIZE) for seed in seeds]
    trained = (bundle_folder(BUNDLE) / "models" / "model.pt").is_file()
    predictions = _predicted(phantoms) if trained else None
    figure = Figure(figsize=(2.1 * len(phantoms), 3.65), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)  # type: ignore[union-attr]
    axes = figure.subplots(2, len(phantoms), squeeze=False)
    for column, phantom in enumerate(phantoms):
        for axis in axes[:, column]:
            axis.imshow(phantom.image)
            axis.set_axis_off()
        axes[1, column].contour(phantom.lesion, levels=[0.5], colors=[TRUTH_COLOUR], linewidths=1.8)
        if predictions is not None and predictions[column].any():
            axes[1, column].contour(
                predictions[column], levels=[0.5], colors=[PREDICTION_COLOUR], linewidths=1.8
            )
    legend = [Line2D([], [], color=TRUTH_COLOUR, label="ground truth")]
    if predictions is not None:
        legend.append(Line2D([], [], color=PREDICTION_COLOUR, label=f"prediction of {BUNDLE}"))
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)
    with atomic_path(output) as temporary:
        figure.savefig(temporary, dpi=110)
        # a palette keeps the file small, and a row of small photos needs no more colours
        Image.open(temporary).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT).save(
            temporary, optimize=True
        )
    print(f"{output}: {Path(output).stat().st_size / 1000:.0f} kB")


def _predicted(phantoms: Sequence[Phantom]) -> list[np.ndarray]:
    """The flagship's masks, bool (H, W), through the same files that any photo would pass."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for index, phantom in enumerate(phantoms):
            Image.fromarray(phantom.image).save(photos / f"{index}.png")
        predict(photos, Path(folder) / "masks", bundle=BUNDLE)
        return [
            read_mask(Path(folder) / "masks" / f"{index}_segmentation.png") > 0
            for index in range(len(phantoms))
        ]


if __name__ == "__main__":
    fire.Fire(main)

"""Mean and standard deviation of each colour channel over the training images of a prepared dataset.

    python scripts/channel_statistics.py --dataset_dir /data/isic2018

They are of images in the range 0..1, as ``mean`` and ``std`` of a bundle's configs take them. Every image counts the
same, whatever its size.
"""

from __future__ import annotations

import json

import fire
import numpy as np
from tqdm import tqdm

from dermaseg_monai.data import load_datalist
from dermaseg_monai.image_files import read_photo


def main(dataset_dir: str, section: str = "training") -> None:
    """Print both as JSON."""
    moments = []
    for item in tqdm(load_datalist(dataset_dir, section), disable=None):
        values = read_photo(item["image"]).reshape(-1, 3) / 255
        moments.append([values.mean(axis=0), np.square(values).mean(axis=0)])
    mean, square = np.mean(moments, axis=0)
    std = np.sqrt(square - np.square(mean))
    print(json.dumps({"mean": mean.round(4).tolist(), "std": std.round(4).tolist()}))


if __name__ == "__main__":
    fire.Fire(main)

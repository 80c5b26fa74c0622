"""The metadata.json of a bundle."""

from __future__ import annotations

from typing import Any

from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.published_weights import get_checkpoint
from dermaseg_monai.datasets.isic2018 import ATTRIBUTES

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)

# how photos become the network's input, and the range of its values
_INPUTS: dict[str | None, tuple[str, list[float]]] = {
    None: ("normalised by ImageNet's statistics", [-2.2, 2.7]),
    "sam": (
        "the longest side brought to 1024, normalised by SAM's pixel statistics, padded by 0",
        [-2.2, 2.7],
    ),
    "medsam": ("squashed to 1024 x 1024, the darkest value brought to 0 and the lightest to 1", [0, 1]),
}


def metadata(bundle: Bundle) -> dict[str, Any]:
    """Describe ``bundle`` after MONAI's metadata schema of 2024-07-25."""
    task = {
        "lesion": "Segmentation of the skin lesion in dermoscopic photos (ISIC 2018 Task 1)",
        "attribute": "Segmentation of five dermoscopic attributes in dermoscopic photos (ISIC 2018 Task 2)",
    }[bundle.task]
    classes = ("lesion",) if bundle.task == "lesion" else ATTRIBUTES
    prepared, value_range = _INPUTS[bundle.checkpoint and get_checkpoint(bundle.checkpoint).preprocessing]
    return {
        "schema": SCHEMA,
        "version": bundle.version,
        "changelog": dict(bundle.changelog),
        "monai_version": "1.6.1",
        "pytorch_version": "2.15.0",
        "numpy_version": "2.4.6",
        "required_packages_version": {
            "dermaseg-monai": "0.1.0",
            "nibabel": "5.4.2",
            "pillow": "13.0.0",
            "pydicom": "3.0.2",
            "pytorch-ignite": "0.5.5",
            **({"segment-anything": "1.0"} if bundle.checkpoint else {}),
            "torchvision": "0.29.2",
        },
        "supported_apps": {"monai-label": ""},
        "name": bundle.title,
        "task": task,
        "description": f"{bundle.summary} {bundle.parameters / 1e6:.1f} million parameters.",
        "authors": "DermaSeg-MONAI maintainers",
        "copyright": "Copyright (c) DermaSeg-MONAI maintainers",
        "data_source": "ISIC 2018 challenge, https://challenge.isic-archive.com/data/#2018",
        "data_type": "jpeg",
        "image_classes": f"three channels (RGB), 0 to 255 on disk, {prepared}",
        "label_classes": {
            "lesion": "one channel, 255 is lesion, 0 is everything else",
            "attribute": "one file per attribute, 255 is the attribute, 0 is everything else",
        }[bundle.task],
        "pred_classes": {
            "binary": "one channel of logits, sigmoid gives the lesion's probability",
            "two_class": "two channels of logits, softmax; channel 1 is the lesion",
            "multilabel": "five channels of logits, each with its own sigmoid: " + ", ".join(ATTRIBUTES),
        }[bundle.mode],
        "eval_metrics": dict(bundle.scores),
        "intended_use": "Research only; not a medical device.",
        "references": list(bundle.references),
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "RGB",
                    "modality": "dermoscopy",
                    "num_channels": 3,
                    "spatial_shape": list(bundle.image_size),
                    "dtype": "float32",
                    "value_range": value_range,
                    "is_patch_data": False,
                    "channel_def": {"0": "R", "1": "G", "2": "B"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "logits",
                    "format": "segmentation",
                    "num_channels": bundle.out_channels,
                    "spatial_shape": list(bundle.image_size),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(index): name for index, name in enumerate(("background", *classes))},
                }
            },
        },
    }

"""Commands that segment photos: ``predict``, ``show`` and ``quantise``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.utils.errors import LEFT_OUT, InputError
from dermaseg_monai.utils.words import number_of


@typed
def predict(
    photos: str,
    output: str,
    bundle: str = FLAGSHIP,
    executor: str = "local",
    ray_address: str | None = None,
    dicom_seg: bool = False,
    outline: bool = False,
    **overrides: Any,
) -> None:
    """Segment a photo or a folder of photos.

    Args:
        photos: one photo or a folder.
        output: folder for masks, overlays and predictions.csv.
        bundle: name of a bundle with weights, or a bundle's folder.
        executor: local, or ray for a big folder: in shards on a cluster.
        ray_address: of a Ray cluster, such as 10.0.0.1:6379; by default Ray is started on this machine.
        dicom_seg: take a DICOM study, and write a Segmentation object and a structured report for each photo.
        outline: with --dicom_seg, also a Secondary Capture of the photo with its outline.
        **overrides: ids of the bundle's inference.json, such as --flips "[horizontal,vertical]".
    """
    if executor not in ("local", "ray"):
        raise InputError(f"there is no executor '{executor}'; choose local or ray.")
    if (outline and not dicom_seg) or (dicom_seg and executor != "local"):
        raise InputError("--outline goes with --dicom_seg True, and that with --executor local.")
    if dicom_seg:
        from dermaseg_monai.dicom.predict import predict_dicom

        table = predict_dicom(photos, output, bundle=bundle, outline=outline, **overrides)
    elif executor == "ray":
        from dermaseg_monai.inference.shards import predict_on_ray

        table = predict_on_ray(photos, output, bundle=bundle, address=ray_address, **overrides)
    else:
        from dermaseg_monai.utils.lazy_faces import import_lazily

        if "monai" not in sys.modules:
            import_lazily("dermaseg_monai", "monai", "ignite", "torchvision")
        from dermaseg_monai.inference.predict import predict

        table = predict(photos, output, bundle=bundle, **overrides)
    count = table["id"].nunique()
    print(f"{number_of(count, 'photo')} segmented: masks, overlays and predictions.csv in {output}")
    unlike = table.loc[table["unlikeness"] > 1, "id"].nunique() if "unlikeness" in table else 0
    if unlike:
        print(f"{unlike} of them are unlike the training photos: do not rely on the masks with a warning")
    failures = Path(output) / "failures.csv"
    if failures.is_file():
        print(f"photos that could not be read are listed in {failures}")
        sys.exit(LEFT_OUT)


@typed
def show(
    bundle: str, id: str | int, dataset_dir: str, output: str, section: str = "", **overrides: Any
) -> None:
    """Draw one image of a prepared dataset with its ground truth and a bundle's prediction.

    Args:
        bundle: name of a bundle with weights, or a bundle's folder.
        id: the image's id, or its index in a section.
        dataset_dir: prepared folder.
        output: the PNG to write.
        section: training, validation or test; an index needs it, an id is looked for in all.
        **overrides: ids of the bundle's inference.json, such as --ckpt_dir FOLDER.
    """
    from dermaseg_monai.inference.show import show

    print(show(bundle, id, dataset_dir, output, section=section or None, **overrides))


@typed
def quantise(
    model: str, photos: str, output: str, count: int = 128, seed: int = 0, portable: bool = False
) -> None:
    """Turn an exported ONNX model into one that computes in 8-bit integers, and say how far they differ.

    Args:
        model: ONNX file.
        photos: folder of example photos, best those that the network was trained on.
        output: ONNX file to write.
        count: how many of the photos are looked at.
        seed: start of the random choice of them.
        portable: give the same on every processor, where the default may be faster on this one.
    """
    from dermaseg_monai.inference.quantise import quantise

    quantised = quantise(model, photos, output, count=count, seed=seed, portable=portable)
    error, changed = quantised.difference
    print(
        f"{quantised.path} ({quantised.weights} weights): logits differ by {100 * error:.1f} % of their standard "
        f"deviation, {100 * changed:.2f} % of the pixels are decided otherwise"
    )

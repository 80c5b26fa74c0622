"""Commands that make data sets: ``prepare``, ``phantom``, ``download`` and ``distribution``."""

from __future__ import annotations

import sys
from pathlib import Path

from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.utils.errors import LEFT_OUT, InputError
from dermaseg_monai.utils.words import number_of


@typed
def prepare(
    source: str,
    output: str,
    task: str = "lesion",
    split: str = "random",
    size: int | None = None,
    strict: bool = False,
    layout: str | None = None,
    groups: str | None = None,
    folds: int | None = None,
    soft_masks: bool = False,
    audit: str | None = None,
) -> None:
    """Turn the photos and masks of a data set into a folder that every bundle trains on.

    Args:
        source: folder with the data set's zips or unpacked folders.
        output: the folder to write, with its datalist.json.
        task: lesion, attribute or both.
        split: random (70/15/15, fixed), official, or external (all images are for testing).
        size: store photos reduced to this many pixels on their long side.
        strict: end at the first bad pair instead of leaving it out.
        layout: isic2018, isic2017, isic2016, ham10000, ph2 or folders; by default it is recognised.
        groups: CSV file with the patient or lesion of each id, whose photos stay in one section.
        folds: also divide the training section into so many folds.
        soft_masks: take masks of grey levels, of which 128 of 255 and more is lesion.
        audit: decisions.csv of dermaseg audit, by which masks are left out or replaced.
    """
    from dermaseg_monai.datasets import prepare

    summary = prepare(
        source,
        output,
        task=task,
        split=split,
        size=size,
        strict=strict,
        layout=layout,
        groups=groups,
        folds=folds,
        soft_masks=soft_masks,
        audit=audit,
    )
    print(summary)
    if summary.left_out:
        sys.exit(LEFT_OUT)


@typed
def phantom(output: str, count: int, size: int = 256, seed: int = 0, dicom: bool = False) -> None:
    """Write a synthetic dataset in the official layout.

    Args:
        output: folder for the official folders.
        count: how many photos.
        size: pixels of a photo's long side.
        seed: start of all randomness.
        dicom: also write the photos as Dermoscopic Photography objects, into OUTPUT/DICOM.
    """
    from dermaseg_monai.datasets.phantoms import write_phantoms

    if dicom:
        import dermaseg_monai.dicom  # noqa: F401 (says what is missing before anything is written)
    write_phantoms(output, count, size=size, seed=seed)
    if dicom:
        from dermaseg_monai.dicom.phantoms import write_dicom_phantoms

        folder = write_dicom_phantoms(output)
        print(f"the same as DICOM objects in {folder}")
    print(
        f"{number_of(count, 'phantom')} in {output}; next: dermaseg prepare --source {output} --output FOLDER"
    )


@typed
def download(dataset: str, output: str, task: str = "both", sections: str = "training") -> None:
    """Download the official archives; run it again to go on after an interruption.

    Args:
        dataset: isic2018.
        output: folder for the archives.
        task: lesion, attribute or both.
        sections: training, validation and test, separated by commas.
    """
    from dermaseg_monai.datasets import download_isic2018

    if dataset != "isic2018":
        raise InputError(f"there is no dataset '{dataset}' to download; the one known is isic2018.")
    names = sections.split(",") if isinstance(sections, str) else sections
    for archive in download_isic2018(output, task=task, sections=tuple(names)):
        print(archive)


@typed
def distribution(dataset_dir: str, output: str) -> None:
    """Chart how often the attributes occur in each section and how much of the photos they cover.

    Args:
        dataset_dir: prepared folder with attribute masks.
        output: the PNG to write; the numbers go beside it, as CSV.
    """
    from dermaseg_monai.utils.files import write_text
    from dermaseg_monai.visualize import attribute_distribution, plot_distribution

    table = attribute_distribution(dataset_dir)
    plot_distribution(table, output)
    write_text(Path(output).with_suffix(".csv"), table.to_csv(index=False, float_format="%.6f"))
    print(table.to_string(index=False, float_format="{:.4f}".format))

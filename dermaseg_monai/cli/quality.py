"""Commands that measure predictions and masks: ``evaluate``, ``calibrate`` and ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.words import number_of


@typed
def evaluate(
    masks: str,
    dataset_dir: str,
    section: str = "test",
    output: str | None = None,
    against: str | None = None,
    task: str = "lesion",
    surface_tolerance: float = 0.01,
    pixels_per_mm: float | None = None,
    strata: bool = False,
    metadata: str | None = None,
) -> None:
    """Score the masks that any program saved, and compare two programs on the same photos.

    Args:
        masks: folder of the masks, named as their photos, with or without an ending such as _segmentation.
        dataset_dir: prepared folder with the photos and their true masks.
        section: training, validation or test.
        output: folder for metrics.csv and summary.json; by default MASKS_scores.
        against: folder of another program's masks, to compare with.
        task: lesion, or attribute for masks named <id>_attribute_<attribute>.png.
        surface_tolerance: how far a boundary may be off for the surface Dice, as a share of the diagonal.
        pixels_per_mm: the scale of all photos, for distances in mm; by default each photo's own, where it is known.
        strata: also say for which photos the masks are worse, in strata.html.
        metadata: CSV file with a column of ids, whose other columns make further strata.
    """
    from dermaseg_monai.data import load_datalist
    from dermaseg_monai.evaluation.against import compare_masks
    from dermaseg_monai.evaluation.masks import evaluate_masks
    from dermaseg_monai.evaluation.people import IN_SHORT
    from dermaseg_monai.evaluation.report import report_strata

    if task != "lesion" and (strata or metadata):
        raise InputError("--strata and --metadata are of lesion masks; leave out --task attribute.")
    output_dir = output or f"{masks.rstrip('/')}_scores"
    options = (dataset_dir, section, task, surface_tolerance, pixels_per_mm)
    scores = evaluate_masks(masks, output_dir, *options)
    if against is not None:
        print(compare_masks(scores, against, output_dir, *options))
    if task == "lesion":
        print(IN_SHORT)
    if strata or metadata is not None:
        data = load_datalist(dataset_dir, section)
        print(report_strata(scores, masks, output_dir, data, section, metadata))


@typed
def calibrate(
    bundle: str,
    dataset_dir: str,
    level: float = 0.9,
    tolerance: float = 0.05,
    check: str | None = None,
    output: str = "calibration",
    **overrides: Any,
) -> None:
    """Fit a bundle's temperature, inner and outer outline and warning on validation photos, beside its weights.

    Args:
        bundle: name of a bundle with weights, or a bundle's folder.
        dataset_dir: prepared folder, with the split that the bundle was trained on.
        level: share of photos for which each outline shall hold.
        tolerance: share of a lesion's pixels that each outline may get wrong.
        check: fit nothing, but measure what is stored on this section, such as test.
        output: folder for what a check measures.
        **overrides: ids of the bundle's inference.json, such as --ckpt_dir FOLDER.
    """
    import json

    from dermaseg_monai.inference.calibrate import calibrate, check_calibration

    if check is None:
        print(calibrate(bundle, dataset_dir, level, tolerance, **overrides))
    else:
        print(json.dumps(check_calibration(bundle, dataset_dir, output, check, **overrides), indent=2))


@typed
def audit(
    dataset_dir: str,
    output: str,
    bundle: str | None = None,
    runs: str | None = None,
    masks: str | None = None,
    section: str = "validation",
    count: int = 100,
    **overrides: Any,
) -> None:
    """Rank the given masks that are most likely wrong, and write a gallery in which a person decides on them.

    Args:
        dataset_dir: prepared folder with lesion masks.
        output: folder for index.html, audit.csv and pictures.
        bundle: a bundle that was not trained on the photos of the section, by name or folder.
        runs: or the folder of a cross-validation, whose folds predict the photos of all sections.
        masks: or a folder of predicted masks or grey probabilities.
        section: training, validation or test, for a bundle and for masks.
        count: how many masks the gallery shows.
        **overrides: ids of the bundle's inference.json, such as --device cpu.
    """
    from dermaseg_monai.inference.audit import audit

    table = audit(dataset_dir, output, bundle, runs, masks, section, count, **overrides)
    print(table.head(20).to_string(index=False, float_format="{:.3f}".format))
    print(f"{number_of(len(table), 'mask')} ranked; decide on them in {Path(output) / 'index.html'}")

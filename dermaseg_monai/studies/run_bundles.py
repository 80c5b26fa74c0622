"""A variant as a bundle of its own: configs with every value written in, README and metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.catalogue import BUNDLES, get_bundle
from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.bundle.render import BASE, as_text, render, template
from dermaseg_monai.studies.catalogue import ABLATIONS
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.variant_configs import with_overrides
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text

CONFIGS = ("train", "evaluate", "inference", "metadata")


def ablation_files(study: Study, variant: Variant) -> dict[str, str]:
    """Make every file of a variant's bundle under ``bundles/ablations``: text by path within its folder."""
    return _files(render(get_bundle(variant.bundle)), study, variant, seed=None)


def run_files(study: Study, variant: Variant, seed: int, overrides: Mapping[str, Any]) -> dict[str, str]:
    """Make every file of a run's bundle.

    Args:
        study: whose run it is.
        variant: what is trained.
        seed: start of randomness.
        overrides: those of the batch; they win over the variant's own.

    Returns:
        Text by path within the run's folder.

    Raises:
        InputError: there is no such bundle, or an override does not fit it.
    """
    return _files(_source(variant.bundle), study, variant, seed, {**overrides, "seed": seed})


def write_ablations(root: Path, studies: Iterable[Study] = ABLATIONS) -> None:
    """Write the rendered folder of each variant of each study under ``root``."""
    for study in studies:
        for variant in study.variants:
            for path, text in ablation_files(study, variant).items():
                write_text(root / study.name / variant.name / path, text)


def base_config(bundle: str, name: str) -> dict[str, Any]:
    """The config ``name`` (``train``) of a bundle of the collection or a bundle's folder.

    Raises:
        InputError: there is no such bundle, or its config cannot be read.
    """
    return _configs(_source(bundle), bundle)[name]


def _source(bundle: str) -> dict[str, str]:
    """Text by path of a bundle's small files."""
    names = [known.name for known in BUNDLES]
    if bundle in names:
        return render(get_bundle(bundle))
    try:
        folder = bundle_folder(bundle)
    except InputError:
        close = nearest(str(bundle), names)
        if not close:
            raise
        raise InputError(
            f"'{bundle}' is neither the folder of a bundle nor one of the collection{close}"
        ) from None
    paths = [f"configs/{name}.json" for name in CONFIGS]
    paths += ["configs/logging.conf", "LICENSE", "docs/data_license.txt"]
    return {path: (folder / path).read_text(encoding="utf-8") for path in paths if (folder / path).is_file()}


def _configs(source: Mapping[str, str], bundle: str) -> dict[str, dict[str, Any]]:
    try:
        return {name: json.loads(source[f"configs/{name}.json"]) for name in CONFIGS}
    except (KeyError, json.JSONDecodeError) as error:
        raise InputError(
            f"the bundle '{bundle}' cannot be varied: {error} in its configs; it needs {', '.join(CONFIGS)} as JSON."
        ) from error


def _files(
    source: Mapping[str, str],
    study: Study,
    variant: Variant,
    seed: int | None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    differences = {**variant.overrides, **(overrides or {})}
    try:
        configs = with_overrides(_configs(source, variant.bundle), differences)
    except InputError as error:
        raise InputError(f"variant '{variant.name}' of '{study.name}': {error}") from error
    _describe(configs, study, variant)
    files = {f"configs/{name}.json": as_text(content) for name, content in configs.items()}
    files["configs/logging.conf"] = (BASE / "logging.conf").read_text(encoding="utf-8")
    files["LICENSE"] = source.get("LICENSE") or (BASE / "LICENSE").read_text(encoding="utf-8")
    files["docs/README.md"] = template("ablation_README.md.j2").render(
        study=study,
        variant=variant,
        seed=seed,
        differences={k: json.dumps(v) for k, v in differences.items()},
    )
    return files


def _describe(configs: dict[str, dict[str, Any]], study: Study, variant: Variant) -> None:
    """Make metadata.json that of the variant."""
    train, metadata = configs["train"], configs["metadata"]
    metadata["name"] = f"{study.name}: {variant.title}"
    metadata["description"] = f"{variant.title}. A variant of {variant.bundle} in the study '{study.title}'"
    metadata["eval_metrics"] = {}
    if "image_size" in train:
        size = train["image_size"]
        if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int for side in size):
            raise InputError(
                f"the image_size is {size!r}; give [height, width] in pixels, such as [256, 256]."
            )
        network = metadata["network_data_format"]
        for tensor in (*network["inputs"].values(), *network["outputs"].values()):
            tensor["spatial_shape"] = list(size)

"""A study's folder without any training: run folders as ``dermaseg study run`` leaves them, scores made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from dermaseg_monai.bundle.catalogue import get_bundle
from dermaseg_monai.bundle.config_ids import apply_overlay
from dermaseg_monai.bundle.render import render
from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets import ATTRIBUTES
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.metrics import COUNT_NAMES, METRICS, confusion_counts
from dermaseg_monai.transforms import write_mask

LOSSES: tuple[dict[str, Any], ...] = (
    {"name": "dice", "title": "Cross-entropy + Dice", "skill": 0.0},
    {"name": "tversky", "title": "Cross-entropy + Tversky", "skill": 0.035},
    {"name": "focal_tversky", "title": "Cross-entropy + focal Tversky", "skill": 0.003},
    {"name": "jaccard", "title": "Jaccard alone", "skill": -0.06},
)
"""A study of losses; ``skill`` is by how much a variant's Jaccard index exceeds the baseline's."""

FRACTIONS: tuple[dict[str, Any], ...] = tuple(
    {
        "name": f"{architecture.lower().replace('+', 'p')}_{fraction:.0%}_{schedule}".replace("%", ""),
        "title": f"{architecture}, {fraction:.0%} of the images, fixed {schedule}",
        "skill": -0.12 * (1 - fraction) * (1.4 if schedule == "epochs" else 0.8) + 0.01 * len(architecture),
        "axis": {"data_fraction": fraction, "schedule": schedule, "architecture": architecture},
        "overrides": {"data_fraction": fraction},
    }
    for architecture in ("U-Net", "U-Net++")
    for schedule, fractions in (("epochs", (0.1, 0.25, 0.5, 1.0)), ("steps", (0.1, 0.25, 0.5)))
    for fraction in fractions
)
"""A study of amounts of data, whose full amount stands in one schedule only."""


def write_study(
    runs: Path,
    name: str = "loss",
    variants: Sequence[dict[str, Any]] = LOSSES,
    seeds: Sequence[int] = (0, 1, 2),
    images: int = 60,
    task: str = "lesion",
    dataset_dir: Path | None = None,
    title: str = "Which loss suits the U-Net?",
) -> Path:
    """Write a study whose first variant is the baseline.

    Args:
        runs: folder of the studies' folders.
        name: of the study.
        variants: entries of study.json, and ``skill``.
        seeds: of each variant's runs.
        images: how many there are, without a dataset.
        task: "lesion" or "attribute".
        dataset_dir: prepared folder; its test images get masks that are a little off, and the scores of those.
        title: of the study.

    Returns:
        The study's folder.
    """
    folder = runs / name
    bundle = "attribute_unet" if task == "attribute" else "lesion_unet_compact"
    entries = []
    for entry in variants:
        overrides = entry.get("overrides", {"loss": {"_target_": f"losses.{entry['name']}"}})
        entries.append(
            {"bundle": bundle, "overrides": overrides} | {k: v for k, v in entry.items() if k != "skill"}
        )
        for seed in seeds:
            run = folder / entry["name"] / f"seed{seed}"
            rng = np.random.default_rng([seed, len(entries), len(name)])
            _write_bundle(run, bundle, overrides)
            skill = entry["skill"] + rng.normal(0, 0.004)
            if task == "attribute":
                table = _attribute_scores(images, skill, rng)
            elif dataset_dir is not None:
                table = _masks(dataset_dir, run / "evaluation" / "masks", skill, rng)
            else:
                table = _lesion_scores(images, skill, rng)
            _write_results(run, name, entries[-1], seed, table, skill, task, rng)
    plan = {
        "name": name,
        "title": title,
        "baseline": variants[0]["name"],
        "metric": "jaccard" if task == "attribute" else "threshold_jaccard",
        "task": task,
        "variants": entries,
        "seeds": list(seeds),
    }
    (folder / "study.json").write_text(json.dumps(plan, indent=2))
    return folder


def _write_bundle(run: Path, bundle: str, overrides: dict[str, Any]) -> None:
    files = render(get_bundle(bundle))
    for name in ("train", "evaluate", "inference", "metadata"):
        config = json.loads(files[f"configs/{name}.json"])
        if "network_def" in config:
            config["network_def"]["features"] = [2, 4]
        if name == "train":
            apply_overlay(config, overrides)
        path = run / "configs" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config, indent=4))


def _write_results(
    run: Path,
    study: str,
    variant: dict[str, Any],
    seed: int,
    table: pd.DataFrame,
    skill: float,
    task: str,
    rng: np.random.Generator,
) -> None:
    for name in ("output", "evaluation"):
        (run / name).mkdir(exist_ok=True)
    table.to_csv(run / "evaluation" / "metrics.csv", index=False, float_format="%.6f")
    summary = {"images": table["id"].nunique(), "settings": {"section": "test", "threshold": 0.5}}
    (run / "evaluation" / "summary.json").write_text(json.dumps(summary))
    epochs = np.arange(1, 21)
    risen = 1 - np.exp(-epochs / 5)
    score = "val_macro_jaccard" if task == "attribute" else "val_threshold_jaccard"
    history = {
        "epoch": epochs,
        "loss": 0.7 - 0.5 * risen + rng.normal(0, 0.01, 20),
        "learning_rate": 1e-4,
        score: (0.75 + skill) * risen + rng.normal(0, 0.015, 20),
    }
    pd.DataFrame(history).to_csv(run / "output" / "history.csv", index=False)
    record = {
        "study": study,
        "variant": variant["name"],
        "seed": seed,
        "bundle": variant["bundle"],
        "overrides": variant["overrides"],
        "status": "finished",
        "commands": ["python -m monai.bundle run training", "python -m monai.bundle run evaluating"],
        "started": "2026-02-03T10:00:00+00:00",
        "finished": "2026-02-03T10:12:30+00:00",
        "minutes": round(12.5 + rng.uniform(0, 3), 2),
        "device": "cpu",
        "environment": {"python": "3.11.2", "torch": "2.15.0"},
        "git": "0123456789abcdef0123456789abcdef01234567-dirty",
        "epochs": 20,
        "error": None,
    }
    (run / "run.json").write_text(json.dumps(record, indent=2))


def _names(count: int) -> list[str]:
    return [f"ISIC_{9_000_000 + index:07d}" for index in range(count)]


def _lesion_scores(images: int, skill: float, rng: np.random.Generator) -> pd.DataFrame:
    difficulty = np.random.default_rng(0).beta(8, 2, images)  # the same images are hard for everyone
    jaccard = (difficulty + skill + rng.normal(0, 0.05, images)).clip(0, 0.99)
    return pd.DataFrame(
        {
            "id": _names(images),
            "dice": 2 * jaccard / (1 + jaccard),
            "jaccard": jaccard,
            "threshold_jaccard": np.where(jaccard >= 0.65, jaccard, 0),
            "accuracy": 0.9 + 0.1 * jaccard,
            "sensitivity": jaccard**0.5,
            "specificity": 0.95 + 0.05 * jaccard,
            "hd95": 40 * (1 - jaccard),
        }
    )


def _attribute_scores(images: int, skill: float, rng: np.random.Generator) -> pd.DataFrame:
    pixels = np.random.default_rng(0).integers(20_000, 90_000, images)
    rows = []
    for index, name in enumerate(_names(images)):
        for place, attribute in enumerate(ATTRIBUTES):
            truth = int(pixels[index] * 0.1) if (index + place) % (2 + place) == 0 else 0
            tp = int(truth * np.clip(0.6 + skill + rng.normal(0, 0.1), 0, 1))
            fp = int(rng.uniform(0, 0.02) * pixels[index])
            counts = dict(
                zip(COUNT_NAMES, (tp, fp, truth - tp, int(pixels[index]) - truth - fp), strict=True)
            )
            rows.append({"id": name, "attribute": attribute, **counts})
    return pd.DataFrame(rows)


def _masks(dataset_dir: Path, folder: Path, skill: float, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for item in load_datalist(dataset_dir, "test"):
        truth = read_mask(item["label"]) > 0
        off = np.abs(rng.normal(0.08 - skill, 0.06)) * truth.shape[0]
        mask = ndimage.shift(truth.astype(float), (off, off / 2), order=0) > 0
        write_mask(mask, folder / f"{item['id']}_segmentation.png")
        counts = confusion_counts(*(torch.from_numpy(array)[None, None] for array in (mask, truth)))[0, 0]
        rows.append({"id": item["id"]} | {name: float(score(counts)) for name, score in METRICS.items()})
    return pd.DataFrame(rows)

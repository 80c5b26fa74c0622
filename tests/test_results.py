"""The numbers of the README, the documentation and the catalogue are those of the files in ``results/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dermaseg_monai.bundle.catalogue import FLAGSHIP, get_bundle
from dermaseg_monai.evaluation.people import IN_SHORT
from dermaseg_monai.sam.comparison import TARGETS
from scripts import prompt_tables
from scripts.results_table import (
    by_protocol,
    compared,
    half_size_first,
    half_size_text,
    pair_text,
    protocol_pairs,
    protocol_seeds,
    protocol_text,
    row_text,
    seeds_text,
)

ROOT = Path(__file__).parents[1]


def summary(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name / "summary.json").read_text(encoding="utf-8"))


SCORES = ("dice", "jaccard", "threshold_jaccard", "accuracy", "sensitivity", "specificity")

SHIPPED = (
    "lesion_mobilenetv2_unet",
    "lesion_unet_compact",
    "lesion_unetpp",
    "lesion_segformer_lite",
    "lesion_swin_unet_lite",
)
"""The lesion bundles that come with trained weights and need no prompt."""


@pytest.mark.parametrize("bundle", [*SHIPPED, "lesion_unet"])
def test_lesion_rows(bundle: str) -> None:
    metrics = summary(bundle)["metrics"]
    cells = [f"{metrics[name]['mean']:.4f} ± {metrics[name]['sd']:.4f}" for name in SCORES]
    assert " | ".join(cells[:4]) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert " | ".join(cells) in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("network", [*SHIPPED, "lesion_unet", "u2netp"])
def test_lesion_means_are_those_of_the_images(network: str) -> None:
    table = pd.read_csv(ROOT / "results" / network / "metrics.csv")
    means = {name: table[name].mean() for name in SCORES[:4]}
    metrics = summary(network)["metrics"]
    assert means == pytest.approx({name: metrics[name]["mean"] for name in means}, abs=1e-5)
    assert len(table) == 389


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", "bundles/lesion_unetpp/docs/README.md"])
def test_people_stand_beside_the_tables(page: str) -> None:
    assert IN_SHORT.removesuffix(".") in " ".join((ROOT / page).read_text(encoding="utf-8").split())


def test_rows_side_by_side() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = compared()
    assert len(rows) >= 5
    for row in rows:
        assert row_text(row) in text


def test_rows_of_one_protocol() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = by_protocol()
    for row in rows:
        assert protocol_text(row) in text
    for pair in protocol_pairs():
        assert pair_text(pair) in text
    for seeds in protocol_seeds():
        assert seeds_text(seeds) in text
    rates = pd.read_csv(ROOT / "results" / "architecture_64" / "rates.csv").set_index("network")
    for network, tried in rates.iterrows():
        (row,) = [row for row in rows if row["name"] == network]
        assert float(row["rate"]) == float(tried.idxmax())


def test_rows_of_half_the_size_first() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = half_size_first()
    assert len(rows) == 6
    for row in rows:
        assert half_size_text(row) in text


def test_peer_without_training() -> None:
    metrics = summary("u2netp")["metrics"]
    text = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    for name, said in (("dice", "Dice"), ("jaccard", "Jaccard"), ("threshold_jaccard", "threshold Jaccard")):
        assert f"{said} {metrics[name]['mean']:.4f} ± {metrics[name]['sd']:.4f}" in text


@pytest.mark.parametrize("bundle", SHIPPED)
def test_scores_of_what_ships(bundle: str) -> None:
    metrics = summary(bundle)["metrics"]
    scores = get_bundle(bundle).scores
    assert scores == pytest.approx({name: metrics[name]["mean"] for name in scores}, abs=5e-5)


def test_attribute_scores() -> None:
    content = summary("attribute_mobilenetv2_unet")
    expected = {
        "micro_jaccard": content["micro"]["jaccard"],
        "macro_jaccard": content["macro"]["jaccard"],
        "macro_dice": content["macro"]["dice"],
        "mean_auc": content["macro"]["roc_auc"],
    }
    assert get_bundle("attribute_mobilenetv2_unet").scores == pytest.approx(expected, abs=5e-5)
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for values in content["attributes"].values():
        assert f"{values['jaccard']:.4f} | {values['dice']:.4f} | {values['roc_auc']:.3f} |" in text
    paired = pd.read_csv(ROOT / "results" / "attributes_further" / "paired.csv")
    for _, row in paired[paired["metric"] == "macro_jaccard"].iterrows():
        assert f"| {row['difference']:+.4f} | {row['low']:+.4f} to {row['high']:+.4f} |" in text


def test_flagship_recipe() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = pd.read_csv(ROOT / "results" / "flagship_recipe" / "summary.csv")
    assert len(table["variant"].unique()) == 10
    for _, row in table[table["metric"] == "jaccard"].iterrows():
        spread = f" ± {row['sd_seeds']:.4f}" if row["seeds"] > 1 else ""
        assert f"| {row['mean']:.4f}{spread} |" in text
    paired = pd.read_csv(ROOT / "results" / "flagship_recipe" / "paired.csv")
    for _, row in paired[paired["metric"] == "jaccard"].iterrows():
        assert f"| {row['difference']:+.4f} | {row['low']:+.4f} to {row['high']:+.4f} |" in text


@pytest.mark.parametrize(
    ("start", "cells"),
    [("small", "0.7765 | 0.7879"), ("pytorch", "0.8035 | 0.7964"), ("zero_mean", "0.7831")],
)
def test_classifier_start(start: str, cells: str) -> None:
    folders = sorted((ROOT / "results" / "classifier_start").glob(f"{start}_seed*"))
    means = [pd.read_csv(folder / "metrics.csv")["jaccard"].mean() for folder in folders]
    assert " | ".join(f"{mean:.4f}" for mean in means) == cells
    assert f"| as shipped | {cells} |" in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_robustness_rows() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = pd.read_csv(ROOT / "results" / "robustness" / "paired.csv")
    assert len(table) == 30
    for _, row in table.iterrows():
        assert f"| {row['difference']:+.4f} | {row['low']:+.4f} to {row['high']:+.4f} |" in text


@pytest.mark.parametrize(
    "variant",
    [
        "clean",
        "noise_10",
        "noise_25",
        "noise_50",
        "hair_30",
        "hair_90",
        "blur_1",
        "blur_2",
        "jpeg_5",
        "jpeg_20",
    ],
)
def test_robustness_in_the_model_card(variant: str) -> None:
    table = pd.read_csv(ROOT / "results" / "robustness" / "summary.csv").set_index("variant")
    assert f"{table['mean'][variant]:.3f}" in " ".join(get_bundle(FLAGSHIP).limits)


@pytest.mark.parametrize("photos", ["validation", "out_of_fold"])
def test_rows_of_planted_mask_errors(photos: str) -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert (ROOT / "results" / "audit" / f"planted_{photos}.md").read_text(encoding="utf-8") in text


def test_rows_of_unlike_photos() -> None:
    table = pd.read_csv(ROOT / "results" / "unlike_photos.csv").query("directions == 64").set_index("photos")
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    said = {"validation": "1.0 %", "test": "2.1 %", "ham": "8.0 %", "phantoms": "40 %", "pictures": "98 %"}
    said |= {"clinical_1000_1029": "47 %", "patterns_1000_1029": "100 %"}
    for photos, warned in said.items():
        row = table.loc[photos]
        assert 100 * row["warned"] == pytest.approx(float(warned.split()[0]), abs=0.51)
        auroc = "" if photos == "validation" else f"{row['auroc']:.3f} "
        assert f"| {row['count']:.0f} | {warned} | {auroc}|" in text


def test_verdicts_on_the_most_suspicious_masks() -> None:
    verdicts = pd.read_csv(ROOT / "results" / "audit" / "out_of_fold.csv")
    ranking = pd.read_csv(ROOT / "results" / "audit" / "out_of_fold_ranking.csv")
    assert len(ranking) == 2594
    assert verdicts["id"].tolist() == ranking["id"].head(100).tolist()
    many = verdicts["verdict"].value_counts()
    styles = verdicts["reason"].value_counts()
    text = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    first = (verdicts["verdict"].head(20) == "wrong").sum()
    assert f"**{many['wrong']}** look truly wrong (of the first 20, {first})" in text
    assert (
        f"{many['style']} are of another style ({styles['loose']} of them wider, {styles['tight']} tighter, "
        f"{styles['coarse']} coarse, {styles['halo']} with the halo), of {many['unclear']} one cannot say, and in "
        f"{many['fine']} the mask is fine"
    ) in text


def test_prompt_rows() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = [*prompt_tables.prompt_rows(), *prompt_tables.validation_rows()]
    rows += [*map(prompt_tables.click_row, TARGETS), *map(prompt_tables.doubt_row, prompt_tables.DOUBT)]
    for row in rows:
        assert row in text
    better, worse, change = prompt_tables.refined()
    said = f"{better} of the 389 test masks got better and {worse} worse, by {change.lstrip('-').split()[0]} of Jaccard"
    assert said in " ".join(text.split())


def test_prompted_scores_are_those_of_predicted_boxes() -> None:
    table = pd.read_csv(ROOT / "results" / "lesion_mobile_sam" / prompt_tables.SHIPPED / "test_table.csv")
    (row,) = table[(table["kind"] == "box") & (table["source"] == "predicted")].to_dict("records")
    scores = get_bundle("lesion_mobile_sam").scores
    assert scores == pytest.approx({name: row[name] for name in scores}, abs=5e-5)


@pytest.mark.parametrize("training", prompt_tables.TRAININGS)
def test_prompt_means_are_those_of_the_images(training: str) -> None:
    folder = ROOT / "results" / "lesion_mobile_sam" / training
    scores = pd.read_csv(folder / "test_scores.csv")
    assert scores["id"].nunique() == 389
    means = scores.groupby(["kind", "source", "jitter"], sort=False)["jaccard"].mean()
    table = pd.read_csv(folder / "test_table.csv")
    assert means.tolist() == pytest.approx(table["jaccard"].tolist(), abs=2e-6)

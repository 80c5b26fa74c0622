"""A study's report: its files, and its page as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.phantoms import write_phantoms
from dermaseg_monai.studies.report.metrics import metric_label
from dermaseg_monai.studies.report.page import differences
from dermaseg_monai.studies.report.report import report_study
from dermaseg_monai.studies.results import collect
from dermaseg_monai.utils.errors import InputError
from tests.browser import PHONE, open_page, overflow, requests_of
from tests.studies.finished_runs import FRACTIONS, LOSSES, write_study


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on phantoms, one run of which failed, and its report with panels."""
    work = tmp_path_factory.mktemp("study")
    write_phantoms(work / "phantoms", 40, size=96)
    prepare(work / "phantoms", work / "prepared", task="both")
    folder = write_study(work / "runs", dataset_dir=work / "prepared")
    record = folder / "jaccard" / "seed2" / "run.json"
    record.write_text(
        json.dumps(json.loads(record.read_text()) | {"status": "failed", "error": "the <loss> became nan"})
    )
    report_study("loss", work / "runs", work / "results", work / "prepared")
    return work


@pytest.fixture(scope="module")
def report(work: Path) -> Path:
    return work / "results" / "loss"


def test_files(report, work) -> None:
    summary = pd.read_csv(report / "summary.csv").set_index(["metric", "variant"])
    assert summary.loc[("dice", "jaccard"), "seeds"] == 2
    assert summary.loc[("dice", "dice"), "parameters"] == 485  # a U-Net of 2 and 4 channels
    assert set(pd.read_csv(report / "paired.csv")["variant"]) == {"tversky", "focal_tversky", "jaccard"}
    epochs = pd.read_csv(report / "epochs.csv").set_index(["variant", "seed"])
    history = pd.read_csv(work / "runs" / "loss" / "tversky" / "seed1" / "output" / "history.csv")
    assert epochs.loc[("tversky", 1), "loss"].tolist() == pytest.approx(history["loss"].tolist(), rel=1e-5)
    assert ("jaccard", 2) not in epochs.index
    text = (report / "summary.md").read_text()
    assert "- Jaccard alone, seed 2: failed: the <loss> became nan" in text
    assert f"{summary.loc[('threshold_jaccard', 'tversky'), 'mean']:.4f}" in text
    for name in ("differences", "learning_curves", "images"):
        assert Image.open(report / "plots" / f"{name}.png").size[0] == 1000


def test_every_number_leads_to_its_runs(report, work) -> None:
    page = (report / "index.html").read_text()
    summary = pd.read_csv(report / "summary.csv")
    for _, row in summary[summary["metric"] == "threshold_jaccard"].iterrows():
        assert f">{row['mean']:.4f}<" in page
        assert f'href="#runs-{row["variant"]}"' in page
        scores = [
            pd.read_csv(work / "runs" / "loss" / run / "evaluation" / "metrics.csv")
            for run in row["runs"].split()
        ]
        means = [table["threshold_jaccard"].mean() for table in scores]
        assert row["mean"] == pytest.approx(sum(means) / len(means), abs=1e-5)
    links = [
        unquote(link)
        for link in re.findall(r'href="([^"#][^"]*)"', page)
        if not link.startswith(("data:", "https:"))
    ]
    assert any(link.endswith("tversky/seed1/evaluation/metrics.csv") for link in links)
    for link in links:
        assert (report / link).exists(), link


def test_config_differences(work) -> None:
    study = collect("loss", work / "runs")
    baseline, other = study.of("dice")[0], study.of("tversky")[1]
    train = other.folder / "configs" / "train.json"
    content = json.loads(train.read_text())
    content["optimizer"]["lr"] = 0.5
    content["seed"] = 1
    content["train"]["handlers"][0]["extra"] = None
    train.write_text(json.dumps(content))
    actual = {
        entry.id: (entry.files, entry.baseline, entry.variant) for entry in differences(other, baseline)
    }
    assert actual == {
        "loss": (("train",), '{"_target_": "losses.dice"}', '{"_target_": "losses.tversky"}'),
        "optimizer#lr": (("train",), '"@learning_rate"', "0.5"),
        "train#handlers#0#extra": (("train",), None, "null"),
    }
    assert differences(baseline, baseline) == []


def test_page_opens_sorts_and_asks_for_nothing(report, tmp_path) -> None:
    # away from its folder, since it needs nothing beside it
    alone = tmp_path / "alone.html"
    alone.write_text((report / "index.html").read_text())
    with open_page() as page:
        asked = requests_of(page)
        page.goto(alone.as_uri())
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")
        assert {address.split(":")[0] for address in asked} <= {"file", "data"}
        assert [address for address in asked if address.startswith("file:")] == [alone.as_uri()]
        assert page.locator(".panel").count() == 5  # as many as test images
        assert page.locator(".panel").first.locator("img").count() == 5
        assert (
            page.locator(".notice li").inner_text() == "Jaccard alone, seed 2: failed: the <loss> became nan"
        )
        assert overflow(page) == 0

        table = page.locator("#results table").first
        header = table.locator("th[data-column=mean]")

        def means() -> list[float]:
            return [float(text) for text in table.locator("tbody tr td:nth-child(2)").all_inner_texts()]

        unsorted = means()
        header.locator("button").click()
        assert (header.get_attribute("aria-sort"), means()) == ("descending", sorted(unsorted, reverse=True))
        header.locator("button").press("Enter")
        assert (header.get_attribute("aria-sort"), means()) == ("ascending", sorted(unsorted))
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert header.get_attribute("aria-sort") is None
        assert table.locator("th[data-column=low]").get_attribute("aria-sort") == "descending"
        # the baseline has no p: it comes last either way
        probability = table.locator("th[data-column=p] button")
        for _ in range(2):
            probability.click()
            assert "baseline" in table.locator("tbody tr").last.inner_text()
        assert page.locator("#said").inner_text().startswith("sorted by p bootstrap")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_on_a_phone(report, tmp_path, scheme) -> None:
    with open_page(**PHONE, color_scheme=scheme) as page:
        page.goto((report / "index.html").as_uri())
        page.locator("#results summary").click()
        assert overflow(page) == 0
        box = page.locator("#results .scroll").first
        assert box.evaluate(
            "box => box.scrollWidth > box.clientWidth"
        )  # the table scrolls in its box instead
        background, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in (background, ink)]
        assert (
            (bright[0] < 0.2 and bright[1] > 0.8)
            if scheme == "dark"
            else (bright[0] > 0.8 and bright[1] < 0.2)
        )
        used = page.locator("#differences img").evaluate("image => image.currentSrc")
        assert (used == page.locator("#differences source").get_attribute("srcset")) == (scheme == "dark")
        page.screenshot(path=tmp_path / "phone.png")
        assert Image.open(tmp_path / "phone.png").size == (780, 1688)


def test_without_a_dataset_the_page_says_so(work, tmp_path) -> None:
    page = report_study("loss", work / "runs", tmp_path).read_text()
    assert "Make the report again with --dataset_dir" in page
    assert "<figure><img" not in page


def test_masks_that_were_not_saved_are_made_again(work, tmp_path) -> None:
    folder = write_study(tmp_path, variants=LOSSES[:2], seeds=(0,), dataset_dir=work / "prepared")
    saved = report_study("loss", tmp_path, tmp_path / "results", work / "prepared").read_text()
    run = folder / "tversky" / "seed0"
    shutil.rmtree(run / "evaluation" / "masks")
    config = json.loads((run / "configs" / "inference.json").read_text())
    network = ConfigParser(config).get_parsed_content("network_def")
    (run / "models").mkdir()
    torch.save(network.state_dict(), run / "models" / "model.pt")
    again = report_study("loss", tmp_path, tmp_path / "results", work / "prepared").read_text()
    pictures = [re.findall(r'<figure><img src="([^"]+)"', page) for page in (saved, again)]
    same = [before == after for before, after in zip(*pictures, strict=True)]
    assert same == [True, True, False] * 5  # truth, baseline, and the variant whose masks are new
    assert not (run / "evaluation" / "masks").exists()


def test_a_search_is_said_to_be_on_the_validation_images(tmp_path) -> None:
    folder = write_study(tmp_path, variants=LOSSES[:2], seeds=(0,))
    for summary in folder.glob("*/*/evaluation/summary.json"):
        summary.write_text(summary.read_text().replace('"section": "test"', '"section": "validation"'))
    page = report_study("loss", tmp_path, tmp_path / "results").read_text()
    assert "validation images" in page
    assert "test image" not in page + (tmp_path / "results" / "loss" / "summary.md").read_text()


def test_another_dataset_is_refused(work, tmp_path) -> None:
    write_phantoms(tmp_path / "phantoms", 10, size=96, seed=1)
    prepare(tmp_path / "phantoms", tmp_path / "prepared")
    with pytest.raises(InputError, match="has no test image ISIC_9"):
        report_study("loss", work / "runs", tmp_path, tmp_path / "prepared")


def test_fractions_have_their_plot(tmp_path) -> None:
    write_study(tmp_path, "data_fraction", FRACTIONS, seeds=(0,), images=10)
    page = report_study("data_fraction", tmp_path, tmp_path / "results").read_text()
    assert 'id="data_fraction"' in page
    assert "Variants with one seed" in page


def test_attributes(work, tmp_path) -> None:
    """With masks of phantoms that no run saved, so that the runs' weights are asked for."""
    folder = write_study(tmp_path, task="attribute", seeds=(0,), images=12)
    page = report_study("loss", tmp_path, tmp_path / "results").read_text()
    assert "ISIC 2018 Task 2" in page
    assert "negative network Jaccard" in page
    names = [item["id"] for item in json.loads((work / "prepared" / "datalist.json").read_text())["test"]]
    for scores in folder.glob("*/seed0/evaluation/metrics.csv"):
        table = pd.read_csv(scores)
        old = list(dict.fromkeys(table["id"]))
        table = table[table["id"].isin(old[: len(names)])]
        table.assign(id=table["id"].map(dict(zip(old, names, strict=False)))).to_csv(scores, index=False)
    with pytest.raises(InputError, match="has no weights"):
        report_study("loss", tmp_path, tmp_path / "results", work / "prepared")


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("threshold_jaccard", "threshold Jaccard"),
        ("macro_dice", "macro Dice"),
        ("jaccard_milia_like_cyst", "milia like cyst Jaccard"),
    ],
)
def test_metric_label(metric, label) -> None:
    assert metric_label(metric) == label


def test_a_study_about_a_distance(tmp_path) -> None:
    folder = write_study(tmp_path / "runs", seeds=(0,), images=80)
    plan = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(plan | {"metric": "hd95"}))
    report_study("loss", tmp_path / "runs", tmp_path / "results")
    text = (tmp_path / "results" / "loss" / "summary.md").read_text()
    assert "Cross-entropy + Tversky scores lowest: 95 % Hausdorff distance in pixels" in text
    assert "| Cross-entropy + Tversky | \N{MINUS SIGN}" in text
    assert re.search(r"Cross-entropy \+ Tversky \|.*\| better \|", text)
    assert re.search(r"Jaccard alone \| \+.*\| worse \|", text)
    page = (tmp_path / "results" / "loss" / "index.html").read_text()
    assert "smaller than that between two people" in page

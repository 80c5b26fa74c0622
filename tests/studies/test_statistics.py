"""The statistics against SciPy, published values, and data whose true difference is known."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
import torch
from scipy import stats

from dermaseg_monai.datasets import ATTRIBUTES
from dermaseg_monai.metrics import COUNT_NAMES, aggregate
from dermaseg_monai.studies.report.page import verdict
from dermaseg_monai.studies.results import collect
from dermaseg_monai.studies.statistics import (
    Sample,
    analyse,
    bootstrap,
    bootstrap_p,
    compare,
    holm,
    interval,
    rows_of,
    signed_rank,
)
from dermaseg_monai.utils.errors import InputError
from tests.studies.finished_runs import write_study
from tests.terminal import Terminal


def sample(scores: np.ndarray) -> Sample:
    """Of per-image scores (images,) or (seeds, images)."""
    scores = np.atleast_2d(scores)[:, None]
    return Sample(scores, np.ones_like(scores))


def test_interval_of_a_mean_is_scipys() -> None:
    scores = np.random.default_rng(1).beta(8, 2, 80)
    own = interval(bootstrap([sample(scores)], 20_000)[:, 0])
    reference = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert own == pytest.approx((reference.low, reference.high), abs=0.0015)


def test_interval_of_a_paired_difference_is_scipys() -> None:
    rng = np.random.default_rng(3)
    first = rng.beta(8, 2, 80)
    second = (first + rng.normal(0.02, 0.05, 80)).clip(0, 1)
    draws = bootstrap([sample(first), sample(second)], 20_000)
    own = interval(draws[:, 1] - draws[:, 0])
    reference = stats.bootstrap(
        (second, first),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert own == pytest.approx((reference.low, reference.high), abs=0.0008)
    # the pairing matters: images vary more than the difference does
    assert own[1] - own[0] < 0.5 * (interval(draws[:, 1])[1] - interval(draws[:, 1])[0])


def test_progress_of_the_draws_is_shown_on_a_terminal() -> None:
    with contextlib.redirect_stderr(Terminal()) as shown:
        bootstrap([sample(np.array([0.0, 1.0]))], 3_000)
    assert re.search(r"bootstrap: +100%.* 3/3 \[\S+<\S+, ", shown.getvalue())


def test_interval_of_a_ratio_of_sums_is_scipys() -> None:
    rng = np.random.default_rng(5)
    union = rng.uniform(0.01, 0.4, 60)
    shared = union * rng.beta(5, 3, 60)
    own = interval(bootstrap([Sample(shared[None, None], union[None, None])], 20_000)[:, 0])
    reference = stats.bootstrap(
        (shared, union),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(6),
    ).confidence_interval
    assert own == pytest.approx((reference.low, reference.high), abs=0.003)


@pytest.mark.parametrize("difference", [0.0, 0.02])
def test_coverage_of_the_paired_interval(difference) -> None:
    """About 95 % of the intervals hold the true difference, and p below 0.05 means that one leaves 0 out."""
    rng = np.random.default_rng(11)
    trials, held, actual = 500, 0, 0
    for trial in range(trials):
        images = rng.beta(8, 2, 200)
        first, second = (images + rng.normal(shift, 0.06, (3, 200)) for shift in (0.0, difference))
        draws = bootstrap([sample(first), sample(second)], 499, seed=trial)
        low, high = interval(draws[:, 1] - draws[:, 0])
        held += low <= difference <= high
        p = bootstrap_p(draws[:, 1] - draws[:, 0])
        actual += p < 0.05
        if abs(p - 0.05) > 0.01:
            assert (p < 0.05) == (not low <= 0 <= high)
    assert 0.925 < held / trials < 0.97  # of 3,000 trials, 0.944; of so few, 0.01 either way
    if difference == 0:
        assert actual / trials < 0.075
    else:
        assert actual / trials > 0.8


def test_same_scores_are_no_difference() -> None:
    scores = np.random.default_rng(8).random((2, 30))
    same = compare(sample(scores), sample(scores[::-1]), np.zeros(100))
    assert same["difference"] == pytest.approx(0, abs=1e-15)
    assert (same["p_bootstrap"], same["p_wilcoxon"], same["wilcoxon"]) == (1, 1, 0)
    assert (same["images_better"], same["images_worse"]) == (0, 0)


def test_signed_rank_literal() -> None:
    # Cureton (1967), "The normal approximation to the signed-rank sampling distribution": plant heights
    differences = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], float)
    statistic, p = signed_rank(differences, np.zeros(15))
    assert (statistic, p) == (24, pytest.approx(0.041259765625))
    # images without a difference do not count
    statistic, p = signed_rank(np.append(differences, [0, 0]), np.zeros(17))
    assert (statistic, p) == (24, pytest.approx(0.041259765625))


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        # as statsmodels.stats.multitest.multipletests(p, method="holm") gives them
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.0001, 0.5, 0.02, 0.02, 0.9], [0.0005, 1.0, 0.08, 0.08, 1.0]),
        ([0.04, 0.03, 0.02, 0.01], [0.06, 0.06, 0.06, 0.04]),
    ],
)
def test_holm_literal(p, corrected) -> None:
    np.testing.assert_allclose(holm(p), corrected)


def test_a_study_of_lesions(tmp_path) -> None:
    write_study(tmp_path, images=300)
    study = collect("loss", tmp_path)
    result = analyse(study, resamples=2_000)
    assert list(dict.fromkeys(result.summary["metric"])) == [
        "threshold_jaccard", "dice", "jaccard", "accuracy", "sensitivity", "specificity", "hd95",
    ]  # fmt: skip
    scores = np.stack([run.scores["jaccard"] for run in study.of("tversky")])
    row = result.summary.set_index(["metric", "variant"]).loc[("jaccard", "tversky")]
    assert row["mean"] == pytest.approx(scores.mean())
    assert row["sd_seeds"] == pytest.approx(scores.mean(axis=1).std(ddof=1))
    assert row["low"] < row["mean"] < row["high"]
    assert row["runs"] == "tversky/seed0 tversky/seed1 tversky/seed2"
    paired = result.paired.set_index(["metric", "variant"]).loc["jaccard"]
    other = np.stack([run.scores["jaccard"] for run in study.of("dice")])
    seeds = scores.mean(axis=1) - other.mean(axis=1)
    row = paired.loc["tversky"]
    assert row["difference"] == pytest.approx(scores.mean() - other.mean())
    assert (row["lowest_seed"], row["highest_seed"]) == pytest.approx((seeds.min(), seeds.max()))
    expected = stats.wilcoxon(scores.mean(axis=0), other.mean(axis=0))
    assert (row["wilcoxon"], row["p_wilcoxon"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert row["images_better"] == (scores.mean(axis=0) > other.mean(axis=0)).sum()
    # the differences that were put in are found, and the one that is next to nothing is not
    assert list(paired["p_bootstrap_holm"] < 0.05) == [True, False, True]
    assert list(paired["difference"] > 0) == [True, True, False]
    np.testing.assert_allclose(paired["p_bootstrap_holm"], holm(paired["p_bootstrap"]))
    assert "dice" not in paired.index
    # a distance is better where it is less
    distance = result.paired.set_index(["metric", "variant"]).loc["hd95"]
    assert list(distance["difference"] < 0) == [True, True, False]
    assert distance["images_better"].tolist() == paired["images_better"].tolist()
    assert verdict(rows_of(result.paired, "hd95")[0]) == "better"
    table = result.images.pivot(index="id", columns="variant", values="jaccard")
    np.testing.assert_allclose(table["tversky"], scores.mean(axis=0))
    again = analyse(study, resamples=2_000)
    assert again.paired.equals(result.paired)


def test_a_study_of_attributes_has_the_official_scores(tmp_path) -> None:
    write_study(tmp_path, task="attribute", images=40)
    study = collect("loss", tmp_path)
    result = analyse(study, resamples=500)
    summary = result.summary.set_index(["metric", "variant"])
    official = []
    for run in study.of("tversky"):
        table = run.scores.assign(order=[ATTRIBUTES.index(name) for name in run.scores["attribute"]])
        table = table.sort_values(["id", "order"])
        counts = torch.tensor(table[list(COUNT_NAMES)].to_numpy()).view(40, 5, 4)
        macro = aggregate(counts, "dice", "pooled_macro", per_channel=True)
        jaccard = aggregate(counts, "jaccard", "pooled_macro", per_channel=True)
        official.append(
            [float(aggregate(counts, "jaccard", "pooled_micro")), float(macro.mean()), float(jaccard[2])]
        )
    for metric, values in zip(
        ("jaccard", "macro_dice", "jaccard_streaks"), np.transpose(official), strict=True
    ):
        row = summary.loc[(metric, "tversky")]
        assert (row["mean"], row["sd_seeds"]) == pytest.approx((values.mean(), values.std(ddof=1)))
        assert row["low"] < row["mean"] < row["high"]
    paired = result.paired.set_index(["metric", "variant"])
    difference = summary["mean"].loc[("jaccard", "tversky")] - summary["mean"].loc[("jaccard", "dice")]
    assert paired["difference"].loc[("jaccard", "tversky")] == pytest.approx(difference)


def test_one_seed_and_no_baseline(tmp_path) -> None:
    folder = write_study(tmp_path, seeds=(4,), images=20)
    result = analyse(collect("loss", tmp_path), resamples=200)
    assert result.summary["sd_seeds"].isna().all()
    assert (result.paired["lowest_seed"] == result.paired["highest_seed"]).all()
    (folder / "dice" / "seed4" / "run.json").unlink()
    result = analyse(collect("loss", tmp_path), resamples=200)
    assert len(result.paired) == 0
    assert list(dict.fromkeys(result.summary["variant"])) == ["tversky", "focal_tversky", "jaccard"]


def test_an_unknown_metric_names_the_nearest(tmp_path) -> None:
    folder = write_study(tmp_path, seeds=(0,), images=5)
    plan = folder / "study.json"
    plan.write_text(plan.read_text().replace('"threshold_jaccard"', '"threshold_jacard"'))
    with pytest.raises(InputError, match="did you mean 'threshold_jaccard'"):
        analyse(collect("loss", tmp_path), resamples=10)

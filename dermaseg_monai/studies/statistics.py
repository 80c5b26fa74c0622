"""Bootstrap intervals and paired tests of differences between variants.

Every score is treated alike: per image a numerator and a denominator, summed over images, divided, and averaged
over channels and seeds. The mean of a lesion's Dice has the Dice as numerator and 1 as denominator; the official
Jaccard index of attributes has the shares of pixels in the intersection and in the union. The bootstrap draws
images with replacement, the same draw for every variant, so that differences are paired.

Reference:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993; Wilcoxon, "Individual Comparisons by Ranking
    Methods", 1945; Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from tqdm import tqdm

from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.metrics import lower_is_better
from dermaseg_monai.studies.results import COUNTS, LESION_SCORES, FinishedRun, StudyRuns
from dermaseg_monai.utils.errors import InputError

RESAMPLES = 10_000
LEVEL = 0.95
"""Share of the resamples that an interval holds."""

_CHUNK = 1_000  # resamples at a time, so that memory does not grow with their number
_TINY = 1e-12  # sums in another order leave differences of 1e-16 between equal scores


@dataclass(frozen=True)
class Sample:
    """One score of one variant, before images are summed.

    Attributes:
        numerator: float64 ``(seeds, channels, images)``.
        denominator: the same shape. Where a sum is 0 the score is 1, which is what the challenge awards where
            there is nothing to find and nothing was found.
        lower_is_better: whether the score is a distance.
    """

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]
    lower_is_better: bool = False

    def by_seed(self) -> NDArray[np.float64]:
        """The score over all images, ``(seeds,)``."""
        return _ratio(self.numerator.sum(axis=-1), self.denominator.sum(axis=-1)).mean(axis=1)

    def by_image(self) -> NDArray[np.float64]:
        """Each image's own score, averaged over channels and seeds, ``(images,)``."""
        return _ratio(self.numerator, self.denominator).mean(axis=(0, 1))

    def resampled(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over seeds where images are drawn several times.

        Args:
            counts: how often each image is drawn, ``(images, resamples)``.

        Returns:
            float64 ``(resamples,)``.
        """
        return _ratio(self.numerator @ counts, self.denominator @ counts).mean(axis=(0, 1))


@dataclass(frozen=True)
class Analysis:
    """The tables of a study.

    Attributes:
        summary: a row per metric and variant: ``metric``, ``variant``, ``title``, ``mean`` (over seeds),
            ``sd_seeds`` (N - 1; NaN for a single seed), ``low``, ``high`` (bootstrap interval over images),
            ``seeds``, ``images``, ``minutes`` (mean of the runs) and ``runs`` (their folders below the
            study's).
        paired: a row per metric and variant but the baseline: ``metric``, ``variant``, ``baseline``,
            ``difference``, ``low``, ``high``, ``p_bootstrap``, ``p_bootstrap_holm``, ``wilcoxon``,
            ``p_wilcoxon``, ``p_wilcoxon_holm``, ``images``, ``images_better``, ``images_worse``, ``seeds``,
            ``baseline_seeds``, and ``lowest_seed`` and ``highest_seed``, the range of the differences between
            runs of the same seed. Empty where the baseline has no finished run.
        images: a row per image and variant, ``id`` and ``variant``, a column per metric: scores averaged over
            seeds.
    """

    summary: pd.DataFrame
    paired: pd.DataFrame
    images: pd.DataFrame


def analyse(study: StudyRuns, resamples: int = RESAMPLES, seed: int = 0) -> Analysis:
    """Summarise every variant and compare it with the baseline.

    Args:
        study: of :func:`dermaseg_monai.studies.results.collect`.
        resamples: how often the images are drawn.
        seed: of the draws.

    Returns:
        The three tables; the study's own metric comes first.

    Raises:
        InputError: the evaluations have no such metric as the study is about.
    """
    samples = _samples(study)
    metrics = list(dict.fromkeys(metric for metric, _ in samples))
    if study.metric not in metrics:
        raise InputError(
            f"the study '{study.name}' is about '{study.metric}', which its evaluations do not have"
            f"{nearest(study.metric, metrics) or '; they have ' + ', '.join(metrics) + '.'}"
        )
    metrics.sort(key=lambda metric: metric != study.metric)
    draws = dict(zip(samples, bootstrap(list(samples.values()), resamples, seed).T, strict=True))
    summary, paired = [], []
    for metric in metrics:
        reference = (metric, study.baseline)
        compared: list[dict[str, Any]] = []
        for variant in study.scored():
            key = (metric, variant.name)
            runs = study.of(variant.name)
            values = samples[key].by_seed()
            low, high = interval(draws[key])
            summary.append(
                {
                    "metric": metric,
                    "variant": variant.name,
                    "title": variant.title,
                    "mean": values.mean(),
                    "sd_seeds": values.std(ddof=1) if len(values) > 1 else np.nan,
                    "low": low,
                    "high": high,
                    "seeds": len(runs),
                    "images": len(study.images),
                    "minutes": np.mean([float(run.record.get("minutes") or np.nan) for run in runs]),
                    "runs": " ".join(run.folder.relative_to(study.folder).as_posix() for run in runs),
                }
            )
            if key != reference and reference in samples:
                change = _seed_differences(
                    runs, values, study.of(study.baseline), samples[reference].by_seed()
                )
                row = compare(samples[key], samples[reference], draws[key] - draws[reference])
                compared.append(
                    {"metric": metric, "variant": variant.name, "baseline": study.baseline}
                    | row
                    | {
                        "seeds": len(runs),
                        "baseline_seeds": len(study.of(study.baseline)),
                        "lowest_seed": min(change, default=np.nan),
                        "highest_seed": max(change, default=np.nan),
                    }
                )
        for test in ("bootstrap", "wilcoxon"):
            for row, p in zip(compared, holm([row[f"p_{test}"] for row in compared]), strict=True):
                row[f"p_{test}_holm"] = p
        paired += compared
    images = pd.concat(
        [
            pd.DataFrame(
                {"id": study.images, "variant": variant.name}
                | {metric: samples[metric, variant.name].by_image() for metric in metrics}
            )
            for variant in study.scored()
        ]
    )
    return Analysis(pd.DataFrame(summary), pd.DataFrame(paired, columns=list(_PAIRED)), images)


_PAIRED = (
    "metric", "variant", "baseline", "difference", "low", "high", "p_bootstrap", "p_bootstrap_holm",
    "wilcoxon", "p_wilcoxon", "p_wilcoxon_holm", "images", "images_better", "images_worse",
    "seeds", "baseline_seeds", "lowest_seed", "highest_seed",
)  # fmt: skip


def rows_of(table: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """One metric's rows of ``Analysis.summary`` or ``Analysis.paired``."""
    rows = table[table["metric"] == metric].to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def bootstrap(samples: Sequence[Sample], resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """Score every sample over images drawn with replacement.

    Args:
        samples: of the same images in the same order.
        resamples: how often.
        seed: of the draws.

    Returns:
        float64 ``(resamples, samples)``; each row is one draw of images, the same for all samples.
    """
    images = samples[0].numerator.shape[-1]
    rng = np.random.default_rng(seed)
    rows = []
    for start in tqdm(range(0, resamples, _CHUNK), desc="bootstrap", unit="chunk", disable=None):
        size = min(_CHUNK, resamples - start)
        drawn = rng.integers(images, size=(size, images)) + images * np.arange(size)[:, None]
        counts = (
            np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).T.astype(np.float64)
        )
        rows.append(np.stack([sample.resampled(counts) for sample in samples], axis=1))
    return np.concatenate(rows)


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The percentile interval of ``draws`` (resamples,) that holds :data:`LEVEL` of them."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of "no difference": below 0.05 where the 95 % percentile interval leaves out 0.

    Args:
        differences: of every resample, ``(resamples,)``.

    Returns:
        Twice the share of resamples on the rarer side of 0, at least 2 / (resamples + 1), at most 1.
    """
    rarer = min((differences <= _TINY).sum(), (differences >= -_TINY).sum())
    return min(1.0, 2 * float(1 + rarer) / (1 + len(differences)))


def signed_rank(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """Wilcoxon's signed-rank test of paired scores, two-sided; images without a difference are left out.

    Args:
        first: ``(images,)``.
        second: ``(images,)``.

    Returns:
        The statistic and p; 0 and 1 where no image differs.
    """
    differences = first - second
    differences = differences[np.abs(differences) > _TINY]
    if not len(differences):
        return 0.0, 1.0
    result = stats.wilcoxon(differences)
    return float(result.statistic), float(result.pvalue)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down correction for several tests.

    Args:
        p: the tests' p values.

    Returns:
        float64, corrected, in the same order: compared with 0.05, the chance of any false finding among all
        of them stays below 5 %.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return corrected.clip(max=1.0)


def compare(sample: Sample, baseline: Sample, differences: NDArray[np.float64]) -> dict[str, Any]:
    """One variant against the baseline, image by image.

    Args:
        sample: of the variant.
        baseline: of the baseline, on the same images.
        differences: of the two in every resample.

    Returns:
        The columns of ``Analysis.paired`` that one comparison gives by itself.
    """
    low, high = interval(differences)
    scores, reference = sample.by_image(), baseline.by_image()
    statistic, p = signed_rank(scores, reference)
    gain = reference - scores if sample.lower_is_better else scores - reference
    return {
        "difference": float(sample.by_seed().mean() - baseline.by_seed().mean()),
        "low": low,
        "high": high,
        "p_bootstrap": bootstrap_p(differences),
        "wilcoxon": statistic,
        "p_wilcoxon": p,
        "images": len(scores),
        "images_better": int((gain > _TINY).sum()),
        "images_worse": int((gain < -_TINY).sum()),
    }


def _samples(study: StudyRuns) -> dict[tuple[str, str], Sample]:
    """A sample per metric and variant, images in the order of ``study.images``."""
    known = set.intersection(*(set(run.scores.columns) for run in study.runs))
    by_variant = {
        variant.name: samples_of([run.scores[sorted(known)] for run in study.of(variant.name)], study.task)
        for variant in study.scored()
    }
    metrics = next(iter(by_variant.values()))
    return {(metric, name): samples[metric] for metric in metrics for name, samples in by_variant.items()}


def samples_of(tables: Sequence[pd.DataFrame], task: str) -> dict[str, Sample]:
    """A sample for each metric that evaluations have.

    Args:
        tables: ``metrics.csv`` of each seed, of the same images, with the same columns.
        task: "lesion" or "attribute".

    Returns:
        By metric; images in the order of their ids.
    """
    return _attribute_samples(tables) if task == "attribute" else _lesion_samples(tables)


def _lesion_samples(tables: Sequence[pd.DataFrame]) -> dict[str, Sample]:
    tables = [table.sort_values("id") for table in tables]
    samples = {}
    for metric in (name for name in LESION_SCORES if name in tables[0]):
        scores = np.stack([table[metric].to_numpy(np.float64) for table in tables])[:, None]
        samples[metric] = Sample(scores, np.ones_like(scores), lower_is_better(metric))
    return samples


def _attribute_samples(tables: Sequence[pd.DataFrame]) -> dict[str, Sample]:
    attributes = list(dict.fromkeys(tables[0]["attribute"]))
    by_image = [
        table.pivot(index="id", columns="attribute", values=list(COUNTS)).sort_index() for table in tables
    ]
    counts = np.stack(
        [[table[name][attributes].to_numpy(np.float64).T for table in by_image] for name in COUNTS]
    )  # (4, seeds, attributes, images)
    # the challenge weighs every image alike, however many pixels it has
    tp, fp, fn, _ = counts / counts.sum(axis=0)
    samples = {}
    for name, numerator, denominator in (
        ("jaccard", tp, tp + fp + fn),
        ("dice", 2 * tp, 2 * tp + fp + fn),
    ):
        samples[name] = Sample(numerator.sum(axis=1, keepdims=True), denominator.sum(axis=1, keepdims=True))
        samples[f"macro_{name}"] = Sample(numerator, denominator)
    for index, attribute in enumerate(attributes):
        samples[f"jaccard_{attribute}"] = Sample(tp[:, [index]], (tp + fp + fn)[:, [index]])
    return samples


def _seed_differences(
    runs: list[FinishedRun],
    values: NDArray[np.float64],
    others: list[FinishedRun],
    other_values: NDArray[np.float64],
) -> list[float]:
    """Differences between the runs of two variants that have the same seed."""
    known = {run.seed: value for run, value in zip(others, other_values, strict=True)}
    return [
        float(value - known[run.seed]) for run, value in zip(runs, values, strict=True) if run.seed in known
    ]


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    empty = denominator == 0
    return np.where(empty, 1.0, numerator / np.where(empty, 1.0, denominator))

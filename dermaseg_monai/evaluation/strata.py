"""Scores by stratum: where a program fails, and whether that is more than the choice of photos."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermaseg_monai.datasets.groups import read_photo_table
from dermaseg_monai.studies.statistics import RESAMPLES, Sample, bootstrap, bootstrap_p, holm, interval
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

METRIC = "jaccard"
"""What strata are compared by: without the step of the threshold Jaccard index."""

SHOWN = ("jaccard", "dice", "surface_dice", "hd95_share")
"""The metrics whose means a stratum has."""

FAILED = 0.65
"""Below this Jaccard index an outline counts as failed, as the challenge of 2018 had it."""

LEAST = 10
"""Photos that a stratum needs; of fewer, a mean says little and the bootstrap less."""

_MOST = 20  # values of a column of words; with more it names photos or patients rather than kinds


@dataclass(frozen=True)
class Stratum:
    """Some of the photos.

    Attributes:
        feature: what they are told by, a name of ``photo_features`` or of a column of the metadata.
        name: what they have in common.
        members: which photos, bool ``(photos,)``.
    """

    feature: str
    name: str
    members: NDArray[np.bool_]


def strata_of(features: pd.DataFrame) -> list[Stratum]:
    """Divide the photos by each of their features.

    Numbers of more than six values make quarters of the photos. The individual typology angle has the named classes of
    its authors; contact with the edge, several regions and the lens's border are there or not. A value that fewer than
    ``LEAST`` photos have is joined with other such values; features that then leave fewer than two strata, and words of
    more than twenty values, are left out, with a message. Photos without a value are in no stratum of that feature.

    Args:
        features: a row per photo, a column per feature.

    Returns:
        The strata, in the order of the columns.
    """
    strata = []
    for feature in features:
        values = features[feature]
        named = _named(feature, values)
        counts = named.value_counts()
        rare = [name for name, count in counts.items() if count < LEAST]
        if rare:
            named = named.where(
                ~named.isin(rare), f"other ({len(rare)} values)" if len(rare) > 1 else rare[0]
            )
            counts = named.value_counts()
        order = [name for name in _order(feature, values, named) if counts.get(name, 0) >= LEAST]
        if len(order) < 2 or (len(order) > _MOST):
            logger.info("no strata by %s: fewer than two values with %d photos, or too many", feature, LEAST)
            continue
        strata += [Stratum(str(feature), str(name), (named == name).to_numpy(bool)) for name in order]
    return strata


def score_strata(
    scores: pd.DataFrame, strata: Sequence[Stratum], resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Score each stratum, and compare it with all other photos.

    Photos are drawn with replacement, the same draw for all strata, and each stratum's mean is taken over those of its
    photos that were drawn.

    Args:
        scores: ``metrics.csv`` of a lesion evaluation, in the order of the strata's members.
        strata: of :func:`strata_of`.
        resamples: how often the photos are drawn.
        seed: of the draws.

    Returns:
        A row per stratum: ``feature``, ``stratum``, ``images``, ``failed`` (share below a Jaccard index of 0.65), the
        means of ``SHOWN``, ``low`` and ``high`` (95 % bootstrap interval of the mean Jaccard index), ``difference`` (of
        the Jaccard index to the mean of all other photos that have the feature), ``difference_low``,
        ``difference_high``, ``p_bootstrap``, and ``p_bootstrap_holm``, corrected for the number of strata.
    """
    values = scores[METRIC].to_numpy(np.float64)
    known = {
        feature: np.any([stratum.members for stratum in strata if stratum.feature == feature], axis=0)
        for feature in {stratum.feature for stratum in strata}
    }
    groups = [
        members
        for stratum in strata
        for members in (stratum.members, known[stratum.feature] & ~stratum.members)
    ]
    draws = bootstrap([_mean_of(values, members) for members in groups], resamples, seed)
    rows = []
    for index, stratum in enumerate(strata):
        inside, outside = draws[:, 2 * index], draws[:, 2 * index + 1]
        low, high = interval(inside)
        difference_low, difference_high = interval(inside - outside)
        rows_of_stratum = scores[stratum.members]
        rows.append(
            {"feature": stratum.feature, "stratum": stratum.name, "images": len(rows_of_stratum)}
            | {"failed": float((rows_of_stratum[METRIC] < FAILED).mean())}
            | {name: float(rows_of_stratum[name].mean()) for name in SHOWN}
            | {
                "low": low,
                "high": high,
                "difference": float(rows_of_stratum[METRIC].mean() - values[groups[2 * index + 1]].mean()),
                "difference_low": difference_low,
                "difference_high": difference_high,
                "p_bootstrap": bootstrap_p(inside - outside),
            }
        )
    table = pd.DataFrame(rows)
    table["p_bootstrap_holm"] = holm(table["p_bootstrap"].to_numpy()) if rows else []
    return table


def read_metadata(path: str | os.PathLike[str], ids: Sequence[str]) -> pd.DataFrame:
    """The columns of a table of photos, for the photos of an evaluation.

    Args:
        path: CSV file with a header and a column of ids, as :func:`dermaseg_monai.datasets.groups.read_photo_table`
            reads it.
        ids: of the photos.

    Returns:
        A row per id; columns whose values are all numbers are numbers, and what is empty, ``unknown`` or ``NA`` is
        missing. Columns that hold an own value for most photos are left out.

    Raises:
        InputError: the file cannot be read, has no column of ids, or knows none of the photos.
    """
    header, name_column, rows = read_photo_table(path, "of metadata")
    table = pd.DataFrame(rows, columns=header).drop_duplicates(name_column).set_index(name_column)
    known = table.index.intersection(list(ids))
    if known.empty:
        raise InputError(
            f"{path} has none of the {len(ids)} photos; give a table with their ids, such as {ids[0]}."
        )
    if len(known) < len(ids):
        logger.warning("%s has no row for %d of the %d photos", path, len(ids) - len(known), len(ids))
    table = table.reindex(list(ids))
    table = table.mask(
        table.apply(lambda column: column.str.lower()).isin(["", "unknown", "na", "nan", "none"])
    )
    columns: dict[str, pd.Series] = {}
    for name, column in table.items():
        numbers = pd.to_numeric(column, errors="coerce")
        if column.notna().any() and numbers.notna().sum() == column.notna().sum():
            columns[str(name)] = numbers
        elif column.nunique() <= max(_MOST, column.notna().sum() // LEAST):
            columns[str(name)] = column
        else:
            logger.info("the column %s of %s has too many values to make strata", name, path)
    return pd.DataFrame(columns)


def worst_photos(scores: pd.DataFrame, stratum: Stratum, count: int) -> list[str]:
    """Ids of the photos of a stratum that score worst, the worst first."""
    rows = scores[stratum.members].sort_values([METRIC, "id"])
    return list(rows["id"][:count])


def _mean_of(values: NDArray[np.float64], members: NDArray[np.bool_]) -> Sample:
    """The mean over some of the photos, as a sample of all."""
    weight = members.astype(np.float64)
    return Sample((values * weight)[None, None], weight[None, None])


TYPOLOGY = ("very light", "light", "intermediate", "tan", "brown", "dark")
"""Classes of the individual typology angle, from above 55 degrees to below -30."""

_ANGLES = (-math.inf, -30, 10, 28, 41, 55, math.inf)
_PRESENT = {
    "edge_share": (0.0, "inside the photo", "touches the edge"),
    "regions": (1.0, "one region", "several regions"),
    "ruler": (0.0, "no ruler", "ruler"),
    "border_share": (0.005, "no border", "dark border"),
}
"""Features that are there or not: the largest value that counts for not, and what the two are called."""


def _named(feature: object, values: pd.Series) -> pd.Series:
    """The stratum of each photo by its name, or NaN."""
    if feature in _PRESENT:
        limit, absent, present = _PRESENT[str(feature)]
        return pd.Series(np.where(values > limit, present, absent), index=values.index).where(values.notna())
    if feature == "skin_tone":
        return pd.cut(values, list(_ANGLES), labels=TYPOLOGY[::-1]).astype(object)
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 6:
        parts = pd.qcut(values, 4, duplicates="drop")
        names = {
            part: f"{_number(low, feature)} to {_number(high, feature)}"
            for part, low, high in (
                (part, values[parts == part].min(), values[parts == part].max())
                for part in parts.cat.categories
            )
        }
        return parts.map(names).astype(object)
    numbers = pd.api.types.is_numeric_dtype(values)
    return values.astype(object).map(
        lambda value: _number(value, feature) if numbers else value, na_action="ignore"
    )


def _order(feature: object, values: pd.Series, named: pd.Series) -> list[str]:
    """The names of the strata: by their values, or of words by how many photos they have."""
    if feature == "skin_tone":
        return [*TYPOLOGY, *(name for name in named.dropna().unique() if name not in TYPOLOGY)]
    if pd.api.types.is_numeric_dtype(values):
        return list(values.groupby(named).min().sort_values().index)
    return list(named.value_counts().index)


def _number(value: float, feature: object) -> str:
    return f"{100 * value:.3g} %" if str(feature).endswith("_share") else f"{value:.3g}"

"""The studies of the collection: data, with no torch behind it."""

from __future__ import annotations

from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.studies.attribute_studies import ATTRIBUTE_STUDIES
from dermaseg_monai.studies.definition import Study
from dermaseg_monai.studies.lesion_studies import LESION_STUDIES
from dermaseg_monai.utils.errors import InputError

STUDIES: tuple[Study, ...] = (*LESION_STUDIES, *ATTRIBUTE_STUDIES)
"""The studies of the collection."""

ABLATIONS: tuple[Study, ...] = tuple(
    study for study in STUDIES if any(variant.overrides for variant in study.variants)
)
"""Those whose variants are bundles of their own under ``bundles/ablations``; the others compare bundles."""


def get_study(name: str) -> Study:
    """The collection's study called ``name``.

    Raises:
        InputError: there is none; the nearest is named.
    """
    names = [study.name for study in STUDIES]
    if name not in names:
        raise InputError(
            f"there is no study called '{name}'{nearest(name, names)}; the collection has {', '.join(names)}, "
            "and a file of your own ends in .json."
        )
    return STUDIES[names.index(name)]

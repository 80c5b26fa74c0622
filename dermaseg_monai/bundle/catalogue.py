"""The catalogue: every bundle of the collection, with no torch behind it."""

from __future__ import annotations

from dermaseg_monai.bundle.attribute_bundles import ATTRIBUTE_BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.lesion_bundles import LESION_BUNDLES
from dermaseg_monai.bundle.prompted_bundles import PROMPTED_BUNDLES
from dermaseg_monai.utils.errors import InputError

BUNDLES: tuple[Bundle, ...] = (*LESION_BUNDLES, *PROMPTED_BUNDLES, *ATTRIBUTE_BUNDLES)
"""The whole collection."""

FLAGSHIP = "lesion_mobilenetv2_unet"
"""The lesion bundle that commands, page and Python take unless told otherwise."""


def get_bundle(name: str) -> Bundle:
    """The catalogue's entry called ``name``.

    Raises:
        InputError: there is none.
    """
    for bundle in BUNDLES:
        if bundle.name == name:
            return bundle
    known = ", ".join(bundle.name for bundle in BUNDLES)
    raise InputError(f"there is no bundle called '{name}'; the collection has {known}.")

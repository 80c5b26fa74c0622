"""The catalogue tells the truth about its networks."""

from __future__ import annotations

import pytest
import torch

import dermaseg_monai.networks
from dermaseg_monai.errors import InputError
from dermaseg_monai.zoo.bundle import Bundle
from dermaseg_monai.zoo.catalogue import BUNDLES, get_bundle


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_parameters(bundle: Bundle) -> None:
    arguments = dict(bundle.network)
    network = getattr(dermaseg_monai.networks, arguments.pop("_target_").rsplit(".", 1)[1])
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in network(**arguments).parameters())
    assert parameters == bundle.parameters


def test_names_are_unique() -> None:
    assert len({bundle.name for bundle in BUNDLES}) == len(BUNDLES)


def test_unknown_bundle_is_named_with_the_known() -> None:
    with pytest.raises(InputError, match=r"no bundle called 'lesion_vnet'.*lesion_unet"):
        get_bundle("lesion_vnet")

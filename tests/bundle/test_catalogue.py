"""The catalogue tells the truth about its networks."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from dermaseg_monai.bundle.catalogue import BUNDLES, get_bundle
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.render import render
from dermaseg_monai.utils.errors import InputError


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_parameters(bundle: Bundle) -> None:
    config = {"imports": ["$import dermaseg_monai.sam as sam"], "checkpoint": bundle.checkpoint}
    with torch.device("meta"):
        network = ConfigParser({**config, "network": dict(bundle.network)}).get_parsed_content("network")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == bundle.parameters


def test_names_are_unique() -> None:
    assert len({bundle.name for bundle in BUNDLES}) == len(BUNDLES)


def test_unknown_bundle_is_named_with_the_known() -> None:
    with pytest.raises(InputError, match=r"no bundle called 'lesion_vnet'.*lesion_unet"):
        get_bundle("lesion_vnet")


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_what_weights_are_chosen_by(bundle: Bundle) -> None:
    train = json.loads(render(bundle)["configs/train.json"])
    by = list(train["validate"]["key_metric"])
    if bundle.task == "attribute":
        assert by == ["macro_jaccard"]
        chosen = train["validate"]["key_metric"]["macro_jaccard"]["_target_"]
        assert chosen == "dermaseg_monai.handlers.FittedJaccardHandler"
    else:
        # the project's own recipes average weights; the sources' choose by the challenge's score
        assert by == ["jaccard" if train.get("average") else "threshold_jaccard"]
        reported = {*by, *train["validate"]["additional_metrics"]}
        assert reported == {"dice", "jaccard", "threshold_jaccard", "accuracy"}

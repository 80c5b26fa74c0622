"""Every bundle's network starts undecided."""

from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.losses import CrossEntropyLoss


@pytest.mark.parametrize(
    "bundle", [bundle for bundle in BUNDLES if not bundle.checkpoint], ids=lambda bundle: bundle.name
)
def test_first_cross_entropy_is_log_two(bundle: Bundle) -> None:
    """Half of the pixels or few of them: the loss of one that knows nothing, within 10 %."""
    torch.manual_seed(0)
    network = ConfigParser({"network_def": dict(bundle.network)}).get_parsed_content("network_def")
    loss = CrossEntropyLoss(mode=bundle.mode)
    with torch.no_grad():
        outputs = network(torch.randn(4, 3, 64, 64))
    maps = outputs if isinstance(outputs, dict) else {"logits": outputs}
    classes = 5 if bundle.mode == "multilabel" else 1
    for share in (0.5, 0.05):
        target = (torch.rand(4, classes, 64, 64) < share).to(torch.uint8)
        for name in maps.keys() & {"logits", "region"}:
            assert loss(maps[name], target).item() == pytest.approx(math.log(2), rel=0.1), (name, share)

"""Starts from weights that fit wholly, in part, and not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn
from torchvision.models import vgg16

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.weights import calibrate, set_prior, start_from
from dermaseg_monai.losses import CrossEntropyLoss
from dermaseg_monai.networks import SegNet, UNet
from dermaseg_monai.networks.calibration import folded_batch_norms
from dermaseg_monai.utils.errors import InputError


def _unet(channels: int) -> UNet:
    return UNet(out_channels=channels, features=(2, 4))


def test_all_but_the_head_comes_from_a_lesion_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lesion, attributes = _unet(1), _unet(5)
    torch.save(lesion.state_dict(), tmp_path / "model.pt")
    before = {name: value.clone() for name, value in attributes.state_dict().items()}
    with caplog.at_level(logging.INFO):
        start_from(attributes, tmp_path / "model.pt")
    source = lesion.state_dict()
    differing = {
        name for name, value in attributes.state_dict().items() if not torch.equal(value, source[name])
    }
    heads = {name for name, value in source.items() if value.shape != before[name].shape}
    assert heads
    assert differing == heads
    assert f"started {len(source) - len(heads)} of the network's {len(source)} tensors" in caplog.text


def test_nothing_is_done_without_a_source() -> None:
    network = _unet(1)
    assert start_from(network, None) is network


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"elsewhere": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="none of the 1 tensors"):
        start_from(_unet(1), tmp_path / "model.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(InputError, match="not a file of weights"):
        start_from(_unet(1), tmp_path / "text.pt")
    with pytest.raises(InputError, match="'lesion_vnet' is neither"):
        start_from(_unet(1), "lesion_vnet")


def _masks(shares: tuple[float, ...], images: int = 4, side: int = 64) -> SimpleNamespace:
    labels = torch.zeros(len(shares), images * side * side, dtype=torch.uint8)
    for channel, share in enumerate(shares):
        labels[channel, : round(share * images * side * side)] = 1
    labels = labels.view(len(shares), images, side, side).transpose(0, 1)
    return SimpleNamespace(pixels=SimpleNamespace(labels=labels))


SHARES = (0.04, 0.01, 0.0006, 0.0, 0.02)


class TestPrior:
    def test_bias_is_the_logit_of_the_shares(self) -> None:
        network = _unet(3)
        assert set_prior(network, _masks((0.5, 0.25, 0.0), images=4, side=2)) is network
        # 8, 4 and 0 of 16 pixels, and one of two further ones
        expected = torch.tensor([9 / 9, 5 / 13, 1 / 17]).log()
        torch.testing.assert_close(network.head.bias, expected)

    @pytest.mark.parametrize(
        "bundle", [bundle for bundle in BUNDLES if bundle.task == "attribute"], ids=lambda bundle: bundle.name
    )
    def test_first_loss_of_every_attribute_bundle_is_the_entropy_of_the_shares(self, bundle: Bundle) -> None:
        torch.manual_seed(0)
        network = ConfigParser({"network": dict(bundle.network)}).get_parsed_content("network")
        masks = _masks(SHARES)
        set_prior(network, masks)
        with torch.no_grad():
            logits = network(torch.randn(4, 3, 64, 64))
        loss = CrossEntropyLoss(mode="multilabel")(logits, masks.pixels.labels).item()
        shares = torch.tensor([share for share in SHARES if share])
        entropy = -(torch.xlogy(shares, shares) + torch.xlogy(1 - shares, 1 - shares)).sum() / len(SHARES)
        assert loss == pytest.approx(entropy.item(), rel=0.1)

    def test_it_can_be_left_out(self) -> None:
        network = _unet(5)
        assert set_prior(network, None) is network
        assert not network.head.bias.any()

    def test_trained_attributes_keep_their_bias_and_lesions_lend_none(self, tmp_path: Path) -> None:
        for channels in (1, 5):
            source = _unet(channels)
            nn.init.constant_(source.head.bias, 7)
            torch.save(source.state_dict(), tmp_path / f"{channels}.pt")
        prior = set_prior(_unet(5), _masks(SHARES)).head.bias.clone()
        network = start_from(set_prior(_unet(5), _masks(SHARES)), tmp_path / "5.pt")
        assert (network.head.bias == 7).all()
        network = start_from(set_prior(_unet(5), _masks(SHARES)), tmp_path / "1.pt")
        assert torch.equal(network.head.bias, prior)

    def test_a_network_without_such_a_classifier(self) -> None:
        with pytest.raises(
            InputError, match=r"Conv2d has no classifier with 5 logits .* --attribute_prior False"
        ):
            set_prior(nn.Conv2d(3, 5, 1), _masks(SHARES))


def test_folded_norms_get_statistics_of_the_first_batches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(vgg16(num_classes=1).state_dict(), tmp_path / "vgg16.pth")
    network = SegNet(encoder_weights=str(tmp_path / "vgg16.pth"))
    for layer in network.encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, 0.1)
    drawn = []

    def loader() -> object:
        for index in range(9):
            drawn.append(index)
            yield {"image": torch.rand(2, 3, 32, 32)}

    assert calibrate(network, loader()) is network
    assert folded_batch_norms(network) == []
    assert drawn == [0, 1]
    calibrate(network, loader())
    assert drawn == [0, 1]

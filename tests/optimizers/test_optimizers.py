"""What each parameter's rate and decay are, under every schedule; and trainings by other optimisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.optimizers import OneCycle, parameter_groups, use_fused_kernel
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_dataset
from tests.trainings import TINY_UNET, config_files, history, train

DECAYING = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear, torch.nn.MultiheadAttention)
SCHEDULES = ("cosine", "one_cycle", "plateau", "constant")


def network_of(bundle: Bundle) -> torch.nn.Module:
    config = {"imports": ["$import dermaseg_monai.sam as sam"], "checkpoint": bundle.checkpoint}
    with torch.device("meta"):
        return ConfigParser({**config, "network": dict(bundle.network)}).get_parsed_content("network")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("discs"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_weight_decay_is_for_the_weights_of_layers(bundle: Bundle) -> None:
    network = network_of(bundle)
    groups = parameter_groups(network)
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(ids) == sorted(id(parameter) for parameter in network.parameters())
    assert [group.get("weight_decay") for group in groups] == [None, 0.0]
    decaying = {id(parameter) for parameter in groups[0]["params"]}
    expected = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, DECAYING)
        for name, parameter in module.named_parameters(recurse=False)
        if name in ("weight", "in_proj_weight")
    }
    assert decaying == expected


def test_what_must_not_decay_keeps_its_value_without_a_gradient() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Embedding(2, 2))
    network.position = torch.nn.Parameter(torch.ones(1, 2, 4, 4))
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(network), lr=0.1, weight_decay=0.5)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    changed = [name for name, value in network.named_parameters() if not torch.equal(value, before[name])]
    assert changed == ["0.weight"]


def test_frozen_parameters_are_left_out() -> None:
    network = torch.nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    assert parameter_groups(network) == [{"params": [network.weight]}]


@pytest.mark.parametrize(
    "bundle", [bundle for bundle in BUNDLES if bundle.encoder_weights], ids=lambda bundle: bundle.name
)
def test_every_pretrained_network_has_an_encoder(bundle: Bundle) -> None:
    network = network_of(bundle)
    groups = parameter_groups(network, encoder_lr=0.1)
    inside = {id(parameter) for parameter in network.encoder.parameters()}
    slower = {id(parameter) for group in groups if group.get("lr") == 0.1 for parameter in group["params"]}
    assert slower == inside
    assert 0 < len(inside) < len(list(network.parameters()))
    assert "lr" not in groups[0]  # the rate that progress reports is the optimiser's own


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_keeps_the_factor(schedule: str) -> None:
    parser = ConfigParser(
        {
            **ConfigParser.load_config_file(config_files("lesion_mobilenetv2_unet", "train")[0]),
            "device": "cpu",
            "initial_network": "@network_def",
            "encoder_weights": None,
            "learning_rate": 0.5,
            "encoder_rate": 0.1,
            "lr_scheduler": f"@schedules#{schedule}",
        }
    )
    parser["schedules"]["one_cycle"]["total_steps"] = 20
    optimizer, scheduler = parser.get_parsed_content("optimizer"), parser.get_parsed_content("lr_scheduler")
    rates = []
    for step in range(20):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step(*([-step] if schedule == "plateau" else []))
    highest = np.max(rates, axis=0)
    assert highest == pytest.approx([0.5, 0.5, 0.05, 0.05])
    for rate in rates:
        assert rate[2:] == pytest.approx([rate[0] / 10] * 2)


@pytest.mark.parametrize(
    ("encoder_lr", "message"), [(-0.1, "encoder_rate of 0 or more"), (0.1, "has no encoder")]
)
def test_rates_that_cannot_be(encoder_lr: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameter_groups(torch.nn.Linear(1, 1), encoder_lr)


def test_an_encoder_of_rate_0_keeps_its_weights(dataset: Path, tmp_path: Path) -> None:
    settings = {"max_epochs": 1, "encoder_weights": None, "encoder_rate": 0.0, "image_size": [64, 64]}
    workflow = train("lesion_mobilenetv2_unet", dataset, tmp_path, **settings)
    trained = workflow.parser.get_parsed_content("network")
    torch.manual_seed(0)
    start = ConfigParser({"network": {"_target_": "dermaseg_monai.networks.MobileNetV2UNet"}})
    weights = dict(start.get_parsed_content("network").named_parameters())
    for name, parameter in trained.named_parameters():
        assert torch.equal(parameter, weights[name]) == name.startswith("encoder."), name


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        ("AdamW", {}),
        ("Adam", {"optimizer#fused": False}),
        ("SGD", {"optimizer#momentum": 0.9, "learning_rate": 0.3}),
        ("RMSprop", {}),
        ("Adagrad", {}),
    ],
)
def test_any_optimiser_trains(
    optimizer: str, settings: dict[str, Any], schedule: str, dataset: Path, tmp_path: Path
) -> None:
    settings = {"optimizer#_target_": f"torch.optim.{optimizer}", "learning_rate": 0.01, **settings}
    workflow = train(
        "lesion_unet",
        dataset,
        tmp_path,
        max_epochs=3,
        lr_scheduler=f"@schedules#{schedule}",
        **TINY_UNET,
        **settings,
    )
    used = workflow.parser.get_parsed_content("optimizer")
    assert type(used).__name__ == optimizer
    losses = history(tmp_path)["loss"].astype(float)
    assert losses.iloc[-1] < losses.iloc[0]
    if optimizer == "RMSprop":
        assert {group["momentum"] for group in used.param_groups} == {0}
    fused = {group.get("fused") for group in used.param_groups}
    assert fused == {{"AdamW": True, "SGD": True, "Adam": False}.get(optimizer)}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_gradients_are_clipped_where_positive_weights_are_large(bundle: Bundle) -> None:
    config = ConfigParser.load_config_file(config_files(bundle.name, "train")[0])
    assert config["clip_norm"] == (1.0 if bundle.task == "attribute" else None)
    assert config["train"]["trainer"]["clip_norm"] == "@clip_norm"


@pytest.mark.parametrize("choice", [{"fused": False}, {"foreach": True}])
def test_a_kernel_that_was_chosen_stays(choice: dict[str, bool]) -> None:
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], **choice)
    before = [dict(group) for group in optimizer.param_groups]
    use_fused_kernel(optimizer)
    assert optimizer.param_groups == before


def test_momentum_cycles_where_there_is_one() -> None:
    for make, key, cycles in (
        (lambda p: torch.optim.SGD(p, lr=1.0), "momentum", False),
        (lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9), "momentum", True),
        (lambda p: torch.optim.AdamW(p, lr=1.0), "betas", True),
    ):
        optimizer = make([torch.zeros(1, requires_grad=True)])
        before = optimizer.param_groups[0][key]
        OneCycle(optimizer, total_steps=5)
        assert (optimizer.param_groups[0][key] != before) is cycles

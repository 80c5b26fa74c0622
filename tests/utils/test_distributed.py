"""One process is its own world; two are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from monai.bundle import ConfigParser

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.utils.distributed import (
    check_shares,
    gather_objects,
    rank,
    share_buffers,
    sync_batchnorm,
    unwrapped,
    world_size,
)
from dermaseg_monai.utils.errors import InputError
from tests.processes import run_together


def test_alone() -> None:
    network = torch.nn.BatchNorm2d(2)
    network.running_mean += 3
    share_buffers(network)
    assert (rank(), world_size()) == (0, 1)
    assert gather_objects([1, "two"]) == [1, "two"]
    assert unwrapped(network) is network
    assert network.running_mean.tolist() == [3, 3]


def too_few() -> str:
    check_shares(2)
    with pytest.raises(InputError) as caught:
        check_shares(1)
    return str(caught.value)


def process(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=number, world_size=2)
    network = torch.nn.BatchNorm2d(2)
    network.running_mean += 1 + number
    network.num_batches_tracked += 10 * (1 + number)
    share_buffers(network)
    wrapped = torch.nn.parallel.DistributedDataParallel(network)
    actual = {
        "place": (rank(), world_size()),
        "gathered": gather_objects([f"of {number}"] * (2 - number)),
        "unwrapped": unwrapped(wrapped) is network,
        "too few": too_few(),
        "buffers": [buffer.tolist() for buffer in network.buffers()],
    }
    torch.save(actual, Path(folder) / f"{number}.pt")
    dist.destroy_process_group()


def test_two_processes(tmp_path: Path) -> None:
    run_together(process, tmp_path)
    for number in range(2):
        actual = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert actual["place"] == (number, 2)
        assert actual["gathered"] == ["of 0", "of 0", "of 1"]
        assert actual["unwrapped"]
        assert actual["too few"] == "1 images are too few for 2 processes; start at most 1 of them."
        assert actual["buffers"] == [[1, 1], [1, 1], 10]


def test_batch_norms_are_synchronised() -> None:
    """The layer computes on GPUs only; that it stands where it should is seen on a device without data."""
    with torch.device("meta"):
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    keys = list(network.state_dict())
    assert sync_batchnorm(network, False) is network
    converted = sync_batchnorm(network, True)
    assert isinstance(converted[1], torch.nn.SyncBatchNorm)
    assert list(converted.state_dict()) == keys
    with pytest.raises(InputError, match="sync_batchnorm needs GPUs"):
        sync_batchnorm(torch.nn.BatchNorm2d(4), True)


@pytest.mark.parametrize("enabled", [False, True])
def test_a_bundle_synchronises_its_batch_norms(enabled: bool) -> None:
    folder = bundle_folder("lesion_unet") / "configs"
    parser = ConfigParser()
    parser.read_config([folder / "train.json", folder / "multi_gpu_train.json"])
    parser.update({"device": torch.device("meta"), "sync_batchnorm": enabled, "network_def#features": [4, 8]})
    parser["initial_network"] = "@network_def"
    network = parser.get_parsed_content("network#module")
    kinds = {type(module) for module in network.modules() if hasattr(module, "running_mean")}
    assert kinds == {torch.nn.SyncBatchNorm if enabled else torch.nn.BatchNorm2d}

"""Processes of a distributed run: this one's rank, their shares, what they exchange."""

from __future__ import annotations

import torch
import torch.distributed as dist

from dermaseg_monai.utils.errors import InputError


def rank() -> int:
    """Number of this process, 0 in a run of one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """How many processes share this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def check_shares(count: int) -> None:
    """Make sure that each process has something to do: one without would let the others wait for ever.

    Args:
        count: images that the processes share.

    Raises:
        InputError: in every process, where there are fewer images than processes.
    """
    if count < world_size():
        raise InputError(
            f"{count} images are too few for {world_size()} processes; start at most {max(count, 1)} of them."
        )


def gather_objects(entries: list) -> list:
    """Join the lists of all processes, in the order of their ranks; every process gets the whole."""
    if world_size() == 1:
        return entries
    shares: list[list] = [[] for _ in range(world_size())]
    dist.all_gather_object(shares, entries)
    return [entry for share in shares for entry in share]


def share_buffers(network: torch.nn.Module) -> None:
    """Give every process the buffers (batch-norm statistics) of the first one's ``network``."""
    if world_size() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


def unwrapped(network: torch.nn.Module) -> torch.nn.Module:
    """The network itself, out of its ``DistributedDataParallel`` where it is in one."""
    return network.module if isinstance(network, torch.nn.parallel.DistributedDataParallel) else network


def sync_batchnorm(network: torch.nn.Module, enabled: bool) -> torch.nn.Module:
    """Let a network's batch norms take their statistics over the batches of all processes.

    Args:
        network: on its device; its weights and their names stay as they are.
        enabled: off returns the network unchanged.

    Returns:
        The network to wrap in ``DistributedDataParallel``.

    Raises:
        InputError: the network is on the CPU, where PyTorch has no such layer.
    """
    if not enabled:
        return network
    if next(network.parameters()).device.type == "cpu":
        raise InputError("sync_batchnorm needs GPUs; leave it out where processes share the CPU.")
    return torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)

"""Statistics for batch norms that were folded into their convolutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def folded_batch_norms(network: nn.Module) -> list[Any]:
    """List the batch norms that only add a constant, since their statistics were folded into a convolution.

    Their mean is 0 and their variance 1, as in a fresh layer, but their bias is not 0, as it is there.

    Args:
        network: any module.
    """
    return [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm2d) and _is_folded(norm)]


def _is_folded(norm: nn.BatchNorm2d) -> bool:
    if not norm.affine or norm.running_mean is None or norm.running_var is None:
        return False
    return bool((norm.running_mean == 0).all() and (norm.running_var == 1).all() and norm.bias.any())


def calibrate_batch_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give folded batch norms the statistics of some images, without a change of what the network computes.

    A folded norm computes the right thing in evaluation mode. In training mode it would normalise its input
    by the batch's statistics and so undo what the pretrained weights rely on. Here it gets mean and variance
    of its input over the images, and the weight and the bias under which its output stays as it was; training
    then starts from the pretrained function. Other modules are left alone, and so is a network that has no
    folded norm, for which no image is drawn.

    Args:
        network: changed in place; its mode stays as it is.
        batches: images ``(B, C, H, W)``, float, normalised as in training; a few dozen images suffice.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        >>> calibrate_batch_norms(network, [torch.rand(2, 3, 8, 8)])
    """
    norms = folded_batch_norms(network)
    if not norms:
        return
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def gather(norm: Any, inputs: tuple[Tensor]) -> None:
        x = inputs[0].float().transpose(0, 1).flatten(1)
        variance, mean = (moment.cpu().double() for moment in torch.var_mean(x, dim=1, correction=0))
        sums[norm] += x.shape[1] * torch.stack([torch.ones_like(mean), mean, variance + mean.square()])

    handles = [norm.register_forward_pre_hook(gather) for norm in norms]
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            for images in batches:
                network(images.to(norms[0].weight.device))
            for norm, (count, first, second) in sums.items():
                mean = first / count
                _set_statistics(norm, mean, second / count - mean.square())
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training


def _set_statistics(norm: Any, mean: Tensor, variance: Tensor) -> None:
    scale = norm.weight.double().cpu() * (1 + norm.eps) ** -0.5
    norm.bias.copy_(norm.bias.double().cpu() + scale * mean)
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)

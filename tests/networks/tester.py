"""Tester that every network goes through.

A network's test file subclasses ``NetworkTester`` as ``Test<Network>`` and fills in the class attributes; checks
of what only that network does follow as further methods or functions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import onnxruntime
import pytest
import torch
from monai.networks.utils import convert_to_onnx, convert_to_torchscript
from torch import Tensor, nn

from dermaseg_monai.utils.errors import InputError


def tensors_of(output: Any) -> Iterator[Tensor]:
    """All tensors in what a network returns in train mode: a tensor, or nested dicts and lists of them."""
    if isinstance(output, Tensor):
        yield output
    else:
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from tensors_of(part)


class NetworkTester:
    """Checks of one architecture.

    Attributes:
        network: the class under test.
        tiny: arguments of a small variant, fast to run; it has everything the full one has.
        parameters: pairs of constructor arguments and the number of parameters they give.
        size: height and width that most checks run at, pixels.
        sizes: further sizes, odd and not square.
        too_small: a size that the network refuses, or None where it takes any.
        autocast_error: mean error allowed under autocast, as a share of the logits' standard deviation.
    """

    network: ClassVar[type[nn.Module]]
    tiny: ClassVar[dict[str, Any]]
    parameters: ClassVar[list[tuple[dict[str, Any], int]]]
    size: ClassVar[tuple[int, int]] = (64, 64)
    sizes: ClassVar[list[tuple[int, int]]] = [(65, 93), (96, 64), (71, 64)]
    too_small: ClassVar[tuple[int, int] | None] = (64, 3)
    autocast_error: ClassVar[float] = 0.2

    @property
    def channels(self) -> tuple[int, int]:
        """Input and output channels of the tiny variant."""
        return self.tiny.get("in_channels", 3), self.tiny["out_channels"]

    def build(self, seed: int = 0) -> nn.Module:
        """The tiny variant with random weights, in train mode."""
        torch.manual_seed(seed)
        return self.network(**self.tiny)

    def trained(self) -> nn.Module:
        """The tiny variant in evaluation mode, its batch norms set to the statistics of some images."""
        network = self.build()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network(self.images(4))
        return network.eval()

    def images(self, batch: int, size: tuple[int, int] | None = None) -> Tensor:
        """Noise around a colour of each image's own, so that global averages differ between images too."""
        generator = torch.Generator().manual_seed(batch)
        colours = torch.randn(batch, self.channels[0], 1, 1, generator=generator)
        return colours + torch.randn(batch, self.channels[0], *(size or self.size), generator=generator)

    def test_parameter_count(self) -> None:
        for arguments, expected in self.parameters:
            with torch.device("meta"):
                network = self.network(**arguments)
            assert sum(parameter.numel() for parameter in network.parameters()) == expected, arguments

    def test_logits_have_the_size_of_the_image(self) -> None:
        network = self.trained()
        with torch.no_grad():
            for size in [self.size, *self.sizes]:
                logits = network(self.images(2, size))
                assert isinstance(logits, Tensor)
                assert logits.shape == (2, self.channels[1], *size)
                assert logits.dtype == torch.float32
                assert logits.isfinite().all()

    def test_logits_depend_on_the_image(self) -> None:
        network = self.trained()
        with torch.no_grad():
            first, second = network(self.images(2))
        assert (first - second).abs().max() > 1e-4
        assert first.flatten(1).std(dim=1).min() > 1e-5

    def test_too_small_an_image_is_refused(self) -> None:
        if self.too_small is None:
            pytest.skip("takes any size")
        height, width = self.too_small
        with pytest.raises(InputError, match=f"{height} x {width}"):
            self.build()(self.images(2, self.too_small))

    def test_gradient_reaches_every_parameter(self) -> None:
        network = self.build()
        generator = torch.Generator().manual_seed(0)
        # A random projection: plain sums vanish behind normalisation.
        loss = sum(
            (output * torch.randn(output.shape, generator=generator)).sum()
            for output in tensors_of(network(self.images(2)))
        )
        assert isinstance(loss, Tensor)
        loss.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name

    def test_batch_of_one_trains(self) -> None:
        network = self.build()
        for output in tensors_of(network(self.images(1))):
            assert output.shape[0] == 1
            assert output.isfinite().all()
            output.sum().backward(retain_graph=True)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
    def test_autocast(self, dtype: torch.dtype) -> None:
        network = self.trained()
        images = self.images(2)
        with torch.no_grad():
            expected = network(images)
            with torch.autocast("cpu", dtype=dtype):
                logits = network(images).float()
        assert logits.isfinite().all()
        assert (logits - expected).abs().mean() < self.autocast_error * expected.std()
        network.train()
        with torch.autocast("cpu", dtype=dtype):
            outputs = list(tensors_of(network(images)))
        sum(output.float().square().mean() for output in outputs).backward()  # type: ignore[union-attr]
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)

    def test_torchscript_equals_eager(self, tmp_path: Path) -> None:
        network = self.trained()
        path = tmp_path / "model.ts"
        convert_to_torchscript(network, filename_or_obj=str(path))
        scripted = torch.jit.load(str(path))
        with torch.no_grad():
            for size in [self.size, self.sizes[0]]:
                images = self.images(2, size)
                torch.testing.assert_close(scripted(images), network(images), atol=1e-4, rtol=1e-4)

    def test_onnx_equals_eager(self, tmp_path: Path) -> None:
        network = self.trained()
        model = convert_to_onnx(
            network,
            [self.images(2)],
            input_names=["image"],
            output_names=["pred"],
            dynamic_axes={"image": {0: "batch"}, "pred": {0: "batch"}},
            filename=str(tmp_path / "model.onnx"),
            use_trace=False,
        )
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        with torch.no_grad():
            for batch in (1, 2, 3):
                images = self.images(batch)
                (logits,) = session.run(None, {"image": images.numpy()})
                torch.testing.assert_close(torch.from_numpy(logits), network(images), atol=1e-4, rtol=1e-4)

    def test_channels_last_equals_contiguous(self) -> None:
        network = self.trained()
        images = self.images(2, self.sizes[0])
        with torch.no_grad():
            expected = network(images)
            network.to(memory_format=torch.channels_last)
            logits = network(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)

    def test_state_dict_round_trip(self) -> None:
        network, other = self.trained(), self.build(seed=1).eval()
        file = io.BytesIO()
        torch.save(network.state_dict(), file)
        file.seek(0)
        images = self.images(2)
        with torch.no_grad():
            assert not torch.equal(other(images), network(images))
            other.load_state_dict(torch.load(file, weights_only=True))
            torch.testing.assert_close(other(images), network(images), atol=0, rtol=0)

    def test_construction_follows_the_seed(self) -> None:
        first, second, third = (
            self.build(0).state_dict(),
            self.build(0).state_dict(),
            self.build(1).state_dict(),
        )
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert any(not torch.equal(first[name], third[name]) for name in first)

"""Forward pass, loss and backward pass as one CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import torch

logger = logging.getLogger(__name__)

Step = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Replay = Callable[[], tuple[torch.Tensor, torch.Tensor]]


class Recorder:
    """Captures functions as CUDA graphs, on a stream of its own.

    What runs before a capture runs on that stream too: gradients are accumulated where they first were.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def warm_up(self, function: Replay) -> tuple[torch.Tensor, torch.Tensor]:
        """Run ``function`` as it is."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            outputs = function()
        torch.cuda.current_stream().wait_stream(self.stream)
        return outputs

    def record(self, function: Replay) -> Replay:
        """Capture what ``function`` launches, without running it.

        Args:
            function: works on tensors that stay where they are, and never waits for the GPU.

        Returns:
            A function that runs the recording and gives the tensors that it wrote to.

        Raises:
            RuntimeError: it cannot be captured.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            outputs = function()

        def replay() -> tuple[torch.Tensor, torch.Tensor]:
            graph.replay()
            return outputs

        return replay


class GraphedStep:
    """A training step's gradients, captured once as a CUDA graph and replayed for every batch of that shape.

    A small network's step is hundreds of launches that take the host longer than the GPU; a graph is one. The
    first batches run as they are, so that libraries choose their algorithms; batches of another shape always
    do. Where the capture fails (a loss that waits for the GPU, too little memory) all do, and the log says so.
    The optimiser stays outside: its learning rate changes.

    Args:
        step: ``(image, label) -> (prediction, loss)``, which leaves gradients in the parameters that have
            none.
        parameters: what ``step`` differentiates by.
        recorder: what captures a function.

    Reference: https://docs.pytorch.org/docs/stable/notes/cuda.html#partial-network-capture
    """

    WARM_UP = 3

    def __init__(
        self,
        step: Step,
        parameters: Iterable[torch.nn.Parameter],
        recorder: Recorder | None = None,
    ) -> None:
        self.step = step
        self.parameters = list(parameters)
        self.recorder = recorder or Recorder()
        self.steps = 0
        self.replay: Replay | None = None
        self.failed = False

    def __call__(self, image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Leave the batch's gradients in the parameters.

        Args:
            image: ``(B, C, H, W)`` on the GPU.
            label: ``(B, C', H, W)`` on the GPU.

        Returns:
            The prediction and the loss; the next call may overwrite the prediction.
        """
        self.steps += 1
        if self.steps <= self.WARM_UP:
            self._clear()
            return self.recorder.warm_up(lambda: self.step(image, label))
        if self.replay is None and not self.failed:
            self._record(image, label)
        if self.replay is None or image.shape != self.image.shape or label.shape != self.label.shape:
            self._clear()
            return self.step(image, label)
        self.image.copy_(image)
        self.label.copy_(label)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        prediction, loss = self.replay()
        return prediction, loss.clone()

    def _record(self, image: torch.Tensor, label: torch.Tensor) -> None:
        self.image, self.label = image.clone(), label.clone()
        self._clear()  # the backward pass then makes gradients that belong to the graph
        try:
            self.replay = self.recorder.record(lambda: self.step(self.image, self.label))
        except RuntimeError as error:
            self.failed = True
            reason = str(error).splitlines()[0]
            logger.warning(
                "the training step cannot be captured as a CUDA graph and runs without: %s", reason
            )
        else:
            self.gradients = [parameter.grad for parameter in self.parameters]

    def _clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

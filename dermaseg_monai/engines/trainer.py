"""MONAI's supervised trainer with bfloat16 on any device and no copy back to the host in its step."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys

from dermaseg_monai.distributed import share_buffers, world_size
from dermaseg_monai.engines.graphs import GraphedStep


class Trainer(SupervisedTrainer):
    """A :class:`monai.engines.SupervisedTrainer` whose step suits small networks.

    It differs in four things: ``amp`` means bfloat16 autocast on whatever device the run uses (no gradient
    scaler, which bfloat16 does not need), gradients may be clipped, forward and backward pass may be replayed
    as a CUDA graph, and batches are never taken apart.

    Args:
        clip_norm: largest L2 norm of all gradients together; ``None`` leaves them alone.
        amp: run the forward pass and the loss under bfloat16 autocast.
        cuda_graph: capture forward and backward pass (:class:`GraphedStep`), on one GPU; elsewhere it changes
            nothing.
        **kwargs: the arguments of :class:`monai.engines.SupervisedTrainer`.
    """

    def __init__(
        self, clip_norm: float | None = None, amp: bool = False, cuda_graph: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(decollate=False, **kwargs)
        self.bfloat16 = amp  # MONAI's own `amp` attribute means float16 with a gradient scaler
        self.clip_norm = clip_norm
        self.gradients = self._gradients
        if cuda_graph and self.state.device.type == "cuda" and world_size() == 1:
            self.gradients = GraphedStep(self._gradients, self.network.parameters())

    def _iteration(self, engine: SupervisedTrainer, batchdata: dict[str, torch.Tensor]) -> dict:
        image, label = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking)
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        prediction, loss = self.gradients(image, label)
        engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.PRED: prediction, Keys.LOSS: loss}
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self.clip_norm)
        engine.optimizer.step()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def _gradients(self, image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self.state.device.type, torch.bfloat16, enabled=self.bfloat16):
            prediction = self.inferer(image, self.network)
            loss = self.loss_function(prediction, label)
        loss.backward()
        return prediction, loss.detach()


class Evaluator(SupervisedEvaluator):
    """A :class:`monai.engines.SupervisedEvaluator` with bfloat16 autocast on any device.

    Of several processes, all evaluate the first one's network, which is the one that is saved: batch-norm
    statistics differ between them after a training step.

    Args:
        amp: run the forward pass under bfloat16 autocast; predictions come back as float32.
        **kwargs: the arguments of :class:`monai.engines.SupervisedEvaluator`.
    """

    def __init__(self, amp: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bfloat16 = amp

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Evaluate once.

        Args:
            global_epoch: the epoch of the training that this evaluation belongs to.
        """
        share_buffers(self.network)
        super().run(global_epoch)

    def _iteration(self, engine: SupervisedEvaluator, batchdata: dict[str, torch.Tensor]) -> dict:
        image, label = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking)
        with (
            engine.mode(engine.network),
            torch.autocast(engine.state.device.type, torch.bfloat16, enabled=self.bfloat16),
        ):
            prediction = engine.inferer(image, engine.network).float()
        engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.PRED: prediction}
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

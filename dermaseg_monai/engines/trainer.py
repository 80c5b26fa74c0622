"""MONAI's supervised trainer with bfloat16 on any device and no copy back to the host in its step."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys

from dermaseg_monai.distributed import share_buffers


class Trainer(SupervisedTrainer):
    """A :class:`monai.engines.SupervisedTrainer` whose step suits small networks.

    It differs in three things: ``amp`` means bfloat16 autocast on whatever device the run uses (no gradient
    scaler, which bfloat16 does not need), gradients may be clipped, and batches are never taken apart.

    Args:
        clip_norm: largest L2 norm of all gradients together; ``None`` leaves them alone.
        amp: run the forward pass and the loss under bfloat16 autocast.
        **kwargs: the arguments of :class:`monai.engines.SupervisedTrainer`.
    """

    def __init__(self, clip_norm: float | None = None, amp: bool = False, **kwargs: Any) -> None:
        super().__init__(decollate=False, **kwargs)
        self.bfloat16 = amp  # MONAI's own `amp` attribute means float16 with a gradient scaler
        self.clip_norm = clip_norm

    def _iteration(self, engine: SupervisedTrainer, batchdata: dict[str, torch.Tensor]) -> dict:
        image, label = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking)
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(engine.state.device.type, torch.bfloat16, enabled=self.bfloat16):
            prediction = engine.inferer(image, engine.network)
            loss = engine.loss_function(prediction, label)
        engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.PRED: prediction, Keys.LOSS: loss}
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        loss.backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self.clip_norm)
        engine.optimizer.step()
        engine.state.output[Keys.LOSS] = loss.detach()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output


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

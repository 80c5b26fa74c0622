"""Trainer and evaluator with mixed precision on any device and no copy back to the host in a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys

from dermaseg_monai.engines.cuda_graph import GraphedStep, Step
from dermaseg_monai.engines.malloc import keep_freed_memory
from dermaseg_monai.engines.out_of_memory import in_parts, joined
from dermaseg_monai.handlers.step_events import StepEvents
from dermaseg_monai.optimizers import use_fused_kernel
from dermaseg_monai.utils.distributed import share_buffers, world_size
from dermaseg_monai.utils.precision import autocast, half_dtype


class Trainer(SupervisedTrainer):
    """A :class:`monai.engines.SupervisedTrainer` whose step suits small networks.

    It differs in seven things: ``amp`` means autocast to the half precision of whatever device the run uses, with
    a gradient scaler where that is float16, gradients may be clipped, forward and backward pass may be replayed
    as a CUDA graph, the optimiser updates all parameters by one fused kernel where it has one
    (:func:`use_fused_kernel`), batches are never taken apart for handlers, a process that trains on the CPU
    keeps the memory that a step frees (:func:`keep_freed_memory`), and a batch that the device's memory cannot
    take is said in a sentence or gone through in parts.

    Gradients that overflow float16 are left out: the optimiser skips that step, and so do the schedule and the
    average of the weights (:class:`StepEvents`); the next loss is scaled less.

    Parts add up to the gradient of the whole batch, so that steps, schedule and order of the data stay as they
    are; only what looks across a batch (batch norm's statistics, losses pooled over it) sees a part at a time.

    Args:
        clip_norm: largest L2 norm of all gradients together; ``None`` leaves them alone.
        amp: run the forward pass and the loss under autocast, see :func:`half_dtype`.
        cuda_graph: capture forward and backward pass (:class:`GraphedStep`), on one GPU; elsewhere, and with a
            gradient scaler, it changes nothing.
        auto_batch: where memory runs out, halve what is computed at once and go on with the same step, down
            to single images; in a run of one process.
        **kwargs: the arguments of :class:`monai.engines.SupervisedTrainer`.
    """

    def __init__(
        self,
        clip_norm: float | None = None,
        amp: bool | str | None = False,
        cuda_graph: bool = False,
        auto_batch: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(decollate=False, event_names=[StepEvents], **kwargs)
        use_fused_kernel(self.optimizer)
        self.half = half_dtype(amp, self.state.device)
        # MONAI's own `scaler` is made anew by each run
        self.grad_scaler = torch.amp.GradScaler(self.state.device.type, enabled=self.half is torch.float16)
        self.clip_norm = clip_norm
        # processes that wait for each other's gradients could not go through a step twice
        self.auto_batch = auto_batch and world_size() == 1
        self._parts = 1
        self.gradients: Step = self._gradients
        capturable = (
            self.state.device.type == "cuda" and world_size() == 1 and not self.grad_scaler.is_enabled()
        )
        if cuda_graph and capturable:
            self.gradients = GraphedStep(self._gradients, self.network.parameters())

    def run(self) -> None:  # type: ignore[override]
        """Train."""
        if self.state.device.type == "cuda":
            # every step has the same shapes, so that trying cuDNN's algorithms once pays for the whole training
            torch.backends.cudnn.benchmark = True
        # worker processes are forked, and each page kept that is written again would be copied for them
        if self.state.device.type == "cpu" and not getattr(self.data_loader, "num_workers", 0):
            keep_freed_memory()
        super().run()

    def _iteration(self, engine: SupervisedTrainer, batchdata: dict[str, torch.Tensor]) -> dict:
        image, label = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking)
        engine.network.train()
        splits = self.auto_batch and isinstance(image, torch.Tensor)
        (prediction, loss), self._parts = in_parts(
            lambda parts: self._accumulated(image, label, parts),
            images=len(label),
            parts=self._parts if splits else 1,
            most=len(label) if splits else 1,
            advice="choose a smaller image_size, or a larger device"
            if splits
            else "give a smaller --batch_size, or --auto_batch True to halve what is computed at once until it fits",
        )
        engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.PRED: prediction, Keys.LOSS: loss}
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        self._update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def _update(self) -> None:
        # without float16 the scaler does nothing and its scale is always 1
        self.grad_scaler.unscale_(self.optimizer)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        scale = self.grad_scaler.get_scale()
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        if self.grad_scaler.get_scale() >= scale:  # it falls where the step was left out
            self.fire_event(StepEvents.WEIGHTS_UPDATED)

    def _accumulated(self, image: Any, label: Any, parts: int) -> tuple[Any, torch.Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        if parts == 1:
            return self.gradients(image, label)
        predictions, losses = [], []
        for images, labels in zip(image.tensor_split(parts), label.tensor_split(parts), strict=True):
            prediction, loss = self._gradients(images, labels, share=len(images) / len(image))
            predictions.append(prediction)
            losses.append(loss)
        return joined(predictions), torch.stack(losses).sum()

    def _gradients(
        self, image: torch.Tensor, label: torch.Tensor, share: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with autocast(self.state.device, self.half):
            prediction = self.inferer(image, self.network)
            loss = self.loss_function(prediction, label)
        if share < 1:
            loss = loss * share
        self.grad_scaler.scale(loss).backward()
        return prediction, loss.detach()


class Evaluator(SupervisedEvaluator):
    """A :class:`monai.engines.SupervisedEvaluator` with autocast on any device.

    Of several processes, all evaluate the first one's network, which is the one that is saved: batch-norm
    statistics differ between them after a training step. A batch that the device's memory cannot take is gone
    through in parts, which changes nothing in the result.

    Args:
        amp: run the forward pass under autocast, see :func:`half_dtype`; predictions come back as float32.
        **kwargs: the arguments of :class:`monai.engines.SupervisedEvaluator`.
    """

    def __init__(self, amp: bool | str | None = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.half = half_dtype(amp, self.state.device)
        self._parts = 1

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
            autocast(engine.state.device, self.half),
        ):
            prediction = self.in_parts(image, lambda part: engine.inferer(part, engine.network)).float()
        engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.PRED: prediction}
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def in_parts(self, image: Any, infer: Callable[[Any], Any]) -> Any:
        """What ``infer`` gives for a batch, in as many parts as the device's memory asks for."""
        images = len(image) if isinstance(image, torch.Tensor) else 1
        result, self._parts = in_parts(
            lambda parts: joined(
                [infer(part) for part in ([image] if parts == 1 else image.tensor_split(parts))]
            ),
            images=images,
            parts=min(self._parts, images),
            most=images,
            advice="choose a smaller image_size, or a larger device",
        )
        return result

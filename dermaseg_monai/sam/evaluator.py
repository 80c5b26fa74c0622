"""Evaluator of prompted photos, each brought back to its own size."""

from __future__ import annotations

from typing import Any

from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys

from dermaseg_monai.engines import PhotoEvaluator
from dermaseg_monai.sam.prompt import input_prompts
from dermaseg_monai.utils.precision import autocast


class PromptEvaluator(PhotoEvaluator):
    """A :class:`~dermaseg_monai.engines.PhotoEvaluator` that hands each photo's prompts to the network.

    The inferer is called with the images, the network and a list of prompts for each image, which
    :class:`~dermaseg_monai.sam.sources.Promptd` gave the photos; ``SimpleInferer`` passes them on.

    Args:
        **kwargs: the arguments of :class:`~dermaseg_monai.engines.PhotoEvaluator`.
    """

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict:
        image = batchdata[Keys.IMAGE].to(engine.state.device, non_blocking=engine.non_blocking)
        prompts = [input_prompts(item[Keys.IMAGE]) for item in batchdata["items"]]
        with (
            engine.mode(engine.network),
            autocast(engine.state.device, self.half),
        ):
            logits = engine.inferer(image, engine.network, prompts).float().cpu()
        engine.state.batch = [
            {**item, Keys.PRED: pred} for item, pred in zip(batchdata["items"], logits, strict=True)
        ]
        engine.state.output = {}
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

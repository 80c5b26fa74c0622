"""Evaluator of photos, each brought back to its own size."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from typing import Any

from monai.engines.utils import IterationEvents
from monai.transforms import Compose, apply_transform
from monai.utils.enums import CommonKeys as Keys

from dermaseg_monai.engines.malloc import keep_freed_memory
from dermaseg_monai.engines.trainer import Evaluator
from dermaseg_monai.inferers.maps import predict_maps
from dermaseg_monai.transforms.restore_mask import fuse_restoring
from dermaseg_monai.utils.errors import OutputError, find_input_error
from dermaseg_monai.utils.precision import exact_float32


class PhotoEvaluator(Evaluator):
    """An evaluator over a :class:`dermaseg_monai.data.photos.PhotoLoader`.

    The network sees whole batches; post-processing sees one photo's dictionary at a time, which holds what
    preprocessing left there and ``pred``, the logits ``(C, h, w)``; where the inferer returns a dictionary, its
    other entries stand beside them under their own names. Photos of a batch are post-processed in threads side by
    side, in memory that is kept (:func:`keep_freed_memory`). Without autocast all is float32, on any device
    (:func:`exact_float32`). After each step ``engine.state.batch`` is the list of these dictionaries.

    Args:
        **kwargs: the arguments of :class:`Evaluator`; metrics and handlers read the list in
            ``engine.state.batch``.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._pool = ThreadPoolExecutor(os.cpu_count())
        super().__init__(decollate=False, **kwargs)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Go through all photos.

        Args:
            global_epoch: has no meaning here.
        """
        keep_freed_memory()
        with exact_float32() if self.half is None else nullcontext():
            super().run(global_epoch)

    def _register_postprocessing(self, posttrans: Callable) -> None:
        if isinstance(posttrans, Compose):
            posttrans = fuse_restoring(posttrans)

        def apply(item: dict[str, Any]) -> Any:
            try:
                return apply_transform(posttrans, item)
            except Exception as error:
                reason = find_input_error(error)
                if reason is None or isinstance(reason, OutputError):
                    raise
                loader: Any = self.data_loader
                loader.leave_out(item["id"], item[Keys.IMAGE].meta["filename_or_obj"], reason)
                return None

        def postprocess(engine: Any) -> None:
            futures = [self._pool.submit(apply, item) for item in engine.state.batch]
            wait(futures)  # so that nobody still writes files when an error of another photo ends the run
            results = [future.result() for future in futures]
            engine.state.batch = [item for item in results if item is not None]

        self.add_event_handler(IterationEvents.MODEL_COMPLETED, postprocess)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict:
        image = batchdata[Keys.IMAGE].to(engine.state.device, non_blocking=engine.non_blocking)
        with engine.mode(engine.network):
            maps = self.in_parts(
                image, lambda part: predict_maps(part, engine.network, engine.inferer, self.half)
            )
        engine.state.batch = [
            {**item, **{name: values[index] for name, values in maps.items()}}
            for index, item in enumerate(batchdata["items"])
        ]
        engine.state.output = {}
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

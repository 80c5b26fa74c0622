"""A bundle's probabilities at the photos' own size, beside their given masks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.transforms import Compose

from dermaseg_monai.bundle.folder import BundleFolder, check_reserved
from dermaseg_monai.transforms import ForegroundProbabilityd, LoadMaskd, RestoreSized
from dermaseg_monai.utils.tensors import plain


class PhotoProbabilities:
    """A bundle's inference, up to where probabilities would become masks.

    Args:
        bundle: name in the catalogue, or a bundle's folder.
        **overrides: ids of its inference.json, such as ``device`` and ``ckpt_dir``; ``amp`` is off unless it is given.

    Attributes:
        ckpt_dir: folder of its weights.
        task: "lesion" or "attribute".

    Raises:
        InputError: the bundle is unknown, has no weights or no such id, or takes prompts.
    """

    def __init__(self, bundle: str | os.PathLike[str], **overrides: Any) -> None:
        check_reserved(overrides)
        folder = BundleFolder.find(bundle)
        folder.check_unprompted()
        self._parser = folder.parser(**{"amp": False, **folder.check(overrides)})
        self.ckpt_dir = Path(self._parser.get_parsed_content("ckpt_dir"))
        self.task = folder.task

    def visit(
        self,
        items: Sequence[Mapping[str, Any]],
        look: Callable[[Mapping[str, Any]], None],
        masks: bool = True,
    ) -> None:
        """Segment photos, and show each to ``look``.

        Args:
            items: of :func:`dermaseg_monai.data.load_datalist`.
            look: called with a photo's ``id``, ``features`` (C,) where the network has any and, with ``masks``, its
                probabilities ``pred`` and given masks ``label``, both (C, H, W) at the mask's own size.
            masks: whether probabilities and masks are wanted beside the features.
        """
        attributes = self._parser.get_parsed_content("attributes") if self.task == "attribute" else None
        steps = (
            ForegroundProbabilityd("pred", self._parser.get_parsed_content("mode")),
            RestoreSized("pred", ref="image"),
            LoadMaskd("label", attributes=attributes, size_of="image"),
        )
        shown = ("features", "pred", "label") if masks else ("features",)
        self._parser["dataset"]["data"] = list(items)
        self._parser["postprocessing"] = Compose(steps if masks else ())
        self._parser["handlers"] = []
        self._parser.parse()
        evaluator = self._parser.get_parsed_content("evaluator")

        @evaluator.on(Events.ITERATION_COMPLETED)
        def collect(engine: Any) -> None:
            for item in engine.state.batch:
                tensors = {name: plain(item[name]) for name in shown if name in item}
                look({"id": item["id"], **tensors})

        evaluator.run()

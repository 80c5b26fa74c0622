"""Pictures of a finished training: its curves, and its best, median and worst cases."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Events

from dermaseg_monai.bundle.weights import load_weights
from dermaseg_monai.metrics import confusion_counts, dice, prediction_masks
from dermaseg_monai.transforms import IMAGENET_MEAN, IMAGENET_STD, denormalise_photo
from dermaseg_monai.utils.distributed import rank, unwrapped
from dermaseg_monai.utils.files import stem_of
from dermaseg_monai.visualize.attributes import AttributeCase, draw_attribute_panel
from dermaseg_monai.visualize.curves import plot_curves
from dermaseg_monai.visualize.panels import Case, draw_panel, spread


class TrainingReport:
    """Ignite handler that draws ``curves.png`` and ``panel.png`` into ``output_dir`` once a training ends.

    The panel shows validation images, at the network's size, segmented with the best weights; of several
    processes, the first draws those of its share.

    Args:
        ckpt_dir: folder of ``model.pt``.
        output_dir: folder of what the run writes.
        validator: the evaluator of the training; its loader, network and inferer are used.
        mode: "binary", "two_class" or "multilabel".
        attributes: names of the channels in mode "multilabel"; the panel then shows images that have any.
        mean: of each colour, that the photos were normalised by.
        std: of each colour, that the photos were normalised by.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        output_dir: str | os.PathLike[str],
        validator: Any,
        mode: str = "binary",
        attributes: Sequence[str] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        self.weights = Path(ckpt_dir) / "model.pt"
        self.output_dir = Path(output_dir)
        self.validator = validator
        self.mode = mode
        self.attributes = attributes
        self.mean, self.std = mean, std

    def attach(self, engine: Any) -> None:
        """Register with the trainer, before :class:`dermaseg_monai.handlers.ResumableCheckpoint`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Draw both pictures."""
        if rank() != 0:
            return
        plot_curves(pd.DataFrame(engine.state.history), self.output_dir / "curves.png")
        if self.weights.is_file():
            self._draw_cases(engine.state.device)

    @torch.no_grad()
    def _draw_cases(self, device: torch.device) -> None:
        network = load_weights(copy.deepcopy(unwrapped(self.validator.network)), self.weights).eval()
        loader = self.validator.data_loader
        masks: list[np.ndarray] = []
        scores: list[float] = []
        shown: list[int] = []
        for batch in loader:
            label = batch["label"].to(device)
            mask = prediction_masks(self.validator.inferer(batch["image"].to(device), network), self.mode)
            if self.attributes is not None:
                present = label.flatten(1).any(dim=1).nonzero()[:, 0] + len(scores)
                shown += present.tolist()
            scores += dice(confusion_counts(mask, label).sum(dim=1)).tolist()
            masks.append(mask.cpu().numpy())
        predictions = np.concatenate(masks)
        shown = shown or list(range(len(scores)))
        chosen = {shown[rank]: kind for kind, rank in spread([scores[index] for index in shown])}
        cases = {}
        # a second pass finds the few photos to draw, rather than all being kept in memory
        for start, batch in zip(range(0, len(scores), loader.batch_size), loader, strict=False):
            for index in chosen.keys() & set(range(start, start + len(batch["image"]))):
                # one of several processes has only its share of the items, and their numbers in the batch
                number = int(batch["index"][index - start]) if "index" in batch else index
                name = stem_of(loader.dataset.data[number]["image"])
                photo = denormalise_photo(batch["image"][index - start], self.mean, self.std)
                image = photo.permute(1, 2, 0).cpu().numpy()
                truth = np.asarray(batch["label"][index - start].cpu().numpy() > 0)
                title = f"{chosen[index]}: {name}, Dice {scores[index]:.3f}"
                cases[index] = (title, np.asarray(image), truth, predictions[index])
        path = self.output_dir / "panel.png"
        if self.attributes is None:
            draw_panel(
                [Case(*cases[index][:2], cases[index][2][0], cases[index][3][0]) for index in chosen], path
            )
        else:
            draw_attribute_panel([AttributeCase(*cases[index]) for index in chosen], path)

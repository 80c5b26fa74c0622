"""Best weights, and a training state that survives a kill."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from dermaseg_monai.distributed import rank, unwrapped
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import atomic_path

logger = logging.getLogger(__name__)


class TrainingState:
    """Ignite handler that writes the best weights and resumes an interrupted training.

    After each epoch ``last.pt`` takes everything that the next epoch depends on; where the validator saw its
    best key metric, ``model.pt`` takes the validated network's weights (a plain state dict). A training that
    finds ``last.pt`` goes on after the epoch stored there; the file is removed once a training is complete,
    so that the next one starts afresh. Both files are written under a temporary name and renamed.

    Args:
        ckpt_dir: folder of ``model.pt`` and ``last.pt``.
        validator: the evaluator whose key metric chooses the weights; its network is the one that is saved.
        state: what to store besides the epoch, by name: objects with ``state_dict`` and ``load_state_dict``
            (network, optimizer, lr_scheduler, average); entries that are None are left out.
        resume: take up ``last.pt`` where there is one.

    Raises:
        InputError: ``resume`` is no bool; at the start of the run, where ``last.pt`` is unreadable or was
            written by another network or optimizer.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        validator: Any,
        state: Mapping[str, Any],
        resume: bool = True,
    ) -> None:
        if not isinstance(resume, bool):  # MONAI's command line gives "false" as text, which counts as true
            raise InputError(f"resume is {resume!r}; write True or False.")
        self.best = Path(ckpt_dir) / "model.pt"
        self.last = Path(ckpt_dir) / "last.pt"
        self.validator = validator
        # out of any DistributedDataParallel, so that a run may go on with another number of processes
        self.state = {
            name: unwrapped(entry) if isinstance(entry, torch.nn.Module) else entry
            for name, entry in state.items()
            if entry is not None
        }
        self.resume = resume

    def attach(self, engine: Any) -> None:
        """Register with the trainer, after :class:`Progress` and all else that changes the state."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def load(self, engine: Any) -> None:
        """Take up the stored state, if there is one."""
        if not self.last.is_file():
            return
        if not self.resume:
            logger.info("starting afresh: %s is left unread and will be replaced", self.last)
            return
        try:
            stored = torch.load(self.last, map_location=engine.state.device, weights_only=True)
            for name, entry in self.state.items():
                entry.load_state_dict(stored["state"][name])
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"{self.last} does not fit this training ({reason}); delete it, or pass --resume False to "
                "start afresh."
            ) from error
        engine.state.history = stored["history"]
        engine.state.epoch = stored["epoch"]
        engine.state.iteration = stored["epoch"] * engine.state.epoch_length
        self.validator.state.best_metric = stored["best_metric"]
        self.validator.state.best_metric_epoch = stored["best_metric_epoch"]
        logger.info(
            "resuming after epoch %d of %d from %s", stored["epoch"], engine.state.max_epochs, self.last
        )

    def save(self, engine: Any) -> None:
        """Write the state of the epoch that ended, and the weights where they are the best so far."""
        if rank() != 0:
            return
        if self.validator.state.best_metric_epoch == engine.state.epoch:
            _write(unwrapped(self.validator.network).state_dict(), self.best)
        _write(
            {
                "epoch": engine.state.epoch,
                "history": engine.state.history,
                "best_metric": float(self.validator.state.best_metric),
                "best_metric_epoch": self.validator.state.best_metric_epoch,
                "state": {name: entry.state_dict() for name, entry in self.state.items()},
            },
            self.last,
        )

    def finish(self, engine: Any) -> None:
        """Remove the training state of a run that is complete."""
        if rank() == 0 and engine.state.epoch >= engine.state.max_epochs:
            self.last.unlink(missing_ok=True)


def load_weights(network: torch.nn.Module, path: str | os.PathLike[str]) -> torch.nn.Module:
    """Load a bundle's weights into its network.

    Args:
        network: the network as its config builds it.
        path: a state dict written by :class:`TrainingState`, in single or half precision.

    Returns:
        ``network``, with the weights of ``path``.

    Raises:
        InputError: the file is missing, not a file of weights, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"there are no weights at {path}; train the bundle first or point --ckpt_dir at its model.pt."
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} is not a file of weights ({type(error).__name__}); download or train it again."
        ) from error
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(
            f"the weights in {path} are of another network than the config's: {detail}"
        ) from error
    return network


def _write(content: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(content, temporary)

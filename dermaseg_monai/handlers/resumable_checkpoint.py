"""Checkpoints of a training: its best weights, and a state that survives a kill."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from dermaseg_monai.utils.distributed import rank, unwrapped
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_path, sweep
from dermaseg_monai.utils.fingerprint import describe
from dermaseg_monai.utils.flags import is_on

logger = logging.getLogger(__name__)


class ResumableCheckpoint:
    """Ignite handler that writes the best weights and resumes an interrupted training.

    After each epoch ``last.pt`` takes everything that the next epoch depends on, the trainer's gradient scaler
    included; where the validator saw its best key metric, ``model.pt`` takes the validated network's weights (a
    plain state dict). A training that finds ``last.pt`` goes on after the epoch stored there; the file is removed
    once a training is complete, so that the next one starts afresh. Both files are written under a temporary name
    and renamed.

    Args:
        ckpt_dir: folder of ``model.pt`` and ``last.pt``.
        validator: the evaluator whose key metric chooses the weights; its network is the one that is saved.
        state: what to store besides the epoch, by name: objects with ``state_dict`` and ``load_state_dict``
            (network, optimizer, lr_scheduler, average); entries that are None are left out.
        resume: take up ``last.pt`` where there is one; also as a word, see :func:`dermaseg_monai.utils.flags.is_on`.
        settings: by config id, what must be as it was when ``last.pt`` was written, since the stored state
            would bring the earlier one back: schedule, loss, data. ``max_epochs`` alone may change where the
            schedule does not depend on it.

    Raises:
        InputError: ``resume`` is neither on nor off; at the start of the run, ``last.pt`` is unreadable, or was
            written by another network or optimizer, or with other settings.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        validator: Any,
        state: Mapping[str, Any],
        resume: bool | str = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.best = Path(ckpt_dir) / "model.pt"
        self.last = Path(ckpt_dir) / "last.pt"
        self.validator = validator
        # out of any DistributedDataParallel, so that a run may go on with another number of processes
        self.state = {
            name: unwrapped(entry) if isinstance(entry, torch.nn.Module) else entry
            for name, entry in state.items()
            if entry is not None
        }
        self.resume = is_on(resume)
        # now, since objects among them change with the training
        self.settings = {name: _fingerprint(value) for name, value in (settings or {}).items()}

    def attach(self, engine: Any) -> None:
        """Register with the trainer, after :class:`TrainingLog` and all else that changes the state.

        What is done once a training is complete goes before it as well: while ``last.pt`` is there, a run that
        is killed meanwhile only has to be started again.
        """
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def load(self, engine: Any) -> None:
        """Take up the stored state, if there is one."""
        if rank() == 0:
            sweep(self.last.parent)
        if not self.last.is_file():
            return
        if not self.resume:
            logger.info("starting afresh: %s is left unread and will be replaced", self.last)
            return
        try:
            stored = torch.load(self.last, map_location=engine.state.device, weights_only=True)
            self._compare(stored["settings"])
            for name, entry in self.state.items():
                entry.load_state_dict(stored["state"][name])
            if stored["scaler"]:  # a run may go on in another precision than before
                engine.grad_scaler.load_state_dict(stored["scaler"])
        except InputError:
            raise
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
        if stored["epoch"] >= stored["max_epochs"]:
            # it was stopped early, and only its last report is missing
            engine.state.max_epochs = min(engine.state.max_epochs, stored["max_epochs"])
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
                "max_epochs": engine.state.max_epochs,
                "settings": self.settings,
                "best_metric": float(self.validator.state.best_metric),
                "best_metric_epoch": self.validator.state.best_metric_epoch,
                "state": {name: entry.state_dict() for name, entry in self.state.items()},
                "scaler": engine.grad_scaler.state_dict(),
            },
            self.last,
        )

    def finish(self, engine: Any) -> None:
        """Remove the training state of a run that is complete."""
        if rank() == 0 and engine.state.epoch >= engine.state.max_epochs:
            self.last.unlink(missing_ok=True)

    def _compare(self, stored: Mapping[str, str]) -> None:
        changed = {
            name: (stored.get(name), self.settings.get(name))
            for name in stored.keys() | self.settings.keys()
            if stored.get(name) != self.settings.get(name)
        }
        if "lr_scheduler" not in changed:
            changed.pop("max_epochs", None)
        if changed:
            differences = ", ".join(
                f"{name} (now {new}, then {old})" if _is_short(old) and _is_short(new) else name
                for name, (old, new) in sorted(changed.items())
            )
            raise InputError(
                f"{self.last} is of a training with another {differences}; give what it began with to go on, or pass "
                "--resume False or another --ckpt_dir to start afresh."
            )


_HASHED = "sha256:"


def _fingerprint(value: Any) -> str:
    text = json.dumps(describe(value), sort_keys=True)
    return text if len(text) <= 40 else _HASHED + hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_short(text: str | None) -> bool:
    return text is not None and not text.startswith(_HASHED)


def _write(content: Any, path: Path) -> None:
    # through a stream of Python's, so that a full disk is known behind PyTorch's own error
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        torch.save(content, stream)

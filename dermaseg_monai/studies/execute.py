"""Execution of one run: training, evaluation and its record."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermaseg_monai.studies.lock import LockedError, locked
from dermaseg_monai.studies.plan import Run, is_trained
from dermaseg_monai.studies.record import (
    environment,
    git_revision,
    now,
    read_history,
    read_record,
    write_record,
)
from dermaseg_monai.studies.time_limit import TimeLimit
from dermaseg_monai.utils.files import write_text

_LAST_LINES = 12
_CONFIGS = {
    "training": "configs/train.json",
    "evaluating": "['configs/train.json','configs/evaluate.json']",
}


@dataclass(frozen=True)
class Settings:
    """What is the same for every run of a batch, and no part of what it computes.

    Attributes:
        dataset_dir: prepared folder, or a list of them, as the command line takes it.
        device: such as ``cpu`` or ``cuda:1``; None for the config's own choice.
        environ: variables of the process that trains, besides the present ones.
        lock_wait: seconds to wait for a run that another process is at.
        limit: the time that there is for all runs; None for as long as they take.
    """

    dataset_dir: str
    device: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    lock_wait: float = 0.0
    limit: TimeLimit | None = None


class Children:
    """The processes of a batch, to be ended together."""

    def __init__(self) -> None:
        self.ended = False
        self._processes: set[subprocess.Popen] = set()
        self._guard = threading.Lock()

    def wait(self, command: list[str], seconds: float | None = None, **options: Any) -> int:
        """Run a command to its end, or kill it after ``seconds``; gives its exit status, below 0 for a signal's."""
        with self._guard:
            if self.ended:
                return -signal.SIGKILL
            # a session of its own: Ctrl-C is for the batch, which then ends the process as a whole
            process = subprocess.Popen(command, start_new_session=True, **options)
            self._processes.add(process)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()
        finally:
            with self._guard:
                self._processes.discard(process)

    def end(self) -> None:
        """Kill them all, and start no more; what they wrote is whole, since files are written in one step."""
        with self._guard:
            self.ended = True
            for process in self._processes:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def execute(run: Run, settings: Settings, children: Children | None = None) -> dict[str, Any]:
    """Bring a run to its end, from wherever it is.

    A run that is finished is left alone; a training goes on after its last finished epoch; one that is complete is
    only evaluated. What the commands say is added to ``logs/``.

    Args:
        run: what to do.
        settings: of the batch.
        children: where the batch keeps its processes.

    Returns:
        The run's record, its ``status`` being ``finished``, ``failed``, ``interrupted`` (the batch was ended, or the
        time was over), ``waiting`` (there is no time to start it, its ``error`` says why) or ``running`` (another
        process is at it).
    """
    children = children or Children()
    try:
        with locked(run.lock, settings.lock_wait) as descriptor:
            record = read_record(run.folder)
            if record.get("status") == "finished":
                return record
            refusal = settings.limit.refusal(run) if settings.limit else None
            if refusal:
                return {**record, "status": "waiting", "error": refusal}
            return _execute(run, settings, children, descriptor, record)
    except LockedError:
        return {**read_record(run.folder), "status": "running"}


def _execute(
    run: Run, settings: Settings, children: Children, lock: int, before: dict[str, Any]
) -> dict[str, Any]:
    if not before:  # what an earlier attempt has begun goes on with its own files
        for path, text in run.files().items():
            write_text(run.folder / path, text)
    started, limit = time.monotonic(), settings.limit
    arguments = ["--dataset_dir", settings.dataset_dir]
    if settings.device is not None:
        arguments += ["--device", f'$torch.device("{settings.device}")']
    commands = {
        name: ["monai.bundle", "run", name, "--config_file", config, *arguments]
        for name, config in _CONFIGS.items()
    }
    commands["evaluating"] += ["--output_dir", "evaluation"]
    if run.variant.weights is not None:
        del commands["training"]
        commands["evaluating"] += ["--ckpt_dir", str(Path(run.variant.weights).parent)]
    record = {
        "study": run.study.name,
        "variant": run.variant.name,
        "seed": run.seed,
        "bundle": run.variant.bundle,
        "overrides": run.overrides,
        "status": "running",
        "commands": [" ".join(map(_quoted, ["python", "-m", *command])) for command in commands.values()],
        "started": before.get("started") or now(),
        "finished": None,
        "minutes": before.get("minutes", 0.0),
        "device": settings.device or _device(),
        "environment": environment(),
        "git": git_revision(),
        "epochs": len(read_history(run.folder)),
        "error": None,
    }
    write_record(run.folder, record)
    if is_trained(run):
        commands.pop("training", None)
    code, log = 0, run.folder
    for name, command in commands.items():
        log = run.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as stream:
            begin = stream.tell()
            code = children.wait(
                [sys.executable, "-m", "dermaseg_monai.studies.child_process", *command],
                seconds=max(0.0, limit.left()) if limit else None,
                cwd=run.folder,
                env={**os.environ, **settings.environ},
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
            )
        if code != 0:
            break
    ended = children.ended or (limit is not None and limit.left() <= 0)
    status = "finished" if code == 0 else "interrupted" if ended else "failed"
    record |= {
        "status": status,
        "finished": now() if status == "finished" else None,
        "minutes": round(record["minutes"] + (time.monotonic() - started) / 60, 3),
        "epochs": len(read_history(run.folder)),
        "error": _last_lines(log, begin, code) if status == "failed" else None,
    }
    write_record(run.folder, record)
    return record


def _quoted(word: str) -> str:
    """A word for the shell, in double quotes where those read better."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _device() -> str:
    import torch

    from dermaseg_monai.utils.precision import default_device

    device = default_device()
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _last_lines(log: Path, begin: int, code: int) -> str:
    with log.open("rb") as stream:
        stream.seek(begin)
        lines = stream.read().decode("utf-8", "replace").splitlines()
    last = [line for line in lines if line.strip()][-_LAST_LINES:]
    return "\n".join([*last, f"ended by signal {-code}"] if code < 0 else last)

"""What a run still needs, and where it is executed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.studies import executors
from dermaseg_monai.studies.execute import Settings
from dermaseg_monai.studies.lock import LockedError, is_locked, locked
from dermaseg_monai.studies.plan import Run, is_trained, plan_runs
from dermaseg_monai.studies.record import write_record
from dermaseg_monai.studies.study_file import load_study
from tests.studies.tiny_study import write_file


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return plan_runs(load_study(write_file(tmp_path)), tmp_path, epochs=3)[0]


@pytest.mark.parametrize(
    ("files", "epochs", "trained"),
    [
        ((), 0, False),
        (("model.pt",), 1, False),  # killed between the first weights and the first state
        (("model.pt", "last.pt"), 2, False),
        (("model.pt", "last.pt"), 3, False),  # the trainer had not yet said it is done
        (("model.pt",), 3, True),
        (("model.pt",), 2, True),  # stopped early
    ],
)
def test_a_complete_training_is_told_from_a_killed_one(
    files: tuple[str, ...], epochs: int, trained: bool, run: Run
) -> None:
    for name in (*(f"models/{file}" for file in files), "output/history.csv"):
        (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).write_text("epoch,loss\n" + "".join(f"{i},0.5\n" for i in range(1, epochs + 1)))
    assert is_trained(run) is trained


def test_a_run_that_nobody_is_at_is_written_down_as_interrupted(run: Run) -> None:
    record = {"bundle": run.variant.bundle, "overrides": run.overrides, "status": "running"}
    write_record(run.folder, record)
    with locked(run.lock):
        run.settle()
        assert run.status() == "running"
        with pytest.raises(LockedError), locked(run.lock):
            pass
    assert not is_locked(run.lock)
    run.settle()
    assert run.status() == "interrupted"


@pytest.mark.parametrize("on_each", [1, 3])
def test_runs_have_their_places_on_each_gpu(run: Run, on_each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    all_at_once = threading.Barrier(2 * on_each, timeout=60)
    used: list[str] = []

    def execute(run: Run, settings: Settings, children: Any) -> dict[str, Any]:
        used.append(settings.environ["CUDA_VISIBLE_DEVICES"])
        all_at_once.wait()
        return {"status": "finished"}

    monkeypatch.setattr(executors, "execute", execute)
    share = None if on_each == 1 else 1 / on_each
    ended = list(executors.run_locally([run] * 4 * on_each, Settings("data"), gpus=share))
    assert [record["status"] for _, record in ended] == ["finished"] * 4 * on_each
    assert sorted(used) == ["4"] * 2 * on_each + ["6"] * 2 * on_each


@pytest.mark.parametrize(
    ("device", "cpus", "gpus", "environments"),
    [
        ("cpu", None, 0.25, [{}]),
        ("cpu", 2, None, [{"OMP_NUM_THREADS": "2"}] * 8),
        ("cpu", 0.5, None, [{"OMP_NUM_THREADS": "1"}] * 32),
        ("cpu", 40, None, [{"OMP_NUM_THREADS": "40"}]),
        ("cuda:0", None, 0.25, [{}] * 4),
        ("cuda:0", 2, 1 / 8, [{"OMP_NUM_THREADS": "2"}] * 8),
        ("cuda:0", 8, 1 / 8, [{"OMP_NUM_THREADS": "8"}] * 2),  # as many as the processors allow
    ],
)
def test_places_of_sixteen_processors(
    device: str,
    cpus: float | None,
    gpus: float | None,
    environments: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "_processors", lambda: 16)
    assert executors.environments(device, cpus, gpus) == environments

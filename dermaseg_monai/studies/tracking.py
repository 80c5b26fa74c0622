"""Runs in MLflow: one experiment a study."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dermaseg_monai.studies.plan import Run
from dermaseg_monai.studies.record import read_history, read_record
from dermaseg_monai.utils.errors import InputError


class MLflowTracking:
    """Writes what run folders hold to an MLflow server, or to a SQLite file beside them.

    The folders stay the source: a run is written once it has ended, and one that is there already (the same folder,
    started at the same time, with the same status) is left alone, so that writing again does no harm.

    Args:
        runs_dir: folder of all studies' run folders; ``mlflow.db`` there is used unless MLFLOW_TRACKING_URI names a
            server.

    Raises:
        InputError: MLflow is not installed.
    """

    def __init__(self, runs_dir: Path) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise InputError('MLflow is not installed; run pip install "dermaseg-monai[tracking]".') from None
        runs_dir.mkdir(parents=True, exist_ok=True)
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs_dir.absolute()}/mlflow.db"
        self.artifacts = (runs_dir.absolute() / "mlflow_artifacts").as_uri()
        self.client = MlflowClient(tracking_uri=self.uri)

    def write(self, run: Run) -> None:
        """Write a run that has ended: parameters, a point per epoch and metric, the scores of the evaluation."""
        from mlflow.entities import Metric, Param, RunTag

        record = read_record(run.folder)
        if record.get("status") not in ("finished", "failed"):
            return
        experiment = self._experiment(run.study.name)
        tags = {
            "run_folder": str(run.folder),
            "run_started": record["started"],
            "run_status": record["status"],
            "variant": run.variant.name,
            "seed": str(run.seed),
            "git": record["git"] or "",
        }
        same = " and ".join(
            f"tags.{name} = '{tags[name]}'" for name in ("run_folder", "run_started", "run_status")
        )
        if self.client.search_runs([experiment], filter_string=same, max_results=1):
            return
        written = self.client.create_run(experiment, run_name=f"{run.variant.name}/seed{run.seed}")
        params = {"bundle": run.variant.bundle, "seed": run.seed, **run.overrides}
        metrics = [
            Metric(name, value, timestamp=0, step=int(row["epoch"]))
            for row in read_history(run.folder)
            for name, value in row.items()
            if name != "epoch"
        ]
        metrics += [Metric(f"test_{name}", value, 0, 0) for name, value in _scores(run.folder).items()]
        self._log(
            written.info.run_id,
            metrics,
            [Param(_allowed(name), _text(value)) for name, value in params.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )
        state = "FINISHED" if record["status"] == "finished" else "FAILED"
        self.client.set_terminated(written.info.run_id, status=state)

    def _experiment(self, name: str) -> str:
        experiment = self.client.get_experiment_by_name(name)
        return (
            experiment.experiment_id
            if experiment
            else self.client.create_experiment(name, f"{self.artifacts}/{name}")
        )

    def _log(self, run_id: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        for begin in range(0, len(metrics), 1000):  # a batch may hold no more
            self.client.log_batch(run_id, metrics=metrics[begin : begin + 1000])
        for begin in range(0, len(params), 100):
            self.client.log_batch(run_id, params=params[begin : begin + 100])
        # last, so that a run which lacks something is not taken for complete
        self.client.log_batch(run_id, tags=tags)


def _scores(folder: Path) -> dict[str, float]:
    path = folder / "evaluation" / "summary.json"
    if not path.is_file():
        return {}
    summary = json.loads(path.read_text(encoding="utf-8"))
    if "metrics" in summary:
        return {name: entry["mean"] for name, entry in summary["metrics"].items()}
    return {
        f"{average}_{name}": value
        for average in ("micro", "macro")
        for name, value in summary[average].items()
        if value is not None
    }


def _allowed(name: str) -> str:
    """MLflow's names have no ``#``."""
    return name.replace("#", ".")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

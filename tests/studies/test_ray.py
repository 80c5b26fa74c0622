"""A batch and a bulk prediction on a real Ray cluster of two nodes, one of which is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dermaseg_monai.inference.predict import predict
from dermaseg_monai.inference.shards import predict_on_ray
from dermaseg_monai.studies.record import read_history, read_record
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_dataset, write_discs
from tests.studies.tiny_study import command, start, wait_until, write_file

ray = pytest.importorskip("ray")
EPOCHS = 40


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs nothing, for the driver, and two nodes of one processor each."""
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80_000_000}
    # beside other tests, nice workers would hardly get anywhere
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": {"worker_niceness": 0}, **store}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, **store)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_killed_node_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    dataset, output = write_dataset(tmp_path / "discs"), tmp_path / "runs"
    words = ["--epochs", EPOCHS, "--executor", "ray", "--ray_address", cluster.address]
    process = start(command(write_file(tmp_path), dataset, output, *words))
    folders = [output / "small" / name / "seed0" for name in ("plain", "tversky")]
    trainings: dict[Path, int] = {}

    def all_stand_still() -> bool:
        """Stop each training that has an epoch to go on from: it would be over before Ray misses its node."""
        for folder in folders:
            if folder not in trainings and (folder / "models" / "last.pt").is_file():
                trainings[folder] = _training(folder)
                os.kill(trainings[folder], signal.SIGSTOP)
        return len(trainings) == len(folders)

    try:
        wait_until(all_stand_still, process)
        before = [len(read_history(folder)) for folder in folders]
        workers = {training: _parent(training) for training in trainings.values()}
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        wait_until(lambda: any(_parent(training) != worker for training, worker in workers.items()), process)
        for training in workers:
            with suppress(ProcessLookupError):  # Ray's worker may take it along
                os.kill(training, signal.SIGCONT)
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        printed = process.communicate(timeout=500)[0]
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert max(before) < EPOCHS, "a training was stopped too late to prove anything"
    resumed = 0
    for folder in folders:
        record = read_record(folder)
        assert record["status"] == "finished", printed
        assert [row["epoch"] for row in read_history(folder)] == list(range(1, EPOCHS + 1))
        log = (folder / "logs" / "training.log").read_text()
        assert log.count(": loss ") <= EPOCHS + 1  # the epoch at hand, at most, was trained twice
        resumed += log.count("resuming after epoch")
    assert resumed == 1


def _training(folder: Path) -> int:
    """The process that trains in a run's folder."""
    (process,) = (int(cwd.parent.name) for cwd in Path("/proc").glob("[0-9]*/cwd") if _leads_to(cwd, folder))
    return process


def _leads_to(link: Path, folder: Path) -> bool:
    try:
        return link.samefile(folder)
    except OSError:  # the process has ended, or is not ours
        return False


def _parent(process: int) -> int | None:
    """The process that another one was started by, or was given to when that one ended; None once it has ended."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return None


def test_bulk_prediction_equals_a_plain_one(cluster: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_discs(photos, 7)
    (photos / "disc_9.png").write_bytes(b"no photo")
    size = {"image_size": [64, 64], "device": "$torch.device('cpu')"}
    plain = predict(photos, tmp_path / "plain", **size)
    bulk = predict_on_ray(photos, tmp_path / "bulk", address=cluster.address, shard_size=3, **size)
    pd.testing.assert_frame_equal(bulk, plain)
    written = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.*"))
    assert len([path for path in written if path.name.endswith("_segmentation.png")]) == 7
    for path in written:
        assert (tmp_path / "bulk" / path).read_bytes() == (tmp_path / "plain" / path).read_bytes(), path
    assert not (tmp_path / "bulk" / ".shards").exists()


def test_no_cluster_is_said_in_a_sentence(tmp_path: Path) -> None:
    write_discs(tmp_path / "photos", 1)
    with pytest.raises(InputError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        predict_on_ray(tmp_path / "photos", tmp_path / "out", address="127.0.0.1:1")

"""Executors of a batch's runs: this machine, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from itertools import cycle, islice
from queue import SimpleQueue
from typing import Any

from dermaseg_monai.studies.execute import Children, Settings, execute
from dermaseg_monai.studies.plan import Run
from dermaseg_monai.studies.record import read_record

# a lost node's training holds its lock until it notices that its parent is gone, and a retry must outwait that
_LOCK_WAIT_S = 120.0

# after its time limit, what a cluster has to say that the runs have ended
_LAST_WORDS_S = 15.0

Outcome = tuple[Run, dict[str, Any]]


def run_locally(
    runs: Sequence[Run], settings: Settings, cpus: float | None = None, gpus: float | None = None
) -> Iterator[Outcome]:
    """Execute runs on this machine, as many at once as it has environments for.

    Args:
        runs: what to do, in this order.
        settings: of the batch.
        cpus: processors that a run takes, see :func:`environments`.
        gpus: share of a GPU that a run takes.

    Yields:
        Each run with its record, as it ends. Where the caller is interrupted, so are the runs at hand.
    """
    free: SimpleQueue[dict[str, str]] = SimpleQueue()
    environs = environments(settings.device, cpus, gpus)
    for environ in environs:
        free.put(environ)
    children = Children()

    def work(run: Run) -> dict[str, Any]:
        environ = free.get()
        try:
            return execute(run, replace(settings, environ=environ), children)
        finally:
            free.put(environ)

    with ThreadPoolExecutor(len(environs)) as pool:
        try:
            waiting = {pool.submit(work, run): run for run in runs}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise


def run_on_ray(
    runs: Sequence[Run], settings: Settings, address: str | None, cpus: float | None, gpus: float | None
) -> Iterator[Outcome]:
    """Execute runs on a Ray cluster whose nodes all see the dataset and the folder of the runs.

    A run whose worker or node is lost is taken up by another after its last finished epoch.

    Args:
        runs: what to do.
        settings: of the batch.
        address: of the cluster; None for this machine.
        cpus: processors that a run takes; None for one.
        gpus: share of a GPU that a run takes; None for a whole one where the cluster has any.

    Yields:
        Each run with its record, as it ends.
    """
    from dermaseg_monai.utils.ray_cluster import connected, on_ray

    with connected(address) as ray:
        if gpus is None:
            gpus = 1.0 if settings.device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
        calls = [(run, replace(settings, lock_wait=_LOCK_WAIT_S)) for run in runs]
        end = settings.limit.end + _LAST_WORDS_S if settings.limit else None
        left = dict(enumerate(runs))
        for index, result in on_ray(ray, execute, calls, cpus or 1.0, gpus, end):
            if isinstance(result, BaseException):
                result = {"status": "failed", "error": f"{type(result).__name__}: {result}"}
            yield left.pop(index), result
        for run in left.values():  # the cluster had no place for them, or lost them
            status = "interrupted" if read_record(run.folder) else "waiting"
            yield run, {"status": status, "error": "the time is over"}


def environments(
    device: str | None, cpus: float | None = None, gpus: float | None = None
) -> list[dict[str, str]]:
    """For each run that this machine takes at once, its environment, which shows it its GPU and no other.

    Args:
        device: the one that all runs are to use, such as ``cpu`` or ``cuda:1``; None for every GPU.
        cpus: processors that a run takes, as many as its threads; None for all of them on the CPU, and for any number
            beside a GPU.
        gpus: share of a GPU that a run takes, above 0 and up to 1; None for a whole one.
    """
    gpu_environs = [{}] if device is not None else _gpus() or [{}]
    on_gpu = gpu_environs != [{}] or (device or "").startswith("cuda")
    by_gpu = len(gpu_environs) * int(1 / (gpus or 1) + 1e-9) if on_gpu else None
    if cpus is None:
        return list(islice(cycle(gpu_environs), by_gpu or 1))
    by_cpu = max(1, int(_processors() / cpus + 1e-9))
    threads = {"OMP_NUM_THREADS": str(max(1, int(cpus)))}
    return [threads | environ for environ in islice(cycle(gpu_environs), min(by_gpu or by_cpu, by_cpu))]


def _processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # fewer than there are, under Slurm and in containers
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[dict[str, str]]:
    """For each GPU, the environment that shows no other."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[: torch.cuda.device_count()]]

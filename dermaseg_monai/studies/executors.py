"""Where a batch's runs are executed: on this machine, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from dermaseg_monai.studies.execute import Children, Settings, execute
from dermaseg_monai.studies.plan import Run

# a lost node's training holds its lock until its leash is noticed, and a retry must outwait that
_LOCK_WAIT_S = 120.0

Outcome = tuple[Run, dict[str, Any]]


def run_locally(runs: Sequence[Run], settings: Settings, share: float | None = None) -> Iterator[Outcome]:
    """Execute runs on this machine, as many at once as it has places.

    Args:
        runs: what to do, in this order.
        settings: of the batch.
        share: of a GPU that a run takes; None for a whole one.

    Yields:
        Each run with its record, as it ends. Where the caller is interrupted, so are the runs at hand.
    """
    free: SimpleQueue[dict[str, str]] = SimpleQueue()
    environs = places(settings.device, share)
    for environ in environs:
        free.put(environ)
    children = Children()

    def work(run: Run) -> dict[str, Any]:
        place = free.get()
        try:
            return execute(run, replace(settings, environ=place), children)
        finally:
            free.put(place)

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
    runs: Sequence[Run], settings: Settings, address: str | None, cpus: float, gpus: float | None
) -> Iterator[Outcome]:
    """Execute runs on a Ray cluster whose nodes all see the dataset and the output folder.

    A run whose worker or node is lost is taken up by another after its last finished epoch.

    Args:
        runs: what to do.
        settings: of the batch.
        address: of the cluster; None for this machine.
        cpus: processors that a run takes.
        gpus: share of a GPU that a run takes; None for a whole one where the cluster has any.

    Yields:
        Each run with its record, as it ends.
    """
    from dermaseg_monai.cluster import connected, on_ray

    with connected(address) as ray:
        if gpus is None:
            gpus = 1.0 if settings.device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
        calls = [(run, replace(settings, lock_wait=_LOCK_WAIT_S)) for run in runs]
        for index, result in on_ray(ray, execute, calls, cpus, gpus):
            if isinstance(result, BaseException):
                result = {"status": "failed", "error": f"{type(result).__name__}: {result}"}
            yield runs[index], result


def places(device: str | None, share: float | None = None) -> list[dict[str, str]]:
    """For each run that this machine takes at once, the environment that shows it its GPU and no other.

    Args:
        device: the one that all runs are to use, such as ``cpu`` or ``cuda:1``; None for every GPU.
        share: of a GPU that a run takes, above 0 and up to 1; None for a whole one. The CPU takes one run.
    """
    found = [{}] if device is not None else _gpus() or [{}]
    on_gpu = found != [{}] or (device or "").startswith("cuda")
    return found * (int(1 / share + 1e-9) if on_gpu and share is not None else 1)


def _gpus() -> list[dict[str, str]]:
    """For each GPU, the environment that shows no other."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[: torch.cuda.device_count()]]

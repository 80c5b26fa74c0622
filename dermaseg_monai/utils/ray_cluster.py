"""A Ray cluster: one that is given, or this machine."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

RETRIES = 8
"""How often a task is started again whose worker or node was lost."""

_KNOCK_S = 20.0
_OBJECT_STORE_BYTES = 80_000_000  # tasks exchange a few kilobytes; this is about the least that Ray takes


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Join a Ray cluster, or start one on this machine, for the length of a block.

    Args:
        address: of the cluster's head, such as ``10.0.0.1:6379`` or ``ray://10.0.0.1:10001``; None for that of
            the environment variable RAY_ADDRESS or, without it, a cluster of this machine alone.

    Yields:
        The module ``ray``.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise InputError('Ray is not installed; run pip install "dermaseg-monai[ray]".') from None
    address = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address is None:
        options |= {"object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        if address is not None:
            _check_reachable(address)
        ray.init(address=address, **options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"there is no Ray cluster at {address} ({reason}); start one with `ray start`."
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def on_ray(
    ray: Any, function: Any, arguments: Sequence[tuple], cpus: float, gpus: float, end: float | None = None
) -> Iterator[Any]:
    """Call a function once for each of ``arguments``, somewhere in the cluster, and again where its node was lost.

    Args:
        ray: what :func:`connected` gave.
        function: importable on every node.
        arguments: positional arguments of each call.
        cpus: share of processors that one call takes.
        gpus: share of a GPU that one call takes, such as 0.5 for two calls on each.
        end: when to wait no more, in seconds since 1970, whatever is still under way; None for never.

    Yields:
        ``(index, result)`` in the order in which calls end; the result is the exception where a call raised one,
        or was lost more than ``RETRIES`` times.
    """
    task = ray.remote(max_retries=RETRIES, num_cpus=cpus, num_gpus=gpus, scheduling_strategy="SPREAD")(
        function
    )
    pending = {task.remote(*call): index for index, call in enumerate(arguments)}
    while pending:
        timeout = None if end is None else max(0.0, end - time.time())
        ended, _ = ray.wait(list(pending), num_returns=1, timeout=timeout)
        if not ended:
            return
        ended_task = ended[0]
        index = pending.pop(ended_task)
        try:
            yield index, ray.get(ended_task)
        except ray.exceptions.RayTaskError as error:
            yield index, error.cause
        except ray.exceptions.RayError as error:
            yield index, error


def _check_reachable(address: str) -> None:
    """Knock first: Ray itself waits for minutes where nobody listens."""
    match = re.fullmatch(r"(?:ray://)?(?P<host>[^/]+):(?P<port>\d+)", address)
    if match:  # others, such as "auto", Ray resolves itself
        with socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=_KNOCK_S):
            pass

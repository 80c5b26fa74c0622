"""Metrics for Prometheus, in its text format."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts of requests and photos, and how long answers took. Several threads may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._photos: Counter[tuple[str, str]] = Counter()
        self._seconds: list[int] = [0] * (len(_BUCKETS) + 1)
        self._total_seconds = 0.0

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count an answer of the interface."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds[sum(seconds > limit for limit in _BUCKETS)] += 1
            self._total_seconds += seconds

    def count_photo(self, bundle: str, outcome: str) -> None:
        """Count a photo: "segmented", "refined" or "refused"."""
        with self._lock:
            self._photos[bundle, outcome] += 1

    def text(self, waiting: int) -> str:
        """Everything, for Prometheus.

        Args:
            waiting: requests that are under way.
        """
        with self._lock:
            lines = _described("dermaseg_requests_total", "counter", "answers by path and status")
            lines += [
                f'dermaseg_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self._requests.items())
            ]
            lines += _described("dermaseg_photos_total", "counter", "photos by bundle and outcome")
            lines += [
                f'dermaseg_photos_total{{bundle="{_quoted(bundle)}",outcome="{outcome}"}} {count}'
                for (bundle, outcome), count in sorted(self._photos.items())
            ]
            lines += _described("dermaseg_request_seconds", "histogram", "seconds from request to answer")
            below = 0
            for limit, count in zip((*_BUCKETS, "+Inf"), self._seconds, strict=True):
                below += count
                lines.append(f'dermaseg_request_seconds_bucket{{le="{limit}"}} {below}')
            lines.append(f"dermaseg_request_seconds_sum {self._total_seconds:.6f}")
            lines.append(f"dermaseg_request_seconds_count {below}")
        lines += _described("dermaseg_requests_under_way", "gauge", "requests that run or wait")
        lines.append(f"dermaseg_requests_under_way {waiting}")
        memory = _resident_bytes()
        if memory is not None:
            lines += _described("process_resident_memory_bytes", "gauge", "memory in use")
            lines.append(f"process_resident_memory_bytes {memory}")
        return "\n".join(lines) + "\n"


def _described(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _resident_bytes() -> int | None:
    """What the process holds in memory; None where the system has no /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

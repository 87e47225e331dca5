"""What the node knows of itself: rates, drops, latency, the last error. Thread-safe; no ROS."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import numpy as np

WINDOW = 300  # frames that latency and rates look back on
RATE_SECONDS = 5.0
FAILURES_FOR_ERROR = 3  # in a row
OK, WARN, ERROR, STALE = 0, 1, 2, 3  # levels of diagnostic_msgs/DiagnosticStatus


class Health:
    """
    Counts what happens to frames.

    :param clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque(maxlen=WINDOW)
        self._departures: deque[float] = deque(maxlen=WINDOW)
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._dropped: Counter[str] = Counter()
        self._frames_in = self._frames_out = self._failures = 0
        self._valid_share = float('nan')
        self._last_error = ''

    def arrived(self) -> None:
        """Count an image that came in."""
        with self._lock:
            self._frames_in += 1
            self._arrivals.append(self._clock())

    def published(self, latency: float, valid_share: float) -> None:
        """Count a frame that went out; latency from its stamp to now [s]."""
        with self._lock:
            self._frames_out += 1
            self._failures = 0
            self._departures.append(self._clock())
            self._latencies.append(latency)
            self._valid_share = valid_share

    def dropped(self, cause: str, error: str = '') -> None:
        """Count a frame that did not go out; an error makes it a failure."""
        with self._lock:
            self._dropped[cause] += 1
            if error:
                self._failures += 1
                self._last_error = error

    def level(self) -> tuple[int, str]:
        """Return the diagnostic level and one sentence."""
        with self._lock:
            if self._failures >= FAILURES_FOR_ERROR:
                return ERROR, f'{self._failures} frames in a row failed: {self._last_error}'
            if not self._frames_in:
                return STALE, 'no image has arrived'
            if not self._recent(self._arrivals):
                return STALE, f'no image for {self._clock() - self._arrivals[-1]:.0f} s'
            if self._failures:
                return WARN, self._last_error
            return OK, 'depth is published' if self._recent(self._departures) else 'idle'

    def values(self) -> dict[str, str]:
        """Return everything as text for /diagnostics."""
        with self._lock:
            p50, p95, p99 = (
                np.percentile(self._latencies, (50, 95, 99)) * 1e3
                if self._latencies
                else (float('nan'),) * 3
            )
            values = {
                'images in': str(self._frames_in),
                'frames out': str(self._frames_out),
                'input rate [Hz]': f'{self._rate(self._arrivals):.1f}',
                'output rate [Hz]': f'{self._rate(self._departures):.1f}',
                'stamp to publish p50 [ms]': f'{p50:.1f}',
                'stamp to publish p95 [ms]': f'{p95:.1f}',
                'stamp to publish p99 [ms]': f'{p99:.1f}',
                'valid share': f'{self._valid_share:.3f}',
                'dropped': str(sum(self._dropped.values())),
            }
            values |= {f'dropped: {cause}': str(n) for cause, n in sorted(self._dropped.items())}
            return values | {'last error': self._last_error}

    def _recent(self, times: deque[float]) -> bool:
        return bool(times) and self._clock() - times[-1] < RATE_SECONDS

    def _rate(self, times: deque[float]) -> float:
        start = self._clock() - RATE_SECONDS
        recent = [t for t in times if t >= start]
        span = recent[-1] - recent[0] if len(recent) > 1 else 0
        return (len(recent) - 1) / span if span > 0 else 0.0

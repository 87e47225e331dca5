"""Repeated timing of one call, and the row it becomes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UP = 3


def milliseconds(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return median, p95 and p99 of a call's duration [ms], after a warm-up."""
    for _ in range(WARM_UP):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return percentiles(times)


def percentiles(times: list[float]) -> dict[str, float]:
    """Return median, p95 and p99 of durations [ms]."""
    values = np.percentile(times, (50, 95, 99))
    return dict(zip(('median', 'p95', 'p99'), (round(float(v), 3) for v in values), strict=True))


def row(
    what: str,
    ms: dict[str, float],
    model: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    form: str | None = None,
    flops: float = 0.0,
    peak: float = 0.0,
    **more: Any,
) -> dict[str, Any]:
    """
    Return one row of the benchmark.

    :param flops: of one call; with ``peak`` [TFLOP/s] they give the share of the ceiling.
    """
    share = flops / (ms['median'] * 1e9) / peak if flops and peak else None
    return {
        'what': what,
        'model': model,
        'backend': backend,
        'precision': precision,
        'form': form,
        'batch': 1,
        'ms': ms,
        'images_per_s': round(1e3 / ms['median'], 1) if model else None,
        'share_of_ceiling': None if share is None else round(share, 3),
        **more,
    }

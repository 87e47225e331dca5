"""Repeated timing of one call, and the row it becomes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UP = 3
UNTIMED: dict[str, float | None] = {'median': None, 'p95': None, 'p99': None}


def milliseconds(
    call: Callable[[], object], repeats: int, warm_up: int = WARM_UP
) -> dict[str, float]:
    """Return median, p95 and p99 of a call's duration [ms], after a warm-up."""
    for _ in range(warm_up):
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
    batch: int = 1,
    flops: float = 0.0,
    peak: float = 0.0,
    **more: Any,
) -> dict[str, Any]:
    """
    Return one row of the benchmark.

    :param ms: of one call; ``{}`` where it did not run.
    :param batch: images in one call.
    :param flops: of one image; with ``peak`` [TFLOP/s] they give the share of the ceiling.
    """
    median = ms.get('median')
    share = flops * batch / (median * 1e9) / peak if median and flops and peak else None
    return {
        'what': what,
        'model': model,
        'backend': backend,
        'precision': precision,
        'form': form,
        'batch': batch,
        'ms': ms or UNTIMED,
        'images_per_s': round(1e3 * batch / median, 2) if model and median else None,
        'share_of_ceiling': None if share is None else round(share, 3),
        **more,
    }

"""The node in its own process: stamp to receipt over DDS, and its share of the processor."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from fcrn_ros.bench.timing import percentiles, row
from fcrn_ros.demo.process import prepare_environment
from fcrn_ros.demo.sources import bundled_clip

SECONDS = 20.0


def end_to_end_rows(model: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Play the bundled clip at 30 Hz to a node that publishes depth, colour and points."""
    prepare_environment()
    from fcrn_ros.demo.run import play

    parameters: dict[str, object] = {'model': model} if model else {}
    with tempfile.TemporaryDirectory() as folder:
        played = play(bundled_clip(), Path(folder), seconds, parameters)
    figures = played.receiver.figures
    summary = figures.summary()
    cores = os.cpu_count() or 1
    return [
        row(
            'stamp to receipt in another process, 30 Hz',
            percentiles(figures.latencies),
            summary['model'],
            summary['backend'],
            summary['precision'],
            rate_hz=summary['rate_hz'],
            frames_in=summary['frames_in'],
            frames_out=summary['frames_out'],
            dropped=summary['dropped'],
            cpu_share=round(played.cpu_seconds / (seconds * cores), 3),
        )
    ]

"""
Ten minutes at 30 Hz: the node's memory and latency, window by window.

Plays the bundled clip to a node in its own process and prints, every 30 s, the node's resident
memory and the latency of that window. Run: ``.venv/bin/python benchmarks/soak.py [--minutes 10]``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from fcrn_ros.demo.process import NodeProcess, prepare_environment
from fcrn_ros.sources import bundled_clip

WINDOW = 30.0  # [s]


def resident_megabytes(pid: int) -> float:
    """Return a process's resident memory [MB]."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    return next(int(x.split()[1]) / 1024 for x in lines if x.startswith('VmRSS'))


def soak(minutes: float) -> list[dict[str, float]]:
    """Run and return one row a window."""
    prepare_environment()
    import rclpy

    from fcrn_ros.demo.player import Player
    from fcrn_ros.demo.session import Receiver

    prefix = f'/soak_{os.getpid()}'
    topics = {'image': f'{prefix}/camera/image_raw', 'camera_info': f'{prefix}/camera/camera_info'}
    rclpy.init(args=[])
    node = rclpy.create_node('soak', namespace=prefix)
    rows: list[dict[str, float]] = []
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            NodeProcess(prefix, topics, {'build': 'block'}, Path(folder) / 'node.log') as process,
        ):
            receiver = Receiver(node, f'{prefix}/', 1e9)
            while node.count_subscribers(topics['image']) == 0:
                process.require_running()
                rclpy.spin_once(node, timeout_sec=0.1)
            Player(node, bundled_clip(), f'{prefix}/camera/', receiver.played)
            start = time.monotonic()
            while time.monotonic() - start < 60 * minutes:
                rows.append(_window(node, receiver, process.process.pid, start))
                print(json.dumps(rows[-1]), flush=True)
    finally:
        rclpy.try_shutdown()
    return rows


def _window(node, receiver, pid: int, start: float) -> dict[str, float]:
    import rclpy

    figures = receiver.figures
    figures.latencies.clear()
    sent, end = figures.frames_in, time.monotonic() + WINDOW
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    p50, p95 = np.percentile(figures.latencies, (50, 95)) if figures.latencies else (np.nan,) * 2
    return {
        'minute': round((time.monotonic() - start) / 60, 2),
        'resident_mb': round(resident_megabytes(pid), 1),
        'sent': figures.frames_in - sent,
        'received': len(figures.latencies),
        'p50_ms': round(float(p50), 1),
        'p95_ms': round(float(p95), 1),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--minutes', type=float, default=10.0)
    rows = soak(parser.parse_args().minutes)
    if len(rows) > 3:  # the first window warms up
        first, last = rows[1], rows[-1]
        growth = {k: round(last[k] / first[k] - 1, 4) for k in ('resident_mb', 'p50_ms')}
        print(json.dumps({'growth from the second window to the last': growth}))


if __name__ == '__main__':
    main()

"""
Several cameras on one node: the time from stamp to receipt of each, in another process.

    python benchmarks/cameras.py [--cameras 2] [--rate 15] [--seconds 20] [--all]

plays the bundled clip as every camera and prints a Markdown table. Depth, colour and points are
read; with --all, points/marking, points/clearing and scan too, with ``scale: ground``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcrn_ros.demo.process import NodeProcess, prepare_environment
from fcrn_ros.sources import bundled_clip

GROUND = {'camera_height': 1.25, 'camera_pitch': 0.19, 'scale': 'ground', 'voxel_size': 0.05}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--cameras', type=int, default=2)
    parser.add_argument('--rate', type=float, default=15.0, help='of each camera [Hz]')
    parser.add_argument('--seconds', type=float, default=20.0)
    parser.add_argument('--all', action='store_true', help='read every cloud and the scan too')
    options = parser.parse_args()
    names = [f'camera{n}' for n in range(options.cameras)]
    receivers, share = play(names, options.rate, options.seconds, options.all)
    print(
        '| camera | sent | received | p50 [ms] | p95 [ms] | p99 [ms] |\n|---|---|---|---|---|---|'
    )
    for name, receiver in zip(names, receivers, strict=True):
        figures = receiver.figures
        p50, p95, p99 = np.percentile(figures.latencies, (50, 95, 99))
        sent, received = figures.frames_in, len(figures.latencies)
        print(f'| {name} | {sent} | {received} | {p50:.1f} | {p95:.1f} | {p99:.1f} |')
    print(f"\nThe node used {100 * share:.0f} % of this machine's {os.cpu_count()} cores.")


def play(names: list[str], rate: float, seconds: float, everything: bool) -> tuple[list, float]:
    """Play the clip as these cameras; return a receiver of each, and the node's share of cores."""
    prepare_environment()
    import rclpy

    prefix = f'/cameras_{os.getpid()}'
    remappings = {f'{name}/image': f'{name}/image_raw' for name in names}
    parameters = {'cameras': f'[{", ".join(names)}]', 'build': 'block'}
    parameters |= GROUND if everything else {}
    rclpy.init(args=[])
    node = rclpy.create_node('cameras', namespace=prefix)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            NodeProcess(prefix, remappings, parameters, Path(folder) / 'node.log') as process,
        ):
            while any(node.count_subscribers(f'{prefix}/{n}/image_raw') == 0 for n in names):
                process.require_running()
                rclpy.spin_once(node, timeout_sec=0.1)
            if everything:
                _read_clouds(node, prefix, names)
            return _watched(node, process, [f'{prefix}/{name}/' for name in names], rate, seconds)
    finally:
        rclpy.try_shutdown()


def _read_clouds(node, prefix: str, names: list[str]) -> None:
    from sensor_msgs.msg import LaserScan, PointCloud2

    kinds = {'points/marking': PointCloud2, 'points/clearing': PointCloud2, 'scan': LaserScan}
    for name in names:
        for topic, kind in kinds.items():
            node.create_subscription(kind, f'{prefix}/{name}/{topic}', lambda message: None, 1)


def _watched(
    node, process: NodeProcess, prefixes: list[str], rate: float, seconds: float
) -> tuple[list, float]:
    import rclpy

    from fcrn_ros.demo.player import Player
    from fcrn_ros.demo.session import Receiver

    receivers = [Receiver(node, prefix, 1e9) for prefix in prefixes]
    players = [
        Player(node, replace(bundled_clip(), rate=rate), prefix, receiver.played)
        for prefix, receiver in zip(prefixes, receivers, strict=True)
    ]
    end = time.monotonic() + 3
    while time.monotonic() < end:  # what warms up is not counted
        rclpy.spin_once(node, timeout_sec=0.1)
    for receiver in receivers:
        receiver.figures.latencies.clear()
        receiver.figures.frames_in = 0
    start, used = time.monotonic(), process.cpu_seconds()
    while time.monotonic() < start + seconds:
        rclpy.spin_once(node, timeout_sec=0.1)
    used = process.cpu_seconds() - used
    share = used / (time.monotonic() - start) / (os.cpu_count() or 1)
    for player in players:
        player.stop()
    return receivers, share


if __name__ == '__main__':
    main()

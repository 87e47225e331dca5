"""The node in its own process: stamp to receipt over DDS, and its share of the processor."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fcrn_ros.bench.timing import milliseconds, percentiles, row
from fcrn_ros.demo.process import prepare_environment
from fcrn_ros.sources import bundled_clip

SECONDS = 20.0


def publish_rows(repeats: int) -> list[dict[str, Any]]:
    """Time the publishing of a native and of a 640x480 cloud to one reliable reader."""
    prepare_environment()
    import rclpy
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header

    from fcrn_ros.messages import points_to_msg

    rclpy.init(args=[])
    try:
        node = rclpy.create_node('bench', namespace=f'/bench_{os.getpid()}')
        publisher = node.create_publisher(PointCloud2, 'points', 1)
        node.create_subscription(PointCloud2, 'points', lambda message: None, 1)
        rows = []
        for rows_, columns in ((96, 128), (480, 640)):
            message = points_to_msg(Header(), np.zeros((rows_, columns, 4), np.float32))

            def publish(message: PointCloud2 = message) -> None:
                publisher.publish(message)

            ms = milliseconds(publish, repeats)
            rows.append(row(f'publish: points, {columns}x{rows_}', ms))
    finally:
        rclpy.try_shutdown()
    return rows


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
            images_per_s=summary['rate_hz'],
            frames_in=summary['frames_in'],
            frames_out=summary['frames_out'],
            dropped=summary['dropped'],
            cpu_share=round(played.cpu_seconds / (figures.last - figures.first) / cores, 3),
        )
    ]

"""One run of the demo: play a source, receive what the node publishes, keep the figures."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from fcrn_ros.camera import Camera
from fcrn_ros.image import depth_from_msg, rgb_from_msg
from fcrn_ros.recording import Frame
from fcrn_ros.training.evaluation.metrics import SUMS, image_sums, summarise

PENDING = 200  # frames whose depth may still come
KEPT = 4  # frames for the picture


@dataclass
class Result:
    """One frame with what the node made of it."""

    frame: Frame
    depth: NDArray[np.float32]
    truth: NDArray[np.float32] | None
    color: NDArray[np.uint8] | None = None
    points: NDArray[np.float32] | None = None
    camera: Camera | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that the node publishes for a frame with a camera has come."""
        return self.color is not None and (self.points is not None or self.frame.camera is None)


@dataclass
class Figures:
    """What is counted during a run."""

    frames_in: int = 0
    latencies: list[float] = field(default_factory=list)
    valid_shares: list[float] = field(default_factory=list)
    points_per_frame: list[int] = field(default_factory=list)
    errors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(SUMS))
    last_errors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(SUMS))
    diagnostics: dict[str, str] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    first_in: float = 0.0
    last_in: float = 0.0

    @property
    def frames_out(self) -> int:
        """Depth images that have come."""
        return len(self.latencies)

    @property
    def rate_in(self) -> float:
        """Pictures a second while they were played [Hz]."""
        span = self.last_in - self.first_in
        return (self.frames_in - 1) / span if span > 0 else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the content of ``summary.json``."""
        values = self.diagnostics
        prefix = 'dropped: '
        dropped = {k.removeprefix(prefix): int(v) for k, v in values.items() if prefix in k}
        lost = self.frames_in - int(values.get('images in', self.frames_in))
        if lost > 0:
            dropped['lost before the node'] = lost
        percentiles = np.percentile(self.latencies, (50, 95, 99)) if self.latencies else [None] * 3
        accuracy = summarise(self.errors) if self.errors[0] else {}
        span = self.last - self.first
        return {
            'backend': values.get('backend'),
            'model': values.get('model'),
            'precision': values.get('precision'),
            'frames_in': self.frames_in,
            'frames_out': self.frames_out,
            'dropped': dropped,
            'rate_hz': _rounded((self.frames_out - 1) / span if span > 0 else None, 2),
            'latency_ms': {
                k: _rounded(v, 2) for k, v in zip(('p50', 'p95', 'p99'), percentiles, strict=True)
            },
            'valid_share': _rounded(np.mean(self.valid_shares) if self.valid_shares else None, 4),
            'absrel': _rounded(accuracy.get('absrel'), 4),
            'delta1': _rounded(accuracy.get('delta1'), 4),
            'points_per_frame': int(np.median(self.points_per_frame))
            if self.points_per_frame
            else 0,
        }


def _rounded(value: Any, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


class Receiver:
    """
    Subscribes to a node's outputs and matches them with the frames that were played, by stamp.

    :param node: owns the subscriptions.
    :param prefix: of the node's topics, for example ``/demo/``.
    :param spacing: time between the frames kept for the picture [s].
    """

    def __init__(self, node: Node, prefix: str, spacing: float) -> None:
        self.figures = Figures()
        self.kept: list[Result] = []
        self._spacing, self._node, self._name = spacing, node, f'{prefix[1:]}fcrn_depth: depth'
        self._played: OrderedDict[int, Frame] = OrderedDict()
        self._results: OrderedDict[int, Result] = OrderedDict()
        qos = QoSProfile(depth=5)
        for kind, topic, callback in (
            (Image, f'{prefix}depth/image_raw', self._on_depth),
            (CameraInfo, f'{prefix}depth/camera_info', self._on_camera_info),
            (Image, f'{prefix}color/image_raw', self._on_color),
            (PointCloud2, f'{prefix}points', self._on_points),
            (DiagnosticArray, '/diagnostics', self._on_diagnostics),
        ):
            node.create_subscription(kind, topic, callback, qos)

    def played(self, stamp: Time, frame: Frame) -> None:
        """Note a frame that goes out to the node."""
        self.figures.frames_in += 1
        self.figures.last_in = time.monotonic()
        self.figures.first_in = self.figures.first_in or self.figures.last_in
        self._played[_key(stamp)] = frame
        if len(self._played) > PENDING:
            self._played.popitem(last=False)

    def _on_depth(self, message: Image) -> None:
        frame = self._played.get(_key(message.header.stamp))
        if frame is None:
            return
        now = self._node.get_clock().now().nanoseconds
        self.figures.latencies.append((now - _key(message.header.stamp)) / 1e6)
        self.figures.last = time.monotonic()
        self.figures.first = self.figures.first or self.figures.last
        depth = depth_from_msg(message)
        self.figures.valid_shares.append(float(np.isfinite(depth).mean()))
        truth = _on_grid(frame.depth, depth)
        if truth is not None:
            self.figures.last_errors = image_sums(depth, truth)
            self.figures.errors += self.figures.last_errors
        self._result(message.header.stamp, Result(frame, depth, truth))

    def _result(self, stamp: Time, result: Result) -> None:
        due = not self.kept or result.frame.time != self.kept[-1].frame.time
        elapsed = self.figures.last - self.figures.first
        if due and len(self.kept) < KEPT and elapsed >= self._spacing * len(self.kept):
            self.kept.append(result)
            self._results[_key(stamp)] = result

    def _on_camera_info(self, message: CameraInfo) -> None:
        result = self._results.get(_key(message.header.stamp))
        if result is not None:
            result.camera = Camera.from_msg(message)

    def _on_color(self, message: Image) -> None:
        result = self._results.get(_key(message.header.stamp))
        if result is not None:
            result.color = rgb_from_msg(message)

    def _on_points(self, message: PointCloud2) -> None:
        points = np.frombuffer(message.data, np.float32).reshape(message.height, message.width, 4)
        if _key(message.header.stamp) in self._played:
            self.figures.points_per_frame.append(int(np.isfinite(points[..., 2]).sum()))
        result = self._results.get(_key(message.header.stamp))
        if result is not None:
            result.points = points

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._name:
                self.figures.diagnostics = {v.key: v.value for v in status.values}


def _key(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _on_grid(
    truth: NDArray[np.float32] | None, depth: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return recorded depth on the grid of the node's, by its nearest pixel."""
    if truth is None:
        return None
    size = depth.shape[1], depth.shape[0]
    return cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)  # type: ignore[return-value]

"""
A running node on the page: its outputs as they come, by subscriptions of their own.

Whoever subscribes makes the node compute: the page costs what any other reader of these topics
costs. At most one message of a topic waits; a page that is slow leaves frames out.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.image import depth_from_msg, rgb_from_msg
from fcrn_ros.viewer.node_mounting import MountingQuestion
from fcrn_ros.viewer.scene import unpacked
from fcrn_ros.viewer.session import SLACK

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    from fcrn_ros.viewer.scene import Scene
    from fcrn_ros.viewer.session import Session

NAME = 'fcrn_view'
PENDING = 8  # frames of which messages may still come
Cloud = tuple[float, 'NDArray[np.float32] | None']  # its stamp [s] and points
BACK_SECONDS = 1.0  # a stamp so far before the last belongs to a clip that begins again
SPIN_SECONDS, FOLLOW_SECONDS, HINT_SECONDS = 0.1, 1.0, 5.0


class Outputs:
    """
    Takes a node's messages and shows them.

    :param scene: where.
    :param now: returns the time on the node's clock [s].
    :param rate: frames per second at most [Hz]; of the others nothing is shown.
    :ivar frames: depth images that have come.
    """

    def __init__(self, scene: Scene, now: Callable[[], float], rate: float) -> None:
        self.frames = 0
        self._scene, self._now, self._spacing = scene, now, SLACK / rate
        self._chosen: deque[float] = deque([-math.inf], maxlen=PENDING)
        self._points: Cloud = (-math.inf, None)
        self._marking: Cloud = (-math.inf, None)

    def depth(self, message: Any) -> None:
        """Take ``depth/image_raw``."""
        if self._chooses(message):
            self.frames += 1
            self._scene.show_depth(depth_from_msg(message))
            self._scene.show_value('latency', 1000 * (self._now() - _stamp(message)))

    def camera(self, message: Any) -> None:
        """Take ``depth/camera_info``."""
        if self._chooses(message):
            self._scene.show_camera(Camera.from_msg(message))

    def color(self, message: Any) -> None:
        """Take ``color/image_raw``."""
        if self._chooses(message):
            self._scene.show_color(rgb_from_msg(message))

    def confidence(self, message: Any) -> None:
        """Take ``confidence/image_raw``."""
        if self._chooses(message):
            self._scene.show_confidence(depth_from_msg(message))

    def marking(self, message: Any) -> None:
        """Take ``points/marking``: the obstacles of one frame."""
        if self._chooses(message):
            self._marking = _stamp(message), points_from_msg(message)[0]
            self._show_above()

    def points(self, message: Any) -> None:
        """Take ``points``."""
        if self._chooses(message):
            points, colors = points_from_msg(message)
            self._points = _stamp(message), points
            self._scene.show_points(points, colors)
            self._show_above()

    def scan(self, message: Any) -> None:
        """Take ``scan``."""
        if not self._chooses(message):
            return
        ranges = np.asarray(message.ranges, np.float32)
        steps = np.arange(len(ranges), dtype=np.float32)
        known = (ranges >= message.range_min) & (ranges <= message.range_max)
        angles = message.angle_min + steps * message.angle_increment
        self._scene.show_scan(np.where(known, ranges, np.float32(np.nan)), angles)

    def scale(self, message: Any) -> None:
        """Take ``depth_scale``, which has no stamp: it is shown at the newest frame's."""
        if self.frames:
            self._scene.show_value('scale', message.data)

    def _show_above(self) -> None:
        """Show the cells, with the node's own obstacles once those of this frame have come."""
        stamp, points = self._points
        if points is not None:
            marked = self._marking[0] == stamp
            self._scene.show_above(points, self._marking[1] if marked else None)

    def _chooses(self, message: Any) -> bool:
        """Turn to a message's stamp; return whether its frame is one of those that are shown."""
        stamp = _stamp(message)
        ahead = stamp - self._chosen[-1]
        if ahead >= self._spacing or ahead < -BACK_SECONDS:
            self._chosen.append(stamp)
        self._scene.at(stamp)
        return stamp in self._chosen


def _stamp(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)


def points_from_msg(message: Any) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """
    Read a PointCloud2.

    :param message: with FLOAT32 fields x, y and z, and perhaps rgb; little-endian.
    :return: (h, w, 3) float32 [m], or (n, 3) of a cloud in one row; and (..., 3) uint8 RGB.
    :raises ValueError: it has no x, y and z.
    """
    offsets = {f.name: f.offset for f in message.fields}
    if not {'x', 'y', 'z'} <= set(offsets) or message.is_bigendian:
        raise ValueError(
            f'cloud has the fields {", ".join(offsets)}; expected little-endian x, y, z'
        )
    shape = (message.height, message.width) if message.height > 1 else (message.width,)
    raw = np.frombuffer(message.data, np.uint8).reshape(-1, message.point_step)

    def column(name: str, kind: str) -> NDArray[Any]:
        at = offsets[name]
        return np.ascontiguousarray(raw[:, at : at + 4]).view(kind)[:, 0].reshape(shape)

    points = np.stack([column(name, '<f4') for name in 'xyz'], -1)
    if 'rgb' not in offsets:
        return points, None
    return points, unpacked(column('rgb', '<u4'))


def subscribe(node: Node, namespace: str, outputs: Outputs) -> list[Any]:
    """
    Subscribe to a node's outputs.

    :param namespace: of its topics.
    :return: the subscriptions, each with ``follow()``.
    """
    from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
    from std_msgs.msg import Float32

    from fcrn_ros.shell.inputs import Input

    prefix = namespace.rstrip('/')
    topics: dict[str, tuple[Any, Callable[[Any], None]]] = {
        'depth/image_raw': (Image, outputs.depth),
        'depth/camera_info': (CameraInfo, outputs.camera),
        'color/image_raw': (Image, outputs.color),
        'confidence/image_raw': (Image, outputs.confidence),
        'points/marking': (PointCloud2, outputs.marking),
        'points': (PointCloud2, outputs.points),
        'scan': (LaserScan, outputs.scan),
        'depth_scale': (Float32, outputs.scale),
    }
    return [
        Input(node, kind, node.resolve_topic_name(f'{prefix}/{name}'), callback)
        for name, (kind, callback) in topics.items()
    ]


def watch(namespace: str, session: Session, rate: float) -> int:
    """
    Show a running node until the session ends.

    :param namespace: of its topics.
    :param rate: frames per second at most [Hz].
    :return: how many depth images came.
    """
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node(NAME, context=context, enable_rosout=False, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        outputs = Outputs(session.scene, lambda: node.get_clock().now().nanoseconds / 1e9, rate)
        subscriptions = subscribe(node, namespace, outputs)
        _spin(node, executor, session, subscriptions, outputs)
        return outputs.frames
    finally:
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        context.try_shutdown()


def _spin(
    node: Node,
    executor: SingleThreadedExecutor,
    session: Session,
    subscriptions: list[Any],
    outputs: Outputs,
) -> None:
    follow, hint = 0.0, time.monotonic() + HINT_SECONDS
    question = MountingQuestion(node, subscriptions[0].topic)
    while session.going():
        executor.spin_once(timeout_sec=SPIN_SECONDS)
        now = time.monotonic()
        if now > follow:
            follow = now + FOLLOW_SECONDS
            for subscription in subscriptions:
                subscription.follow()
            if session.scene.mounting is None and (mounting := question.poll()):
                session.scene.hold(mounting)
        if now > hint and not outputs.frames:
            hint = math.inf
            print(f'fcrn view: nothing has come on {subscriptions[0].topic} yet', file=sys.stderr)

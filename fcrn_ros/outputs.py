"""The node's output topics; a message is built only when somebody listens to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from fcrn_ros import messages
from fcrn_ros.cloud import colored_points
from fcrn_ros.colormap import colored_depth
from fcrn_ros.parameters import Settings
from fcrn_ros.pipeline import DepthFrame


def _qos() -> QoSProfile:
    """Return a profile of its own for each publisher: rclpy writes overrides into it."""
    return QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
    )


@dataclass(frozen=True)
class Output:
    """
    One topic.

    :param type: of its messages.
    :param build: makes a message of header, frame and settings.
    :param ready: whether the frame has what the message needs.
    """

    type: type
    build: Callable[[Header, DepthFrame, Settings], Any]
    ready: Callable[[DepthFrame], bool] = lambda frame: True


def _has_camera(frame: DepthFrame) -> bool:
    return frame.camera is not None


def _camera_info(header: Header, frame: DepthFrame, settings: Settings) -> CameraInfo:
    assert frame.camera is not None
    return messages.camera_info_to_msg(header, frame.camera)


def _image_color(header: Header, frame: DepthFrame, settings: Settings) -> Image:
    near, far = settings.min_range, settings.max_range
    return messages.color_to_msg(header, colored_depth(frame.depth, near, far, settings.colormap))


def _points(header: Header, frame: DepthFrame, settings: Settings) -> PointCloud2:
    return messages.points_to_msg(header, colored_points(frame, settings.min_confidence))


OUTPUTS = {
    'depth/image_raw': Output(
        Image, lambda h, f, s: messages.depth_to_msg(h, f.depth, s.depth_encoding)
    ),
    'depth/camera_info': Output(CameraInfo, _camera_info, _has_camera),
    'color/image_raw': Output(Image, lambda h, f, s: messages.color_to_msg(h, f.color)),
    'color/camera_info': Output(CameraInfo, _camera_info, _has_camera),
    'points': Output(PointCloud2, _points, _has_camera),
    'depth/image_color': Output(Image, _image_color),
    'confidence/image_raw': Output(
        Image,
        lambda h, f, s: messages.confidence_to_msg(h, f.confidence),  # type: ignore[arg-type]
        lambda f: f.confidence is not None,
    ),
}


class Outputs:
    """
    The publishers of a node.

    :param node: they are its lifecycle publishers; ``qos_overrides`` parameters apply.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._publishers: dict[str, LifecyclePublisher[Any]] = {
            topic: node.create_lifecycle_publisher(
                output.type,
                topic,
                _qos(),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, output in OUTPUTS.items()
        }

    def wanted(self) -> list[str]:
        """Return the topics that somebody listens to."""
        return [t for t, p in self._publishers.items() if p.get_subscription_count() > 0]

    def publish(self, header: Header, frame: DepthFrame, settings: Settings) -> None:
        """Publish one frame on every topic that somebody listens to."""
        for topic in self.wanted():
            output = OUTPUTS[topic]
            if output.ready(frame):
                self._publishers[topic].publish(output.build(header, frame, settings))

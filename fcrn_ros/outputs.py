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
from fcrn_ros.colormap import colored_depth
from fcrn_ros.surroundings import Surroundings


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
    :param build: makes a message of a header and the surroundings.
    :param ready: whether there is what the message needs.
    """

    type: type
    build: Callable[[Header, Surroundings], Any]
    ready: Callable[[Surroundings], bool] = lambda s: True


def _has_camera(s: Surroundings) -> bool:
    return s.front.camera is not None


def _depth(header: Header, s: Surroundings) -> Image:
    return messages.depth_to_msg(header, s.front.depth, s.settings.depth_encoding)


def _camera_info(header: Header, s: Surroundings) -> CameraInfo:
    assert s.front.camera is not None
    return messages.camera_info_to_msg(header, s.front.camera)


def _image_color(header: Header, s: Surroundings) -> Image:
    near, far = s.settings.min_range, s.settings.max_range
    return messages.color_to_msg(
        header, colored_depth(s.front.depth, near, far, s.settings.colormap)
    )


def _confidence(header: Header, s: Surroundings) -> Image:
    assert s.front.confidence is not None
    return messages.confidence_to_msg(header, s.front.confidence)


OUTPUTS = {
    'depth/image_raw': Output(Image, _depth),
    'depth/camera_info': Output(CameraInfo, _camera_info, _has_camera),
    'color/image_raw': Output(Image, lambda h, s: messages.color_to_msg(h, s.front.color)),
    'color/camera_info': Output(CameraInfo, _camera_info, _has_camera),
    'points': Output(PointCloud2, lambda h, s: messages.points_to_msg(h, s.points), _has_camera),
    'depth/image_color': Output(Image, _image_color),
    'confidence/image_raw': Output(Image, _confidence, lambda s: s.front.confidence is not None),
}


class Outputs:
    """
    The publishers of one camera.

    :param node: they are its lifecycle publishers; ``qos_overrides`` parameters apply.
    :param prefix: of the topics, for example ``front/``.
    """

    def __init__(self, node: LifecycleNode, prefix: str = '') -> None:
        self._publishers: dict[str, LifecyclePublisher[Any]] = {
            topic: node.create_lifecycle_publisher(
                output.type,
                f'{prefix}{topic}',
                _qos(),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, output in OUTPUTS.items()
        }

    def wanted(self) -> list[str]:
        """Return the topics that somebody listens to."""
        return [t for t, p in self._publishers.items() if p.get_subscription_count() > 0]

    def publish(self, header: Header, surroundings: Surroundings) -> None:
        """Publish one image's products on every topic that somebody listens to."""
        for topic in self.wanted():
            output = OUTPUTS[topic]
            if output.ready(surroundings):
                self._publishers[topic].publish(output.build(header, surroundings))

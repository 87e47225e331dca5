"""The node's output topics; a message is built only when somebody listens to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Float32, Header

from fcrn_ros import messages
from fcrn_ros.colormap import colored_depth
from fcrn_ros.rigid import inverse
from fcrn_ros.space.surroundings import Surroundings


def _qos() -> QoSProfile:
    """Return a profile of its own for each publisher: rclpy writes overrides into it."""
    return QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE
    )


def scan_frame(image_frame: str, s: Surroundings) -> str:
    """Return the frame of the scan."""
    floor = f'{image_frame.removesuffix("_optical_frame")}_floor'
    return s.settings.scan_frame or s.settings.base_frame or floor


@dataclass(frozen=True)
class Output:
    """
    One topic.

    :param type: of its messages.
    :param build: makes a message of a header and the surroundings.
    :param lacks: says what is missing for the message; '' where nothing is.
    """

    type: type
    build: Callable[[Header, Surroundings], Any]
    lacks: Callable[[Surroundings], str] = Surroundings.lacks_nothing


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


def _scan(header: Header, s: Surroundings) -> LaserScan:
    sweep, settings = s.sweep, s.settings
    return messages.scan_to_msg(
        Header(stamp=header.stamp, frame_id=scan_frame(header.frame_id, s)),
        s.scan,
        sweep.angle_min,
        sweep.angle_increment,
        settings.min_range,
        settings.scan_range_max,
    )


def _cloud(build: Callable[[Surroundings], Any], lacks: Callable[[Surroundings], str]) -> Output:
    """Return the output of a cloud."""
    return Output(PointCloud2, lambda header, s: messages.points_to_msg(header, build(s)), lacks)


OUTPUTS = {
    'depth/image_raw': Output(Image, _depth),
    'depth/image_raw/compressedDepth': Output(
        CompressedImage, lambda h, s: messages.compressed_depth_to_msg(h, s.front.depth)
    ),
    'depth/camera_info': Output(CameraInfo, _camera_info, Surroundings.lacks_camera),
    'depth/image_color': Output(Image, _image_color),
    'depth_scale': Output(
        Float32,
        lambda h, s: messages.scale_to_msg(s.front.scale.factor),
        Surroundings.lacks_camera,
    ),
    'confidence/image_raw': Output(Image, _confidence, Surroundings.lacks_confidence),
    'color/image_raw': Output(Image, lambda h, s: messages.color_to_msg(h, s.front.color)),
    'color/image_raw/compressed': Output(
        CompressedImage, lambda h, s: messages.compressed_color_to_msg(h, s.front.color)
    ),
    'color/camera_info': Output(CameraInfo, _camera_info, Surroundings.lacks_camera),
    'points': _cloud(lambda s: s.points, Surroundings.lacks_camera),
    'points/marking': _cloud(lambda s: s.marking, Surroundings.lacks_floor),
    'points/clearing': _cloud(lambda s: s.clearing, Surroundings.lacks_camera),
    'scan': Output(LaserScan, _scan, Surroundings.lacks_scan),
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

    def publish(self, header: Header, surroundings: Surroundings) -> dict[str, str]:
        """
        Publish one image's products on every topic that somebody listens to.

        :return: topics that somebody listens to in vain, each with what it lacks.
        """
        lacking = {}
        for topic in self.wanted():
            output = OUTPUTS[topic]
            if lacks := output.lacks(surroundings):
                lacking[topic] = lacks
            else:
                self._publishers[topic].publish(output.build(header, surroundings))
        return lacking

    def new_frames(self, image_frame: str, s: Surroundings) -> dict[str, NDArray[np.float64]]:
        """
        Return the frames of what is listened to that nobody else tells TF of.

        :return: frame -> (4, 4) float64 optical_T_frame [m].
        """
        theirs = s.settings.scan_frame or s.settings.base_frame
        if s.mounting is None or theirs or 'scan' not in self.wanted():
            return {}
        return {scan_frame(image_frame, s): inverse(s.mounting.floor_T_optical)}

"""The node's input topics: the service quality that loses least, the camera by its content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fcrn_ros.camera import Camera


def reliability_for(offered: list[ReliabilityPolicy]) -> ReliabilityPolicy:
    """Return reliable when every publisher offers it, else best effort, which matches any."""
    reliable = bool(offered) and all(r == ReliabilityPolicy.RELIABLE for r in offered)
    return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT


class Input:
    """
    A subscription of depth 1 that follows what its publishers offer.

    :param node: the node.
    :param type: of the messages.
    :param topic: its name, resolved.
    :param callback: gets every message.
    """

    def __init__(
        self, node: Node, type: type, topic: str, callback: Callable[[Any], None]
    ) -> None:
        self.topic = topic
        self._node, self._type, self._callback = node, type, callback
        self._reliability: ReliabilityPolicy | None = None
        self._subscription: Subscription[Any] | None = None
        self.follow()

    @property
    def reliability(self) -> str:
        """The policy in use, in words."""
        return self._reliability.name.lower() if self._reliability else 'none'

    def publishers(self) -> int:
        """Return how many publishers the topic has."""
        return self._node.count_publishers(self.topic)

    def follow(self) -> None:
        """Create the subscription anew if the publishers' reliability asks for another one."""
        infos = self._node.get_publishers_info_by_topic(self.topic)
        if self._subscription is not None and not infos:
            return
        wanted = reliability_for([info.qos_profile.reliability for info in infos])
        if wanted == self._reliability:
            return
        self.close()
        self._reliability = wanted
        self._subscription = self._node.create_subscription(
            self._type, self.topic, self._callback, QoSProfile(depth=1, reliability=wanted)
        )

    def close(self) -> None:
        """Destroy the subscription."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._reliability = None


def image_topic(node: Node, transport: str, prefix: str = '') -> str:
    """
    Return the name of the image topic, below a prefix such as ``front/``.

    As in image_transport, ``compressed`` reads the image topic's name with /compressed behind it,
    so one remapping of ``image`` serves both; ``image/compressed`` may be remapped by itself too.
    """
    image = node.resolve_topic_name(f'{prefix}image')
    if transport == 'raw':
        return image
    name = f'{prefix}image/compressed'
    compressed = node.resolve_topic_name(name)
    if compressed == node.resolve_topic_name(name, only_expand=True):
        compressed = f'{image}/compressed'
    return compressed


def image_input(
    node: Node, transport: str, callback: Callable[[Any], None], prefix: str = ''
) -> Input:
    """Open the image topic."""
    kind = Image if transport == 'raw' else CompressedImage
    return Input(node, kind, image_topic(node, transport, prefix), callback)


class CameraCache:
    """
    The camera of the newest camera_info, rebuilt only when its content changes.

    :param already_rectified: the image is a rectified one; see ``Camera.from_msg``.
    :ivar camera: None until a usable camera_info has come.
    :ivar error: why the newest camera_info is not usable; '' if it is.
    """

    def __init__(self, already_rectified: bool) -> None:
        self._already_rectified = already_rectified
        self._content: object = None
        self.camera: Camera | None = None
        self.error = ''

    def update(self, info: CameraInfo) -> bool:
        """Take a message; return whether its content is new."""
        content = _content(info)
        if content == self._content:
            return False
        self._content = content
        try:
            self.camera, self.error = Camera.from_msg(info, self._already_rectified), ''
        except ValueError as err:
            self.camera, self.error = None, str(err)
        return True


def _content(info: CameraInfo) -> object:
    roi = info.roi
    return (
        (info.width, info.height, info.distortion_model, info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        bytes(info.d),
        info.k.tobytes(),
        info.r.tobytes(),
        info.p.tobytes(),
    )

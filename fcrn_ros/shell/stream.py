"""One camera of the node: its topics, its counts, its newest camera_info, its last frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

from fcrn_ros.camera import is_rectified
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.settings import Settings
from fcrn_ros.shell.health import Health
from fcrn_ros.shell.inputs import CameraCache, Input, image_input
from fcrn_ros.shell.outputs import Outputs

LOG_SECONDS = 5.0  # a repeated message comes this often at most


class Stream:
    """
    What belongs to one camera.

    :param node: owns publishers and subscriptions.
    :param name: of the camera; its topics lie below it. '' where the node has one camera alone.
    :param settings: returns the present ones.
    :ivar health: where its frames are counted.
    :ivar outputs: what is published of it.
    :ivar inputs: its subscriptions; none while the node is not active.
    :ivar cameras: its newest camera_info.
    :ivar last_frame: None before the first.
    """

    def __init__(self, node: LifecycleNode, name: str, settings: Callable[[], Settings]) -> None:
        self._node, self.name, self._settings = node, name, settings
        self.prefix = f'{name}/' if name else ''
        self.health = Health()
        self.outputs = Outputs(node, self.prefix)
        self.inputs: list[Input] = []
        self.cameras = CameraCache(False)
        self.last_frame: DepthFrame | None = None
        self._last_accepted = self._last_stamp = 0.0

    def open(self, put: Callable[[Any, str], None]) -> None:
        """Subscribe; images that are due go to ``put`` with the stream's name."""

        def on_image(image: Any) -> None:
            if self._due():
                put(image, self.name)

        settings = self._settings()
        image = image_input(self._node, settings.image_transport, on_image, self.prefix)
        rectified = settings.rectify == 'never' or is_rectified(image.topic)
        self.cameras = CameraCache(rectified)
        topic = self._node.resolve_topic_name(f'{self.prefix}camera_info')
        info = Input(self._node, CameraInfo, topic, self._on_camera_info)
        self.inputs = [image, info]
        self._node.get_logger().info(f'reading {image.topic} and {info.topic}')

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self.inputs:
            subscription.close()
        self.inputs = []

    def follow(self) -> None:
        """Take the quality of service that the publishers offer."""
        for subscription in self.inputs:
            subscription.follow()

    def camera(self) -> Any:
        """Return the newest camera; None, and a warning, while there is none."""
        camera = self.cameras.camera
        if camera is None and self.inputs:
            self._node.get_logger().warning(
                f'waiting for camera_info on {self.inputs[1].topic} '
                f'({self.cameras.error or "none has come"}): depth has the scale of the training '
                'camera, and no points are published',
                throttle_duration_sec=LOG_SECONDS,
            )
        return camera

    def take(self, image: Any) -> float | None:
        """
        Note that an image's turn has come.

        :return: its stamp [s]; None where it is too old, and was counted as dropped.
        """
        stamp = float(Time.from_msg(image.header.stamp).nanoseconds / 1e9)
        limit = self._settings().stale_after
        if limit and self.now() - stamp > limit:
            self.health.dropped('stale')
            return None
        if stamp < self._last_stamp:
            self._node.get_logger().warning(
                f'{self.prefix}time jumped back by {self._last_stamp - stamp:.3f} s; going on',
                throttle_duration_sec=LOG_SECONDS,
            )
        self._last_stamp = stamp
        return stamp

    def drop(self, cause: str, error: str) -> None:
        """Count and log a frame that failed."""
        self.health.dropped(cause, error)
        camera = f' of {self.name}' if self.name else ''
        self._node.get_logger().error(
            f'frame{camera} dropped ({cause}): {error}', throttle_duration_sec=LOG_SECONDS
        )

    def now(self) -> float:
        """Return the node's time [s]."""
        return float(self._node.get_clock().now().nanoseconds / 1e9)

    def _due(self) -> bool:
        self.health.arrived()
        now, limit = self.now(), self._settings().max_rate
        # half a camera period of slack, so that a limit at the camera's own rate drops nothing
        if limit and 0 <= now - self._last_accepted < 0.75 / limit:
            self.health.dropped('max_rate')
            return False
        self._last_accepted = now
        return True

    def _on_camera_info(self, info: CameraInfo) -> None:
        if not self.cameras.update(info):
            return
        camera, logger = self.cameras.camera, self._node.get_logger()
        if camera is None:
            logger.error(f'{self.prefix}camera_info is not usable: {self.cameras.error}')
            return
        logger.info(
            f'camera {self.prefix}{camera.width}x{camera.height}, '
            f'fx {camera.fx:.1f}, fy {camera.fy:.1f}'
            + (f', rectified ({camera.distortion_model})' if camera.distorted else '')
        )

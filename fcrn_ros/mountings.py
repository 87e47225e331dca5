"""How the node's cameras are held: by parameters, or by TF where a base frame is named."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from fcrn_ros.mounting import Mounting
from fcrn_ros.settings import Settings
from fcrn_ros.transforms import matrix

LOG_SECONDS = 5.0


class Mountings:
    """
    Where each camera is above the floor.

    TF is looked up with tf2_ros, which comes with an installed ROS; without it, and without a base
    frame, the parameters tell.

    :param node: for TF's subscriptions and the log.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None

    def of(self, camera: str, frame_id: str, settings: Settings) -> Mounting | None:
        """
        Return how a camera is held; None where that is not known.

        :param camera: its name among the node's cameras.
        :param frame_id: its optical frame.
        """
        if settings.base_frame and self._listen():
            return self._looked_up(settings.base_frame, frame_id)
        return settings.mounting(camera)

    def _listen(self) -> bool:
        """Return whether TF can be looked up."""
        if self._buffer is None:
            try:
                import tf2_ros
            except ImportError:
                self._node.get_logger().warning(
                    'base_frame needs tf2_ros, which is not installed: camera_height, '
                    'camera_pitch and camera_roll are used',
                    once=True,
                )
                return False
            self._buffer = tf2_ros.Buffer(node=self._node)
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        return True

    def _looked_up(self, base_frame: str, frame_id: str) -> Mounting | None:
        """Ask TF for the newest transform; not run by the tests where tf2_ros is absent."""
        import tf2_ros

        try:
            found = self._buffer.lookup_transform(base_frame, frame_id, Time())
            return mounting_from_msg(found.transform)
        except (tf2_ros.TransformException, ValueError) as err:
            self._node.get_logger().warning(
                f"the camera's place in {base_frame} is not known: {err}",
                throttle_duration_sec=LOG_SECONDS,
            )
            return None


def mounting_from_msg(transform: Any) -> Mounting:
    """
    Read a geometry_msgs/Transform from a frame on the floor to an optical frame.

    :raises ValueError: it is no transform, or the camera is not above the floor.
    """
    t, q = transform.translation, transform.rotation
    floor_T_optical = matrix((t.x, t.y, t.z), np.array([q.x, q.y, q.z, q.w]))
    return Mounting.from_transform(floor_T_optical)

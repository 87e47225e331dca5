"""
TF, where tf2_ros is installed.

It comes with an installed ROS and not from pip: these are the lines that use it, and the only ones
that do not run without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from rclpy.time import Time


class TfReader:
    """
    Looks transforms up.

    :param node: for TF's topics.
    :raises ImportError: tf2_ros is not installed.
    """

    def __init__(self, node: Node) -> None:
        import tf2_ros

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def lookup(self, target: str, source: str) -> Any:
        """
        Return the newest geometry_msgs/Transform from a frame to another.

        :raises LookupError: it is not known.
        """
        try:
            return self._buffer.lookup_transform(target, source, Time()).transform
        except self._error as err:
            raise LookupError(str(err)) from err


class TfWriter:
    """
    Publishes static transforms; parameters and errors as above.

    :param node: for TF's topic.
    """

    def __init__(self, node: Node) -> None:
        import tf2_ros

        self._node = node
        self._broadcaster = tf2_ros.StaticTransformBroadcaster(node)

    def send(
        self, parent: str, child: str, translation: Sequence[float], quaternion: Sequence[float]
    ) -> None:
        """Publish a parent_T_child: x, y, z [m] and x, y, z, w."""
        from geometry_msgs.msg import TransformStamped

        message = TransformStamped(child_frame_id=child)
        message.header.frame_id = parent
        message.header.stamp = self._node.get_clock().now().to_msg()
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = translation
        q.x, q.y, q.z, q.w = quaternion
        self._broadcaster.sendTransform(message)

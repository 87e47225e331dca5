"""How the node's cameras are held: by parameters, or by TF where a base frame is named."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from fcrn_ros.mounting import Mounting
from fcrn_ros.rigid import matrix, quaternion
from fcrn_ros.settings import Settings
from fcrn_ros.shell.stream import LOG_SECONDS
from fcrn_ros.shell.tf import TfReader, TfWriter

NO_TF = (
    'base_frame needs tf2_ros, which is not installed: camera_height, camera_pitch and '
    'camera_roll are used'
)


class Mountings:
    """
    Where each camera is above the floor.

    :param node: for TF's topics and the log.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reader: TfReader | None = None
        self._writer: TfWriter | None = None
        self._shown: dict[str, NDArray[np.float64]] = {}

    def of(self, camera: str, frame_id: str, settings: Settings) -> Mounting | None:
        """
        Return how a camera is held; None where that is not known.

        :param camera: its name among the node's cameras.
        :param frame_id: its optical frame.
        """
        if not settings.base_frame:
            return settings.mounting(camera)
        try:
            self._reader = self._reader or TfReader(self._node)
            return mounting_from_msg(self._reader.lookup(settings.base_frame, frame_id))
        except ImportError:
            self._node.get_logger().warning(NO_TF, once=True)
            return settings.mounting(camera)
        except (LookupError, ValueError) as err:
            self._node.get_logger().warning(
                f"the camera's place in {settings.base_frame} is not known: {err}",
                throttle_duration_sec=LOG_SECONDS,
            )
            return None

    def show(self, parent: str, child: str, parent_T_child: NDArray[np.float64]) -> None:
        """
        Publish a frame of the node's own; without tf2_ros, say how to.

        :param parent_T_child: (4, 4) float64 [m].
        """
        if np.array_equal(self._shown.get(child, ()), parent_T_child):
            return
        self._shown[child] = parent_T_child
        place, turn = parent_T_child[:3, 3].tolist(), quaternion(parent_T_child)
        try:
            self._writer = self._writer or TfWriter(self._node)
            self._writer.send(parent, child, place, turn)
            return
        except ImportError:  # then a person has to
            pass
        numbers = zip(('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw'), (*place, *turn), strict=True)
        arguments = ' '.join(f'--{name} {value:.5f}' for name, value in numbers)
        self._node.get_logger().info(
            f'TF does not know {child} without tf2_ros; publish it by: ros2 run tf2_ros '
            f'static_transform_publisher {arguments} --frame-id {parent} --child-frame-id {child}'
        )


def mounting_from_msg(transform: Any) -> Mounting:
    """
    Read a geometry_msgs/Transform from an optical frame to a frame on the floor.

    :raises ValueError: it is no transform, or the camera is not above the floor.
    """
    t, q = transform.translation, transform.rotation
    return Mounting.from_transform(matrix((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))).rounded()

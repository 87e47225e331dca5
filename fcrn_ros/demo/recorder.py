"""The node's messages in a bag: the first seconds, as they came."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

RECORDED = {
    'depth/image_raw': (Image, 'sensor_msgs/msg/Image'),
    'depth/camera_info': (CameraInfo, 'sensor_msgs/msg/CameraInfo'),
    'color/image_raw': (Image, 'sensor_msgs/msg/Image'),
    'points': (PointCloud2, 'sensor_msgs/msg/PointCloud2'),
}
LIMIT = 60  # messages of a topic


class Recorder:
    """
    Records a node's outputs, still serialised, into ``outputs.mcap``.

    :param node: owns the subscriptions.
    :param prefix: of the node's topics.
    :param folder: where the file goes.
    :ivar path: of the file.
    """

    def __init__(self, node: Node, prefix: str, folder: Path) -> None:
        self.path = folder / 'outputs.mcap'
        self._bag = folder / '.outputs'
        shutil.rmtree(self._bag, ignore_errors=True)
        self._writer = Writer(self._bag, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._node = node
        store = get_typestore(Stores.ROS2_JAZZY)
        for name, (kind, type_name) in RECORDED.items():
            topic = f'{prefix}{name}'
            connection = self._writer.add_connection(topic, type_name, typestore=store)
            self._subscribe(kind, topic, connection)

    def _subscribe(self, kind: type, topic: str, connection: Any) -> None:
        written = 0

        def write(data: bytes) -> None:
            nonlocal written
            if written < LIMIT:
                written += 1
                now = self._node.get_clock().now().nanoseconds
                self._writer.write(connection, now, data)

        self._node.create_subscription(kind, topic, write, QoSProfile(depth=5), raw=True)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file."""
        self._writer.close()
        for written in self._bag.glob('*.mcap'):
            written.replace(self.path)
        shutil.rmtree(self._bag, ignore_errors=True)

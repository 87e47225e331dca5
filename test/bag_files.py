"""Bags for the tests: messages by the type store of ROS 2 or ROS 1, and their writers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from fcrn_ros.camera import Camera
from fcrn_ros.rvl import encode_rvl

ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS1.register(
    get_types_from_msg('geometry_msgs/TransformStamped[] transforms', 'tf2_msgs/msg/TFMessage')
)
ROS2 = get_typestore(Stores.ROS2_HUMBLE)
PLUGINS = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}
COMPRESSIONS = {
    '': None,
    'file': CompressionMode.FILE,
    'message': CompressionMode.MESSAGE,
    'storage': CompressionMode.STORAGE,
}
NO_TURN = (0.0, 0.0, 0.0, 1.0)


@dataclass
class Bag:
    """
    What a bag shall hold; ``add`` what its methods make.

    :param ros1: write a ROS 1 bag.
    """

    ros1: bool = False
    entries: list[tuple[str, Any, float]] = field(default_factory=list)

    def add(self, topic: str, message: Any, recorded: float) -> None:
        """
        Add a message.

        :param recorded: [s]; a message as bytes is (type, bytes).
        """
        self.entries.append((topic, message, recorded))

    def make(self, kind: str, **fields: Any) -> Any:
        """Return a message of a type by its fields."""
        return (ROS1 if self.ros1 else ROS2).types[kind](**fields)

    def header(self, seconds: float, frame: str) -> Any:
        whole = int(seconds // 1)
        nanoseconds = round((seconds - whole) * 1e9)
        stamp = self.make('builtin_interfaces/msg/Time', sec=whole, nanosec=nanoseconds)
        more = {'seq': 0} if self.ros1 else {}
        return self.make('std_msgs/msg/Header', stamp=stamp, frame_id=frame, **more)

    def image(self, seconds: float, pixels: np.ndarray, encoding: str, frame: str = 'eye') -> Any:
        data = np.ascontiguousarray(pixels)
        rows, columns = data.shape[:2]
        return self.make(
            'sensor_msgs/msg/Image',
            header=self.header(seconds, frame),
            height=rows,
            width=columns,
            encoding=encoding,
            is_bigendian=0,
            step=data.nbytes // rows,
            data=data.view(np.uint8).ravel(),
        )

    def compressed(self, seconds: float, data: bytes, form: str, frame: str = 'eye') -> Any:
        return self.make(
            'sensor_msgs/msg/CompressedImage',
            header=self.header(seconds, frame),
            format=form,
            data=np.frombuffer(data, np.uint8),
        )

    def info(self, seconds: float, camera: Camera, frame: str = 'eye', shift: float = 0.0) -> Any:
        """Return a camera_info; ``shift`` is P[3] / P[0] [m]."""
        pinhole = camera.pinhole()
        projection = np.zeros((3, 4))
        projection[:, :3] = pinhole.matrix
        projection[0, 3] = shift * pinhole.fx
        upper = str.upper if self.ros1 else str.lower
        numbers = {
            'd': np.array(camera.distortion or (0.0,) * 5),
            'k': camera.matrix.ravel(),
            'r': np.array(camera.rotation),
            'p': projection.ravel(),
        }
        region = dict.fromkeys(('x_offset', 'y_offset', 'height', 'width'), 0)
        return self.make(
            'sensor_msgs/msg/CameraInfo',
            header=self.header(seconds, frame),
            height=camera.height,
            width=camera.width,
            distortion_model=camera.distortion_model or 'plumb_bob',
            binning_x=0,
            binning_y=0,
            roi=self.make('sensor_msgs/msg/RegionOfInterest', **region, do_rectify=False),
            **{upper(name): value for name, value in numbers.items()},
        )

    def transforms(self, *transforms: tuple[str, str, float, Sequence[float], Any]) -> Any:
        """Return a TFMessage of (parent, child, time [s], x y z, quaternion)."""
        stamped = [
            self.make(
                'geometry_msgs/msg/TransformStamped',
                header=self.header(seconds, parent),
                child_frame_id=child,
                transform=self.make(
                    'geometry_msgs/msg/Transform',
                    translation=self._vector('Vector3', place),
                    rotation=self._vector('Quaternion', turn),
                ),
            )
            for parent, child, seconds, place, turn in transforms
        ]
        return self.make('tf2_msgs/msg/TFMessage', transforms=stamped)

    def odometry(
        self, seconds: float, place: Sequence[float], turn: Any = NO_TURN, child: str = 'base'
    ) -> Any:
        """Return the pose of a frame in the frame odom."""
        pose = self.make(
            'geometry_msgs/msg/Pose',
            position=self._vector('Point', place),
            orientation=self._vector('Quaternion', turn),
        )
        zero = self._vector('Vector3', (0, 0, 0))
        twist = self.make('geometry_msgs/msg/Twist', linear=zero, angular=zero)
        covariance = np.zeros(36)
        return self.make(
            'nav_msgs/msg/Odometry',
            header=self.header(seconds, 'odom'),
            child_frame_id=child,
            pose=self.make(
                'geometry_msgs/msg/PoseWithCovariance', pose=pose, covariance=covariance
            ),
            twist=self.make(
                'geometry_msgs/msg/TwistWithCovariance', twist=twist, covariance=covariance
            ),
        )

    def _vector(self, kind: str, numbers: Sequence[float]) -> Any:
        fields = dict(zip('xyzw', map(float, numbers), strict=False))
        return self.make(f'geometry_msgs/msg/{kind}', **fields)

    def write(self, path: Path, plugin: str = 'mcap', compression: str = '') -> Path:
        """Write the bag, a .bag file for ROS 1, and return its path."""
        if self.ros1:
            path = path.with_suffix('.bag')
            writer: Any = Writer1(path)
        else:
            writer = Writer(path, version=9, storage_plugin=PLUGINS[plugin])
            if compression:
                writer.set_compression(COMPRESSIONS[compression], CompressionFormat.ZSTD)
        store = ROS1 if self.ros1 else ROS2
        serialize = store.serialize_ros1 if self.ros1 else store.serialize_cdr
        with writer:
            connections: dict[str, Any] = {}
            for topic, message, recorded in self.entries:
                broken = isinstance(message, tuple)
                kind = message[0] if broken else message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=store)
                data = message[1] if broken else bytes(serialize(message, kind))
                writer.write(connections[topic], round(recorded * 1e9), data)
        return path


def jpeg(rgb: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 RGB at quality 95."""
    return cv2.imencode('.jpg', rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def compressed_depth(millimetres: np.ndarray, form: str) -> bytes:
    """Encode (H, W) uint16 [mm] as compressedDepth png or rvl."""
    rvl = form.endswith('rvl')
    body = encode_rvl(millimetres) if rvl else cv2.imencode('.png', millimetres)[1].tobytes()
    return struct.pack('<iff', int(rvl), 0, 0) + body

"""Pictures as a camera: an image and its camera_info, with one stamp, at a steady rate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from fcrn_ros.camera import Camera
from fcrn_ros.messages import color_to_msg, header_of
from fcrn_ros.recording import Frame
from fcrn_ros.sources import Source, bundled_clip

FRAME_ID = 'camera_color_optical_frame'


class Player:
    """
    Publishes the frames of a source on ``image_raw`` and ``camera_info`` of a node.

    :param node: owns publishers and timer.
    :param source: what to play.
    :param prefix: of the topics, for example ``/camera/color/``.
    :param published: called with stamp and frame after each image.
    :ivar finished: the source has come to its end.
    """

    def __init__(
        self,
        node: Node,
        source: Source,
        prefix: str = '',
        published: Callable[[Time, Frame], None] = lambda stamp, frame: None,
    ) -> None:
        self._node, self._frames, self._published = node, iter(source.frames), published
        self._waiting = next(self._frames, None)
        qos = QoSProfile(depth=1)
        self._image = node.create_publisher(Image, f'{prefix}image_raw', qos)
        self._info = node.create_publisher(CameraInfo, f'{prefix}camera_info', qos)
        self._timer = node.create_timer(1 / source.rate, self._tick)
        self.finished = False

    def stop(self) -> None:
        """Publish no more."""
        self._timer.cancel()
        self.finished = True

    def _tick(self) -> None:
        frame = self._waiting
        if frame is None:
            self.stop()
            return
        stamp = self._node.get_clock().now().to_msg()
        header = header_of(stamp, FRAME_ID)
        if frame.camera is not None:
            self._info.publish(raw_camera_info(header, frame.camera))
        self._published(stamp, frame)
        self._image.publish(color_to_msg(header, frame.image))
        self._waiting = next(self._frames, None)


def raw_camera_info(header: Any, camera: Camera) -> CameraInfo:
    """Build the camera_info of a raw image, distortion included."""
    fx, fy, cx, cy = camera.rectified or (camera.fx, camera.fy, camera.cx, camera.cy)
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model or 'plumb_bob',
        d=list(camera.distortion) or [0.0] * 5,
        k=camera.matrix.ravel(),
        r=np.array(camera.rotation),
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def main(args: list[str] | None = None) -> int:
    """Play the bundled clip until told to stop; return the exit status."""
    try:
        source = bundled_clip()
        rclpy.init(args=args)
        node = rclpy.create_node('demo_camera')
        Player(node, source)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (OSError, ValueError) as err:
        print(f'demo_camera: {err}', file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())

"""
Arrays to messages; the only module that builds them.

Large ``data`` goes through one array.array: rclpy takes that without looking at every element,
where an ndarray, a memoryview or a list would cost hundreds of milliseconds.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from fcrn_ros.camera import Camera
from fcrn_ros.image import DEPTH_ENCODINGS

MAX_16UC1 = 65.535  # [m]


def header_of(stamp: Time, frame_id: str) -> Header:
    """Return a header with the input image's stamp and frame."""
    return Header(stamp=stamp, frame_id=frame_id)


def _bytes(values: NDArray[Any]) -> array[int]:
    data = array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data


def _image(header: Header, pixels: NDArray[Any], encoding: str) -> Image:
    height, width = pixels.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // height,
        data=_bytes(pixels),
    )


def depth_to_msg(header: Header, depth: NDArray[np.float32], encoding: str = '32FC1') -> Image:
    """
    Build a depth image by REP 118.

    :param depth: (h, w) float32, z-depth [m]; NaN invalid, +Inf beyond range.
    :param encoding: ``32FC1`` as it is, or ``16UC1`` in millimetres: 0 where depth is NaN, +Inf or
        does not fit 65.535 m.
    :raises ValueError: the encoding is neither.
    """
    if encoding == '32FC1':
        return _image(header, depth, encoding)
    if encoding != '16UC1':
        raise ValueError(
            f'depth encoding {encoding!r}; expected one of {", ".join(DEPTH_ENCODINGS)}'
        )
    with np.errstate(invalid='ignore'):
        known = (depth > 0) & (depth <= MAX_16UC1)
    millimetres = np.where(known, np.rint(np.where(known, depth, 0) * 1000), 0)
    return _image(header, millimetres.astype(np.uint16), encoding)


def color_to_msg(header: Header, color: NDArray[np.uint8]) -> Image:
    """Build an rgb8 image from (h, w, 3) uint8 RGB."""
    return _image(header, color, 'rgb8')


def confidence_to_msg(header: Header, confidence: NDArray[np.float32]) -> Image:
    """Build a 32FC1 image from (h, w) float32, 0..1."""
    return _image(header, confidence, '32FC1')


def camera_info_to_msg(header: Header, camera: Camera) -> CameraInfo:
    """
    Build the camera_info of a rectified image: D = 0, R = I, P = [K | 0].

    :raises ValueError: the camera is distorted.
    """
    if camera.distorted:
        raise ValueError('camera is distorted; expected the pinhole camera of a rectified image')
    k = camera.matrix
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack((k, np.zeros((3, 1)))).ravel(),
    )


def points_to_msg(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """
    Build an organised cloud with fields x, y, z, rgb.

    :param points: (h, w, 4) float32: x, y, z [m] and the bits of 0x00RRGGBB; NaN where there is no
        point.
    """
    height, width = points.shape[:2]
    names = ('x', 'y', 'z', 'rgb')
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(names)
    ]
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * width,
        data=_bytes(points),
        is_dense=bool(np.isfinite(points[..., 2]).all()),
    )

"""
Arrays to messages; the only module that builds them.

Large ``data`` goes through one array.array: rclpy takes that without looking at every element,
where an ndarray, a memoryview or a list would cost hundreds of milliseconds.

Compressed images are those of image_transport's plugins. ``compressedDepth`` is a header of 12
bytes, {int32 format, float32 a, float32 b}, and a PNG; ``compressed`` is a JPEG file.
"""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    LaserScan,
    PointCloud2,
    PointField,
)
from std_msgs.msg import Float32, Header

from fcrn_ros.camera import Camera
from fcrn_ros.image import DEPTH_ENCODINGS, DEPTH_HEADER

MAX_16UC1 = 65.535  # [m]
JPEG_QUALITY = 95  # of image_transport in ROS 2
# format 0 is INV_DEPTH, which the plugins write for millimetres too; these have no a and b
MILLIMETRES_HEADER = bytes(DEPTH_HEADER)


def header_of(stamp: Time, frame_id: str) -> Header:
    """Return a header with the input image's stamp and frame."""
    return Header(stamp=stamp, frame_id=frame_id)


def _bytes(values: NDArray[Any], head: bytes = b'') -> array[int]:
    data = array('B', head)
    if values.size:  # a memoryview of nothing cannot be cast
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
    return _image(header, _millimetres(depth), encoding)


def _millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return (h, w) uint16 [mm]; 0 where depth is NaN, +Inf or does not fit."""
    with np.errstate(invalid='ignore'):
        known = (depth > 0) & (depth <= MAX_16UC1)
    millimetres: NDArray[np.float32] = np.rint(np.where(known, depth, 0) * 1000)
    return millimetres.astype(np.uint16)


def color_to_msg(header: Header, color: NDArray[np.uint8]) -> Image:
    """Build an rgb8 image from (h, w, 3) uint8 RGB."""
    return _image(header, color, 'rgb8')


def confidence_to_msg(header: Header, confidence: NDArray[np.float32]) -> Image:
    """Build a 32FC1 image from (h, w) float32, 0..1."""
    return _image(header, confidence, '32FC1')


def compressed_depth_to_msg(header: Header, depth: NDArray[np.float32]) -> CompressedImage:
    """
    Build a depth image as compressed_depth_image_transport does, to the millimetre.

    It is 16UC1 whatever the raw topic has: a reader goes by ``format``, whose 'png' Humble does
    not write and reads all the same. The plugins' 32FC1 form, inverse depth in 16 bits, is coarser
    than 1 mm from 3.2 m on (z^2 / 10100) and has one kind of invalid as well. OpenCV's own PNG
    setting is fast: 0.2 ms and 14 kB for 128x96, 5 ms and 235 kB for 640x480, where level 3 saves
    a third of the bytes and takes 16 ms.

    :param depth: (h, w) float32, z-depth [m]; 0 mm where it is NaN, +Inf or does not fit 65.535 m.
    :raises ValueError: a PNG cannot hold its size.
    """
    png = _file('.png', _millimetres(depth))
    return CompressedImage(
        header=header, format='16UC1; compressedDepth png', data=_bytes(png, MILLIMETRES_HEADER)
    )


def compressed_color_to_msg(
    header: Header, color: NDArray[np.uint8], quality: int = JPEG_QUALITY
) -> CompressedImage:
    """
    Build a JPEG as compressed_image_transport does of an rgb8 image.

    :param color: (h, w, 3) uint8 RGB. The file is an ordinary one; 'bgr8' in its format says that
        OpenCV, which reads BGR, needs its channels swapped to give rgb8 back.
    :param quality: 1 to 100.
    :raises ValueError: a JPEG cannot hold its size, or the quality is out of range.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f'JPEG quality is {quality}; expected 1 to 100')
    bgr = np.asarray(cv2.cvtColor(color, cv2.COLOR_RGB2BGR))
    jpeg = _file('.jpg', bgr, cv2.IMWRITE_JPEG_QUALITY, quality)
    return CompressedImage(header=header, format='rgb8; jpeg compressed bgr8', data=_bytes(jpeg))


def _file(kind: str, pixels: NDArray[Any], *settings: int) -> NDArray[np.uint8]:
    """Return the (n,) bytes of an image file; :raises ValueError: the pixels do not fit it."""
    try:
        written, data = cv2.imencode(kind, pixels, settings)
    except cv2.error:
        written = False
    if not written:
        height, width = pixels.shape[:2]
        raise ValueError(f'image is {width}x{height}; expected a size that a {kind} can hold')
    return np.asarray(data, np.uint8)


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
    Build a cloud with fields x, y, z, rgb.

    :param points: (h, w, 4) float32: x, y, z [m] and the bits of 0x00RRGGBB; NaN where there is no
        point. Or (m, 4) for a cloud without rows, of height 1; m may be 0.
    """
    height, width = points.shape[:2] if points.ndim == 3 else (1, len(points))
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
        is_dense=all(bool(np.isfinite(points[..., i]).all()) for i in range(3)),
    )


def scan_to_msg(
    header: Header,
    ranges: NDArray[np.float32],
    angle_min: float,
    angle_increment: float,
    range_min: float,
    range_max: float,
) -> LaserScan:
    """
    Build a laser scan of one instant: time_increment and scan_time are 0.

    :param header: its frame has x ahead and z up; angles are about z, positive to the left.
    :param ranges: (n,) float32 [m], counter-clockwise where the increment is positive; by REP 117
        +Inf is free up to range_max, -Inf too near, NaN not known.
    :param angle_min: of the first range [rad].
    :param angle_increment: from one range to the next [rad].
    :param range_min: the smallest distance that can be measured [m].
    :param range_max: the largest [m].
    :raises ValueError: there is no range.
    """
    if ranges.ndim != 1 or not len(ranges):
        raise ValueError(f'ranges have the shape {ranges.shape}; expected (n,) of at least 1')
    data = array('f')
    data.frombytes(np.ascontiguousarray(ranges, np.float32).data.cast('B'))
    return LaserScan(
        header=header,
        angle_min=angle_min,
        angle_max=angle_min + (len(ranges) - 1) * angle_increment,
        angle_increment=angle_increment,
        range_min=range_min,
        range_max=range_max,
        ranges=data,
    )


def scale_to_msg(factor: float) -> Float32:
    """Build the message of a factor on depth; NaN where it is not known."""
    return Float32(data=factor)

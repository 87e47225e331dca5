"""
Any Image or CompressedImage message to pixels: colour as 8-bit RGB, depth as metres.

Messages are duck-typed: a live one (``data`` is an ``array.array``) and one read from a bag by
rosbags (``data`` is an ndarray) take the same road; neither rclpy nor cv_bridge is needed.

Convention: (H, W, 3) uint8 in the order R, G, B. 16-bit samples become 8 bits by their top byte.
YUV is BT.601 limited range (Y 16 is black, 235 white), as OpenCV and cv_bridge convert it.
Depth is (H, W) float32, z-depth [m], NaN invalid. Worked numbers: 0x12FF becomes 0x12; Y = 100,
U = 128, V = 168 gives R = 1.164 (100 - 16) + 1.596 (168 - 128) = 162; 1500 mm is 1.5 m.

Where an image needs no conversion, the result is a read-only view of the message's buffer, which
it keeps alive; otherwise it is the caller's own array. No function modifies its message.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.rvl import decode_rvl

Bridge = Callable[[Any], NDArray[np.uint8]]


class Layout(NamedTuple):
    """
    How an encoding lays out its samples.

    :param channels: samples per pixel in one row of the data.
    :param code: the OpenCV conversion to RGB; None for none.
    :param pattern: 'bayer', '422' or '420' (pixels that share chroma), '' where each is complete.
    :param sample_bytes: 1, or 2 for 16-bit samples.
    """

    channels: int
    code: int | None = None
    pattern: str = ''
    sample_bytes: int = 1


# The names are those of sensor_msgs/image_encodings.hpp. OpenCV calls a Bayer pattern by the 2nd
# and 3rd pixel of its second row, ROS by its top left 2x2 pixels: RGGB is OpenCV's BG.
LAYOUTS = {
    'rgb8': Layout(3),
    'bgr8': Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': Layout(1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': Layout(1, cv2.COLOR_BayerBG2RGB, 'bayer'),
    'bayer_bggr8': Layout(1, cv2.COLOR_BayerRG2RGB, 'bayer'),
    'bayer_gbrg8': Layout(1, cv2.COLOR_BayerGR2RGB, 'bayer'),
    'bayer_grbg8': Layout(1, cv2.COLOR_BayerGB2RGB, 'bayer'),
}
LAYOUTS |= {f'{name[:-1]}16': x._replace(sample_bytes=2) for name, x in LAYOUTS.items()}
LAYOUTS |= {
    'yuv422': Layout(2, cv2.COLOR_YUV2RGB_UYVY, '422'),
    'uyvy': Layout(2, cv2.COLOR_YUV2RGB_UYVY, '422'),
    'yuv422_yuy2': Layout(2, cv2.COLOR_YUV2RGB_YUY2, '422'),
    'yuyv': Layout(2, cv2.COLOR_YUV2RGB_YUY2, '422'),
    'nv12': Layout(1, cv2.COLOR_YUV2RGB_NV12, '420'),
    'nv21': Layout(1, cv2.COLOR_YUV2RGB_NV21, '420'),
    '8UC1': Layout(1, cv2.COLOR_GRAY2RGB),
    '8UC3': Layout(3, cv2.COLOR_BGR2RGB),
    '8UC4': Layout(4, cv2.COLOR_BGRA2RGB),
}
DEPTH_ENCODINGS = ('32FC1', '16UC1')  # those that the node writes
DEPTHS = {'32FC1': 'f4', '16UC1': 'u2', 'mono16': 'u2'}
CHANNELS = {(): cv2.COLOR_GRAY2RGB, (3,): cv2.COLOR_BGR2RGB, (4,): cv2.COLOR_BGRA2RGB}
DEPTH_HEADER = 12  # bytes before compressedDepth's pixels: int32 format, float32 a, float32 b


def rgb_from_msg(msg: Any, bridge: Bridge | None = None) -> NDArray[np.uint8]:
    """
    Read a colour image.

    :param msg: a sensor_msgs/Image in one of ``LAYOUTS``; any step, both endiannesses.
    :param bridge: from ``open_cv_bridge``. It gets the 8-bit images with whole pixels per step
        (it shears others, and rounds 16 bits); where it fails, our decoder takes the same frame.
    :return: (H, W, 3) uint8 RGB, C-contiguous; of a tight rgb8 a read-only view.
    :raises ValueError: the encoding is not known, or size, step and data do not fit together.
    """
    layout = LAYOUTS[_known(msg.encoding, LAYOUTS)]
    rows = _colour_rows(msg, layout)
    if bridge is not None and layout.sample_bytes == 1 and msg.step % layout.channels == 0:
        rgb = _bridged(msg, bridge)
        if rgb is not None:
            return rgb
    samples = rows.reshape(len(rows), -1, layout.channels * layout.sample_bytes)
    if layout.sample_bytes == 2:
        samples = samples[..., (0 if msg.is_bigendian else 1) :: 2]
    if layout.code is not None:
        samples = np.asarray(cv2.cvtColor(samples, layout.code), np.uint8)
    return np.ascontiguousarray(samples[:, : msg.width])


def rgb_from_compressed(msg: Any) -> NDArray[np.uint8]:
    """
    Read a JPEG or PNG image: 8 or 16 bits; colour, grey, or a Bayer mosaic in a grey PNG.

    Pixels stay where they are stored: an EXIF orientation is ignored, since camera_info describes
    the sensor. Transparency is dropped.

    :param msg: a sensor_msgs/CompressedImage.
    :return: (H, W, 3) uint8 RGB, C-contiguous.
    :raises ValueError: the data is not a whole JPEG or PNG image.
    """
    image = _decoded(np.frombuffer(msg.data, np.uint8), msg.format)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    code = CHANNELS[image.shape[2:]]
    encoding, _, transport = msg.format.partition(';')
    if image.ndim == 2 and encoding.startswith('bayer_') and 'mono' not in transport:
        code = LAYOUTS[_known(encoding, LAYOUTS)].code or code
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def depth_from_msg(msg: Any) -> NDArray[np.float32]:
    """
    Read a depth image (REP 118).

    :param msg: a sensor_msgs/Image: 32FC1 [m], or 16UC1 or mono16 [mm], 0 and 65535 invalid.
    :return: (H, W) float32, z-depth [m], C-contiguous; NaN invalid. 32FC1 keeps NaN and Inf; tight
        and in this machine's byte order it is a read-only view.
    :raises ValueError: the encoding is not known, or size, step and data do not fit together.
    """
    dtype = np.dtype(DEPTHS[_known(msg.encoding, DEPTHS)])
    dtype = dtype.newbyteorder('>' if msg.is_bigendian else '<')
    raw = _rows(msg, dtype, int(msg.width), int(msg.height), int(msg.step))
    return np.require(raw, np.float32, ['C', 'A']) if dtype.kind == 'f' else _metres(raw)


def depth_from_compressed(msg: Any) -> NDArray[np.float32]:
    """
    Read a depth image of the compressedDepth transport, PNG or RVL.

    16UC1 holds millimetres; a PNG without its header, as the plain compressed transport sends it,
    is taken as well. 32FC1 holds inverse depth: depth = a / (pixel - b), 0 invalid, with a and b
    from the header (compressed_depth_image_transport/src/codec.cpp).

    :param msg: a sensor_msgs/CompressedImage, of format '16UC1; compressedDepth png' or the like.
    :return: (H, W) float32, z-depth [m]; NaN invalid.
    :raises ValueError: an encoding that is not known, damaged RVL, or no whole 16-bit grey PNG.
    """
    encoding, _, transport = msg.format.partition(';')
    metric = DEPTHS[_known(encoding.strip(), DEPTHS)] == 'f4'
    data = np.frombuffer(msg.data, np.uint8)
    headless = not metric and data[:4].tobytes() == b'\x89PNG'
    body = data if headless else data[DEPTH_HEADER:]
    pixels = decode_rvl(body) if 'rvl' in transport.lower() else _grey_png(body, msg.format)
    if not metric:
        return _metres(pixels)
    a, b = np.frombuffer(data[4:DEPTH_HEADER].tobytes(), '<f4')
    if not (0 < a < np.inf and -np.inf < b < 1):  # a = z (z + 1), b = 1 - a / (greatest depth)
        raise ValueError(f'compressed depth has a = {a:g}, b = {b:g}; expected a > 0 and b < 1')
    depth: NDArray[np.float32] = a / np.where(pixels > 0, pixels - b, np.float32(np.nan))
    return depth


def open_cv_bridge() -> tuple[Bridge | None, str]:
    """
    Look for a cv_bridge that works.

    A build for another NumPy or OpenCV fails with whatever it likes, at import or at its first
    image (``AttributeError: _ARRAY_API not found``, ``KeyError: 16``): decode a known one here.

    :return: the bridge and its name; or None and the reason, in one line.
    """
    probe = SimpleNamespace(width=2, height=1, step=6, encoding='bgr8', is_bigendian=0)
    probe.data = bytearray(range(6))
    try:
        bridge = importlib.import_module('cv_bridge').CvBridge()
        pixels = np.asarray(bridge.imgmsg_to_cv2(probe, 'rgb8')).tolist()
    except Exception as error:
        return None, f'cv_bridge does not work here: {error!r}'
    if pixels != [[[2, 1, 0], [5, 4, 3]]]:
        return None, 'cv_bridge does not work here: it decodes a known image wrongly'
    return (lambda msg: np.asarray(bridge.imgmsg_to_cv2(msg, 'rgb8'))), 'cv_bridge'


def _bridged(msg: Any, bridge: Bridge) -> NDArray[np.uint8] | None:
    try:
        rgb = np.ascontiguousarray(bridge(msg))
    except Exception:  # CvBridgeError is a TypeError, and a mismatched build raises anything
        return None
    return rgb if rgb.shape == (msg.height, msg.width, 3) and rgb.dtype == np.uint8 else None


def _known(encoding: str, encodings: Iterable[str]) -> str:
    if encoding in encodings:
        return encoding
    raise ValueError(f'encoding {encoding!r} is not known; expected one of {", ".join(encodings)}')


def _colour_rows(msg: Any, layout: Layout) -> NDArray[np.uint8]:
    """View a colour image as (rows of data, bytes) uint8; a 4:2:2 row holds whole pixel pairs."""
    width, lines, step = int(msg.width), int(msg.height), int(msg.step)
    what = f'image is {width}x{lines} {msg.encoding}'
    if layout.pattern == 'bayer' and min(width, lines) < 3:  # OpenCV would return black
        raise ValueError(f'{what}; expected at least 3x3')
    if layout.pattern == '422':
        width += width % 2
    if layout.pattern == '420':
        if width % 2 or lines % 2:
            raise ValueError(f'{what}; expected an even width and height')
        lines = lines * 3 // 2  # the rows of chroma follow those of Y and are as long
        step = width if len(msg.data) == width * lines else step  # some drivers set size / height
    return _rows(msg, np.dtype('u1'), width * layout.channels * layout.sample_bytes, lines, step)


def _rows(msg: Any, dtype: np.dtype[Any], columns: int, lines: int, step: int) -> NDArray[Any]:
    """View the data as (lines, columns) of ``dtype``, read-only, once every size is checked."""
    what = f'{msg.width}x{msg.height} {msg.encoding}'
    if msg.width < 1 or msg.height < 1:
        raise ValueError(f'image is {what}; expected a positive size')
    least = columns * dtype.itemsize
    if step < least:
        raise ValueError(f'image step is {step}; expected at least {least} for {what}')
    data = np.frombuffer(msg.data, np.uint8)
    if data.size < step * lines:
        raise ValueError(
            f'image data has {data.size} bytes; '
            f'expected at least {step * lines} for {what} with step {step}'
        )
    data.flags.writeable = False
    rows: NDArray[Any] = np.ndarray((lines, columns), dtype, data, strides=(step, dtype.itemsize))
    return rows


def _decoded(data: NDArray[np.uint8], kind: str) -> NDArray[Any]:
    """Decode a JPEG or PNG file to (H, W), (H, W, 3) or (H, W, 4) uint8 or uint16, BGR."""
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # no data, or more pixels than OpenCV allows
        image = None
    if image is not None and image.shape[2:] in CHANNELS and image.dtype in (np.uint8, np.uint16):
        return image
    raise ValueError(f'{data.size} bytes of {kind!r} do not decode; expected a whole JPEG or PNG')


def _grey_png(data: NDArray[np.uint8], kind: str) -> NDArray[np.uint16]:
    pixels = _decoded(data, kind)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ValueError(f'PNG is {pixels.dtype} of {pixels.shape}; expected uint16 of (H, W)')
    return pixels


def _metres(millimetres: NDArray[np.uint16]) -> NDArray[np.float32]:
    depth: NDArray[np.float32] = millimetres.astype(np.float32) / np.float32(1000)
    depth[(millimetres == 0) | (millimetres == 65535)] = np.nan
    return depth

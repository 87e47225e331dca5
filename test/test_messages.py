"""Messages, with the real message packages: what a consumer reads back."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('sensor_msgs.msg', reason='needs the ROS 2 message package sensor_msgs')

from builtin_interfaces.msg import Time  # noqa: E402
from sensor_msgs.msg import PointField  # noqa: E402

from fcrn_ros import messages, parameters  # noqa: E402
from fcrn_ros.camera import Camera  # noqa: E402
from fcrn_ros.image import depth_from_msg, rgb_from_msg  # noqa: E402
from fcrn_ros.messages import (  # noqa: E402
    camera_info_to_msg,
    color_to_msg,
    confidence_to_msg,
    depth_to_msg,
    header_of,
    points_to_msg,
)

HEADER = header_of(Time(sec=12, nanosec=345678901), 'camera_optical_frame')


def _depth():
    """Return (2, 3): 1.5 m, NaN, +Inf; 0.25 m, 65.535 m, 80 m."""
    return np.array([[1.5, math.nan, math.inf], [0.25, 65.535, 80.0]], np.float32)


def _values(message, code):
    count = message.width * message.height
    return struct.unpack(f'<{count}{code}', bytes(message.data))


def _require_image(message, encoding, pixel):
    assert message.header == HEADER
    assert (message.width, message.height, message.encoding) == (3, 2, encoding)
    assert message.is_bigendian == 0
    assert message.step == 3 * pixel and len(message.data) == 2 * 3 * pixel


def test_header_is_that_of_the_input_image():
    assert (HEADER.stamp.sec, HEADER.stamp.nanosec) == (12, 345678901)
    assert HEADER.frame_id == 'camera_optical_frame'


# Images


def test_depth_in_metres_is_bit_for_bit():
    message = depth_to_msg(HEADER, _depth())
    _require_image(message, '32FC1', 4)
    assert bytes(message.data) == _depth().tobytes()
    values = _values(message, 'f')
    assert values[0] == 1.5 and math.isnan(values[1]) and values[2] == math.inf


def test_depth_in_millimetres_has_0_for_what_it_cannot_say():
    """65.535 m is the last that fits; 80 m, NaN and +Inf are 0."""
    message = depth_to_msg(HEADER, _depth(), '16UC1')
    _require_image(message, '16UC1', 2)
    assert _values(message, 'H') == (1500, 0, 0, 250, 65535, 0)


@pytest.mark.parametrize(
    ('metres', 'millimetres'),
    [(1.2344, 1234), (1.2346, 1235), (0.0, 0), (-1.0, 0), (-math.inf, 0), (0.0004, 0)],
)
def test_millimetres_are_rounded(metres, millimetres, recwarn):
    message = depth_to_msg(HEADER, np.full((2, 3), metres, np.float32), '16UC1')
    assert set(_values(message, 'H')) == {millimetres}
    assert not recwarn.list


@given(st.lists(st.floats(0.0078125, 65.5, width=32), min_size=6, max_size=6))
def test_depth_survives_the_round_trip(metres):
    depth = np.array(metres, np.float32).reshape(2, 3)
    assert np.array_equal(depth_from_msg(depth_to_msg(HEADER, depth)), depth)
    found = depth_from_msg(depth_to_msg(HEADER, depth, '16UC1'))
    assert np.abs(found - depth).max() <= 0.000501


def test_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match="depth encoding '64FC1'; expected one of 32FC1, 16UC1"):
        depth_to_msg(HEADER, _depth(), '64FC1')


def test_encodings_are_those_of_the_parameter():
    assert messages.DEPTH_ENCODINGS == parameters.DEPTH_ENCODINGS


def test_colour_is_rgb8():
    color = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 11
    message = color_to_msg(HEADER, color)
    _require_image(message, 'rgb8', 3)
    assert bytes(message.data[9:12]) == bytes([99, 110, 121])
    assert np.array_equal(rgb_from_msg(message), color)


def test_confidence_is_float():
    confidence = np.array([[0, 0.25, 0.5], [0.75, 1, 0.125]], np.float32)
    message = confidence_to_msg(HEADER, confidence)
    _require_image(message, '32FC1', 4)
    assert _values(message, 'f') == (0, 0.25, 0.5, 0.75, 1, 0.125)


def test_views_are_written_in_reading_order():
    """A flipped view and a cut one are not contiguous in memory."""
    wide = np.arange(20, dtype=np.float32).reshape(4, 5)
    message = depth_to_msg(HEADER, wide[::-2, 1:4])
    _require_image(message, '32FC1', 4)
    assert _values(message, 'f') == (16, 17, 18, 6, 7, 8)


def test_message_does_not_share_the_arrays_memory():
    depth = _depth()
    message = depth_to_msg(HEADER, depth)
    depth[:] = 7
    assert _values(message, 'f')[0] == 1.5


# Camera


CAMERA = Camera(32, 16, 25.0, 22.5, 14.625, 7.25)


def test_camera_info_is_that_of_a_rectified_image():
    message = camera_info_to_msg(HEADER, CAMERA)
    assert message.header == HEADER
    assert (message.width, message.height) == (32, 16)
    assert message.distortion_model == 'plumb_bob' and list(message.d) == [0.0] * 5
    assert list(message.k) == [25.0, 0, 14.625, 0, 22.5, 7.25, 0, 0, 1]
    assert list(message.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(message.p) == [25.0, 0, 14.625, 0, 0, 22.5, 7.25, 0, 0, 0, 1, 0]
    assert message.binning_x == message.binning_y == 0
    assert (message.roi.width, message.roi.height) == (0, 0)


@given(
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.tuples(*[st.floats(1, 5000)] * 2),
    st.tuples(*[st.floats(-100, 5000)] * 2),
)
def test_camera_survives_the_round_trip(width, height, focal, centre):
    camera = Camera(width, height, *focal, *centre)
    assert Camera.from_msg(camera_info_to_msg(HEADER, camera)) == camera


@pytest.mark.parametrize(
    'changes',
    [
        {'distortion_model': 'plumb_bob', 'distortion': (0.1, 0, 0, 0, 0)},
        {'rotation': (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)},
    ],
)
def test_distorted_camera_is_refused(changes):
    """Publishing it with D = 0 would be a lie."""
    with pytest.raises(ValueError, match='camera is distorted; expected the pinhole camera'):
        camera_info_to_msg(HEADER, Camera(32, 16, 25.0, 22.5, 14.0, 7.0, **changes))


# Points


def _points():
    """Return (2, 3, 4): z = 1 .. 6, x = 10 z, y = -z; the colour of point 3 is 0x00102030."""
    points = np.zeros((2, 3, 4), np.float32)
    points[..., 2] = np.arange(1, 7).reshape(2, 3)
    points[..., 0], points[..., 1] = 10 * points[..., 2], -points[..., 2]
    points.view(np.uint32)[1, 0, 3] = 0x00102030
    return points


def test_cloud_is_organised_and_without_padding():
    message = points_to_msg(HEADER, _points())
    assert message.header == HEADER
    assert (message.width, message.height) == (3, 2)
    assert (message.point_step, message.row_step, message.is_bigendian) == (16, 48, False)
    assert message.width * message.height * message.point_step == len(message.data)


def test_fields_are_x_y_z_and_rgb():
    fields = points_to_msg(HEADER, _points()).fields
    found = [(f.name, f.offset, f.datatype, f.count) for f in fields]
    kind = PointField.FLOAT32
    assert found == [('x', 0, kind, 1), ('y', 4, kind, 1), ('z', 8, kind, 1), ('rgb', 12, kind, 1)]


def test_point_is_read_back_by_its_offsets():
    """Column 0 of row 1 is point 3: z = 4, x = 40, y = -4."""
    message = points_to_msg(HEADER, _points())
    start = 1 * message.row_step
    assert struct.unpack_from('<fffI', bytes(message.data), start) == (40, -4, 4, 0x00102030)


def test_cloud_with_a_hole_is_not_dense():
    points = _points()
    assert points_to_msg(HEADER, points).is_dense is True
    points[1, 2, :3] = math.nan
    assert points_to_msg(HEADER, points).is_dense is False


def test_messages_can_be_serialised():
    """The message's own types are right: DDS takes them."""
    serialisation = pytest.importorskip('rclpy.serialization', reason='needs rclpy')
    for message in (
        depth_to_msg(HEADER, _depth()),
        camera_info_to_msg(HEADER, CAMERA),
        points_to_msg(HEADER, _points()),
    ):
        data = serialisation.serialize_message(message)
        assert serialisation.deserialize_message(data, type(message)) == message

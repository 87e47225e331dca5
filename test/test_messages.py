"""Messages, with the real message packages: what a consumer reads back."""

import math
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('sensor_msgs.msg', reason='needs the ROS 2 message package sensor_msgs')

from builtin_interfaces.msg import Time  # noqa: E402
from sensor_msgs.msg import PointField  # noqa: E402

from fcrn_ros.camera import Camera  # noqa: E402
from fcrn_ros.image import (  # noqa: E402
    depth_from_compressed,
    depth_from_msg,
    rgb_from_compressed,
    rgb_from_msg,
)
from fcrn_ros.messages import (  # noqa: E402
    camera_info_to_msg,
    color_to_msg,
    compressed_color_to_msg,
    compressed_depth_to_msg,
    confidence_to_msg,
    depth_to_msg,
    header_of,
    points_to_msg,
    scale_to_msg,
    scan_to_msg,
)
from fcrn_ros.recording import opened  # noqa: E402
from fcrn_ros.settings import PARAMETERS  # noqa: E402

HEADER = header_of(Time(sec=12, nanosec=345678901), 'camera_optical_frame')
# [m]; at 65 m float32 rounds the millimetres by 0.002 mm, and the metres read back by 0.004 mm
HALF_MILLIMETRE = 0.000506


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
    assert np.abs(found - depth).max() <= HALF_MILLIMETRE


def test_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match="depth encoding '64FC1'; expected one of 32FC1, 16UC1"):
        depth_to_msg(HEADER, _depth(), '64FC1')


@pytest.mark.parametrize('encoding', PARAMETERS['depth_encoding'].choices)
def test_every_encoding_of_the_parameter_is_written(encoding):
    assert depth_to_msg(HEADER, _depth(), encoding).encoding == encoding


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


# Compressed images

MILLIMETRES = [[1500, 0, 0], [250, 65535, 0]]  # of _depth()


def _colors():
    """Return (16, 40, 3) uint8: left half red 200, green 100, blue 20, right half 10, 60, 240."""
    color = np.empty((16, 40, 3), np.uint8)
    color[:, :20], color[:, 20:] = (200, 100, 20), (10, 60, 240)
    return color


def test_compressed_depth_is_a_header_of_12_bytes_and_a_png():
    message = compressed_depth_to_msg(HEADER, _depth())
    assert message.header == HEADER and message.format == '16UC1; compressedDepth png'
    data = bytes(message.data)
    assert struct.unpack('<iff', data[:12]) == (0, 0, 0)
    assert data[12:20] == b'\x89PNG\r\n\x1a\n'


def test_compressed_depth_is_16_bit_grey_in_millimetres():
    """65.535 m is the last that fits; NaN, +Inf and 80 m are 0."""
    data = np.frombuffer(compressed_depth_to_msg(HEADER, _depth()).data, np.uint8)
    width, height, bits, color = struct.unpack('>IIBB', data[28:38].tobytes())
    assert (width, height, bits, color) == (3, 2, 16, 0)
    assert cv2.imdecode(data[12:], cv2.IMREAD_UNCHANGED).tolist() == MILLIMETRES


def test_compressed_depth_holds_the_raw_16uc1_image():
    depth = np.linspace(-1, 70, 7 * 11, dtype=np.float32).reshape(7, 11)
    depth[3, 2:5] = math.nan, math.inf, -math.inf
    data = np.frombuffer(compressed_depth_to_msg(HEADER, depth).data, np.uint8)
    raw = depth_to_msg(HEADER, depth, '16UC1')
    assert cv2.imdecode(data[12:], cv2.IMREAD_UNCHANGED).tobytes() == bytes(raw.data)


@given(st.lists(st.floats(0.0078125, 65.5, width=32), min_size=6, max_size=6))
def test_compressed_depth_survives_the_round_trip(metres):
    depth = np.array(metres, np.float32).reshape(2, 3)
    found = depth_from_compressed(compressed_depth_to_msg(HEADER, depth))
    assert np.abs(found - depth).max() <= HALF_MILLIMETRE


def test_what_is_not_known_comes_back_as_nan():
    found = depth_from_compressed(compressed_depth_to_msg(HEADER, _depth()))
    assert np.isnan(found[0, 1:]).all() and np.isnan(found[1, 2])


def test_size_that_a_png_cannot_hold_is_refused():
    """OpenCV's PNG goes to 1,000,000 columns."""
    with pytest.raises(ValueError, match='image is 1000001x1; expected a size that a .png'):
        compressed_depth_to_msg(HEADER, np.ones((1, 1_000_001), np.float32))


def test_compressed_colour_is_an_ordinary_jpeg():
    """OpenCV reads BGR: blue first."""
    message = compressed_color_to_msg(HEADER, _colors())
    assert message.header == HEADER and message.format == 'rgb8; jpeg compressed bgr8'
    assert bytes(message.data[:3]) == b'\xff\xd8\xff'
    bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert bgr.shape == (16, 40, 3)
    np.testing.assert_allclose(bgr[8, 3].astype(int), (20, 100, 200), atol=3)


def test_compressed_colour_survives_the_round_trip():
    found = rgb_from_compressed(compressed_color_to_msg(HEADER, _colors()))
    np.testing.assert_allclose(found[:, ::39].astype(int), _colors()[:, ::39], atol=3)


def test_lower_quality_is_smaller():
    noise = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    sizes = [len(compressed_color_to_msg(HEADER, noise, q).data) for q in (20, 60, 95)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 2
    assert len(compressed_color_to_msg(HEADER, noise).data) == sizes[-1]


@pytest.mark.parametrize('quality', [0, 101])
def test_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match=f'JPEG quality is {quality}; expected 1 to 100'):
        compressed_color_to_msg(HEADER, _colors(), quality)


def test_size_that_a_jpeg_cannot_hold_is_refused():
    """Of the standard's 65535 columns libjpeg takes 65500."""
    with pytest.raises(ValueError, match='image is 65501x1; expected a size that a .jpg'):
        compressed_color_to_msg(HEADER, np.zeros((1, 65501, 3), np.uint8))


@pytest.fixture(scope='module')
def recorded(data_folder):
    """Return the first compressed depth and colour of a recording, by topic's last name."""
    bag = data_folder / 'bags' / 'kitchen_compressed_mcap'
    if not bag.is_dir():
        pytest.skip(f'needs the recording {bag}')
    found = {}
    with opened(bag) as reader:
        for connection, _, data in reader.messages():
            kind = connection.topic.rpartition('/')[2]
            if kind in ('compressed', 'compressedDepth') and kind not in found:
                found[kind] = reader.deserialize(data, connection.msgtype)
            if len(found) == 2:
                return found
    raise AssertionError(f'{bag} has only {list(found)}')


def test_compressed_depth_has_the_layout_of_a_recorded_one(recorded):
    """Format, header, and the PNG's signature and size: all but the compressed pixels."""
    theirs = recorded['compressedDepth']
    ours = compressed_depth_to_msg(HEADER, depth_from_compressed(theirs))
    assert ours.format == theirs.format
    assert bytes(ours.data[:45]) == bytes(theirs.data[:45])
    pixels = [
        cv2.imdecode(np.frombuffer(m.data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)
        for m in (ours, theirs)
    ]
    np.testing.assert_array_equal(pixels[0], np.where(pixels[1] == 65535, 0, pixels[1]))


def test_compressed_colour_has_the_layout_of_a_recorded_one(recorded):
    theirs = recorded['compressed']
    color = rgb_from_compressed(theirs)
    ours = compressed_color_to_msg(HEADER, color)
    assert ours.format == theirs.format
    assert bytes(ours.data[:11]) == bytes(theirs.data[:11])  # up to JFIF's name
    assert np.abs(rgb_from_compressed(ours).astype(int) - color).mean() < 1


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


def test_cloud_with_only_a_bad_x_is_not_dense():
    points = _points()
    points[0, 1, 0] = math.inf
    assert points_to_msg(HEADER, points).is_dense is False


def test_cloud_without_rows_has_height_1():
    """Points 1, 3 and 4 of the organised cloud; z is one more."""
    points = _points().reshape(6, 4)[[1, 3, 4]]
    message = points_to_msg(HEADER, points)
    assert (message.height, message.width, message.row_step) == (1, 3, 48)
    assert message.is_dense is True and bytes(message.data) == points.tobytes()
    assert struct.unpack_from('<fffI', bytes(message.data), 16) == (40, -4, 4, 0x00102030)
    points[2, :3] = math.nan
    assert points_to_msg(HEADER, points).is_dense is False


def test_empty_cloud_is_dense_and_has_its_fields():
    message = points_to_msg(HEADER, np.empty((0, 4), np.float32))
    assert (message.height, message.width, message.row_step) == (1, 0, 0)
    assert message.point_step == 16 and len(message.fields) == 4
    assert message.is_dense is True and len(message.data) == 0


# Scan and scale


def _scan(ranges):
    return scan_to_msg(HEADER, np.array(ranges, np.float32), -0.5, 0.25, 0.375, 10.0)


def test_scan_ends_at_the_last_ranges_angle():
    """-0.5 rad and four steps of 0.25 rad: 0.5 rad."""
    message = _scan([1, 2, math.inf, math.nan, -math.inf])
    assert message.header == HEADER
    assert (message.angle_min, message.angle_max, message.angle_increment) == (-0.5, 0.5, 0.25)
    assert (message.range_min, message.range_max) == (0.375, 10)
    assert message.time_increment == message.scan_time == 0 and not message.intensities


def test_scan_keeps_inf_and_nan():
    ranges = list(_scan([1, 2.5, math.inf, math.nan, -math.inf]).ranges)
    assert ranges[:3] == [1, 2.5, math.inf]
    assert math.isnan(ranges[3]) and ranges[4] == -math.inf


def test_scan_of_one_range_has_one_angle():
    message = _scan([4])
    assert message.angle_max == message.angle_min == -0.5 and list(message.ranges) == [4]


def test_scan_reads_a_reversed_view_in_its_order():
    """A column-wise minimum turned round is not contiguous in memory."""
    ranges = np.arange(1, 6, dtype=np.float32)[::-1]
    assert list(scan_to_msg(HEADER, ranges, 0.0, 0.1, 0.0, 9.0).ranges) == [5, 4, 3, 2, 1]


@pytest.mark.parametrize('shape', [(0,), (2, 3)])
def test_scan_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=rf'shape \({shape[0]}.*expected \(n,\) of at least 1'):
        scan_to_msg(HEADER, np.ones(shape, np.float32), 0.0, 0.1, 0.0, 9.0)


def test_scale_is_the_factor():
    assert scale_to_msg(1.25).data == 1.25
    assert math.isnan(scale_to_msg(math.nan).data)


# On the wire


def test_messages_can_be_serialised():
    """The message's own types are right: DDS takes them."""
    serialisation = pytest.importorskip('rclpy.serialization', reason='needs rclpy')
    for message in (
        depth_to_msg(HEADER, _depth()),
        camera_info_to_msg(HEADER, CAMERA),
        points_to_msg(HEADER, _points()),
        points_to_msg(HEADER, np.empty((0, 4), np.float32)),
        compressed_depth_to_msg(HEADER, _depth()),
        compressed_color_to_msg(HEADER, _colors()),
        _scan([1, 2.5, math.inf]),
        scale_to_msg(0.75),
    ):
        data = serialisation.serialize_message(message)
        assert serialisation.deserialize_message(data, type(message)) == message

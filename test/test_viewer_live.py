"""A node's messages on the page: real messages, and a real node's parameters over real DDS."""

import itertools
import math
import signal
import sys

import numpy as np
import pytest
from ros_graph import ROOT, Process, open_graph, wait_for_none
from viewer_recording import Recorded, read

from builtin_interfaces.msg import Time  # isort: skip
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from std_msgs.msg import Float32

from fcrn_ros import messages
from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.viewer.live import Outputs, points_from_msg
from fcrn_ros.viewer.node_mounting import MountingQuestion
from fcrn_ros.viewer.top_view import FREE, OBSTACLE, ROWS

pytestmark = pytest.mark.ros
CAMERA = Camera(6, 4, fx=5.0, fy=5.5, cx=2.0, cy=1.5)


def _header(stamp):
    """Return the header of an image taken at a time [s]."""
    sec = math.floor(stamp)
    time = Time(sec=sec, nanosec=round((stamp - sec) * 1e9))
    return messages.header_of(time, 'lens')


def _cloud(xyz, rgb):
    """Return (h, w, 4) points as the node has them, of (h, w, 3) and one colour."""
    points = np.empty((*xyz.shape[:2], 4), np.float32)
    points[..., :3] = xyz
    points.view(np.uint32)[..., 3] = rgb
    return points


@pytest.fixture
def recorded(tmp_path):
    return Recorded(tmp_path / 'a.rrd', Mounting(1.0))


@pytest.fixture
def outputs(recorded):
    return Outputs(recorded.scene, lambda: 12.0, rate=10.0)


# -- messages ----------------------------------------------------------------------------------


def test_cloud_is_read_as_it_was_written():
    xyz = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    xyz[1, 2] = np.nan
    points, colors = points_from_msg(messages.points_to_msg(_header(1), _cloud(xyz, 0x00C81E0A)))
    np.testing.assert_array_equal(points, xyz)
    assert colors.shape == (2, 3, 3) and colors[0, 1].tolist() == [200, 30, 10]


def test_cloud_in_one_row_has_no_pixels_above_each_other():
    message = messages.points_to_msg(_header(1), _cloud(np.ones((1, 5, 3)), 0))
    assert points_from_msg(message)[0].shape == (5, 3)


def test_cloud_without_colour_and_with_other_fields():
    """Fields z, y, x, each of 4 bytes behind 2 that are something else."""
    message = messages.points_to_msg(_header(1), _cloud(np.ones((1, 2, 3)), 0))
    message.fields = message.fields[:3]
    for field, offset in zip(message.fields, (10, 6, 2), strict=True):
        field.offset = offset
    message.point_step = 14
    row = b'\xff\xff' + np.array([3, 2, 1], '<f4').tobytes()
    message.data = list(row * 2)
    points, colors = points_from_msg(message)
    np.testing.assert_array_equal(points, [[1, 2, 3]] * 2)
    assert colors is None


def test_cloud_without_z_is_refused():
    message = messages.points_to_msg(_header(1), _cloud(np.ones((1, 2, 3)), 0))
    message.fields = message.fields[:2]
    with pytest.raises(
        ValueError, match='cloud has the fields x, y; expected little-endian x, y, z'
    ):
        points_from_msg(message)


# -- what is shown -----------------------------------------------------------------------------


def test_depth_shows_with_its_latency(outputs, recorded):
    """The clock says 12 s, the stamp 11.75 s: 250 ms."""
    depth = np.full((4, 6), 2.5, np.float32)
    outputs.depth(messages.depth_to_msg(_header(11.75), depth))
    found = recorded.read()
    assert outputs.frames == 1
    assert found['/latency'][0]['Scalars:scalars'] == [250.0]
    assert found['/depth'][0]['stamp'] == 11_750_000_000
    values = np.array(found['/depth'][0]['DepthImage:buffer'][0], np.uint8).view(np.float32)
    assert (values == 2.5).all()


def test_of_a_fast_node_whole_frames_are_left_out(outputs, recorded):
    """
    Send 30 Hz to a page of 10 Hz, the clouds two frames after the images.

    A frame is taken 75 ms after the last one: of 0, 33, 67, 100 ms those at 0 and 100, and so on;
    their clouds show too, though they come late.
    """
    stamps = [1 + k / 30 for k in range(13)]
    color, xyz = np.zeros((4, 6, 3), np.uint8), np.ones((4, 6, 3))
    for k in range(15):
        if k < 13:
            outputs.color(messages.color_to_msg(_header(stamps[k]), color))
        if k >= 2:
            outputs.points(messages.points_to_msg(_header(stamps[k - 2]), _cloud(xyz, 0)))
    found = recorded.read()
    shown = [round(row['stamp'] / 1e9, 4) for row in found['/camera/lens/color']]
    assert shown == [round(1 + k / 10, 4) for k in range(5)]
    assert [round(r['stamp'] / 1e9, 4) for r in found['/camera/points']] == shown


def test_clip_that_begins_again_goes_on(outputs, recorded):
    for stamp in (100.0, 100.2, 5.0, 5.2):
        outputs.color(messages.color_to_msg(_header(stamp), np.zeros((4, 6, 3), np.uint8)))
    assert len(recorded.read()['/camera/lens/color']) == 4


@pytest.mark.parametrize('marking_first', [True, False])
def test_node_s_own_obstacles_are_the_page_s(outputs, recorded, marking_first):
    """A point 0.6 m high is no obstacle when the node says that another one is."""
    points = messages.points_to_msg(_header(3), _cloud(np.array([[[0, 0.4, 2.02]]]), 0))
    marking = messages.points_to_msg(_header(3), _cloud(np.array([[[0, 0.9, 4.01]]]), 0))
    calls = [lambda: outputs.marking(marking), lambda: outputs.points(points)]
    for call in calls if marking_first else reversed(calls):
        call()
    buffer = recorded.read()['/above/cells'][-1]['SegmentationImage:buffer'][0]
    picture = np.array(buffer, np.uint8).reshape(ROWS, -1)
    assert np.argwhere(picture == OBSTACLE)[:, 0].tolist() == [ROWS - 1 - 80]
    assert not (picture == FREE).any()


def test_obstacles_of_another_frame_are_not_taken(outputs, recorded):
    marking = _cloud(np.array([[[0, 0.9, 4.01]]]), 0)
    points = _cloud(np.array([[[0, 0.4, 2.02]]]), 0)
    outputs.marking(messages.points_to_msg(_header(3), marking))
    outputs.points(messages.points_to_msg(_header(3.2), points))
    buffer = recorded.read()['/above/cells'][-1]['SegmentationImage:buffer'][0]
    picture = np.array(buffer, np.uint8).reshape(ROWS, -1)
    assert np.argwhere(picture == OBSTACLE)[:, 0].tolist() == [ROWS - 1 - 40]


def test_scan_shows_what_lies_within_its_range(outputs, recorded):
    """Of 0.1, 2, 9 and Inf at 0, 0.5, 1 and 1.5 rad, only the second is between 0.2 and 8 m."""
    scan = LaserScan(header=_header(1), angle_min=0.0, angle_increment=0.5)
    scan.range_min, scan.range_max, scan.ranges = 0.2, 8.0, [0.1, 2.0, 9.0, math.inf]
    outputs.scan(scan)
    (row,) = recorded.read()['/above/scan']
    expected = [80 - 2 * math.sin(0.5) / 0.05, 160 - 2 * math.cos(0.5) / 0.05]
    np.testing.assert_allclose(row['Points2D:positions'], [expected], atol=1e-3)


def test_scale_waits_for_a_frame(outputs, recorded):
    outputs.scale(Float32(data=0.5))
    outputs.depth(messages.depth_to_msg(_header(2), np.ones((4, 6), np.float32)))
    outputs.scale(Float32(data=1.25))
    (row,) = recorded.read()['/scale']
    assert row['Scalars:scalars'] == [1.25] and row['stamp'] == 2_000_000_000


# -- a running graph ---------------------------------------------------------------------------


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_viewer_live'), 41) as opened:
        yield opened


def _node(graph, name, namespace, values):
    """Return a node with parameters, and a depth publisher in ``namespace``."""
    import rclpy

    node = rclpy.create_node(name, context=graph.context, namespace='/robot')
    for key, value in values.items():
        node.declare_parameter(key, value)
    node.create_publisher(Image, f'{namespace}/depth/image_raw', 1)
    graph.executor.add_node(node)
    return node


@pytest.mark.parametrize(
    ('camera', 'values', 'held'),
    [
        ('', {'camera_height': 0.5, 'camera_pitch': 0.25, 'camera_roll': 0.0}, (0.5, 0.25)),
        (
            'front',
            {
                'camera_height': 0.5,
                'camera_pitch': 0.25,
                'camera_roll': 0.0,
                'front.camera_height': 0.8,
            },
            (0.8, 0.25),
        ),
        ('', {'camera_height': 0.0, 'camera_pitch': 0.25, 'camera_roll': 0.0}, None),
        ('', {'other': 1.0}, None),
    ],
    ids=['one camera', 'of several', 'not known', 'another node'],
)
def test_mounting_is_the_node_s(graph, camera, values, held):
    namespace = f'/robot/{camera}'.rstrip('/')
    node = _node(graph, 'fcrn_depth', namespace, values)
    question = MountingQuestion(graph.node, f'{namespace}/depth/image_raw')
    try:
        asked = []

        def answered():
            asked.append(question.poll())
            return asked[-1] or len(asked) > 40 and held is None

        graph.wait_for(answered, 'answer')
        assert asked[-1] == (Mounting(*held) if held else None)
    finally:
        graph.executor.remove_node(node)
        node.destroy_node()
        gone = f'{namespace}/depth/image_raw'
        graph.wait_for(lambda: not graph.node.count_publishers(gone), 'end')


def test_page_shows_what_a_node_publishes(graph, tmp_path):
    """Run the command as its users do; what it recorded is what was published."""
    path, prefix = tmp_path / 'live.rrd', '/robot/front'
    publishers = {
        name: graph.node.create_publisher(kind, f'{prefix}/{name}', QoSProfile(depth=1))
        for name, kind in {
            'depth/image_raw': Image,
            'depth/camera_info': CameraInfo,
            'color/image_raw': Image,
            'confidence/image_raw': Image,
            'points': PointCloud2,
            'depth_scale': Float32,
        }.items()
    }
    options = ['--namespace', prefix, '--save', str(path), '--height', '0.9', '--pitch', '10']
    ports = ['--port', '0', '--grpc-port', '0', '--no-browser']
    command = [sys.executable, '-m', 'fcrn_ros.cli', 'view', *options, *ports]
    environment = {**graph.environment, 'PYTHONPATH': str(ROOT)}
    process = Process(command, environment, tmp_path / 'view.log')
    depth = np.full((4, 6), 1.5, np.float32)
    xyz = CAMERA.unproject(depth)
    try:
        graph.wait_for(
            lambda: all(p.get_subscription_count() for p in publishers.values()), 'it', process
        )
        numbers = itertools.count(1000)

        def shown():
            header = _header(next(numbers))
            for name, message in {
                'depth/image_raw': messages.depth_to_msg(header, depth),
                'depth/camera_info': messages.camera_info_to_msg(header, CAMERA),
                'color/image_raw': messages.color_to_msg(header, np.full((4, 6, 3), 9, np.uint8)),
                'confidence/image_raw': messages.confidence_to_msg(header, depth / 3),
                'points': messages.points_to_msg(header, _cloud(xyz, 0x0000FF00)),
                'depth_scale': Float32(data=1.1),
            }.items():
                publishers[name].publish(message)
            return header.stamp.sec > 1020 and path.stat().st_size > 50_000

        graph.wait_for(shown, 'recording', process)
        assert process.signal(signal.SIGINT) == 0, process.log
    finally:
        process.close()
        for publisher in publishers.values():
            graph.node.destroy_publisher(publisher)
    wait_for_none(graph.mark)
    found = read(path)
    assert {
        '/depth',
        '/confidence',
        '/camera/lens/color',
        '/camera/points',
        '/above/cells',
    } <= set(found)
    assert found['/camera/points'][0]['Points3D:colors'][0] == 0x00FF00FF
    assert found['/camera/lens'][0]['Pinhole:resolution'] == [[6, 4]]
    assert all(row['stamp'] >= 1000e9 for row in found['/depth'])
    assert process.lines == [line for line in process.lines if line.startswith(('open', 'fcrn'))]

"""Where a camera's calibration comes from: files, bags, and real topics."""

import importlib.util
import threading
from types import SimpleNamespace

import pytest
import yaml

from fcrn_ros.camera import Camera
from fcrn_ros.navigation.cameras import camera_from_bag, camera_from_file, camera_from_topic
from fcrn_ros.share import share_folder

needs_ros = pytest.mark.skipif(
    importlib.util.find_spec('rclpy') is None, reason="needs rclpy: pip install 'fcrn_ros[ros]'"
)
CALIBRATION = {
    'image_width': 320,
    'image_height': 200,
    'camera_name': 'left',
    'camera_matrix': {
        'rows': 3,
        'cols': 3,
        'data': [250.0, 0.0, 149.5, 0.0, 240.0, 119.5, 0.0, 0.0, 1.0],
    },
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [-0.2, 0.1, 0.001, 0.0, 0.0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    'projection_matrix': {
        'rows': 3,
        'cols': 4,
        'data': [230.0, 0.0, 151.0, 0.0, 0.0, 225.0, 118.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    },
}
MESSAGE = {
    'header': {'frame_id': 'left'},
    'width': 320,
    'height': 200,
    'distortion_model': 'plumb_bob',
    'd': [0.0, 0.0, 0.0, 0.0, 0.0],
    'k': CALIBRATION['camera_matrix']['data'],
    'r': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    'p': CALIBRATION['projection_matrix']['data'],
    'binning_x': 0,
    'binning_y': 0,
    'roi': {'x_offset': 40, 'y_offset': 20, 'height': 100, 'width': 160, 'do_rectify': False},
}


@pytest.fixture
def read(tmp_path):
    """Return a function from a document to the camera in its file."""

    def camera(document, end=''):
        path = tmp_path / 'left.yaml'
        path.write_text(yaml.safe_dump(document) + end)
        return camera_from_file(path)

    return camera


def test_calibration_file_is_the_raw_camera_with_its_rectified_one(read):
    camera = read(CALIBRATION)
    assert (camera.width, camera.height) == (320, 200)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (250.0, 240.0, 149.5, 119.5)
    assert camera.distortion == (-0.2, 0.1, 0.001, 0.0, 0.0)
    assert camera.pinhole() == Camera(320, 200, 230.0, 225.0, 151.0, 118.0)


def test_printed_message_is_read_with_its_window(read):
    """`ros2 topic echo` ends a message with ---; the window's offset is taken from P's axis."""
    camera = read(MESSAGE, '---\n')
    assert camera == Camera(160, 100, 230.0, 225.0, 151.0 - 40, 118.0 - 20)


def test_calibration_file_may_leave_out_all_but_size_and_matrix(read):
    short = {k: CALIBRATION[k] for k in ('image_width', 'image_height', 'camera_matrix')}
    assert read(short) == Camera(320, 200, 250.0, 240.0, 149.5, 119.5)


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({'image_width': '320'}, "image_width '320'; expected a whole number"),
        ({'image_height': None}, 'image_height None; expected a whole number'),
        ({'camera_matrix': None}, 'camera_matrix None; expected a list of numbers'),
        ({'camera_matrix': {'data': [250.0, 240.0]}}, 'camera_matrix of 2 numbers; expected 9'),
        ({'camera_matrix': {'data': [0.0] * 9}}, 'all-zero K: the camera is not calibrated'),
        ({'projection_matrix': {'data': ['a'] * 12}}, 'projection_matrix .*expected a list'),
        ({'distortion_model': 'mei'}, "'mei' is not known"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(read, change, problem):
    with pytest.raises(ValueError, match=f'left.yaml.*{problem}'):
        read({**CALIBRATION, **change})


def test_bag_has_the_camera_of_its_colour_images():
    camera = camera_from_bag(share_folder() / 'demo' / 'room')
    assert camera == Camera(640, 480, 568.0, 568.0, 323.5, 236.0)


def test_bag_without_the_topic_is_refused_with_its_topics():
    with pytest.raises(ValueError, match='no camera_info on /rear/camera_info; the bag has .*/'):
        camera_from_bag(share_folder() / 'demo' / 'room', '/rear/camera_info')


# -- live ----------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    """Return a ROS graph of this module in which a camera_info is published."""
    if importlib.util.find_spec('rclpy') is None:
        pytest.skip("needs rclpy: pip install 'fcrn_ros[ros]'")
    import ros_graph

    with ros_graph.open_graph(tmp_path_factory.mktemp('test_cameras'), 9) as graph:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('ROS_DOMAIN_ID', str(graph.domain))
            publisher = graph.node.create_publisher(ros_graph.CameraInfo, '/front/camera_info', 1)
            message = ros_graph.info_msg(320, 200, (250.0, 240.0, 149.5, 119.5))
            over = threading.Event()
            sender = threading.Thread(target=_send, args=(publisher, message, over))
            sender.start()
            yield SimpleNamespace(graph=graph)
            over.set()
            sender.join()


def _send(publisher, message, over):
    while not over.wait(0.05):
        publisher.publish(message)


@needs_ros
@pytest.mark.ros
def test_live_camera_info_is_read(graph):
    camera = camera_from_topic('/front/camera_info', 0.5)
    assert camera == Camera(320, 200, 250.0, 240.0, 149.5, 119.5)


@needs_ros
@pytest.mark.ros
def test_silent_topic_is_said_with_those_that_are_there(graph):
    with pytest.raises(
        ValueError, match='nobody publishes /rear/camera_info; .* found: /front/camera_info'
    ):
        camera_from_topic('/rear/camera_info', 0.2)

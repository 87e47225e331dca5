"""Where the node's cameras are: by parameters, by TF's message, and what is said without TF."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2 (rclpy)')
from rclpy.node import Node  # noqa: E402

from fcrn_ros.mounting import Mounting  # noqa: E402
from fcrn_ros.settings import Settings  # noqa: E402
from fcrn_ros.shell.mountings import Mountings, mounting_from_msg  # noqa: E402
from fcrn_ros.transforms import inverse  # noqa: E402

pytestmark = pytest.mark.ros
WITHOUT_TF = pytest.mark.skipif(find_spec('tf2_ros') is not None, reason='needs no tf2_ros')
FRAME = 'camera_optical_frame'


class Log:
    """A node's logger that keeps what is said."""

    def __init__(self):
        self.lines = []

    def warning(self, text, **_):
        self.lines.append(text)

    info = warning


@pytest.fixture
def node(monkeypatch):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=86)
    node = Node('mountings', context=context, enable_rosout=False)
    node.log = Log()
    monkeypatch.setattr(node, 'get_logger', lambda: node.log)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_parameters_tell_of_the_camera_and_of_one_among_several(node):
    settings = Settings(camera_height=0.5, own={'left.camera_height': 0.8})
    mountings = Mountings(node)
    assert mountings.of('', FRAME, settings) == Mounting(0.5)
    assert mountings.of('left', FRAME, settings) == Mounting(0.8)
    assert mountings.of('', FRAME, Settings()) is None


@WITHOUT_TF
def test_without_tf_a_base_frame_is_warned_of_and_parameters_tell(node):
    settings = Settings(base_frame='base_footprint', camera_height=0.5)
    assert Mountings(node).of('', FRAME, settings) == Mounting(0.5)
    assert 'base_frame needs tf2_ros, which is not installed' in node.log.lines[0]


@WITHOUT_TF
def test_without_tf_a_frame_is_told_once_as_a_command(node):
    """A level camera 0.4 m up: the floor is 0.4 m down, along its y; x ahead is its z."""
    mountings, frame = Mountings(node), inverse(Mounting(0.4).floor_T_optical)
    for _ in range(2):
        mountings.show(FRAME, 'camera_floor', frame)
    (line,) = node.log.lines
    assert 'static_transform_publisher --x 0.00000 --y 0.40000 --z 0.00000' in line
    assert line.endswith(f'--frame-id {FRAME} --child-frame-id camera_floor')
    mountings.show(FRAME, 'camera_floor', inverse(Mounting(0.5).floor_T_optical))
    assert len(node.log.lines) == 2  # it has moved


def test_a_transform_is_a_mounting_without_noise():
    """floor_R_optical of a level camera is the quaternion (-0.5, 0.5, -0.5, 0.5)."""
    message = SimpleNamespace(
        translation=SimpleNamespace(x=0.200004, y=-0.1, z=0.4),
        rotation=SimpleNamespace(x=-0.5, y=0.5, z=-0.5, w=0.5),
    )
    assert mounting_from_msg(message) == Mounting(0.4, x=0.2, y=-0.1)


def test_a_camera_below_its_base_is_refused():
    message = SimpleNamespace(
        translation=SimpleNamespace(x=0.0, y=0.0, z=-0.1),
        rotation=SimpleNamespace(x=-0.5, y=0.5, z=-0.5, w=0.5),
    )
    with pytest.raises(ValueError, match='expected finite numbers and a height above 0'):
        mounting_from_msg(message)

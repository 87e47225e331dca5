"""
A robot records its room, trains on that, and sees a box 2 m ahead: the whole chain over real DDS.

A recording of 40 pictures goes through ``fcrn train``, the model through the node, the picture of
the box through DDS, and what comes out is held against the room's geometry. In no recorded picture
is the box where it stands here. This shows that the chain is right, not how well the shipped model
knows rooms that it has never seen.
"""

import math

import numpy as np
import pytest
from box_drive import BEARING, CAMERA, MOUNTING, RANGE, Truth, bearing_of_box, record, room
from box_scene import render
from ros_graph import Received, image_msg, info_msg, open_graph, points_of, wait_for_none
from sensor_msgs.msg import LaserScan, PointCloud2

pytest.importorskip('lightning', reason="needs the training extra: pip install '.[train]'")

from small_runs import run_fcrn  # noqa: E402

pytestmark = pytest.mark.ros
RECIPE = {
    'steps': 70,
    'check-every': 70,
    'batch': 2,
    'rate': 0.001,
    'gradient': 1,
    'blend': 0,
    'zoom': 1,
    'erase': 0,
    'test': 0.1,
    'validation': 0.05,
    'workers': 0,
    'logger': 'none',
    'accelerator': 'cpu',
    'out': 'run',
    'name': 'box',
}
TOPICS = {'points/marking': PointCloud2, 'points/clearing': PointCloud2, 'scan': LaserScan}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Return the model that ``fcrn train`` makes of a recording of the room."""
    folder = tmp_path_factory.mktemp('drive')
    record(folder / 'recording')
    options = [str(x) for k, v in RECIPE.items() for x in (f'--{k}', v)]
    ended = run_fcrn(['train', 'recording', *options], folder)
    assert ended.status == 0, ended.err
    return folder / 'run' / 'box.safetensors'


class Outputs(Received):
    """What a robot drives by, by topic and stamp."""

    def __init__(self, node):
        self.node, self.messages = node, {topic: {} for topic in TOPICS}
        self._subscriptions = [
            node.graph.node.create_subscription(
                kind, f'{node.namespace}/{topic}', self._store(topic), 5
            )
            for topic, kind in TOPICS.items()
        ]


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_drive'), 43) as graph:
        yield graph


@pytest.fixture(scope='module')
def outputs(graph, model):
    """Return topic -> message, all of one picture of the box."""
    node = graph.start(
        {
            'model': model,
            'backend': 'torch',
            'threads': 1,
            'scale': 'ground',
            'camera_height': MOUNTING.height,
            'camera_pitch': MOUNTING.pitch,
        }
    )
    c = CAMERA
    node.set_camera(info_msg(c.width, c.height, (c.fx, c.fy, c.cx, c.cy)))
    picture = render(room(), CAMERA, MOUNTING, noise=99).picture
    received = Outputs(node)
    try:
        return received.play(image_msg(picture))
    finally:
        received.close()


@pytest.fixture(scope='module')
def truth():
    """Return what is where in the network's 96 x 128 depth image."""
    return Truth((128, 96))


@pytest.fixture(scope='module')
def marking(outputs):
    return points_of(outputs['points/marking']).reshape(-1, 4)


def test_the_box_is_marked_within_a_tenth_of_its_range(truth, marking):
    assert truth.range_of_box(marking) == pytest.approx(RANGE, rel=0.1)
    assert truth.share_of_box(marking) > 0.5


def test_the_floor_is_not_marked(truth, marking):
    assert truth.share_of_floor(marking) < 0.01


def test_rays_clear_beyond_the_box_and_not_through_it(outputs, truth):
    """Beside it to furniture and wall, 3 to 4.2 m away; on it to its sides at most, 2.4 m."""
    clearing = points_of(outputs['points/clearing']).reshape(-1, 4)
    beside, on_box = truth.reach(clearing)
    assert beside > 1.5 * RANGE and on_box < 1.2 * RANGE


def test_the_scan_shows_the_box_at_its_bearing(outputs):
    """The front's middle is at 0.16 rad; one degree is 0.0175 rad."""
    scan = outputs['scan']
    ranges = np.array(scan.ranges)
    angles = scan.angle_min + np.arange(len(ranges)) * scan.angle_increment
    assert bearing_of_box(angles, ranges) == pytest.approx(BEARING, abs=math.radians(1))
    ahead = ranges[np.abs(angles - BEARING) < 0.05]
    assert np.median(ahead) == pytest.approx(RANGE, rel=0.15)


def test_every_node_ends(graph):
    graph.stop_nodes()
    wait_for_none(graph.mark)

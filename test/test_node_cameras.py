"""Several cameras on one node, over real DDS: each has its own topics, counts and calibration."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from ros_graph import (
    array_of,
    header_at,
    image_msg,
    info_msg,
    nanoseconds,
    open_graph,
    points_of,
    wait_for_none,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from fcrn_ros.camera import Camera
from fcrn_ros.pipeline import DepthPipeline

pytestmark = pytest.mark.ros
NAMES = ('front', 'left')
INFOS = {
    'front': info_msg(),
    'left': info_msg(320, 240, (250.0, 260.0, 150.0, 130.0)),
}
OUTPUTS = {'depth/image_raw': Image, 'depth/camera_info': CameraInfo, 'points': PointCloud2}


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_node_cameras'), 9) as graph:
        yield graph


@pytest.fixture(scope='module')
def scenes():
    """Return camera -> picture; one of them dark at the left, the other at the top."""
    random = np.random.default_rng(5)
    front = random.integers(0, 255, (480, 640, 3), np.uint8)
    left = random.integers(0, 255, (240, 320, 3), np.uint8)
    front[:, :200], left[:90] = 20, 230
    return {'front': front, 'left': left}


class Rig:
    """Cameras of one node: they send with one stamp, and every output is kept."""

    def __init__(self, graph, node, scenes):
        self.graph, self.node, self.scenes = graph, node, scenes
        self.publishers, self.messages = {}, {}
        for name in scenes:
            self.publishers[name] = tuple(
                graph.node.create_publisher(kind, f'{node.namespace}/{name}/{topic}', 1)
                for kind, topic in ((CameraInfo, 'camera_info'), (Image, 'image'))
            )
            for topic, kind in OUTPUTS.items():
                kept = self.messages[name, topic] = {}
                graph.node.create_subscription(
                    kind, f'{node.namespace}/{name}/{topic}', self._keeper(kept), 5
                )

    @staticmethod
    def _keeper(kept):
        def keep(message):
            kept[nanoseconds(message.header.stamp)] = message

        return keep

    def send(self, names=NAMES):
        """Send camera_info and image of some cameras with the present stamp [ns]; return it."""
        stamp = self.graph.node.get_clock().now().nanoseconds
        for name in names:
            info, image = self.publishers[name]
            picture = image_msg(self.scenes[name])
            calibration = INFOS[name]
            calibration.header = picture.header = header_at(stamp)
            picture.header.frame_id = calibration.header.frame_id = f'{name}_optical_frame'
            info.publish(calibration)
            image.publish(picture)
        return stamp

    def exchange(self, names=NAMES):
        """Send until every output of these cameras has come for one stamp; return them."""
        sent, due = set(), 0.0

        def answered():
            nonlocal due
            if time.monotonic() > due:
                sent.add(self.send(names))
                due = time.monotonic() + 0.5
            came = [set(self.messages[n, t]) for n in names for t in OUTPUTS]
            return max(set.intersection(sent, *came), default=None)

        stamp = self.graph.wait_for(answered, f'outputs of {names}', self.node)
        return {key: kept[stamp] for key, kept in self.messages.items() if key[0] in names}


@pytest.fixture(scope='module')
def rig(graph, tiny_model, scenes):
    parameters = {
        'cameras': '[front, left]',
        'model': tiny_model,
        'backend': 'torch',
        'precision': 'fp32',
        'min_range': 0.0,
        'max_range': 1000.0,
        'left.camera_height': 0.7,
    }
    return Rig(graph, graph.start(parameters), scenes)


@pytest.fixture(scope='module')
def outputs(rig):
    return rig.exchange()


@pytest.mark.parametrize('name', NAMES)
def test_each_camera_s_outputs_are_those_of_its_own_picture(
    outputs, scenes, tiny_model, name, one_thread
):
    """In a batch of two, each has the depth that its picture has alone."""
    pipeline = DepthPipeline.open(str(tiny_model), 'torch', 'cpu', 'fp32')
    camera = Camera.from_msg(INFOS[name])
    alone = pipeline(scenes[name], camera).depth
    found = array_of(outputs[name, 'depth/image_raw'])
    np.testing.assert_allclose(found, alone, rtol=1e-4)
    assert outputs[name, 'depth/image_raw'].header.frame_id == f'{name}_optical_frame'
    info = Camera.from_msg(outputs[name, 'depth/camera_info'])
    rows, columns = found.shape
    assert (info.fx, info.cy) == pytest.approx(
        (camera.resized(columns, rows).fx, camera.resized(columns, rows).cy)
    )
    assert np.nanmax(points_of(outputs[name, 'points'])[..., 2]) == pytest.approx(alone.max())


def test_a_camera_alone_is_served(rig, outputs):
    """The other one is silent: nothing of it comes with this one's stamps."""
    answer = rig.exchange(('left',))['left', 'depth/image_raw']
    assert nanoseconds(answer.header.stamp) not in rig.messages['front', 'depth/image_raw']


def test_a_bad_image_of_one_does_not_cost_the_other_its_frame(rig, outputs):
    node, (_, publisher) = rig.node, rig.publishers['front']
    logged = len(node.log)
    bad = image_msg(rig.scenes['front'])
    bad.encoding = 'no_such_encoding'
    publisher.publish(bad)
    rig.exchange(('left',))
    line = node.wait_for_log('frame of front dropped (bad image)', logged)
    assert 'no_such_encoding' in line


def test_each_camera_has_its_own_diagnostics(graph, rig, outputs):
    name = f'{rig.node.namespace[1:]}/fcrn_depth'
    found = {}
    subscription = graph.node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda m: found.update({s.name: s for s in m.status}), 10
    )
    expected = {f'{name}: front depth', f'{name}: left depth'}
    graph.wait_for(lambda: expected <= set(found), 'diagnostics of both', rig.node)
    graph.node.destroy_subscription(subscription)
    values = {v.key: v.value for v in found[f'{name}: left depth'].values}
    assert f'{rig.node.namespace}/left/image' in values
    assert f'{rig.node.namespace}/front/image' not in values


@pytest.mark.parametrize('cameras', ['[front, front]', '[9lives]', '[front, ""]', 'front'])
def test_bad_names_of_cameras_end_the_start(graph, tiny_model, cameras):
    process = graph.run('-p', f'model:={tiny_model}', '-p', f'cameras:={cameras}')
    assert process.wait() == 1
    (line,) = process.lines
    assert 'parameter cameras is' in line


def test_every_node_ends(graph):
    graph.stop_nodes()
    wait_for_none(graph.mark)

"""A fisheye before the real node: one cloud over all views, images of the middle one."""

import numpy as np
import pytest
from ros_graph import FRAME_ID, array_of, image_msg, info_msg, open_graph, wait_for_none

from fcrn_ros.camera import Camera

pytestmark = pytest.mark.ros
TOPICS = ('depth/image_raw', 'depth/camera_info', 'points')


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_node_wide'), 10) as graph:
        yield graph


@pytest.fixture(scope='module')
def node(graph, tiny_model):
    parameters = {'model': tiny_model, 'backend': 'torch', 'precision': 'fp32', 'min_range': 0.0}
    return graph.start({**parameters, 'max_range': 1000.0, 'edge_filter': 0.0})


@pytest.fixture(scope='module')
def outputs(node):
    """320 px at 100 px a radian: 3.2 rad, 183 degrees, three views."""
    info = info_msg(320, 240, (100.0, 102.0, 158.0, 121.0), (1e-4, 0.0, 0.0, 0.0))
    info.distortion_model = 'equidistant'
    node.set_camera(info)
    scene = np.random.default_rng(8).integers(0, 255, (240, 320, 3), np.uint8)
    return node.exchange(image_msg(scene), TOPICS)


def test_cloud_covers_the_whole_lens(outputs):
    """The points are in the image's frame; to the left and right they reach 90 degrees."""
    cloud = outputs['points']
    assert cloud.header.frame_id == FRAME_ID
    depth = array_of(outputs['depth/image_raw'])
    assert (cloud.height, cloud.width) == (1, 3 * depth.size)
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 4)
    x, _, z = points[np.isfinite(points[:, 2]), :3].T
    bearing = np.degrees(np.arctan2(x, z))
    assert bearing.min() < -85 and bearing.max() > 85


def test_every_direction_is_covered_once(outputs):
    """Where views overlap, one of them has the points: fewer than three whole views."""
    points = np.frombuffer(outputs['points'].data, np.float32).reshape(-1, 4)
    share = np.isfinite(points[:, 2]).mean()
    assert 0.6 < share < 0.98


def test_images_are_the_middle_view_s(outputs):
    """A pinhole of 80 degrees along the axis of the lens, in the image's own frame."""
    image, info = outputs['depth/image_raw'], outputs['depth/camera_info']
    assert image.header.frame_id == info.header.frame_id == FRAME_ID
    camera = Camera.from_msg(info)
    assert not camera.distorted
    half = np.degrees(np.arctan(camera.width / 2 / camera.fx))
    assert 2 * half == pytest.approx(80, abs=1)


def test_points_of_the_middle_view_are_those_of_its_depth(outputs):
    depth, info = array_of(outputs['depth/image_raw']), outputs['depth/camera_info']
    points = np.frombuffer(outputs['points'].data, np.float32).reshape(-1, 4)[: depth.size]
    known = np.isfinite(points[:, 2])
    assert known.any()
    np.testing.assert_array_equal(points[known, 2], depth.ravel()[known])
    pixels = Camera.from_msg(info).project(points[known, :3])
    v, u = np.divmod(np.flatnonzero(known), depth.shape[1])
    np.testing.assert_allclose(pixels, np.stack((u, v), -1), atol=0.01)


def test_front_view_alone_is_computed_where_that_is_asked_for(node, outputs):
    scene = np.random.default_rng(9).integers(0, 255, (240, 320, 3), np.uint8)
    with node.settings({'views': 'auto'}, views='front'):
        found = node.exchange(image_msg(scene), TOPICS)
    assert found['points'].height > 1
    assert found['depth/image_raw'].header.frame_id == FRAME_ID


def test_every_node_ends(graph):
    graph.stop_nodes()
    wait_for_none(graph.mark)

"""The numbers of a costmap, and their way into YAML."""

import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.contract import Facts, check
from fcrn_ros.navigation.costmap import Robot, plan_costmap
from fcrn_ros.navigation.layout import costmap_yaml, number, source_name
from fcrn_ros.navigation.templates import LAYERS
from fcrn_ros.settings import Settings

# x / z from -0.6 to 0.68, y / z from -0.5 to 80 / 240 = 0.3333
CAMERA = Camera(320, 200, 250.0, 240.0, 149.5, 119.5)
LOW = {'': Mounting(0.5)}


def _plan(mountings=LOW, **more):
    return plan_costmap(CAMERA, mountings, **more)


def _parameters(text, layer='voxel_layer'):
    costmap = yaml.safe_load(text)['local_costmap']['local_costmap']['ros__parameters']
    return costmap, costmap[layer]


def test_obstacles_are_marked_until_the_depth_error_reaches_the_inflation():
    """(0.25 + 0.3) m / 0.2 = 2.75 m; rays clear 0.5 m farther; 2 * 3.25 m is less than 7 m."""
    costmap = _plan()
    assert (costmap.mark_range, costmap.clear_range, costmap.size) == (2.75, 3.25, 7)


def test_better_depth_marks_farther_up_to_the_nodes_range():
    """0.55 m / 0.1 = 5.5 m; / 0.03 = 18.3 m is beyond max_range 10 m, to which rays clear too."""
    assert _plan(depth_error=0.1).mark_range == 5.5
    exact = _plan(depth_error=0.03)
    assert (exact.mark_range, exact.clear_range) == (10.0, 10.0)


def test_marking_range_can_be_given():
    assert _plan(mark_range=1.8).mark_range == 1.8


@pytest.mark.parametrize('wanted', [0.3, 10.5, math.nan])
def test_marking_range_outside_the_nodes_is_refused(wanted):
    with pytest.raises(ValueError, match='above min_range 0.3 m and not above max_range 10 m'):
        _plan(mark_range=wanted)


@pytest.mark.parametrize('error', [0.0, 1.0, math.nan])
def test_depth_error_is_a_share(error):
    with pytest.raises(ValueError, match='expected a share between 0 and 1'):
        _plan(depth_error=error)


@pytest.mark.parametrize(
    ('camera_height', 'robot_height', 'grid', 'mark_high'),
    [
        (0.5, None, (0.125, 16), 2.0),  # 2.0 / 16
        (0.5, 0.9, (0.075, 14), 1.0),  # 1.0 / 16 = 0.0625, up to 0.075; 1.0 / 0.075 = 13.3
        (0.2, 0.3, (0.05, 8), 0.4),  # not finer than the costmap
        (2.4, None, (0.175, 15), 2.0),  # the camera at 2.4 + 0.1: 2.5 / 16 = 0.156
    ],
)
def test_voxel_grid_holds_robot_and_camera(camera_height, robot_height, grid, mark_high):
    costmap = _plan({'': Mounting(camera_height)}, robot=Robot(height=robot_height))
    assert (costmap.z_resolution, costmap.z_voxels) == grid
    assert costmap.mark_high == mark_high


def test_robot_lower_than_its_camera_is_refused():
    with pytest.raises(ValueError, match="height is 0.4 m; expected at least the camera's 0.5 m"):
        _plan(robot=Robot(height=0.4))


def test_robot_taller_than_what_the_node_looks_for_is_refused():
    with pytest.raises(ValueError, match='obstacle_max_height is 2 m; .* height, 2.2 m'):
        _plan(robot=Robot(height=2.2))


def test_robot_that_passes_under_all_that_is_marked_is_refused():
    with pytest.raises(ValueError, match='obstacle_min_height is 0.7 m; expected it below 0.6 m'):
        _plan(robot=Robot(height=0.5), node=Settings(obstacle_min_height=0.7))


@pytest.mark.parametrize(('radius', 'height'), [(0.0, None), (math.inf, None), (0.2, -1.0)])
def test_robot_has_a_size(radius, height):
    with pytest.raises(ValueError, match='expected a positive length'):
        Robot(radius, height)


def test_costmap_without_a_camera_is_refused():
    with pytest.raises(ValueError, match='expected one mounting at least'):
        _plan({})


def test_heights_let_every_ray_clear():
    """Floor read at twice its depth is 0.5 m below; the upper edge is 0.5 + 10 * 0.5 = 5.5 m."""
    eye = _plan().eyes[0]
    assert (eye.clear_low, eye.clear_high) == (-0.5, 5.5)


def test_camera_that_looks_down_still_clears_with_all_that_is_marked():
    """40 degrees down, the upper edge (26.6 degrees above the axis) is below the horizon."""
    eye = _plan({'': Mounting(0.5, math.radians(40))}).eyes[0]
    assert eye.clear_high == 2.0


def test_lowest_obstacle_is_the_nodes():
    """(0.15 + 0.2 * 0.5) / 1.2 = 0.208 m: what the node's own band begins to hold."""
    lowest = _plan().eyes[0].lowest
    assert lowest == 0.208
    heights = np.array([lowest - 0.002, lowest + 0.002], np.float32)
    assert Settings().obstacle_band().holds(heights, None, 0.5).tolist() == [False, True]


def test_blind_zone_is_said():
    """0.5 m / 0.3333 = 1.5 m; the window is 0.6 wide there, more than the robot's radius."""
    assert _plan().remarks() == [
        'the floor nearer than 1.50 m is not seen (from below the camera); what is lower '
        'than 0.21 m is not marked'
    ]


def test_blind_zone_of_a_wide_robot_is_longer():
    """A robot of 1.02 m radius: 1.02 / 0.6 = 1.70 m on the narrower side, the left."""
    remark = _plan(robot=Robot(1.02)).remarks()[0]
    assert "nearer than 1.50 m is not seen, over the robot's width nearer than 1.70 m" in remark


def test_floor_beyond_the_marking_range_is_said():
    """1.2 m up, the floor begins 3.6 m ahead, 3.8 m from the camera; marks end at 2.75 m."""
    remark = _plan({'': Mounting(1.2)}).remarks()[0]
    assert 'low ones never are: turn the camera down' in remark


def test_camera_without_floor_is_said_by_name():
    remarks = _plan({'front': Mounting(0.5), 'up': Mounting(0.5, -0.6)}).remarks()
    assert remarks[0].startswith('front: the floor nearer than 1.50 m')
    assert remarks[1].startswith('up: no floor is seen within 10 m')


@pytest.mark.parametrize(('rate', 'period'), [(0.0, 1.0), (5.0, 1.0), (0.8, 2.5)])
def test_period_is_two_frames_of_a_slow_node(rate, period):
    """2 / 0.8 Hz = 2.5 s."""
    node = Settings(max_rate=rate)
    assert _plan(node=node).period == period


# -- YAML ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('layer', [*LAYERS, 'all'])
def test_yaml_keeps_the_contracts(layer):
    text = costmap_yaml(_plan(), layer)
    assert check(yaml.safe_load(text), Facts(0.5)) == []
    assert '{' not in text
    assert max(map(len, text.splitlines())) <= 100


def test_yaml_of_one_layer_has_no_other():
    costmap, layer = _parameters(costmap_yaml(_plan(), 'obstacle'), 'obstacle_layer')
    assert costmap['plugins'] == ['obstacle_layer', 'inflation_layer']
    assert not {'voxel_layer', 'stvl_layer'} & set(costmap)
    assert layer['observation_sources'] == 'depth_mark depth_clear'


def test_yaml_has_the_numbers_in_their_types():
    costmap, layer = _parameters(costmap_yaml(_plan(robot=Robot(0.3, 0.9, 'base', 'map'))))
    assert (costmap['robot_radius'], costmap['global_frame']) == (0.3, 'map')
    assert (costmap['robot_base_frame'], costmap['inflation_layer']['inflation_radius']) == (
        'base',
        0.6,
    )
    assert (type(costmap['width']), type(layer['z_voxels'])) == (int, int)
    assert layer['depth_mark']['obstacle_max_range'] == 3.0  # 0.6 m / 0.2
    assert type(layer['depth_mark']['obstacle_max_range']) is float
    assert layer['depth_mark']['max_obstacle_height'] == layer['max_obstacle_height'] == 1.0
    assert layer['depth_clear']['min_obstacle_height'] == -0.5


def test_yaml_has_the_cameras_frustum():
    """The narrower halves, atan 0.6 and atan 0.3333, as the layer takes them."""
    _, layer = _parameters(costmap_yaml(_plan(), 'stvl'), 'stvl_layer')
    vertical = 2 * math.atan(1 / 3)
    horizontal = 2 * math.atan(0.6 * math.cos(vertical / 2))
    source, shorter = layer['depth_clear'], math.cos(horizontal / 2) * math.cos(vertical / 2)
    assert source['vertical_fov_angle'] == pytest.approx(vertical, abs=1e-4)
    assert source['horizontal_fov_angle'] == pytest.approx(horizontal, abs=1e-4)
    assert source['min_z'] * shorter == pytest.approx(0.3, abs=1e-3)
    assert source['max_z'] * shorter == pytest.approx(3.25, abs=1e-3)


def test_each_camera_has_a_source_that_marks_and_one_that_clears():
    mountings = {'front': Mounting(0.5), '/robot/left': Mounting(0.9, 0.4)}
    text = costmap_yaml(_plan(mountings))
    _, layer = _parameters(text)
    assert (
        layer['observation_sources'] == 'front_mark front_clear robot_left_mark robot_left_clear'
    )
    assert layer['front_mark']['topic'] == '/front/points/marking'
    assert layer['robot_left_clear']['topic'] == '/robot/left/points/clearing'
    assert layer['front_clear']['min_obstacle_height'] == -0.5
    assert layer['robot_left_clear']['min_obstacle_height'] == -0.9
    assert '#     left.camera_pitch: 0.4  # [rad]' in text


def test_cameras_held_alike_take_the_common_parameters():
    text = costmap_yaml(_plan({'front': Mounting(0.5), 'left': Mounting(0.5)}))
    assert text.count('#     camera_height: 0.5\n') == 1
    assert 'front.camera_height' not in text


def test_comments_say_what_the_node_has_to_be_given():
    text = costmap_yaml(_plan({'': Mounting(0.5, math.radians(12))}))
    assert 'looking down by 12.0' in text
    assert '#     camera_pitch: 0.2094  # [rad]\n' in text
    assert '#     obstacle_min_height: 0.15\n' in text


@given(
    st.floats(0.05, 3),
    st.floats(-0.5, 1.2),
    st.floats(0.05, 1.5),
    st.floats(0.02, 0.5),
    st.sampled_from(['all', *LAYERS]),
)
def test_every_robot_gets_a_costmap_that_keeps_the_contracts(height, pitch, radius, error, layer):
    costmap = _plan({'': Mounting(height, pitch)}, robot=Robot(radius), depth_error=error)
    assert check(yaml.safe_load(costmap_yaml(costmap, layer)), Facts(height)) == []


def test_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="layer is 'static'; expected one of obstacle, voxel"):
        costmap_yaml(_plan(), 'static')


@pytest.mark.parametrize(
    ('value', 'text'),
    [(2.0, '2.0'), (0.3, '0.3'), (-1.25, '-1.25'), (1 / 3, '0.3333'), (0, '0.0')],
)
def test_number_stays_a_float(value, text):
    assert number(value) == text
    assert type(yaml.safe_load(text)) is float


@pytest.mark.parametrize(
    ('namespace', 'name'), [('', 'depth'), ('/', 'depth'), ('/robot/front/', 'robot_front')]
)
def test_sources_are_called_by_the_namespace(namespace, name):
    assert source_name(namespace) == name

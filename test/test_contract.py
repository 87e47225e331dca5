"""What is found in costmaps that people write: each fault alone, in a file that has no other."""

import copy

import pytest
import yaml

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.contract import Facts, check
from fcrn_ros.navigation.costmap import plan_costmap
from fcrn_ros.navigation.layout import costmap_yaml

CAMERA = Camera(320, 200, 250.0, 240.0, 149.5, 119.5)
GOOD = yaml.safe_load(costmap_yaml(plan_costmap(CAMERA, {'': Mounting(0.5)}), 'all'))
FACTS = Facts(0.5)
ABSENT = object()


def _broken(layer, source, key, value):
    """Return a copy of the good file with one parameter changed, or taken out."""
    document = copy.deepcopy(GOOD)
    node = document['local_costmap']['local_costmap']['ros__parameters']
    for part in (layer, source):
        node = node[part] if part else node
    if value is ABSENT:
        del node[key]
    else:
        node[key] = value
    return document


def _lidar(**more):
    return {'topic': '/scan', 'data_type': 'LaserScan', 'marking': True, 'clearing': True, **more}


def _file(sources, plugin='nav2_costmap_2d::ObstacleLayer', **more):
    """Return a file with one layer of these sources."""
    layer = {'plugin': plugin, 'observation_sources': ' '.join(sources), **sources, **more}
    return {'global_costmap': {'global_costmap': {'ros__parameters': {'layer': layer}}}}


WHOLE = {
    'cloud': {
        'topic': '/points',
        'data_type': 'PointCloud2',
        'marking': True,
        'clearing': True,
        'min_obstacle_height': 0.2,
        'max_obstacle_height': 2.0,
    }
}


def test_good_file_is_good():
    assert check(GOOD, FACTS) == []


VOXEL, STVL = 'voxel_layer', 'stvl_layer'
MARK, CLEAR = 'depth_mark', 'depth_clear'


@pytest.mark.parametrize(
    ('layer', 'source', 'key', 'value', 'problem'),
    [
        (VOXEL, MARK, 'data_type', ABSENT, 'data_type is LaserScan; expected PointCloud2'),
        (STVL, CLEAR, 'data_type', 'LaserScan', 'data_type is LaserScan'),
        (VOXEL, MARK, 'max_obstacle_height', ABSENT, 'max_obstacle_height is 0, 0 where'),
        (VOXEL, CLEAR, 'max_obstacle_height', -1.0, 'max_obstacle_height is -1'),
        (VOXEL, MARK, 'min_obstacle_height', 0.3, 'cuts off what the node has left of points/m'),
        (VOXEL, CLEAR, 'min_obstacle_height', 0.2, 'the floor does not clear'),
        (VOXEL, CLEAR, 'min_obstacle_height', ABSENT, 'the floor does not clear'),
        (VOXEL, CLEAR, 'marking', ABSENT, 'marks the floor: points/clearing holds it'),
        (VOXEL, MARK, 'clearing', True, 'clears with points/marking, which has no floor'),
        (VOXEL, MARK, 'marking', False, 'neither marks nor clears'),
        (VOXEL, MARK, 'topic', 'points/marking', "topic 'points/marking' is relative"),
        (VOXEL, MARK, 'expected_update_rate', 10.0, 'it is a period in seconds, not a rate'),
        (VOXEL, MARK, 'expected_update_rate', 0.05, 'it is a period in seconds'),
        (STVL, CLEAR, 'expected_update_rate', 1.0, 'expected_update_rate must be 0'),
        (STVL, CLEAR, 'observation_persistence', 2.0, 'observation_persistence must be 0'),
        (STVL, CLEAR, 'vertical_fov_angle', ABSENT, 'vertical_fov_angle is not set'),
        (VOXEL, MARK, 'obstacle_max_range', 3, 'obstacle_max_range is 3; expected a number with'),
    ],
)
def test_fault_of_a_source_is_found(layer, source, key, value, problem):
    found = check(_broken(layer, source, key, value), FACTS)
    assert any(p.startswith(f'local_costmap: {layer}: ') and problem in p for p in found), found
    assert all(layer in p for p in found)


@pytest.mark.parametrize(
    ('layer', 'key', 'value', 'problem'),
    [
        (VOXEL, 'max_obstacle_height', 0.0, 'max_obstacle_height is not above 0'),
        (VOXEL, 'min_obstacle_height', 0.4, 'cuts off what the node has left'),
        (VOXEL, 'z_voxels', 20, 'z_voxels is 20; expected 1 to 16'),
        (VOXEL, 'z_resolution', 0.025, 'from 0 to 0.4 m and the camera is at 0.5 m'),
        (VOXEL, 'origin_z', 0.6, 'from 0.6 to 2.6 m and the camera is at 0.5 m'),
        (VOXEL, 'z_voxels', ABSENT, 'ends at 1.25 m, below max_obstacle_height 2 m'),
        (VOXEL, 'observation_sources', MARK, 'no source clears of those that read /points/marki'),
        (VOXEL, 'observation_sources', CLEAR, 'no source marks of those that read /points/clear'),
        ('', 'plugins', ['static_layer', 'inflation_layer'], 'or none is loaded'),
        (
            '',
            'plugins',
            ['inflation_layer', VOXEL],
            'after inflation_layer: its obstacles are not',
        ),
        ('', 'robot_radius', 1, 'robot_radius is 1; expected a number with a point'),
        ('inflation_layer', 'inflation_radius', 1.0, None),
    ],
)
def test_fault_of_a_layer_is_found(layer, key, value, problem):
    """An absent z_voxels is 10: 10 * 0.125 m = 1.25 m."""
    found = check(_broken(layer, '', key, value), FACTS)
    if problem is None:
        assert found == []
    else:
        assert any(problem in p for p in found), found


def test_marks_beyond_the_rays_that_clear_are_found():
    found = check(_broken(VOXEL, CLEAR, 'raytrace_max_range', 2.0), FACTS)
    assert found == [
        'local_costmap: voxel_layer: depth_mark marks up to 2.75 m and depth_clear clears up to '
        '2 m: raytrace_max_range must not be below obstacle_max_range'
    ]


def test_grid_is_not_judged_by_a_camera_that_is_not_known():
    assert check(_broken(VOXEL, '', 'origin_z', 0.6), Facts()) == []


def test_cutting_height_is_judged_by_the_nodes():
    document = _broken(VOXEL, MARK, 'min_obstacle_height', 0.3)
    assert check(document, Facts(0.5, obstacle_min_height=0.3)) == []


def test_one_cloud_that_marks_and_clears_above_the_floor_never_clears_it():
    found = check(_file(WHOLE))
    assert found == [
        'global_costmap: layer: cloud: the floor does not clear: min_obstacle_height is 0.2, '
        'expected below 0'
    ]


def test_one_cloud_that_marks_and_clears_down_to_the_floor_marks_it():
    found = check(_file({'cloud': {**WHOLE['cloud'], 'min_obstacle_height': -0.5}}))
    assert found == [
        'global_costmap: layer: cloud: marks the floor: points holds it, and min_obstacle_height '
        'is -0.5'
    ]


def test_whole_cloud_in_two_sources_is_good():
    sources = {
        'mark': {**WHOLE['cloud'], 'clearing': False},
        'clear': {**WHOLE['cloud'], 'marking': False, 'min_obstacle_height': -1.0},
    }
    assert check(_file(sources)) == []


def test_topic_that_is_not_the_nodes_is_found():
    found = check(_broken(VOXEL, CLEAR, 'topic', '/points/clear'), FACTS)
    assert found == [
        'local_costmap: voxel_layer: no source clears of those that read /points/marking: '
        'obstacles stay for ever'
    ]


def test_cameras_clear_their_own_marks_alone():
    sources = {
        'a': {**WHOLE['cloud'], 'topic': '/a/points/marking', 'clearing': False}
        | {'min_obstacle_height': 0.0},
        'b': {**WHOLE['cloud'], 'topic': '/b/points/clearing', 'marking': False}
        | {'min_obstacle_height': -1.0},
    }
    found = ' '.join(check(_file(sources)))
    assert 'no source clears of those that read /a/points/marking' in found
    assert 'no source marks of those that read /b/points/clearing' in found


def test_laser_scanner_is_left_alone():
    document = copy.deepcopy(GOOD)
    layer = document['local_costmap']['local_costmap']['ros__parameters']['voxel_layer']
    layer['observation_sources'] += ' scan other'
    layer['scan'] = _lidar()
    layer['other'] = {**WHOLE['cloud'], 'topic': '/rgbd/points'}
    assert check(document, FACTS) == []


@pytest.mark.parametrize(
    'document',
    [_file({'scan': _lidar()}), {}, {'local_costmap': {'ros__parameters': {'width': 3}}}],
)
def test_file_without_the_nodes_clouds_is_found(document):
    found = check(document)
    assert len(found) == 1
    assert 'no layer reads' in found[0] and 'points/marking and points/clearing' in found[0]


def test_source_without_parameters_is_read_by_its_name():
    """Nav2 takes the source's name for its topic, and LaserScan for its type."""
    found = check(_file({'points': {}}))
    assert any("topic 'points' is relative" in p for p in found)
    assert any('data_type is LaserScan' in p for p in found)


def test_plugin_may_be_named_with_slashes():
    found = check(_file(WHOLE, 'nav2_costmap_2d/VoxelLayer'), Facts(5.0))
    assert any('the camera is at 5 m' in p for p in found)

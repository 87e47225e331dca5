"""The files of config/: they parse, and they keep to what their readers require."""

import copy
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from fcrn_ros import parameters

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'config'
OBSTACLE_LAYERS = ('obstacle_layer', 'voxel_layer')
LAYERS = (*OBSTACLE_LAYERS, 'stvl_layer')
SHARED_MEMORY = 64 * 1024 * 1024


def _costmap():
    text = (CONFIG / 'nav2_costmap.yaml').read_text()
    return yaml.safe_load(text)['local_costmap']['local_costmap']['ros__parameters']


def _sources(layer):
    return {name: layer[name] for name in layer['observation_sources'].split()}


def _source_problems(source):
    """Return what a Nav2 obstacle source has wrong; `facts` are those of nav2_costmap_2d."""
    problems = []
    if source.get('data_type') != 'PointCloud2':
        problems.append('data_type is not PointCloud2')
    if source.get('topic') != '/points':
        problems.append('topic is not /points')
    if not source.get('max_obstacle_height', 0.0) > 0:
        problems.append('max_obstacle_height is not set')
    if source.get('marking') == source.get('clearing'):
        problems.append('marks and clears, or neither')
    low = source.get('min_obstacle_height', 0.0)
    if source.get('marking') and not low >= 0.1:
        problems.append('marks the floor')
    if source.get('clearing') and not low < 0:
        problems.append('the floor does not clear')
    return problems


def _range_problems(layer):
    """Return what is wrong with how far a layer marks and clears."""
    problems = []
    for name, source in _sources(layer).items():
        if 'raytrace_max_range' not in source or 'obstacle_max_range' not in source:
            problems.append(f'{name}: a range is not set')
        elif source['raytrace_max_range'] < source['obstacle_max_range']:
            problems.append(f'{name}: marks farther than it clears')
    return problems


def _layer_problems(layer):
    """Return all that is wrong with a layer, by source."""
    sources = _sources(layer)
    problems = [f'{n}: {p}' for n, s in sources.items() for p in _source_problems(s)]
    for job in ('marking', 'clearing'):
        if not any(source.get(job) for source in sources.values()):
            problems.append(f'no source is {job}')
    if layer['plugin'].startswith('nav2_costmap_2d'):
        if not layer.get('max_obstacle_height', 0.0) > 0:
            problems.append('max_obstacle_height is not set')
        problems += _range_problems(layer)
    return problems


@pytest.mark.parametrize('name', LAYERS)
def test_costmap_layer_keeps_the_contracts(name):
    assert _layer_problems(_costmap()[name]) == []


@pytest.mark.parametrize(
    ('source', 'key', 'value', 'problem'),
    [
        ('depth_mark', 'data_type', 'LaserScan', 'data_type'),
        ('depth_mark', 'max_obstacle_height', 0.0, 'max_obstacle_height'),
        ('depth_mark', 'min_obstacle_height', 0.0, 'marks the floor'),
        ('depth_mark', 'clearing', True, 'marks and clears'),
        ('depth_clear', 'min_obstacle_height', 0.2, 'the floor does not clear'),
        ('depth_clear', 'raytrace_max_range', 3.0, 'marks farther than it clears'),
        ('depth_clear', 'topic', 'points', 'topic'),
    ],
)
def test_the_checker_sees_a_broken_layer(source, key, value, problem):
    layer = copy.deepcopy(_costmap()['voxel_layer'])
    layer[source][key] = value
    found = _layer_problems(layer)
    assert any(p.startswith(source) and problem in p for p in found), found


@pytest.mark.parametrize('name', LAYERS)
def test_costmap_ranges_lie_inside_those_of_the_node(name):
    node = parameters.Settings()
    for source in _sources(_costmap()[name]).values():
        near = source.get('obstacle_min_range', source.get('min_z', node.min_range))
        far = [source[k] for k in ('obstacle_max_range', 'obstacle_range', 'max_z') if k in source]
        assert near >= node.min_range
        assert max(far) <= node.max_range
        assert source.get('raytrace_max_range', 0.0) <= node.max_range


def test_both_obstacle_layers_read_the_same_sources():
    costmap = _costmap()
    assert _sources(costmap['obstacle_layer']) == _sources(costmap['voxel_layer'])


def test_costmap_uses_one_of_the_layers():
    costmap = _costmap()
    assert sum(name in costmap['plugins'] for name in LAYERS) == 1
    assert all(name in costmap for name in costmap['plugins'])


@pytest.mark.parametrize('name', OBSTACLE_LAYERS)
def test_expected_update_rate_is_a_period_that_a_slow_computer_keeps(name):
    """1 s: a node of one frame per second is just in time."""
    for source in _sources(_costmap()[name]).values():
        assert source['expected_update_rate'] == 1.0


def test_voxel_grid_holds_the_camera():
    """16 voxels of 0.125 m from 0 m reach to 2 m; the demo's camera is at 1.25 m."""
    layer = _costmap()['voxel_layer']
    assert layer['z_voxels'] <= 16
    top = layer['origin_z'] + layer['z_voxels'] * layer['z_resolution']
    assert top == 2.0
    assert layer['origin_z'] < 1.25 < top


def test_stvl_frustum_is_the_demo_cameras():
    """640x480, f 568: 2 atan(320 / 568) = 1.0261 and 2 atan(240 / 568) = 0.7996."""
    source = _costmap()['stvl_layer']['depth_clear']
    assert source['horizontal_fov_angle'] == pytest.approx(2 * math.atan(320 / 568), abs=1e-4)
    assert source['vertical_fov_angle'] == pytest.approx(2 * math.atan(240 / 568), abs=1e-4)
    assert source['max_z'] >= _costmap()['stvl_layer']['depth_mark']['obstacle_range']


def test_stvl_clearing_source_has_no_update_rate():
    """STVL never counts a source that only clears as updated: the costmap would stay stale."""
    assert _costmap()['stvl_layer']['depth_clear']['expected_update_rate'] == 0.0


@pytest.mark.ros
@pytest.mark.parametrize(
    ('file', 'space', 'name', 'parameter', 'value'),
    [
        ('nav2_costmap.yaml', 'local_costmap', 'local_costmap', 'voxel_layer.z_voxels', 16),
        ('depth.yaml', 'robot', 'fcrn_depth', 'max_range', 10.0),
    ],
)
def test_ros_reads_the_parameters(file, space, name, parameter, value):
    """ROS's parser of parameter files takes less than YAML has, aliases for one."""
    rclpy = pytest.importorskip('rclpy', reason='needs ROS 2 (rclpy)', exc_type=ImportError)
    context = rclpy.Context()
    rclpy.init(context=context, args=['--ros-args', '--params-file', str(CONFIG / file)])
    automatic = {'automatically_declare_parameters_from_overrides': True}
    node = rclpy.create_node(name, namespace=space, context=context, **automatic)
    found = node.get_parameter(parameter).value
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert found == value


def _rviz_displays():
    layout = yaml.safe_load((CONFIG / 'depth.rviz').read_text())
    return layout['Visualization Manager']['Displays']


def _rviz_topics():
    return [display['Topic'] for display in _rviz_displays() if 'Topic' in display]


def test_rviz_shows_topics_of_the_node():
    outputs = pytest.importorskip(
        'fcrn_ros.outputs', reason='needs ROS 2 (rclpy)', exc_type=ImportError
    )
    shown = [topic['Value'].removeprefix('/') for topic in _rviz_topics()]
    assert shown == ['points', 'depth/image_color', 'color/image_raw']
    types = {'points': 'PointCloud2', 'depth/image_color': 'Image', 'color/image_raw': 'Image'}
    assert {t: outputs.OUTPUTS[t].type.__name__ for t in shown} == types


def test_rviz_reads_what_the_node_offers():
    for topic in _rviz_topics():
        assert topic['Reliability Policy'] == 'Reliable'
        assert topic['Durability Policy'] == 'Volatile'


def test_rviz_fixed_frame_is_the_demo_cameras():
    layout = yaml.safe_load((CONFIG / 'depth.rviz').read_text())
    manager = layout['Visualization Manager']
    assert manager['Global Options']['Fixed Frame'] == 'camera_color_optical_frame'


def test_rviz_looks_forward_from_behind_and_above():
    """
    Eye = focal point + distance * (cos yaw cos pitch, sin yaw cos pitch, sin pitch).

    Yaw -90 degrees: (0, -cos, sin), so y < 0 is above and z < 0 behind the camera.
    """
    layout = yaml.safe_load((CONFIG / 'depth.rviz').read_text())
    view = layout['Visualization Manager']['Views']['Current']
    yaw, pitch, distance = view['Yaw'], view['Pitch'], view['Distance']
    eye_x = distance * math.cos(yaw) * math.cos(pitch)
    eye_y = distance * math.sin(yaw) * math.cos(pitch)
    eye_z = view['Focal Point']['Z'] + distance * math.sin(pitch)
    assert abs(eye_x) < 0.01
    assert eye_y == pytest.approx(-1.3, abs=0.05)
    assert eye_z == pytest.approx(-1.8, abs=0.05)


def _profile():
    root = ElementTree.parse(CONFIG / 'fastdds_large_messages.xml').getroot()
    return root, {'dds': re.match(r'{(.*)}dds', root.tag)[1]}


def test_fast_dds_profile_has_a_large_segment():
    root, spaces = _profile()
    path = './/dds:transport_descriptor[dds:type="SHM"]/dds:segment_size'
    assert int(root.find(path, spaces).text) == SHARED_MEMORY


def test_fast_dds_profile_uses_its_own_transports():
    root, spaces = _profile()
    descriptors = root.findall('.//dds:transport_descriptor', spaces)
    used = [e.text for e in root.findall('.//dds:userTransports/dds:transport_id', spaces)]
    assert [d.find('dds:transport_id', spaces).text for d in descriptors] == used
    assert [d.find('dds:type', spaces).text for d in descriptors] == ['SHM', 'UDPv4']
    assert root.find('.//dds:useBuiltinTransports', spaces).text == 'false'
    assert root.find('.//dds:participant', spaces).get('is_default_profile') == 'true'


def test_depth_yaml_is_up_to_date():
    """Else: python -m fcrn_ros.parameters."""
    assert (CONFIG / 'depth.yaml').read_text() == parameters.to_yaml()


def test_depth_yaml_sets_every_parameter_to_its_default():
    values = yaml.safe_load((CONFIG / 'depth.yaml').read_text())['/**']['ros__parameters']
    assert parameters.settings_from(values) == parameters.Settings()
    assert list(values) == list(parameters.PARAMETERS)


def test_parameter_table_is_up_to_date():
    """Else: python -m fcrn_ros.parameters."""
    assert (ROOT / 'docs' / 'parameters.md').read_text() == parameters.to_markdown()

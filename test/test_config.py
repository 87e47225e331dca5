"""The files of config/: they parse, and they keep to what their readers require."""

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from fcrn_ros import parameter_files, parameters
from fcrn_ros.cli import main
from fcrn_ros.navigation.contract import Facts, check
from fcrn_ros.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'config'
LAYERS = ('obstacle_layer', 'voxel_layer', 'stvl_layer')
SHARED_MEMORY = 64 * 1024 * 1024


def _costmap():
    text = (CONFIG / 'nav2_costmap.yaml').read_text()
    return yaml.safe_load(text)['local_costmap']['local_costmap']['ros__parameters']


def _sources(layer):
    return {name: layer[name] for name in layer['observation_sources'].split()}


def test_costmap_is_what_fcrn_nav2_writes_for_the_demo(capsys):
    """Else: fcrn nav2 --layer all --bag demo/room --height 1.25 --pitch 11 --out (this file)."""
    bag = str(ROOT / 'demo' / 'room')
    assert main(['nav2', '--layer', 'all', '--bag', bag, '--height', '1.25', '--pitch', '11']) == 0
    assert capsys.readouterr().out == (CONFIG / 'nav2_costmap.yaml').read_text()


def test_costmap_keeps_the_contracts():
    document = yaml.safe_load((CONFIG / 'nav2_costmap.yaml').read_text())
    assert check(document, Facts(camera_height=1.25)) == []


@pytest.mark.parametrize('name', LAYERS)
def test_costmap_ranges_lie_inside_those_of_the_node(name):
    node = Settings()
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


def test_stvl_frustum_is_inside_the_demo_cameras_view():
    """
    640x480, f 568, axis at (323.5, 236): 316 px to the right and 236.5 px up are the shorter ones.

    The layer widens the horizontal angle by the cosine of half of the vertical one: 2 atan(316 /
    568 cos(0.3946)) = 0.9489, and 2 atan(236.5 / 568) = 0.7891.
    """
    source = _costmap()['stvl_layer']['depth_clear']
    assert source['horizontal_fov_angle'] == pytest.approx(0.9489, abs=1e-4)
    assert source['vertical_fov_angle'] == pytest.approx(0.7891, abs=1e-4)


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
        'fcrn_ros.shell.outputs', reason='needs ROS 2 (rclpy)', exc_type=ImportError
    )
    shown = [topic['Value'].removeprefix('/') for topic in _rviz_topics()]
    assert shown == ['points', 'points/marking', 'scan', 'depth/image_color', 'color/image_raw']
    classes = {d['Topic']['Value'][1:]: d['Class'] for d in _rviz_displays() if 'Topic' in d}
    for topic, display in classes.items():
        assert display == f'rviz_default_plugins/{outputs.OUTPUTS[topic].type.__name__}'


def test_rviz_asks_for_what_needs_the_floor_only_when_told_to():
    """What it subscribes to is computed, and warned of where the camera's height is not known."""
    shown = {d['Topic']['Value']: d['Enabled'] for d in _rviz_displays() if 'Topic' in d}
    assert [topic for topic, on in shown.items() if not on] == ['/points/marking', '/scan']


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
    """Else: python -m fcrn_ros.parameter_files."""
    assert (CONFIG / 'depth.yaml').read_text() == parameter_files.to_yaml()


def test_depth_yaml_sets_every_parameter_to_its_default():
    values = yaml.safe_load((CONFIG / 'depth.yaml').read_text())['/**']['ros__parameters']
    assert parameters.settings_from(values) == Settings()
    assert list(values) == list(parameters.PARAMETERS)


def test_parameter_table_is_up_to_date():
    """Else: python -m fcrn_ros.parameter_files."""
    assert (ROOT / 'docs' / 'parameters.md').read_text() == parameter_files.to_markdown()

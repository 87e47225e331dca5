"""
The launch files: arguments, topics and parameters.

What needs ROS's own launch is skipped without it; PyPI's package of that name is another one.
"""

import importlib.util
import os
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'launch'
FILES = ('depth.launch.py', 'demo.launch.py')
# those of the README; a container is not among them: a Python node cannot be loaded into one
ARGUMENTS = (
    *('camera', 'model', 'backend', 'params_file', 'namespace', 'image_transport'),
    *('rviz', 'use_sim_time'),
)
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


@pytest.mark.parametrize('name', FILES)
def test_launch_file_compiles(name):
    source = (FOLDER / name).read_text()
    assert 'generate_launch_description' in compile(source, name, 'exec').co_names


@pytest.mark.parametrize('argument', ARGUMENTS)
def test_promised_argument_occurs(argument):
    assert f"\n    '{argument}': (" in (FOLDER / 'depth.launch.py').read_text()


@pytest.fixture
def ros(monkeypatch):
    """Return launch, where it is ROS's; no Fast DDS profile is set."""
    reason = "needs ROS's launch and launch_ros (a sourced ROS 2)"
    launch = pytest.importorskip('launch', reason=reason)
    pytest.importorskip('launch_ros', reason=reason, exc_type=ImportError)
    if not hasattr(launch, 'LaunchDescription'):
        pytest.skip(f'{reason}; the launch found is another package')
    for name in (*PROFILE_VARIABLES, 'ROS_DISTRO'):
        monkeypatch.delenv(name, raising=False)
    return launch


def _module(name):
    spec = importlib.util.spec_from_file_location(name.partition('.')[0], FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _visit(entities, context):
    """Return all nodes that these entities lead to, the skipped ones left out."""
    from launch_ros.actions import Node

    nodes = []
    for entity in entities:
        if isinstance(entity, Node):
            if entity.condition is None or entity.condition.evaluate(context):
                entity._perform_substitutions(context)
                nodes.append(entity)
        else:
            nodes += _visit(entity.visit(context) or [], context)
    return nodes


def _nodes(ros, name='depth.launch.py', **arguments):
    """Return a launch file's nodes by their executable."""
    context = ros.LaunchContext()
    context.launch_configurations.update(arguments)
    nodes = _visit(_module(name).generate_launch_description().entities, context)
    return {node.node_executable: node for node in nodes}


def _parameters(node, ros):
    """Return the parameters that a node is started with, all files taken together."""
    words = [ros.utilities.perform_substitutions(ros.LaunchContext(), w) for w in _plain(node.cmd)]
    values = {}
    for at, word in enumerate(words):
        if word == '--params-file':
            file = yaml.safe_load(Path(words[at + 1]).read_text())
            for section in file.values():
                values |= section['ros__parameters']
    return values


def _plain(command):
    """Leave out what only a running launch service fills in."""
    return [word for word in command if type(word[0]).__name__ == 'TextSubstitution']


def test_depth_starts_our_node_alone(ros):
    nodes = _nodes(ros)
    assert list(nodes) == ['depth_node']
    assert nodes['depth_node'].node_package == 'fcrn_ros'
    assert nodes['depth_node'].node_name == '/fcrn_depth'


def test_every_argument_has_a_default_and_a_meaning(ros):
    declared = _module('depth.launch.py').generate_launch_description().get_launch_arguments()
    assert set(ARGUMENTS) <= {argument.name for argument in declared}
    for argument in declared:
        assert argument.default_value is not None
        assert argument.description != 'no description given'


@pytest.mark.parametrize(
    ('arguments', 'image', 'camera_info'),
    [
        ({}, '/camera/color/image_raw', '/camera/color/camera_info'),
        ({'camera': '/front/'}, '/front/image_raw', '/front/camera_info'),
        ({'camera': 'front', 'image': 'image_rect'}, 'front/image_rect', 'front/camera_info'),
        ({'image': '/a/b', 'camera_info': '/a/info'}, '/a/b', '/a/info'),
        ({'camera': ''}, 'image_raw', 'camera_info'),
    ],
)
def test_topics_are_those_of_the_camera(ros, arguments, image, camera_info):
    node = _nodes(ros, **arguments)['depth_node']
    assert node.expanded_remapping_rules == [('image', image), ('camera_info', camera_info)]


def test_empty_arguments_leave_the_parameters_to_the_file(ros, tmp_path):
    file = tmp_path / 'mine.yaml'
    file.write_text('/**: {ros__parameters: {model: mine, backend: torch, use_sim_time: true}}')
    node = _nodes(ros, params_file=str(file))['depth_node']
    values = {'model': 'mine', 'backend': 'torch', 'use_sim_time': True}
    assert _parameters(node, ros) == values


def test_default_parameters_are_those_of_the_package(ros):
    file = yaml.safe_load((ROOT / 'config' / 'depth.yaml').read_text())
    assert _parameters(_nodes(ros)['depth_node'], ros) == file['/**']['ros__parameters']


def test_arguments_override_the_file_in_the_parameters_own_type(ros):
    """A model named 2024 stays text."""
    given = {'model': '2024', 'backend': 'torch', 'image_transport': 'compressed'}
    values = _parameters(_nodes(ros, use_sim_time='True', **given)['depth_node'], ros)
    assert {name: values[name] for name in given} == given
    assert values['use_sim_time'] is True
    assert values['max_range'] == 10.0


def test_namespace_is_that_of_the_node(ros):
    node = _nodes(ros, namespace='robot')['depth_node']
    assert node.expanded_node_namespace == '/robot'
    assert node.node_name == '/robot/fcrn_depth'


@pytest.mark.parametrize(
    ('distribution', 'variable'),
    [('humble', 0), ('jazzy', 0), ('kilted', 1), ('rolling', 1), ('', 1)],
)
def test_profile_is_named_as_its_fast_dds_reads_it(ros, monkeypatch, distribution, variable):
    """Fast DDS 2.14 holds the string FASTRTPS_..., 3.2 holds FASTDDS_... ."""
    monkeypatch.setenv('ROS_DISTRO', distribution)
    profile = str(ROOT / 'config' / 'fastdds_large_messages.xml')
    assert _environment(_nodes(ros)['depth_node'], ros) == {PROFILE_VARIABLES[variable]: profile}


def _environment(node, ros):
    pairs = node.additional_env or []
    context = ros.LaunchContext()
    text = ros.utilities.perform_substitutions
    return {text(context, k): text(context, v) for k, v in pairs}


@pytest.mark.parametrize('name', PROFILE_VARIABLES)
def test_profile_of_the_environment_is_kept(ros, monkeypatch, name):
    monkeypatch.setenv(name, '/mine.xml')
    assert _environment(_nodes(ros)['depth_node'], ros) == {}


def test_profile_is_left_out_when_not_wanted(ros):
    assert _environment(_nodes(ros, fastdds_profile='false')['depth_node'], ros) == {}


def test_rviz_opens_our_layout(ros):
    node = _nodes(ros, rviz='true', use_sim_time='true', fixed_frame='cam')['rviz2']
    words = [word[0].text for word in _plain(node.cmd)]
    layout = str(ROOT / 'config' / 'depth.rviz')
    assert words[:4] == ['--display-config', layout, '--fixed-frame', 'cam']
    assert _parameters(node, ros) == {'use_sim_time': True}
    assert not node.expanded_remapping_rules


def test_rviz_follows_the_namespace(ros):
    """The layout's topics are absolute, so each of them is remapped."""
    layout = yaml.safe_load((ROOT / 'config' / 'depth.rviz').read_text())
    displays = layout['Visualization Manager']['Displays']
    topics = [display['Topic']['Value'] for display in displays if 'Topic' in display]
    node = _nodes(ros, rviz='true', namespace='/robot')['rviz2']
    assert sorted(node.expanded_remapping_rules) == sorted((t, f'/robot{t}') for t in topics)


def test_demo_adds_the_clip_as_the_camera(ros):
    nodes = _nodes(ros, 'demo.launch.py', camera='/elsewhere')
    assert sorted(nodes) == ['demo_camera', 'depth_node']
    camera = nodes['demo_camera']
    assert camera.node_name == '/camera/color/demo_camera'
    image, _ = nodes['depth_node'].expanded_remapping_rules
    assert image == ('image', f'{camera.expanded_node_namespace}/image_raw')
    environments = [_environment(node, ros) for node in nodes.values()]
    assert environments[0] == environments[1] != {}


def test_demo_leaves_the_environment_of_others_alone(ros):
    before = dict(os.environ)
    _nodes(ros, 'demo.launch.py')
    assert dict(os.environ) == before

"""The SROS2 policy, held against what the real node does on the real graph."""

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest
from ros_graph import ROOT, open_graph

from fcrn_ros.security import Rights, main, policy_of, rights_for
from fcrn_ros.shell.outputs import OUTPUTS

pytestmark = pytest.mark.ros
SETTLED = 0.5  # [s], for what is discovered late
POLICY = ROOT / 'config' / 'security' / 'fcrn_depth.policy.xml'
SERVICES = {
    'change_state',
    'get_available_states',
    'get_available_transitions',
    'get_state',
    'get_transition_graph',
    'describe_parameters',
    'get_parameter_types',
    'get_parameters',
    'list_parameters',
    'set_parameters',
    'set_parameters_atomically',
    'get_type_description',
}


@pytest.fixture(scope='module', autouse=True)
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_security'), 17) as graph:
        yield graph


def _rights(*arguments):
    return rights_for(['--ros-args', *arguments])


# -- against the real graph --------------------------------------------------------------------


def _seen(tester, rights):
    """Return what a node sees of another: kind -> names of topics; nothing before it sees it."""
    from rclpy.node import NodeNameNonExistentError

    kinds = {
        'publish': tester.get_publisher_names_and_types_by_node,
        'subscribe': tester.get_subscriber_names_and_types_by_node,
        'reply': tester.get_service_names_and_types_by_node,
        'request': tester.get_client_names_and_types_by_node,
    }
    try:
        names = {kind: ask(rights.node, rights.namespace) for kind, ask in kinds.items()}
    except NodeNameNonExistentError:
        return {}
    return {kind: tuple(sorted(name for name, _ in found)) for kind, found in names.items()}


def _require_exactly(graph, process):
    """Compare a node's rights, from its own arguments, with all that is seen of it."""
    rights = rights_for(process.command[3:])
    allowed = {
        'publish': rights.publish,
        'subscribe': rights.subscribe,
        'reply': rights.reply,
        'request': (),
    }
    process.wait_for_log('reading ')  # it subscribes when it is activated
    end = time.monotonic() + 10
    while _seen(graph.node, rights) != allowed and time.monotonic() < end:
        graph.executor.spin_once(timeout_sec=0.05)
    time.sleep(SETTLED)
    seen = _seen(graph.node, rights)
    for kind, names in allowed.items():
        assert seen[kind] == names, kind


@pytest.fixture(scope='module')
def plain_and_other(graph, tiny_model):
    """Return a node with default names, and one with several cameras and other names."""
    quick = {'model': tiny_model, 'backend': 'torch', 'precision': 'fp32', 'threads': 1}
    parameters = {
        'cameras': '[front,left]',
        'image_transport': 'compressed',
        'use_sim_time': 'true',
    }
    remappings = {
        '__node': 'eyes',
        'front/image': '/head/color/image_raw',
        'front/camera_info': '/head/color/camera_info',
        'left/points': '/obstacles',
    }
    return graph.start(quick), graph.start({**quick, **parameters}, remappings)


def test_node_does_all_that_is_allowed_and_nothing_else(graph, plain_and_other):
    """Both ways: a right that is missing fails it, and one that is not used."""
    _require_exactly(graph, plain_and_other[0])


def test_so_does_one_with_several_cameras_and_other_names(graph, plain_and_other):
    _require_exactly(graph, plain_and_other[1])


# -- names -------------------------------------------------------------------------------------


def test_default_node_reads_an_image_and_its_camera_alone():
    assert rights_for().subscribe == ('/camera_info', '/image')


def test_every_output_may_be_published():
    assert set(rights_for().publish) == {
        *(f'/{topic}' for topic in OUTPUTS),
        '/diagnostics',
        '/parameter_events',
        '/rosout',
        '/fcrn_depth/transition_event',
    }


def test_services_are_those_of_a_lifecycle_node():
    found = set(rights_for().reply)
    assert found - {'/fcrn_depth/get_type_description'} == {
        f'/fcrn_depth/{name}' for name in SERVICES - {'get_type_description'}
    }


def test_type_description_may_be_switched_off():
    """The service comes with Jazzy; the parameter is rclpy's."""
    if '/fcrn_depth/get_type_description' not in rights_for().reply:
        pytest.skip('needs an rclpy with type descriptions, of Jazzy or newer')
    rights = _rights('-p', 'start_type_description_service:=false')
    assert '/fcrn_depth/get_type_description' not in rights.reply


def test_names_follow_the_namespace_but_absolute_ones_do_not():
    rights = _rights('-r', '__ns:=/robot')
    assert (rights.namespace, rights.node) == ('/robot', 'fcrn_depth')
    assert {'/robot/points', '/diagnostics', '/rosout'} <= set(rights.publish)
    assert rights.subscribe == ('/robot/camera_info', '/robot/image')
    assert all(name.startswith('/robot/fcrn_depth/') for name in rights.reply)


def test_compressed_image_follows_the_remapping_of_the_image():
    rights = _rights('-r', 'image:=/head/image_raw', '-p', 'image_transport:=compressed')
    assert rights.subscribe == ('/camera_info', '/head/image_raw/compressed')


def test_each_camera_has_its_own_names():
    one, two = _rights(), _rights('-p', 'cameras:=[front, left]')
    assert two.subscribe == (
        '/front/camera_info',
        '/front/image',
        '/left/camera_info',
        '/left/image',
    )
    assert len(two.publish) == len(one.publish) + len(OUTPUTS)
    assert {'/front/points', '/left/points'} <= set(two.publish) and '/points' not in two.publish


def test_clock_is_read_in_simulated_time_alone():
    rights = _rights('-p', 'use_sim_time:=true')
    assert set(rights.subscribe) - set(rights_for().subscribe) == {'/clock'}


def test_tf_is_read_with_a_base_frame_alone():
    """The one service more is that of tf2_ros.Buffer."""
    plain, rights = rights_for(), _rights('-p', 'base_frame:=base_footprint')
    assert set(rights.subscribe) - set(plain.subscribe) == {'/tf', '/tf_static'}
    assert rights.publish == plain.publish
    assert set(rights.reply) - set(plain.reply) == {'/tf2_frames'}


def test_tf_is_written_where_the_node_makes_the_frame_of_the_scan():
    plain, rights = rights_for(), _rights('-p', 'camera_height:=0.4')
    assert set(rights.publish) - set(plain.publish) == {'/tf_static'}
    assert (rights.subscribe, rights.reply) == (plain.subscribe, plain.reply)
    assert _rights('-p', 'camera_height:=0.4', '-p', 'scan_frame:=floor') == plain


def test_tf_is_used_when_one_of_several_cameras_is_mounted():
    cameras = ('-p', 'cameras:=[front, left]')
    rights = _rights(*cameras, '-p', 'left.camera_height:=0.4')
    assert '/tf_static' in rights.publish and '/tf_static' not in _rights(*cameras).publish


def test_refused_parameter_is_refused_here_too():
    with pytest.raises(ValueError, match='parameter max_range is -1.0; expected 0.1 to 1000'):
        _rights('-p', 'max_range:=-1.0')


# -- the file ----------------------------------------------------------------------------------


def _elements(policy):
    """Return the enclave, the profile and {(kind, rule): names} of a policy in XML."""
    root = ElementTree.fromstring(policy.encode())
    assert (root.tag, root.attrib) == ('policy', {'version': '0.2.0'})
    (enclave,) = root.findall('enclaves/enclave')
    (profile,) = enclave.findall('profiles/profile')
    rules = {}
    for group in profile:
        ((rule, allowed),) = group.attrib.items()
        assert allowed == 'ALLOW' and {e.tag for e in group} == {group.tag[:-1]}
        rules[group.tag, rule] = tuple(e.text for e in group)
    return enclave, profile, rules


def test_policy_is_by_the_schema():
    """Of sros2: policy, enclaves, enclave, profiles, profile, then topics and services."""
    rights = Rights('/a/b', '/robot', 'eyes', ('/x', '/y'), ('/z',), ('/robot/eyes/get_state',))
    enclave, profile, rules = _elements(policy_of(rights))
    assert enclave.attrib == {'path': '/a/b'}
    assert profile.attrib == {'ns': '/robot', 'node': 'eyes'}
    assert rules == {
        ('topics', 'publish'): ('/x', '/y'),
        ('topics', 'subscribe'): ('/z',),
        ('services', 'reply'): ('/robot/eyes/get_state',),
    }


def test_no_rule_has_a_wildcard():
    """DDS security takes * and ? for any name, and [ for a set of characters."""
    _, _, rules = _elements(policy_of(rights_for()))
    assert not [name for names in rules.values() for name in names if set(name) & set('*?[')]


def test_enclave_is_that_of_the_arguments():
    assert rights_for().enclave == '/fcrn_ros/fcrn_depth'
    assert _rights('--enclave', '/robot/depth').enclave == '/robot/depth'


def test_installed_policy_is_that_of_the_default_names():
    """If not: python -m fcrn_ros.security --out config/security/fcrn_depth.policy.xml."""
    assert POLICY.read_text() == policy_of(rights_for())


def test_policy_is_valid_for_sros2():
    policy = pytest.importorskip('sros2.policy', reason='needs sros2, of an installed ROS')
    assert policy.load_policy(POLICY).getroot().tag == 'policy'


# -- the command -------------------------------------------------------------------------------


def test_command_prints_the_policy_of_its_arguments():
    arguments = ['--ros-args', '-r', '__ns:=/robot', '--enclave', '/robot/depth']
    command = [sys.executable, '-m', 'fcrn_ros.security', *arguments]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout == policy_of(rights_for(arguments))


@pytest.fixture
def alone(monkeypatch):
    """Set what the command sets in its process, so that it is as before afterwards."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'false')


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        (['--namespace', '/robot'], 'unrecognized arguments: --namespace /robot'),
        (['--ros-args', '-p', 'max_range:=-1.0'], 'parameter max_range is -1.0; expected 0.1 to'),
        (['--ros-args', '-r', 'image'], "Couldn't parse remap rule: '-r image'"),
    ],
)
def test_command_refuses_in_one_line(arguments, complaint, capsys, alone):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    error = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and complaint in error


def test_command_writes_a_file(tmp_path, alone, capsys):
    path = tmp_path / 'depth.policy.xml'
    assert main(['--out', str(path)]) == 0
    assert path.read_text() == policy_of(rights_for()) and not capsys.readouterr().out

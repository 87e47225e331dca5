"""`fcrn nav2`: a costmap for a camera, and a check of one."""

import math
import re
import subprocess
import sys

import pytest
import yaml

from fcrn_ros.cli import main

CAMERA = ('--intrinsics', '250,240,149.5,119.5', '--size', '320x200')


def _run(*arguments):
    return main(['nav2', *map(str, arguments)])


def _voxel_layer(text):
    costmap = yaml.safe_load(text)['local_costmap']['local_costmap']['ros__parameters']
    return costmap['voxel_layer']


@pytest.fixture
def params(tmp_path):
    """Return the path of a parameter file of the node."""
    path = tmp_path / 'depth.yaml'
    path.write_text(
        '/**: {ros__parameters: {camera_height: 0.6, camera_pitch: 0.2, min_range: 0.4, '
        'obstacle_max_height: 1.5}}'
    )
    return path


def test_costmap_goes_to_standard_output_and_the_blind_zone_to_the_other(capsys):
    """A level camera 0.5 m up, y / z = 80 / 240 at its lower edge: 0.5 / 0.3333 = 1.5 m."""
    assert _run(*CAMERA, '--height', 0.5) == 0
    out, err = capsys.readouterr()
    assert _voxel_layer(out)['depth_mark']['topic'] == '/points/marking'
    assert err.startswith('fcrn nav2: the floor nearer than 1.50 m is not seen (from below')
    assert err.count('\n') == 1


def test_angles_are_degrees(capsys):
    assert _run(*CAMERA, '--height', 0.5, '--pitch', 20, '--roll', -2) == 0
    out = capsys.readouterr().out
    assert f'camera_pitch: {math.radians(20):.4f}' in out
    assert f'camera_roll: {math.radians(-2):.4f}' in out


def test_wide_camera_is_seen_through_the_nodes_views(tmp_path, capsys):
    """The lens sees 1280 / 400 rad = 183 degrees; one pinhole of its K would see 116."""
    path = tmp_path / 'wide.yaml'
    path.write_text(
        'image_width: 1280\nimage_height: 960\ndistortion_model: equidistant\n'
        'camera_matrix: {data: [400.0, 0, 642.0, 0, 402.0, 478.0, 0, 0, 1]}\n'
        'distortion_coefficients: {data: [0.01, 0.001, 0.0, 0.0]}\n'
    )
    assert _run('--camera-info', path, '--height', 0.5, '--layer', 'stvl') == 0
    assert 'that the camera sees: 119.' in capsys.readouterr().out


def test_several_cameras_have_their_sources(capsys):
    assert _run(*CAMERA, '--height', 0.5, '--namespace', 'front', '--namespace', '/left') == 0
    layer = _voxel_layer(capsys.readouterr().out)
    assert layer['observation_sources'] == 'front_mark front_clear left_mark left_clear'


def test_parameters_of_the_node_are_taken(params, capsys):
    assert _run(*CAMERA, '--params', params) == 0
    out = capsys.readouterr().out
    source = _voxel_layer(out)['depth_mark']
    assert (source['obstacle_min_range'], source['max_obstacle_height']) == (0.4, 1.5)
    assert '#     camera_height: 0.6\n#     camera_pitch: 0.2  # [rad]' in out


def test_cameras_of_the_node_are_taken(params, capsys):
    params.write_text('/**: {ros__parameters: {cameras: [a, b], camera_height: 0.6}}')
    assert _run(*CAMERA, '--params', params) == 0
    layer = _voxel_layer(capsys.readouterr().out)
    assert layer['b_clear']['topic'] == '/b/points/clearing'


def test_mounting_that_both_name_alike_is_good(params, capsys):
    assert _run(*CAMERA, '--params', params, '--height', 0.6, '--pitch', 11.46) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (('--height', 0.7), 'camera_height is 0.6 in .*expected 0.7, as --height says'),
        (('--pitch', 0.2), 'camera_pitch is 0.2 in .*expected 0.003491, as --pitch says'),
    ],
)
def test_mounting_that_both_name_differently_is_refused(params, capsys, arguments, problem):
    assert _run(*CAMERA, '--params', params, *arguments) == 1
    err = capsys.readouterr().err
    assert err.count('\n') == 1
    assert re.search(problem, err)


def test_file_is_written_but_not_over_another(tmp_path, capsys):
    path = tmp_path / 'nav2.yaml'
    arguments = (*CAMERA, '--height', 0.5, '--out', path)
    assert _run(*arguments) == 0
    first = path.read_text()
    assert _run(*arguments, '--robot-radius', 0.4) == 1
    assert 'nav2.yaml exists; --force overwrites it' in capsys.readouterr().err
    assert path.read_text() == first
    assert _run(*arguments, '--robot-radius', 0.4, '--force') == 0
    assert path.read_text() != first


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (CAMERA, '--height is not given, nor camera_height by --params'),
        (('--height', '1'), 'the camera is given by nothing; expected one of'),
        ((*CAMERA, '--height', '1', '--topic', '/info'), 'given by --intrinsics, --topic;'),
        ((*CAMERA[:2], '--height', '1'), '--intrinsics needs --size WIDTHxHEIGHT'),
        ((*CAMERA[:2], '--size', '320'), "'320' is not WIDTHxHEIGHT"),
        ((*CAMERA, '--height', '1', '--layer', 'static'), 'invalid choice'),
    ],
)
def test_wrong_usage_ends_with_status_2(capsys, arguments, problem):
    with pytest.raises(SystemExit) as end:
        _run(*arguments)
    assert end.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (('--height', -1), 'expected finite numbers and a height above 0'),
        (('--height', 0.5, '--max-range', 12), 'not above max_range 10 m'),
        (('--height', 0.5, '--params', 'nowhere.yaml'), 'nowhere.yaml was not found'),
    ],
)
def test_numbers_that_do_not_fit_end_in_one_line(capsys, arguments, problem):
    assert _run(*CAMERA, *arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith('fcrn nav2: ') and err.count('\n') == 1
    assert problem in err


@pytest.fixture
def written(tmp_path, capsys):
    """Return the path of a good costmap."""
    path = tmp_path / 'nav2.yaml'
    assert _run(*CAMERA, '--height', 0.5, '--robot-height', 0.9, '--out', path) == 0
    capsys.readouterr()
    return path


def test_check_of_a_good_file(written, capsys):
    assert _run('--check', written) == 0
    assert capsys.readouterr().out == f'{written}: ok\n'


def test_check_names_each_fault_in_a_line(written, capsys):
    text = written.read_text().replace('data_type: PointCloud2', 'data_type: LaserScan')
    written.write_text(text)
    assert _run('--check', written) == 1
    assert capsys.readouterr().out.splitlines() == [
        f'{written}: local_costmap: voxel_layer: depth_{job}: data_type is LaserScan; '
        'expected PointCloud2'
        for job in ('mark', 'clear')
    ]


def test_check_knows_the_cameras_height(written, capsys):
    """The grid of a robot of 0.9 m ends at 14 voxels of 0.075 m: 1.05 m."""
    assert _run('--check', written, '--height', 1.2) == 1
    assert 'from 0 to 1.05 m and the camera is at 1.2 m' in capsys.readouterr().out


def test_check_of_what_is_no_yaml_ends_in_one_line(written, capsys):
    written.write_text('a: [')
    assert _run('--check', written) == 1
    assert 'is not YAML' in capsys.readouterr().err


def test_command_needs_neither_torch_nor_ros():
    code = (
        'import sys\n'
        'from fcrn_ros.cli import main\n'
        f'status = main({["nav2", *CAMERA, "--height", "0.5"]!r})\n'
        'loaded = {"torch", "rclpy", "sensor_msgs"} & set(sys.modules)\n'
        'assert not loaded, loaded\n'
        'sys.exit(status)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

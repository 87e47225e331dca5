"""What `fcrn doctor` finds: on this machine, in a live graph over real DDS, and without ROS."""

import dataclasses
import importlib.util
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace

import pytest

from fcrn_ros import doctor
from fcrn_ros.doctor import (
    camera_topic,
    depth_node,
    graph,
    image_topic,
    installation,
    listening,
    middleware,
    report,
)
from fcrn_ros.doctor.finding import Finding, checked, ok, problem, warning
from fcrn_ros.doctor.listening import CAMERA_INFO, RAW, Graph, Offer, Topic
from fcrn_ros.fastdds import PROFILE_VARIABLES
from fcrn_ros.model.weights import find_model, shipped_models

HAS_ROS = importlib.util.find_spec('rclpy') is not None
ros = pytest.mark.ros
needs_ros = pytest.mark.skipif(not HAS_ROS, reason="needs rclpy: pip install 'fcrn_ros[ros]'")
DOMAINS = itertools.count(os.getpid())
ROOT = Path(__file__).resolve().parent.parent
SECOND = 1_000_000_000

CAMERAS = {
    'good': {},
    'zero_k': {'k': 0.0},
    'body': {'frame': 'base_camera'},
    'besteffort': {'reliable': False},
    'bad': {'encoding': 'yuv_polar'},
    'depth': {'encoding': '32FC1', 'pixel_bytes': 4},
    'larger': {'info_size': [128, 96]},
    'narrow': {'k': 20.0},
    'odd_lens': {'lens': 'mei'},
    'other_frame': {'info_frame': 'right_optical_frame'},
    'late_info': {'info_delay': 1_000_000},
    'lossy': {'every': 3},
    'no_info': {'info': False},
    'silent': {'every': 0},
    'jpeg': {'compressed': True},
}
OTHER_TOPICS = {
    'jpeg': ('/jpeg/image_raw/compressed', '/jpeg/camera_info'),
    'absent': ('/absent/image_raw', '/absent/camera_info'),
    'swapped': ('/good/camera_info', '/good/image_raw'),
    'no name': ('/not a topic', '/good/camera_info'),
}
CAMERA_SCRIPT = """
    import json, sys
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from rclpy.time import Time
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    class Source:
        def __init__(self, name, node, options):
            self.node, self.options, self.count = node, options, 0
            best = ReliabilityPolicy.BEST_EFFORT
            reliability = ReliabilityPolicy.RELIABLE if options.get('reliable', True) else best
            qos = QoSProfile(depth=5, reliability=reliability)
            self.packed = options.get('compressed', False)
            self.image = node.create_publisher(
                CompressedImage if self.packed else Image,
                f'/{name}/image_raw' + self.packed * '/compressed', qos)
            self.info = None
            if options.get('info', True):
                self.info = node.create_publisher(CameraInfo, f'/{name}/camera_info', qos)

        def tick(self):
            now = self.node.get_clock().now()
            self.count += 1
            every = self.options.get('every', 1)
            if every and self.count % every == 0:
                self.image.publish(self.make_image(now))
            if self.info:
                self.info.publish(self.make_info(now))

        def make_image(self, now):
            if self.packed:
                import cv2, numpy as np
                _, data = cv2.imencode('.jpg', np.full((48, 64, 3), 90, np.uint8))
                image = CompressedImage(format='jpeg', data=data.tobytes())
            else:
                step = 64 * self.options.get('pixel_bytes', 3)
                encoding = self.options.get('encoding', 'rgb8')
                image = Image(width=64, height=48, step=step, encoding=encoding)
                image.data = bytes(step * 48)
            image.header.stamp = now.to_msg()
            image.header.frame_id = self.options.get('frame', 'left_optical_frame')
            return image

        def make_info(self, now):
            width, height = self.options.get('info_size', (64, 48))
            f = self.options.get('k', 1.0)
            f = f and f * 50.0
            info = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
            info.k = [f, 0.0, 30.0, 0.0, f * 1.1, 25.0, 0.0, 0.0, 1.0] if f else [0.0] * 9
            if 'lens' in self.options:
                info.distortion_model, info.d = self.options['lens'], [0.1, 0.2, 0.0, 0.0]
            stamp = Time(nanoseconds=now.nanoseconds + self.options.get('info_delay', 0))
            info.header.stamp = stamp.to_msg()
            default = self.options.get('frame', 'left_optical_frame')
            info.header.frame_id = self.options.get('info_frame', default)
            return info

    rclpy.init(args=[])
    node = rclpy.create_node('cameras')
    sources = [Source(name, node, options) for name, options in json.loads(sys.argv[1]).items()]
    node.create_timer(0.1, lambda: [source.tick() for source in sources])
    print('ready', flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
"""


def _domain():
    """Return an environment with a ROS domain of its own, on this machine alone."""
    domain = str(1 + next(DOMAINS) % 100)  # higher ones share their ports with other programs
    return {'ROS_DOMAIN_ID': domain, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


def _start(command, environment):
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    return process


def _stop(process):
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _wait_for(process, text):
    """Read the process's output up to a line with ``text``."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f'{process.args} ended without {text!r}: {"".join(lines)}')


def _cameras(sources, environment):
    script = textwrap.dedent(CAMERA_SCRIPT)
    process = _start([sys.executable, '-c', script, json.dumps(sources)], environment)
    _wait_for(process, 'ready')
    return process


@pytest.fixture(scope='module')
def found_ros():
    return middleware.find_ros()


@pytest.fixture(scope='module')
def examined(found_ros):
    """
    Return a function: what is found on one of ``CAMERAS`` or ``OTHER_TOPICS``, by subject.

    All cameras run in one other process, and all are examined at the same time: finding a
    participant may take DDS three seconds.
    """
    environment = _domain()
    topics = {name: (f'/{name}/image_raw', f'/{name}/camera_info') for name in CAMERAS}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(20) as pool:
        for name, value in environment.items():
            patch.setenv(name, value)
        process = _cameras(CAMERAS, environment)
        futures = {
            name: pool.submit(graph.examine, found_ros, *pair, 1.0)
            for name, pair in {**topics, **OTHER_TOPICS}.items()
        }
        wait(futures.values())
        _stop(process)
    return lambda name: {f.subject: f for f in futures[name].result()}


def _not_ok(findings):
    return {subject: f.level for subject, f in findings.items() if f.level != 'ok'}


# -- findings and their printing ---------------------------------------------------------------


def test_failing_check_is_a_problem_in_one_line():
    def check():
        raise KeyError('first\nsecond')

    (finding,) = checked('a check', check)
    assert (finding.level, finding.subject) == ('problem', 'a check')
    assert 'KeyError' in finding.found and '\n' not in finding.found
    assert finding.advice


def test_check_may_return_one_finding_or_several():
    assert checked('x', lambda: ok('a', '1')) == [Finding('ok', 'a', '1', '')]
    assert checked('x', lambda: iter((ok('a', '1'), ok('b', '2')))) == [
        ok('a', '1'),
        ok('b', '2'),
    ]


def test_lines_are_aligned_and_advice_lies_below():
    out = io.StringIO()
    report.show([ok('a', 'fine'), problem('longer', 'bad [x]', 'do this')], out)
    assert out.getvalue().splitlines() == [
        'ok       a       fine',
        'problem  longer  bad [x]',
        '                 -> do this',
        '',
        '1 problem, 0 warnings, 1 ok',
    ]


@pytest.mark.parametrize(
    ('findings', 'status'),
    [
        ([ok('a', 'b')], 0),
        ([ok('a', 'b'), warning('a', 'b', 'c')], 0),
        ([ok('a', 'b'), problem('a', 'b', 'c'), warning('a', 'b', 'c')], 1),
    ],
)
def test_status_is_1_with_a_problem_alone(findings, status, monkeypatch, capsys):
    monkeypatch.setattr(doctor, 'examine', lambda *_: findings)
    assert doctor.run(as_json=True) == status
    assert json.loads(capsys.readouterr().out) == [dataclasses.asdict(f) for f in findings]
    assert doctor.run() == status
    assert len(capsys.readouterr().out.splitlines()) >= len(findings)


@pytest.mark.parametrize('seconds', [0.0, -1.0, 601.0, float('nan')])
def test_seconds_out_of_range_are_refused(seconds):
    with pytest.raises(ValueError, match='seconds is .*; expected more than 0, at most 600'):
        doctor.examine(seconds=seconds)


# -- installation ------------------------------------------------------------------------------


def test_installation_on_this_machine():
    import cv2
    import numpy
    import torch

    findings = {f.subject: f for f in installation.examine('')}
    assert findings['Python'].found.startswith(f'{sys.version_info[0]}.{sys.version_info[1]} ')
    assert findings['NumPy'] == ok('NumPy', numpy.__version__)
    assert findings['OpenCV'].found.startswith(cv2.__version__)
    assert findings['PyTorch'].found.startswith(torch.__version__)
    assert 'bf16' in findings['PyTorch'].found
    assert findings['fcrn_ros'].level == 'ok' and 'files in /' in findings['fcrn_ros'].found
    assert findings['cv_bridge'].level in ('ok', 'warning')


def test_python_that_is_not_tested_is_a_warning():
    assert installation.python((3, 10)).level == installation.python((3, 13)).level == 'ok'
    assert installation.python((3, 14)).level == 'warning'
    assert '3.10 to 3.13' in installation.python((3, 9)).advice


def test_opencv_5_is_a_warning(monkeypatch):
    import cv2

    monkeypatch.setattr(cv2, '__version__', '5.0.1')
    assert installation.opencv().level == 'warning'


def test_broken_cv_bridge_is_a_warning_and_quiet(tmp_path, monkeypatch, capfd):
    broken = 'import sys; sys.stderr.write("a page of noise"); raise AttributeError("_ARRAY_API")'
    (tmp_path / 'cv_bridge.py').write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    finding = installation.cv_bridge()
    assert finding.level == 'warning'
    assert '_ARRAY_API' in finding.found and 'built-in decoder' in finding.found
    assert 'noise' not in capfd.readouterr().err


def test_shipped_models_are_verified_and_a_named_one_alone():
    if not shipped_models():
        pytest.skip('needs a shipped model')
    every = list(installation.models(''))
    assert [f.level for f in every] == ['ok'] * len(shipped_models())
    (one,) = installation.models(shipped_models()[0])
    assert one in every


def test_damaged_model_is_a_problem_that_names_the_sha256(tmp_path):
    if not shipped_models():
        pytest.skip('needs a shipped model')
    sidecar = find_model(shipped_models()[0])
    (tmp_path / sidecar.name).write_bytes(sidecar.read_bytes())
    weights = sidecar.with_suffix('.safetensors')
    (tmp_path / weights.name).write_bytes(weights.read_bytes()[:-100])
    (finding,) = installation.models(str(tmp_path / sidecar.name))
    assert finding.level == 'problem'
    assert 'sha256' in finding.found and 'damaged' in finding.found and finding.advice


def test_absent_model_is_a_problem():
    (finding,) = installation.models('no_such_model')
    assert finding.level == 'problem' and 'no_such_model' in finding.found


def test_absent_package_files_are_a_problem(monkeypatch):
    def nowhere():
        raise FileNotFoundError('the files of fcrn_ros were not found')

    monkeypatch.setattr('fcrn_ros.share.share_folder', nowhere)
    assert installation.package().level == 'problem'


# -- ROS 2 and its transport -------------------------------------------------------------------


@pytest.fixture
def no_profile(monkeypatch):
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _profile(distribution='kilted', rmw='rmw_fastrtps_cpp'):
    return list(middleware.profile(middleware.Ros(True, distribution, 'sourced', rmw)))


def test_absent_profile_is_a_warning_that_names_the_variable_to_set(no_profile, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    (finding,) = _profile()
    assert finding.level == 'warning'
    assert 'export FASTRTPS_DEFAULT_PROFILES_FILE=' in finding.advice
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' not in finding.advice
    assert 'config/fastdds_large_messages.xml' in finding.advice


def test_profile_does_not_concern_another_dds(no_profile):
    assert _profile(rmw='rmw_cyclonedds_cpp') == []


@pytest.mark.parametrize(('size', 'level'), [('67108864', 'ok'), ('524288', 'warning')])
def test_profile_is_judged_by_its_segment(no_profile, tmp_path, monkeypatch, size, level):
    path = tmp_path / 'profile.xml'
    path.write_text(f'<a><segment_size>{size}</segment_size></a>')
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(path))
    assert [f.level for f in _profile()] == [level]


def test_profile_that_is_not_there_is_a_problem(no_profile, monkeypatch):
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/nowhere.xml')
    assert [f.level for f in _profile()] == ['problem']


def test_profile_in_the_variable_of_another_fast_dds_is_a_warning(no_profile, monkeypatch):
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(ROOT / 'package.xml'))
    (finding,) = _profile('kilted')
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE is: the name that another' in finding.found


def test_sockets_larger_than_the_kernel_allows_are_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(middleware, 'RMEM', tmp_path / 'rmem_max')
    monkeypatch.delenv('FASTDDS_BUILTIN_TRANSPORTS', raising=False)
    assert middleware.socket_buffers().level == 'ok'
    (tmp_path / 'rmem_max').write_text('212992\n')
    assert '212992' in middleware.socket_buffers().found
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA?sockets_size=200KB')
    assert middleware.socket_buffers().level == 'ok'
    monkeypatch.setenv(
        'FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA?max_msg_size=1MB&sockets_size=1MB'
    )
    assert middleware.socket_buffers().level == 'problem'


@ros
@needs_ros
def test_ros_of_this_machine_is_found(found_ros):
    (finding,) = checked('ROS 2', lambda: middleware.distribution(found_ros))
    assert finding.level == 'ok'
    assert found_ros.rmw in finding.found and found_ros.distribution in finding.found


@ros
@needs_ros
@pytest.mark.parametrize(
    ('name', 'value'), [('RMW_IMPLEMENTATION', 'rmw_nothing_cpp'), ('ROS_DOMAIN_ID', '999')]
)
def test_setting_that_ends_ros_is_a_problem_and_the_graph_is_left(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    broken = middleware.find_ros()
    (finding,) = middleware.examine(broken)
    assert finding.level == 'problem'
    assert f'{name}={value}' in finding.advice and '\x1b' not in finding.found
    (skipped,) = graph.examine(broken, '/image', '/camera_info', 1.0)
    assert (skipped.level, skipped.subject) == ('warning', 'ROS graph')


def test_sourced_ros_of_another_python_is_a_problem():
    assert middleware.distribution(middleware.Ros(False, 'jazzy', 'sourced')).level == 'problem'


WITHOUT = """
    import sys
    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.split('.')[0] in sys.argv[1].split(','):
                raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    sys.meta_path.insert(0, Blocker())
    from fcrn_ros import doctor
    for module in sys.argv[1].split(','):
        try:
            __import__(module)
            sys.exit(f'{module} is not blocked')
        except ModuleNotFoundError:
            pass
    sys.exit(doctor.run(as_json=True))
"""


def _without(modules):
    environment = {k: v for k, v in os.environ.items() if k != 'ROS_DISTRO'}
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(WITHOUT), modules],
        env={**environment, **_domain()},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert 'Traceback' not in done.stderr and done.stdout, done.stderr
    return done.returncode, {f['subject']: f for f in json.loads(done.stdout)}


def test_without_ros_it_says_how_to_get_it_and_skips_the_graph():
    if not shipped_models():
        pytest.skip('needs a shipped model')
    status, findings = _without('rclpy')
    assert status == 0
    assert findings['ROS 2']['level'] == findings['ROS graph']['level'] == 'warning'
    assert "pip install 'fcrn_ros[ros]'" in findings['ROS 2']['advice']
    assert not {'ROS messages', 'image topic', 'depth node'} & findings.keys()


def test_without_torch_it_says_how_to_get_it():
    status, findings = _without('torch,rclpy')
    assert status == 1
    assert findings['PyTorch'] == {
        'level': 'problem',
        'subject': 'PyTorch',
        'found': 'not installed',
        'advice': 'pip install torch torchvision',
    }


# -- the live graph ----------------------------------------------------------------------------


@ros
@needs_ros
def test_good_camera_is_ok(examined):
    findings = examined('good')
    assert _not_ok(findings) == {'depth node': 'warning'}
    assert findings['image topic'].found == '/good/image_raw, sensor_msgs/msg/Image'
    assert findings['image QoS'].found == 'publisher /cameras, reliable'
    assert findings['image encoding'].found == '64x48 rgb8'
    assert 'fx 50.0, fy 55.0' in findings['calibration'].found
    assert findings['image frame'].found == 'left_optical_frame'


@ros
@needs_ros
def test_compressed_camera_is_ok_and_its_transport_named(examined):
    findings = examined('jpeg')
    assert _not_ok(findings) == {'depth node': 'warning'}
    how = 'image_transport:=compressed and image:=/jpeg/image_raw'
    assert how in findings['image topic'].found
    assert findings['image encoding'].found == '64x48 jpeg'
    assert findings['camera size'].found.startswith('64x48')


@ros
@needs_ros
@pytest.mark.parametrize(
    ('camera', 'expected', 'words'),
    [
        ('zero_k', {'calibration': 'problem'}, 'all-zero K'),
        ('odd_lens', {'calibration': 'problem'}, "'mei' is not known"),
        ('narrow', {'calibration': 'warning'}, '4 degrees wide'),
        ('larger', {'camera size': 'problem'}, 'says 128x96, the image is 64x48'),
        ('other_frame', {'camera header': 'warning'}, 'right_optical_frame'),
        ('late_info', {'camera header': 'warning'}, 'no stamp'),
        ('body', {'image frame': 'warning'}, 'base_camera'),
        ('bad', {'image encoding': 'problem'}, "'yuv_polar' is not known"),
        ('lossy', {'images': 'warning'}, 'lost'),
        ('silent', {'images': 'problem'}, 'camera_info comes'),
    ],
)
def test_fault_of_a_camera_is_found_and_nothing_else(examined, camera, expected, words):
    findings = examined(camera)
    assert _not_ok(findings) == {**expected, 'depth node': 'warning'}
    (subject,) = expected
    assert words in findings[subject].found
    assert findings[subject].advice


@ros
@needs_ros
def test_camera_without_camera_info_is_a_problem(examined):
    finding = examined('no_info')['camera_info']
    assert finding.level == 'problem'
    assert 'nobody publishes /no_info/camera_info' in finding.found
    assert '/good/camera_info' in finding.advice


@ros
@needs_ros
def test_best_effort_camera_is_heard_and_named_so(examined):
    findings = examined('besteffort')
    assert findings['image QoS'] == ok('image QoS', 'publisher /cameras, best effort')
    assert findings['images'].level in ('ok', 'warning')
    assert findings['image encoding'].level == 'ok'


@ros
@needs_ros
def test_depth_image_is_told_from_a_colour_one(examined):
    finding = examined('depth')['image encoding']
    assert finding.level == 'problem' and 'depth image' in finding.advice


@ros
@needs_ros
def test_wrong_topics_list_the_candidates(examined):
    findings = examined('absent')
    image, info = findings['image topic'], findings['camera_info']
    assert (image.level, info.level) == ('problem', 'problem')
    assert '/good/image_raw' in image.advice and 'run with image:=/' in image.advice
    assert '/good/camera_info' in info.advice and '/jpeg/image_raw' in image.advice
    assert not {'images', 'image frame', 'calibration'} & findings.keys()


@ros
@needs_ros
def test_topic_of_another_type_is_a_problem(examined):
    findings = examined('swapped')
    assert 'sensor_msgs/msg/CameraInfo' in findings['image topic'].found
    assert 'sensor_msgs/msg/Image' in findings['camera_info'].found
    assert '/good/camera_info' in findings['camera_info'].advice


@ros
@needs_ros
def test_name_that_is_no_topic_is_a_problem(examined):
    assert examined('no name')['ROS graph'].level == 'problem'


@ros
@needs_ros
def test_empty_graph_is_said_once_and_exits_with_1(monkeypatch, capsys):
    for name, value in _domain().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(listening, 'DISCOVERY_SECONDS', 0.5)
    assert doctor.run(seconds=0.5, as_json=True) == 1
    findings = {f['subject']: f for f in json.loads(capsys.readouterr().out)}
    assert findings['ROS graph']['level'] == 'warning'
    assert 'ROS_DOMAIN_ID' in findings['ROS graph']['advice']
    assert findings['image topic']['level'] == findings['camera_info']['level'] == 'problem'
    assert 'nor any other image' in findings['image topic']['found']


@ros
@needs_ros
def test_interrupt_ends_the_listening_and_closes_the_context():
    script = """
        import gc
        from rclpy.context import Context
        from fcrn_ros.doctor import listening
        listening._subscribe = lambda *_: print('listening', flush=True)
        listening.DISCOVERY_SECONDS = 0.1
        try:
            listening.listen('/image', '/camera_info', 300.0)
        except KeyboardInterrupt:
            open_ones = [c for c in gc.get_objects() if isinstance(c, Context) and c.ok()]
            print('interrupted, open:', len(open_ones), flush=True)
    """
    process = _start([sys.executable, '-c', textwrap.dedent(script)], _domain())
    try:
        _wait_for(process, 'listening')
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert 'interrupted, open: 0' in out


@ros
@needs_ros
def test_depth_node_is_found_with_its_diagnostics(found_ros, monkeypatch):
    """The real node, in a namespace, reading the good camera; then examined by a wrong topic."""
    if not shipped_models():
        pytest.skip('needs a shipped model')
    environment = _domain()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    topics = {'image': '/good/image_raw', 'camera_info': '/good/camera_info', '__ns': '/robot'}
    remaps = [part for name, to in topics.items() for part in ('-r', f'{name}:={to}')]
    camera = _cameras({'good': {}}, environment)
    command = [sys.executable, '-m', 'fcrn_ros.node', '--ros-args', *remaps]
    node = _start(command, environment)
    try:
        _wait_for(node, 'reading /good/image_raw')
        findings = graph.examine(found_ros, '/good/image_raw', '/other/camera_info', 2.0)
    finally:
        _stop(node)
        _stop(camera)
    found = {f.subject: f for f in findings}
    assert found['depth node'] == ok('depth node', '/robot/fcrn_depth runs')
    assert found['node image'] == ok('node image', 'it reads /good/image_raw')
    assert found['node camera_info'].level == 'warning'
    assert '--camera-info /good/camera_info' in found['node camera_info'].advice
    assert ' cpu ' in found['depth status'].found or 'cuda' in found['depth status'].found
    assert '/robot' not in found['camera_info'].advice  # the node's own outputs are no candidates


# -- judgements on what was heard --------------------------------------------------------------


def _heard(stamps, arrival=1000.0, frame='left_optical_frame', clock=None):
    header = SimpleNamespace(frame_id=frame)
    image = Topic(
        '/image',
        [Offer('/camera', RAW, True, False)],
        [round(s * SECOND) for s in stamps],
        [arrival] * len(stamps),
        SimpleNamespace(header=header),
    )
    return Graph(image, Topic('/camera_info'), 1.0, clock=clock)


@pytest.mark.parametrize(
    ('stamps', 'clock', 'level', 'words'),
    [
        ([999.9], None, 'ok', '0.100 s old'),
        ([1004.0], None, 'ok', '-4.000 s old'),
        ([900.0], None, 'warning', 'use_sim_time'),
        ([900.0], 900.5, 'ok', '0.500 s old by /clock'),
        ([1000.0], 900.5, 'warning', 'publishes /clock'),
        ([0.0], None, 'problem', 'stamp'),
        ([999.0, 999.0], None, 'problem', 'the same in every image'),
    ],
)
def test_stamp_is_judged_by_the_clock_in_use(stamps, clock, level, words):
    (finding,) = image_topic.stamp(_heard(stamps, clock=clock))
    assert finding.level == level
    assert words in finding.found + finding.advice


def test_empty_frame_is_a_problem():
    (finding,) = image_topic.frame(_heard([1.0], frame=''))
    assert finding.level == 'problem'


@pytest.mark.parametrize(
    ('stamps', 'infos', 'share'),
    [
        ([0, 10, 20, 30, 40], [], 0.0),
        ([0, 9, 21, 30, 41], [], 0.0),  # jitter
        ([0, 10, 20, 40, 50], [], 1 / 6),  # 30 is missing, of 6
        ([0, 30, 60, 90], range(0, 100, 10), 0.6),  # 4 of the 10 from 0 to 90 came
        ([0, 30, 60, 90], range(5, 100, 10), 0.0),  # camera_info on a clock of its own
        ([0, 10, 40, 50], [0, 10, 40, 50], 0.0),  # a camera that paused
        ([7], [7], 0.0),
    ],
)
def test_lost_share(stamps, infos, share):
    assert image_topic.lost_share(list(stamps), list(infos)) == pytest.approx(share)


def test_best_effort_loss_names_reliable_and_the_profile():
    heard = _heard([i for i in range(20) if i % 4 != 3])
    heard.rmw = 'rmw_fastrtps_cpp'
    heard.image.offers = [Offer('/camera', RAW, False, False)]
    (finding,) = image_topic.rate(heard)
    assert finding.level == 'warning'
    assert 'reliable' in finding.advice and 'FASTDDS_DEFAULT_PROFILES_FILE' in finding.advice


def test_qos_that_does_not_fit_is_a_problem():
    heard = Topic('/image', [Offer('/camera', RAW, False, False, 'ERROR: Deadline;')])
    assert image_topic.publishers('image', heard).level == 'problem'


def test_two_cameras_on_one_topic_are_a_warning():
    heard = Topic('/image', [Offer(name, RAW, True, False) for name in ('/a', '/b')])
    finding = image_topic.publishers('image', heard)
    assert finding == warning('image QoS', '2 publishers /a, /b, reliable', finding.advice)


def test_latched_camera_info_that_does_not_come_is_explained():
    heard = _heard([1.0])
    heard.camera_info.offers = [Offer('/camera', CAMERA_INFO, True, True)]
    findings = list(camera_topic.topic(heard))
    assert findings[-1].level == 'problem' and 'latched' in findings[-1].advice


def _status(level, message, **values):
    pairs = [SimpleNamespace(key=k.replace('_', ' '), value=v) for k, v in values.items()]
    status = SimpleNamespace(level=bytes([level]), message=message, values=pairs)
    heard = _heard([1.0])
    heard.depth_nodes, heard.statuses = ['/fcrn_depth'], {'/fcrn_depth': status}
    return list(depth_node.judge(heard))[-1]


@pytest.mark.parametrize(
    ('level', 'expected'), [(0, 'ok'), (1, 'warning'), (2, 'problem'), (3, 'problem')]
)
def test_level_of_the_diagnostics_is_the_level_of_the_finding(level, expected):
    finding = _status(level, 'a sentence', state='active', last_error='no K')
    assert finding.level == expected
    assert finding.found == 'a sentence, nothing dropped'
    assert ('no K' in finding.advice) == (expected != 'ok')


def test_inactive_node_is_a_problem():
    finding = _status(0, 'idle', state='inactive')
    assert finding.level == 'problem' and 'ros2 lifecycle set /fcrn_depth' in finding.advice


def test_drops_are_told_by_cause():
    finding = _status(0, 'fine', **{'dropped: bad image': '3', 'dropped: stale': '0'})
    assert finding.found == 'fine, dropped: bad image 3'


def test_silent_node_is_a_warning():
    heard = _heard([1.0])
    heard.depth_nodes = ['/fcrn_depth']
    assert [f.level for f in depth_node.judge(heard)] == ['ok', 'warning']


def test_each_of_several_cameras_is_told():
    """The status of another node's camera is not this one's."""
    heard = _heard([1.0])
    heard.depth_nodes = ['/fcrn_depth']
    statuses = [
        SimpleNamespace(name=f'{name} depth', level=bytes([level]), message='a', values=[])
        for name, level in (('fcrn_depth: front', 0), ('fcrn_depth: left', 1), ('rig/x: left', 2))
    ]
    heard.note_diagnostics(SimpleNamespace(status=statuses))
    found = [f for f in depth_node.judge(heard) if 'status' in f.subject]
    assert [(f.subject, f.level) for f in found] == [
        ('front depth status', 'ok'),
        ('left depth status', 'warning'),
    ]

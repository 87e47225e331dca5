"""`fcrn demo` as its users run it: it starts the node, leaves files, and leaves no process."""

import itertools
import json
import os
import re
import signal
import sys
import urllib.request

import cv2
import numpy as np
import pytest
from ros_graph import LIMIT, ROOT, Process, marked_processes, wait_for_none
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from fcrn_ros.model.weights import DEFAULT_MODEL, shipped_models

pytestmark = pytest.mark.ros
SUMMARY = {
    'backend',
    'model',
    'precision',
    'frames_in',
    'frames_out',
    'dropped',
    'rate_hz',
    'latency_ms',
    'valid_share',
    'absrel',
    'delta1',
    'points_per_frame',
}
TOPICS = ('depth/image_raw', 'depth/camera_info', 'color/image_raw', 'points')
MARK = f'FCRN_TEST=demo_{os.getpid()}'


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """Return a function that starts a demo; its process has ``out``, its folder."""
    folder, numbers, started = tmp_path_factory.mktemp('test_demo'), itertools.count(), []
    environment = {
        'ROS_DOMAIN_ID': str(1 + (os.getpid() + 87) % 100),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(folder / 'ros_log'),
        'PYTHONPATH': str(ROOT),
        **dict([MARK.split('=')]),
    }

    def start(*arguments):
        number = next(numbers)
        out = folder / f'out_{number}'
        command = [sys.executable, '-m', 'fcrn_ros.cli', 'demo', '--out', str(out), *arguments]
        command = [str(x) for x in command]
        # a process group of its own, as a shell gives it
        process = Process(command, environment, folder / f'{number}.log', session=True)
        process.out = out
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()
    wait_for_none(MARK)


@pytest.fixture(scope='module')
def clip():
    if not (ROOT / 'demo' / 'room').is_dir():
        pytest.skip('needs the bundled clip, demo/room')
    return ROOT / 'demo' / 'room'


@pytest.fixture(scope='module')
def tiny(tiny_model):
    return ('--model', tiny_model, '--precision', 'fp32')


@pytest.fixture(scope='module')
def two(demo, clip, tiny, request):
    """Return two demos that ran at the same time, in one domain: the clip's, and a bag's."""
    model = () if DEFAULT_MODEL in shipped_models() else tiny
    try:
        data = request.getfixturevalue('data_folder')
    except pytest.skip.Exception:
        data = clip
    kitchen = data / 'bags' / 'kitchen_compressed_mcap'
    bag = kitchen if kitchen.is_dir() else clip
    demos = demo('--seconds', '4', *model), demo('--seconds', '4', '--bag', bag, *tiny)
    for process in demos:
        assert process.wait() == 0, process.log
    return dict(zip(('clip', 'bag'), demos, strict=True))


def _summary(process):
    return json.loads((process.out / 'summary.json').read_text())


# -- what a demo leaves ------------------------------------------------------------------------


@pytest.mark.parametrize('which', ['clip', 'bag'])
def test_summary_has_plausible_figures(two, which):
    summary = _summary(two[which])
    assert set(summary) >= SUMMARY
    assert 0 < summary['frames_out'] <= summary['frames_in']
    assert summary['frames_in'] > 10 and summary['rate_hz'] > 0
    latency = summary['latency_ms']
    assert 0 < latency['p50'] <= latency['p95'] <= latency['p99'] < 1000 * LIMIT
    assert 0 < summary['valid_share'] <= 1
    assert 0 < summary['absrel'] < 10 and 0 <= summary['delta1'] <= 1
    assert summary['points_per_frame'] > 0
    assert all(n > 0 for n in summary['dropped'].values())
    assert summary['backend'] in ('openvino', 'torch')
    assert summary['model'] in (DEFAULT_MODEL, 'tiny')


@pytest.mark.parametrize('which', ['clip', 'bag'])
@pytest.mark.parametrize('name', ['depth.png', 'cloud.png'])
def test_picture_shows_something(two, which, name):
    picture = cv2.imread(str(two[which].out / name))
    assert min(picture.shape[:2]) > 200
    assert picture.std() > 10 and len(np.unique(picture)) > 50


@pytest.mark.parametrize('which', ['clip', 'bag'])
def test_recorded_outputs_are_whole(two, which):
    counts, stamps = {}, {}
    store = get_typestore(Stores.ROS2_JAZZY)
    with AnyReader([two[which].out / 'outputs.mcap'], default_typestore=store) as reader:
        for connection, _, data in reader.messages():
            topic = connection.topic.split('/', 2)[2]
            message = reader.deserialize(data, connection.msgtype)
            counts[topic] = counts.get(topic, 0) + 1
            stamp = message.header.stamp
            stamps.setdefault((stamp.sec, stamp.nanosec), {})[topic] = message
    assert set(counts) == set(TOPICS) and min(counts.values()) > 0
    whole = [m for m in stamps.values() if set(m) == set(TOPICS)]
    assert whole
    for messages in whole:
        assert len({(m.width, m.height) for m in messages.values()}) == 1
        assert {m.header.frame_id for m in messages.values()} == {'camera_color_optical_frame'}
        depth, points = messages['depth/image_raw'], messages['points']
        z = points.data.view(np.float32).reshape(-1, 4)[:, 2]
        np.testing.assert_array_equal(
            z[np.isfinite(z)], depth.data.view(np.float32)[np.isfinite(z)]
        )


@pytest.mark.parametrize('which', ['clip', 'bag'])
def test_output_of_the_demo_names_its_files_and_has_no_error(two, which):
    log = two[which].log
    assert 'Traceback' not in log and 'rror:' not in log
    words = ''.join(log.split())
    for name in ('summary.json', 'depth.png', 'cloud.png', 'outputs.mcap'):
        assert name in words
    assert 'Traceback' not in (two[which].out / 'node.log').read_text()


def test_images_without_intrinsics_give_depth_and_no_cloud(demo, tiny, tmp_path):
    v, u = np.mgrid[0:240, 0:320]
    for i in range(40):
        waves = (np.sin(u / 37 + i / 9), np.cos(v / 29), np.sin((u + 2 * v) / 53))
        picture = (127 + 100 * np.dstack(waves)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f'{i:03}.jpg'), picture)
    process = demo('--seconds', '4', '--images', tmp_path, *tiny)
    assert process.wait() == 0, process.log
    summary = _summary(process)
    assert summary['frames_in'] == 40 and summary['frames_out'] > 0
    assert summary['absrel'] is None and summary['delta1'] is None
    assert summary['points_per_frame'] == 0
    assert (process.out / 'depth.png').is_file()
    assert not (process.out / 'cloud.png').exists()
    log = (process.out / 'node.log').read_text()
    assert 'waiting for camera_info' in log and 'no points are published' in log


# -- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'content', 'words'),
    [
        ('--bag', None, 'expected a bag'),
        ('--bag', 'this is no bag', ''),
        ('--bag', {}, 'metadata.yaml'),
        ('--images', {}, 'expected .jpg'),
        ('--images', None, 'expected one with images'),
        ('--video', None, 'expected a video file'),
        ('--video', 'this is no video', 'cannot be opened as a video'),
    ],
    ids=[
        'no bag',
        'text as bag',
        'empty bag',
        'no image',
        'no folder',
        'no video',
        'text as video',
    ],
)
def test_wrong_source_is_one_line_and_status_1(demo, tmp_path, option, content, words):
    path = tmp_path / 'source.bag'
    if content == {}:
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    process = demo(option, path)
    assert process.wait() == 1
    (line,) = process.lines
    assert line.startswith('fcrn demo: ') and str(path) in line and words in line
    assert not (process.out / 'node.log').exists()


def test_node_that_does_not_start_ends_the_demo_with_its_words(demo, clip, tmp_path):
    process = demo('--model', tmp_path / 'absent.safetensors')
    assert process.wait() == 1
    line = process.lines[-1]
    assert line.startswith('fcrn demo: ') and 'absent.safetensors' in line and 'not found' in line
    assert 'Traceback' not in process.log


def test_image_that_is_damaged_ends_the_demo_with_its_name(demo, tiny, tmp_path):
    (tmp_path / 'damaged.png').write_bytes(b'no picture')
    process = demo('--images', tmp_path, *tiny)
    assert process.wait() == 1
    assert 'damaged.png: not a readable image' in process.lines[-1]
    assert 'Traceback' not in process.log


def test_interrupted_demo_takes_its_node_with_it(demo, clip, tiny):
    """Ctrl-C in a terminal reaches the process group; a script may signal the parent alone."""
    demos = [demo('--seconds', '60', *tiny) for _ in range(3)]
    for process in demos:
        _wait_until_playing(process)
    group, parent, terminated = demos
    os.killpg(group.child.pid, signal.SIGINT)
    parent.child.send_signal(signal.SIGINT)
    terminated.child.send_signal(signal.SIGTERM)
    for process in demos:
        assert process.wait() == 1, process.log
        assert 'Traceback' not in process.log
    assert group.lines[-1] == parent.lines[-1] == 'fcrn: interrupted'
    wait_for_none(MARK)


def test_page_stays_after_the_run_until_ctrl_c(demo, clip, tiny):
    """Its process shows the node from outside, and ends with the demo: status 0."""
    pytest.importorskip('rerun', reason="needs rerun: pip install 'fcrn_ros[viz]'")
    ports = ('--port', '0', '--grpc-port', '0', '--no-browser')
    process = demo('--seconds', '3', '--view', *ports, *tiny)
    line = process.wait_for_log('the page stays at')
    address = re.search(r'http://\S+', line)[0]
    assert f'open {address} in a browser' in process.log
    with urllib.request.urlopen(address, timeout=LIMIT) as answer:
        assert b'<canvas' in answer.read()
    assert _summary(process)['frames_out'] > 0
    assert process.signal(signal.SIGINT) == 0
    log = (process.out / 'view.log').read_text()
    assert 'Traceback' not in log + process.log and 'ERROR' not in log
    wait_for_none(MARK)


def _wait_until_playing(process):
    log = process.out / 'node.log'
    node = _File(log, process)
    node.wait_for_log('camera 640x480')


class _File(Process):
    """The log that another process writes, read as a process's own."""

    def __init__(self, log, process):
        self.log_file, self.child = log, process.child

    @property
    def log(self):
        return super().log if self.log_file.exists() else ''


# -- the end -----------------------------------------------------------------------------------


def test_no_process_is_left():
    assert not marked_processes(MARK)

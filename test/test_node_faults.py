"""What goes wrong with cameras, networks and signals, and how the real node comes through it."""

import signal
import textwrap

import numpy as np
import pytest
from ros_graph import (
    WITHOUT_CAMERA,
    Image,
    array_of,
    header_at,
    image_msg,
    info_msg,
    nanoseconds,
    open_graph,
    wait_for_none,
)

pytestmark = pytest.mark.ros
OK, WARN, ERROR, STALE = range(4)
SMALL = {'width': 320, 'height': 240, 'intrinsics': (290.0, 280.0, 155.0, 123.0)}
NO_POINTS = ('points', 'depth/camera_info', 'color/camera_info')
# the real node, whose engine fails while a file is there
FAILING_ENGINE = """
    import sys
    from pathlib import Path
    from fcrn_ros import node
    from fcrn_ros.engine import EngineError
    from fcrn_ros.engine.torch_engine import TorchEngine

    infer = TorchEngine.infer

    def failing(self, batch):
        if Path({file!r}).exists():
            raise EngineError('the device is lost')
        return infer(self, batch)

    TorchEngine.infer = failing
    sys.exit(node.main())
"""


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_node_faults'), 2) as graph:
        yield graph


@pytest.fixture(scope='module')
def parameters(tiny_model):
    return {'model': tiny_model, 'backend': 'torch', 'precision': 'fp32'}


@pytest.fixture(scope='module')
def shared_node(graph, parameters):
    node = graph.start(parameters)
    node.wait_for_log('reading ')
    return node


@pytest.fixture
def node(shared_node):
    """Return the node as if just started: it knows no camera."""
    assert shared_node.change('deactivate', 'activate')
    return shared_node


def _picture(width=640, height=480, phase=0.0):
    """Return colours that change smoothly, no two rows or columns alike."""
    v, u = np.mgrid[0:height, 0:width]
    waves = (np.sin(u / 37 + phase), np.cos(v / 29), np.sin((u + 2 * v) / 53))
    return (127 + 100 * np.dstack(waves)).astype(np.uint8)


IMAGE = image_msg(_picture())


# -- camera_info -------------------------------------------------------------------------------


def test_without_camera_info_there_is_depth_and_a_warning(node):
    before = len(node.log)
    with node.receive(NO_POINTS) as received:
        found = node.exchange(IMAGE, WITHOUT_CAMERA)
        assert np.isfinite(array_of(found['depth/image_raw'])).any()
        assert not any(received.messages.values())
        line = node.wait_for_log('waiting for camera_info', before)
        assert 'WARN' in line and node.info_topic in line and 'none has come' in line
        node.set_camera(info_msg())
        received.play(IMAGE)


def test_zero_k_is_an_error_that_says_so(node):
    zero = info_msg(intrinsics=(0.0, 0.0, 0.0, 0.0))
    line = node.set_camera(zero)
    assert 'not usable' in line and 'all-zero K' in line and 'calibrate' in line
    with node.receive(NO_POINTS) as received:
        node.exchange(IMAGE, WITHOUT_CAMERA)
        assert not any(received.messages.values())
    values = node.next_diagnostics(lambda v: 'all-zero K' in v['message'])
    assert values['level'] == WARN
    node.set_camera(info_msg())
    node.exchange(IMAGE)
    assert node.next_diagnostics()['level'] == OK


def test_camera_info_that_changes_is_followed(node):
    """fx and cx of the 48x32 depth are those of the 640x480 image times 0.075."""
    for fx, expected in ((585.0, 43.875), (1170.0, 87.75)):
        node.set_camera(info_msg(intrinsics=(fx, 570.0, 312.0, 247.0)))
        info = node.exchange(IMAGE)['depth/camera_info']
        assert info.p[0] == pytest.approx(expected)


def test_unknown_distortion_model_is_an_error_and_the_next_camera_is_taken(node):
    odd = info_msg(distortion=(0.1, 0.01, 0.0, 0.0))
    odd.distortion_model = 'mei'
    assert "'mei' is not known" in node.set_camera(odd)
    node.exchange(IMAGE, WITHOUT_CAMERA)
    node.set_camera(info_msg())
    node.exchange(IMAGE)


# -- images ------------------------------------------------------------------------------------


def _damaged(**changes):
    image = image_msg(_picture())
    for name, value in changes.items():
        setattr(image, name, value)
    return image


BAD_IMAGES = {
    'truncated': (_damaged(data=IMAGE.data[:-1]), ['921599 bytes', 'at least 921600']),
    'empty': (Image(encoding='rgb8'), ['0x0 rgb8', 'expected a positive size']),
    'no data': (_damaged(data=b''), ['0 bytes', 'at least 921600']),
    'small step': (_damaged(step=1919), ['step is 1919', 'at least 1920']),
    'large step': (_damaged(step=1921), ['921600 bytes', 'with step 1921']),
    'unknown encoding': (_damaged(encoding='yuv_polar'), ["'yuv_polar'", 'rgb8, bgr8']),
    'depth': (_damaged(encoding='32FC1'), ["'32FC1'", 'rgb8, bgr8']),
    'no encoding': (_damaged(encoding=''), ["encoding ''"]),
    'huge': (_damaged(width=2**31, height=2**31), ['2147483648x2147483648']),
    'other size': (image_msg(_picture(320, 240)), ['320x240', 'expected 640x480']),
}


@pytest.mark.parametrize('kind', BAD_IMAGES)
def test_bad_image_is_dropped_and_the_next_one_is_not(shared_node, kind):
    """What was wrong stays to be read in /diagnostics; the log is not flooded."""
    node, (bad, words) = shared_node, BAD_IMAGES[kind]
    node.set_camera(info_msg(**SMALL))  # one of other content, so that the next is a new one
    node.set_camera(info_msg())
    with node.receive() as received:
        received.play(IMAGE)
        bad_stamps = set()

        def reported(values):
            bad_stamps.add(node.send(bad))
            return all(word in values['last error'] for word in words)

        values = node.next_diagnostics(reported)
        assert int(values['dropped: bad image']) > 0
        assert values['level'] in (WARN, ERROR)
        received.play(IMAGE)
        assert not any(bad_stamps & set(m) for m in received.messages.values())


def test_bad_images_are_logged_once_and_not_for_every_frame(node):
    node.exchange(IMAGE, ('depth/image_raw',))
    dropped = 'dropped: bad image'
    first = int(node.next_diagnostics().get(dropped, 0))
    before = len(node.log)

    def lines():
        return [line for line in node.log[before:].splitlines() if 'frame dropped' in line]

    with node.receive(('depth/image_raw',)):

        def many(values):
            node.send(BAD_IMAGES['small step'][0])
            return int(values.get(dropped, 0)) > first + 10 and lines()

        node.next_diagnostics(many)
        number = int(node.next_diagnostics()[dropped]) - first
    assert 1 <= len(lines()) < number / 3
    assert 'ERROR' in lines()[0] and 'step is 1919; expected at least 1920' in lines()[0]


def test_resolution_and_encoding_change_in_mid_stream(node):
    node.set_camera(info_msg())
    for encoding in ('rgb8', 'mono8', 'nv12', 'bgr8'):
        node.exchange(image_msg(_picture(), encoding))
    node.set_camera(info_msg(**SMALL))
    for encoding in ('nv12', 'rgb8'):
        info = node.exchange(image_msg(_picture(320, 240), encoding))['depth/camera_info']
        assert info.k[0] == pytest.approx(290 * 48 / 320)
    node.set_camera(info_msg())
    node.exchange(IMAGE)


def test_stamp_that_jumps_back_is_reported_and_followed(node):
    node.set_camera(info_msg())
    node.exchange(IMAGE)
    before, old = len(node.log), 1_500_000_000 * 10**9 + 7
    image = image_msg(_picture())
    image.header = header_at(old)
    with node.receive() as received:

        def answered():
            node.image.publish(image)
            return old in received.complete()

        node.graph.wait_for(answered, 'answer to the old stamp')
        message = received.messages['points'][old]
    assert nanoseconds(message.header.stamp) == old
    assert 'WARN' in node.wait_for_log('time jumped back', before)
    node.exchange(IMAGE)


def test_camera_may_vanish_and_return(node):
    node.set_camera(info_msg())
    with node.image_publisher() as publisher:
        node.exchange(IMAGE, publisher=publisher)
    others = 1 if node._image is not None else 0
    node.next_diagnostics(lambda v: v[node.image_topic].startswith(f'{others} publishers'))
    with node.image_publisher() as publisher:
        node.exchange(IMAGE, publisher=publisher)


def test_silence_of_the_camera_is_stale(node):
    node.exchange(IMAGE, ('depth/image_raw',))
    values = node.next_diagnostics(lambda v: v['level'] == STALE)
    assert values['message'].startswith('no image for ')
    node.exchange(IMAGE, ('depth/image_raw',))
    assert node.next_diagnostics()['level'] == OK


# -- the engine --------------------------------------------------------------------------------


def test_engine_that_fails_in_mid_stream_is_reported_and_recovers(graph, parameters, tmp_path):
    lost = tmp_path / 'lost'
    script = textwrap.dedent(FAILING_ENGINE).format(file=str(lost))
    node = graph.start(parameters, program=('-c', script))
    node.set_camera(info_msg())

    def level(wanted):
        def reached(values):
            node.send(IMAGE)
            return values['level'] == wanted

        return node.next_diagnostics(reached)

    with node.receive(('depth/image_raw', 'points')) as received:
        received.play(IMAGE)
        level(OK)
        lost.touch()
        values = level(ERROR)
        assert 'frames in a row failed: the device is lost' in values['message']
        assert int(values['dropped: engine']) >= 3
        lost.unlink()
        received.play(IMAGE)
        values = level(OK)
        assert values['last error'] == 'the device is lost'
    assert 'frame dropped (engine): the device is lost' in node.log
    assert 'Traceback' not in node.log
    assert node.signal(signal.SIGINT) == 0


# -- signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_signal_ends_the_node_at_any_time_with_0(graph, parameters, number):
    """While the model loads, when it waits for images, and in mid-stream."""
    nodes = [graph.start(parameters) for _ in range(3)]
    loading, idle, busy = nodes

    def is_there():
        names = graph.node.get_node_names_and_namespaces()
        return ('fcrn_depth', loading.namespace) in names

    graph.wait_for(is_there, 'node in the graph')
    assert 'reading ' not in loading.log
    assert loading.signal(number) == 0
    idle.wait_for_log('reading ')
    assert idle.signal(number) == 0
    busy.set_camera(info_msg())
    with busy.receive() as received:
        received.play(IMAGE)
        busy.child.send_signal(number)

        def ended():
            busy.send(IMAGE)
            return busy.child.poll() is not None

        graph.wait_for(ended, 'end of the node')
    assert busy.wait() == 0
    for node in nodes:
        assert not [x for x in node.lines if 'Traceback' in x or 'rror' in x], node.log


# -- the end -----------------------------------------------------------------------------------


def test_every_node_ends(graph):
    graph.stop_nodes()
    wait_for_none(graph.mark)

"""The node while its engine is built, replaced or lost: real processes, real DDS."""

import os
import signal

import cv2
import numpy as np
import pytest
from ros_graph import array_of, image_msg, info_msg, marked_processes, open_graph

pytest.importorskip('openvino', reason="needs OpenVINO: pip install 'fcrn_ros[openvino]'")
pytest.importorskip('nncf', reason="needs NNCF: pip install 'fcrn_ros[int8]'")
pytestmark = pytest.mark.ros
INT8 = {'backend': 'openvino', 'precision': 'int8'}


@pytest.fixture
def graph(tmp_path, tmp_path_factory, monkeypatch):
    """Return a graph whose nodes find an empty cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with open_graph(tmp_path_factory.mktemp('test_node_engines'), 7) as graph:
        yield graph


@pytest.fixture(scope='module')
def picture(pictures):
    return cv2.resize(pictures[0].numpy(), (640, 480))


def _builders(graph):
    """Return the processes of this graph that build an engine."""
    found = marked_processes(graph.mark).items()
    return [pid for pid, command in found if 'fcrn_ros.cli build' in command]


def _depth(node, picture):
    return array_of(node.exchange(image_msg(picture), ('depth/image_raw',))['depth/image_raw'])


def test_node_serves_while_its_engine_is_built_and_takes_it_without_losing_a_frame(
    graph, tiny_model, picture
):
    node = graph.start({'model': tiny_model, **INT8})
    node.set_camera(info_msg())
    before = _depth(node, picture)
    assert 'serving with torch' in node.log and 'meanwhile' in node.log
    values = node.next_diagnostics(lambda values: values['building'])
    assert (values['backend'], values['precision']) != ('openvino', 'int8')
    sent = 1
    while 'backend openvino (openvino), int8' not in node.log:
        _depth(node, picture)  # every image has its depth, or this fails
        sent += 1
    after = _depth(node, picture)
    values = node.next_diagnostics(lambda values: int(values['frames out']) > sent)
    assert (values['backend'], values['precision'], values['building']) == ('openvino', 'int8', '')
    assert int(values['dropped']) == 0
    assert not np.array_equal(before, after)
    assert np.nanmedian(np.abs(after - before) / before) < 0.04


def test_what_was_built_serves_from_the_first_frame_of_the_next_start(graph, tiny_model, picture):
    first = graph.start({'model': tiny_model, 'build': 'block', **INT8})
    first.wait_for_log('backend openvino (openvino), int8')
    graph.stop_nodes()
    second = graph.start({'model': tiny_model, 'build': 'never', **INT8})
    second.wait_for_log('backend openvino (openvino), int8')
    _depth(second, picture)
    assert 'serving with' not in second.log


def test_builder_killed_in_mid_build_leaves_a_working_node_that_says_so_once(
    graph, tiny_model, picture
):
    node = graph.start({'model': tiny_model, **INT8})
    graph.wait_for(lambda: _builders(graph), 'builder', node)
    for pid in _builders(graph):
        os.kill(pid, signal.SIGKILL)
    node.wait_for_log('what was to be built is not to be had')
    node.set_camera(info_msg())
    _depth(node, picture)
    _depth(node, picture)
    assert node.log.count('not to be had') == 1
    assert node.next_diagnostics()['building'] == ''


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_builder_outlives_its_node(graph, tiny_model, number):
    node = graph.start({'model': tiny_model, **INT8})
    graph.wait_for(lambda: _builders(graph), 'builder', node)
    node.signal(number)
    graph.wait_for(lambda: not _builders(graph), 'end of the builder')


def test_named_engine_that_is_not_built_ends_the_start_where_building_is_not_allowed(
    graph, tiny_model
):
    arguments = {'model': tiny_model, 'build': 'never', **INT8}
    process = graph.run(*[x for k, v in arguments.items() for x in ('-p', f'{k}:={v}')])
    assert process.wait() == 1
    assert 'run fcrn build, or let build be background' in process.log

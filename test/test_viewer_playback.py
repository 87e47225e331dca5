"""Pictures without ROS on the page: their order, their pace, and what is shown of them."""

import itertools
import threading
import time

import numpy as np
import pytest
from viewer_recording import Recorded

from fcrn_ros.camera import Camera
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.mounting import Mounting
from fcrn_ros.recording import Frame
from fcrn_ros.scale import Scale
from fcrn_ros.settings import Settings
from fcrn_ros.sources import Source
from fcrn_ros.space.surroundings import Surroundings
from fcrn_ros.viewer.playback import Paced, onward, show
from fcrn_ros.viewer.top_view import OBSTACLE

CAMERA = Camera(6, 4, fx=5.0, fy=5.5, cx=2.0, cy=1.5)
IMAGE = np.zeros((4, 6, 3), np.uint8)


def _source(times, rate):
    return Source('test', (Frame(IMAGE, CAMERA, None, t) for t in times), rate)


def test_stamps_are_the_frames_own():
    assert [t for t, _ in onward(_source((7.0, 7.5, 9.0), 1))] == [7.0, 7.5, 9.0]


def test_stamps_go_on_where_a_clip_runs_backwards():
    """To 0.3 and back in steps of 0.1, 0.2, 0.2 and 0.1 s."""
    stamps = [t for t, _ in onward(_source((0.0, 0.1, 0.3, 0.1, 0.0), 1))]
    np.testing.assert_allclose(stamps, [0.0, 0.1, 0.3, 0.5, 0.6])


def test_source_is_paced_and_ends():
    """Five frames at 50 Hz: the last is due 80 ms after the first, never before."""
    start = time.monotonic()
    frames = [t for t, _ in Paced(_source(range(5), 50.0))]
    assert frames[0] == 0 and frames[-1] == 4
    assert time.monotonic() - start >= 4 / 50 - 0.001


def test_newest_frame_wins_and_the_last_is_not_lost():
    """While one frame is worked on, all the others come: of these only the last is handed out."""
    read = threading.Event()

    def times():
        yield from range(9)
        read.set()

    paced = Paced(_source(times(), 1000.0))
    taken = []
    for stamp, _ in paced:
        taken.append(stamp)
        assert read.wait(10)
    assert taken[-1] == 8 and len(taken) <= 3
    assert paced.left_out == 9 - len(taken)


def test_error_of_a_source_reaches_whoever_reads():
    def times():
        yield 0.0
        raise ValueError('b.png: not a readable image')

    with pytest.raises(ValueError, match='b.png'):
        list(Paced(_source(times(), 100.0)))


def test_endless_source_can_be_left():
    for stamp, _ in Paced(_source(itertools.count(), 500.0)):
        if stamp > 3:
            break


@pytest.mark.parametrize('camera', [CAMERA, None], ids=['calibrated', 'not calibrated'])
@pytest.mark.parametrize('sure', [True, False], ids=['confidence', 'no confidence'])
def test_everything_that_a_frame_has_is_shown(tmp_path, camera, sure):
    depth = np.full((4, 6), 2.0, np.float32)
    confidence = np.full((4, 6), 0.5, np.float32) if sure else None
    recorded = Recorded(tmp_path / 'a.rrd')
    recorded.scene.at(1.0)
    frame = DepthFrame(depth, confidence, IMAGE, camera, Scale(1.25, 'focal'))
    show(recorded.scene, Surroundings([frame], None, Settings()))
    found = recorded.read()
    assert found['/scale'][0]['Scalars:scalars'] == [1.25]
    assert {'/depth', '/camera/lens/color'} <= set(found)
    assert ('/confidence' in found) == sure
    of_points = {'/camera/points', '/camera/lens', '/above/cells', '/above/view'}
    assert of_points & set(found) == (of_points if camera else set())


def test_obstacles_are_those_that_the_node_publishes(tmp_path):
    """
    Show a wall 1.5 m ahead of a camera 1 m high, whose settings find obstacles from 0.9 m on.

    Row v is 1 - 1.5 (v - 1.5) / 5.5 m high: 1.41, 1.14, 0.86 and 0.59 m. The first two are
    obstacles; from 1.9 m on there are none, though the page itself would take all four.
    """
    mounting, recorded = Mounting(1.0), Recorded(tmp_path / 'a.rrd', Mounting(1.0))
    depth = np.full((4, 6), 1.5, np.float32)
    frame = DepthFrame(depth, None, IMAGE, CAMERA, Scale(1.0, 'none'))
    recorded.scene.at(1.0)
    for low in (0.9, 1.9):
        settings = Settings(obstacle_min_height=low, obstacle_max_height=2.0, edge_filter=0.0)
        show(recorded.scene, Surroundings([frame], mounting, settings))
    rows = recorded.read()['/above/cells']
    low, high = (np.array(r['SegmentationImage:buffer'][0], np.uint8) for r in rows)
    assert (low == OBSTACLE).any() and not (high == OBSTACLE).any()

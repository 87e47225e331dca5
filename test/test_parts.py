"""What training samples are to teach, and from where video takes its other moments."""

import numpy as np
import plane_scene
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sample_sources import blank_samples, stored

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.partition import Portion, divide
from fcrn_ros.training.data.parts import Part, part_of

SMALL = Camera(4, 3, 5.0, 6.0, 1.0, 1.5)
DEPTH = np.full((3, 4), 2, np.float32)
RIGHT = np.zeros((3, 4, 3), np.uint8)


def _portion(folder, count=6, held=(), **known):
    """Return a portion of small samples, those that are held by name taken out."""
    store = stored(folder, blank_samples(count, SMALL, **known), 'room')
    return divide([(store, 1.5)], tuple(f'{i:02}' for i in held), 0.0)[0]


def _walk(step):
    """Return the pose of a camera that goes ``step`` m to the right a sample."""
    return lambda i: plane_scene.pose((step * i, 0, 0))


def _slow(i):
    return 0.3 * i


# Which objective


@pytest.mark.parametrize(
    ('known', 'expected'),
    [
        ({'depth': DEPTH, 'right': RIGHT, 'baseline': 0.1}, 'depth'),
        ({'right': RIGHT, 'baseline': 0.1}, 'stereo'),
        ({}, 'video'),
    ],
)
def test_auto_takes_the_first_of_depth_stereo_and_video_that_is_there(tmp_path, known, expected):
    part = part_of(_portion(tmp_path, **known), 'auto')
    assert (part.depth, part.stereo) == (expected == 'depth', expected == 'stereo')
    assert bool(part.sources) == (expected == 'video')
    assert part.weight == 1.5 and part.indices == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize('objective', ['depth', 'stereo', 'video'])
def test_a_named_objective_is_taken_where_all_is_there(tmp_path, objective):
    part = part_of(_portion(tmp_path, depth=DEPTH, right=RIGHT, baseline=0.1), objective)
    assert (part.depth, part.stereo) == (objective == 'depth', objective == 'stereo')
    assert bool(part.sources) == (objective == 'video')


def test_only_training_samples_count(tmp_path):
    """
    Only the last sample has depth, and it is held for the test: auto takes video.

    Sources lie 3 frames apart, and of five frames the middle one has none: it teaches nothing.
    """
    portion = _portion(tmp_path, held=(5,), depth=lambda i: DEPTH if i == 5 else None)
    part = part_of(portion, 'auto')
    assert not part.depth and part.sources and part.indices == (0, 1, 3, 4)
    with pytest.raises(ValueError, match='^room: the 5 training samples have no recorded depth'):
        part_of(portion, 'depth')


@pytest.mark.parametrize(
    ('objective', 'count', 'known', 'message'),
    [
        ('depth', 2, {}, 'the 2 training samples have no recorded depth; there is: nothing'),
        ('auto', 2, {}, 'the 2 training samples have no recorded depth; there is: nothing'),
        ('stereo', 6, {'depth': DEPTH}, 'have no right picture; there is: depth, video'),
        ('video', 2, {'right': RIGHT}, 'have no neighbours in time; there is: stereo'),
    ],
)
def test_an_objective_that_is_not_there_says_what_is(tmp_path, objective, count, known, message):
    with pytest.raises(ValueError, match=f'{message}$') as err:
        part_of(_portion(tmp_path, count, **known), objective)
    assert str(err.value).startswith('room: the ') and '\n' not in str(err.value)


def test_a_camera_that_stands_still_teaches_nothing(tmp_path):
    message = (
        '^room: no two frames of its 6 training samples lie a useful distance apart; '
        'expected a camera that moves$'
    )
    with pytest.raises(ValueError, match=message):
        part_of(_portion(tmp_path, world_T_camera=_walk(0.0)), 'video')


# Sources of video


def test_neighbours_serve_a_video_without_poses(tmp_path):
    """At 3 frames a second; the ends have one neighbour, the others two."""
    part = part_of(_portion(tmp_path, 4, time=_slow), 'video')
    assert part.sources == ((1,), (0, 2), (1, 3), (2,))
    assert not part.posed


def test_sources_of_a_fast_video_lie_a_third_of_a_second_apart(tmp_path):
    """At 10 frames a second, 0.33 s are 3 frames."""
    part = part_of(_portion(tmp_path, 7), 'video')
    assert part.sources == ((3,), (4,), (5,), (0, 6), (1,), (2,), (3,))


def test_frames_without_a_time_have_their_neighbours(tmp_path):
    part = part_of(_portion(tmp_path, 3, time=0.0), 'video')
    assert part.sources == ((1,), (0, 2), (1,))


def test_poses_choose_sources_at_the_best_distance(tmp_path):
    """At 0.05 m a frame, 0.15 m away is the third before and after."""
    part = part_of(_portion(tmp_path, 8, world_T_camera=_walk(0.05)), 'video')
    assert part.sources[3] == (0, 6) and part.sources[4] == (1, 7)
    assert part.posed


def test_held_samples_are_no_sources(tmp_path):
    """Without 2 the neighbours of 1 are 0 and 3."""
    part = part_of(_portion(tmp_path, 5, held=(2,), time=_slow), 'video')
    assert part.indices == (0, 1, 3, 4)
    assert part.sources == ((1,), (0, 3), (1, 4), (3,))


def test_another_sequence_is_no_source(tmp_path):
    """0, 2, 4 are one walk and 1, 3, 5 another."""
    part = part_of(_portion(tmp_path, sequence=lambda i: 'ab'[i % 2], time=_slow), 'video')
    assert part.sources == ((2,), (3,), (0, 4), (1, 5), (2,), (3,))


@pytest.mark.parametrize(
    'known', [{'sequence': lambda i: f'walk {i}'}, {'time': lambda i: 6.0 * i}]
)
def test_frames_of_other_walks_or_long_apart_are_no_sources(tmp_path, known):
    """Every frame a walk of its own, or 6 s from the next."""
    with pytest.raises(ValueError, match='no two frames of its 6 training samples'):
        part_of(_portion(tmp_path, 6, **known), 'video')


@pytest.fixture(scope='module')
def walks(tmp_path_factory):
    """Return a store of 24 samples of three interleaved walks, some without a pose."""
    samples = blank_samples(
        24,
        SMALL,
        sequence=lambda i: 'abc'[i % 3],
        world_T_camera=lambda i: None if i % 7 == 6 else plane_scene.pose((0.04 * i, 0, 0)),
    )
    return stored(tmp_path_factory.mktemp('stores'), samples, 'walks')


@given(st.sets(st.integers(0, 23), min_size=8))
@settings(deadline=None, derandomize=True)
def test_sources_are_training_samples_of_the_same_walk(walks, training):
    """Whatever is held out, and never the sample itself."""
    training = tuple(sorted(training))
    portion = Portion(walks, 1.0, training, (), ())
    try:
        part = part_of(portion, 'video')
    except ValueError as err:
        assume('useful distance' not in str(err))
        raise
    assert set(part.indices) <= set(training) and len(part.sources) == len(part.indices)
    assert all(part.sources)
    for index, sources in zip(part.indices, part.sources, strict=True):
        assert set(sources) <= set(training) - {index}
        assert all(i % 3 == index % 3 for i in sources)


def test_posed_asks_for_the_poses_of_samples_with_sources_alone(walks):
    """6 and 13 have no pose."""
    assert Part(walks, (0, 3, 6), sources=((3,), (0,), ())).posed
    assert not Part(walks, (0, 3, 6), sources=((3,), (6,), ())).posed
    assert not Part(walks, (0, 3, 6), sources=((3,), (0,), (3,))).posed
    assert Part(walks, (6, 13)).posed, 'recorded depth needs no pose'


@pytest.mark.parametrize(
    ('objective', 'name', 'array'), [('depth', 'depth', DEPTH), ('stereo', 'right', RIGHT)]
)
def test_samples_that_teach_nothing_are_left_out(tmp_path, objective, name, array):
    portion = _portion(tmp_path, **{name: lambda i: None if i in (1, 4) else array})
    assert part_of(portion, objective).indices == (0, 2, 3, 5)

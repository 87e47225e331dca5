"""Which frames serve view synthesis: motions written by hand, laws, and real walks."""

import numpy as np
import plane_scene
import pytest
import recorded_video
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.training.data.neighbours import Usefulness, choose_sources, motions, rotation_angles


def _walk(*places, turns=None):
    """Return poses of a camera going along x by the given places [m], turned about y [degrees]."""
    turns = turns or [0] * len(places)
    return [
        plane_scene.pose((x, 0, 0), (0, np.deg2rad(angle), 0))
        for x, angle in zip(places, turns, strict=True)
    ]


def _times(poses, step=0.1):
    return [i * step for i in range(len(poses))]


def test_motions_take_points_of_this_frame_to_the_others():
    """The other camera is 0.3 m to the right: what is at x = 1 here is at 0.7 there."""
    moved = motions(_walk(0.1, 0.4), 0)
    assert moved[1] @ (1, 0, 2, 1) == pytest.approx([0.7, 0, 2, 1])
    assert moved[0] == pytest.approx(np.eye(4))


def test_motions_agree_with_inverses():
    poses = [plane_scene.pose((1, 2, 3), (0.3, -0.1, 0.2)), plane_scene.pose((0, 1, 0), (0, 1, 2))]
    assert motions(poses, 0)[1] == pytest.approx(np.linalg.inv(poses[1]) @ poses[0])


def test_rotation_angles_by_hand():
    moved = motions(_walk(0, 0, 0, turns=[0, 12.5, -30]), 0)
    assert rotation_angles(moved) == pytest.approx([0, 12.5, 30], abs=1e-5)


def test_a_frame_of_the_preferred_baseline_comes_from_either_side():
    """Steps of 0.05 m: 0.15 m away are the third before and the third after."""
    poses = _walk(*np.arange(11) * 0.05)
    assert sorted(choose_sources(_times(poses), poses, 5)) == [2, 8]


def test_both_come_from_one_side_where_the_other_has_none():
    """Frame 0: the two nearest in ratio to 0.15 m are 0.15 m and 0.2 m (4/3 < 3/2)."""
    poses = _walk(*np.arange(11) * 0.05)
    assert choose_sources(_times(poses), poses, 0) == [3, 4]


def test_frames_too_near_or_too_far_or_turned_away_are_left_out():
    """0.05 m is too near, 0.6 m too far, 0.2 m with 25 degrees turned away; 0.3 m serves."""
    poses = _walk(0, 0.05, 0.6, 0.2, 0.3, turns=[0, 0, 0, 25, 10])
    assert choose_sources(_times(poses), poses, 0) == [4]


def test_a_camera_that_stands_still_has_no_source():
    poses = _walk(*[0.0] * 6)
    assert choose_sources(_times(poses), poses, 3) == []


def test_frames_of_another_time_are_left_out():
    """Frame 1 is 6 s later, more than 5 s; with a gap of 7 s it serves."""
    poses = _walk(0, 0.15)
    assert choose_sources([0, 6], poses, 0) == []
    assert choose_sources([0, 6], poses, 0, useful=Usefulness(gap=7)) == [1]


def test_lost_poses_are_left_out():
    """Frames 1 and 2 would be the best, but one has no pose and one has NaN."""
    poses = _walk(0, 0.15, 0.15, 0.2)
    poses[1], poses[2] = None, np.full((4, 4), np.nan)
    assert choose_sources(_times(poses), poses, 0) == [3]
    assert choose_sources(_times(poses), poses, 1) == []


def test_a_video_without_poses_gives_fixed_offsets():
    assert choose_sources(_times([None] * 9), [None] * 9, 4, offsets=(-3, 3)) == [1, 7]
    assert choose_sources(_times([None] * 9), [None] * 9, 1, offsets=(-3, 3)) == [4]
    assert choose_sources([0, 0.1, 60], [None] * 3, 1) == [0]


def test_count_limits_the_sources():
    poses = _walk(*np.arange(11) * 0.05)
    assert choose_sources(_times(poses), poses, 5, count=1) == [2]
    four = choose_sources(_times(poses), poses, 5, count=4)
    assert sorted(four) == [1, 2, 8, 9]


def test_as_many_times_as_poses_are_needed():
    with pytest.raises(ValueError, match='3 times for 2 poses; expected as many'):
        choose_sources([0, 1, 2], _walk(0, 1), 0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-0.4, 0.4), st.floats(-30, 30)), min_size=2, max_size=12),
    st.data(),
)
def test_every_chosen_frame_is_useful_and_chosen_once(frames, data):
    poses = _walk(*[x for x, _ in frames], turns=[angle for _, angle in frames])
    index = data.draw(st.integers(0, len(poses) - 1))
    chosen = choose_sources(_times(poses), poses, index, count=4)
    assert len(set(chosen)) == len(chosen) <= 4
    for i in chosen:
        assert i != index
        assert 0.06 <= abs(frames[i][0] - frames[index][0]) <= 0.5
        assert abs(frames[i][1] - frames[index][1]) <= 20 + 1e-6


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_choice_does_not_depend_on_the_world_frame(seed):
    rng = np.random.default_rng(seed)
    poses = [plane_scene.pose(*rng.uniform(-0.2, 0.2, (2, 3))) for _ in range(8)]
    elsewhere = plane_scene.pose((5, -3, 2), (1, 2, -1))
    moved = [elsewhere @ pose for pose in poses]
    times = _times(poses)
    assert choose_sources(times, poses, 3) == choose_sources(times, moved, 3)


def test_the_kitchen_video_has_sources_for_every_frame(data_folder):
    """30 frames a second, 7 mm a frame: neighbours would have shifted by half a pixel."""
    files = sorted((data_folder / 'kitchen_video').glob('*.pose.txt'))
    poses = [np.loadtxt(file) for file in files]
    times = [i / 30 for i in range(len(poses))]
    chosen = [choose_sources(times, poses, i) for i in range(0, len(poses), 10)]
    assert all(len(sources) == 2 for sources in chosen)
    assert min(abs(s - 10 * i) for i, c in enumerate(chosen) for s in c) > 3


def test_a_headset_frame_has_a_source_before_and_after(data_folder):
    poses = [recorded_video.headset(data_folder, i).world_T_camera for i in range(54, 67)]
    chosen = choose_sources([i / 5 for i in range(13)], poses, 6)
    assert sum(c < 6 for c in chosen) == sum(c > 6 for c in chosen) == 1

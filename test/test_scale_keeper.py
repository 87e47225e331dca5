"""A camera's scale over time: flicker first, then the floor, in one factor."""

import numpy as np
import pytest
from level_scene import CAMERA, MOUNTING, exact_depth

from fcrn_ros.scale import Scale
from fcrn_ros.scaling.ground import Ground
from fcrn_ros.scaling.scale_keeper import NO_HEIGHT, USUAL_GAP, ScaleKeeper, ground_of

FOCAL = Scale(1.25, 'focal')


def _ground(height):
    return Ground(MOUNTING.up, height, height, 0.3, 0.01, 0.003)


def test_without_smoothing_nothing_is_steadied():
    keeper = ScaleKeeper()
    for factor in (1.0, 1.1, 0.9):
        assert keeper.steady(exact_depth() * np.float32(factor), None, 0.0) == 1.0


def test_a_sudden_change_of_all_depth_is_damped():
    """
    All depth is 5 % greater at once. Of that 1 - theta^2 passes, theta = exp(-gap / 0.3 s).

    At a thirtieth of a second: theta^2 = exp(-0.2222) = 0.8007, 1.05^-0.8007 = 0.9617.
    """
    keeper = ScaleKeeper()
    assert keeper.steady(exact_depth(), None, 0.3) == 1.0
    assert keeper.steady(exact_depth() * np.float32(1.05), None, 0.3) == pytest.approx(
        0.9617, abs=1e-3
    )


def test_frames_without_a_time_are_a_thirtieth_apart():
    one, other = ScaleKeeper(), ScaleKeeper()
    for number in range(4):
        depth = exact_depth() * np.float32(1 + 0.02 * (number % 2))
        given = one.steady(depth, (number + 1) * USUAL_GAP, 0.3)
        assert other.steady(depth, None, 0.3) == pytest.approx(given)


def test_without_a_height_the_scale_stays_and_is_doubted():
    scale, ground = ScaleKeeper().on_ground(FOCAL, None, None)
    assert (scale.factor, scale.source, scale.doubt) == (1.25, 'focal', NO_HEIGHT)
    assert ground is None


def test_the_floor_s_correction_comes_on_top_and_moves_the_floor_with_it():
    """The floor is found at 0.4 m, the camera is 0.6 m up: after a while the factor is 1.5."""
    keeper = ScaleKeeper()
    for _ in range(150):
        keeper.steady(exact_depth(), None, 0.0)
        scale, ground = keeper.on_ground(FOCAL, _ground(0.4), MOUNTING)
    assert scale.source == 'ground' and scale.quality > 0.9
    assert scale.factor == pytest.approx(1.25 * 1.5, rel=0.02)
    assert ground.height == pytest.approx(0.4 * scale.factor / 1.25)


def test_a_doubt_of_the_focal_length_is_kept():
    keeper, doubted = ScaleKeeper(), Scale(3.0, 'focal', 'the focal length is 3.00 times')
    for _ in range(150):
        keeper.steady(exact_depth(), None, 0.0)
        scale, _ = keeper.on_ground(doubted, _ground(0.6), MOUNTING)
    assert scale.doubt == doubted.doubt


def test_the_floor_of_a_turned_view_is_told_in_the_camera_s_frame():
    """A view that looks 30 degrees to the right sees the same floor: up is the camera's."""
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    depth = exact_depth(MOUNTING.turned(turn), ())
    ground = ground_of(depth, None, CAMERA, turn, MOUNTING)
    assert ground.height == pytest.approx(0.6, rel=0.01)
    assert ground.up == pytest.approx(MOUNTING.up, abs=0.01)


def test_no_floor_is_none():
    sky = np.full((60, 80), np.inf, np.float32)
    assert ground_of(sky, None, CAMERA, None, MOUNTING) is None
    assert ground_of(sky, None, CAMERA, np.eye(3), MOUNTING) is None

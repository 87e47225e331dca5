"""Which bearings a scan has, and which rays tell of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from level_scene import CAMERA, MOUNTING

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.space.obstacles import Band
from fcrn_ros.space.sweep import ScanLimits, lay_out

LIMITS = ScanLimits(Band(0.1, 1.0), 0.3, 4.0)
LEVEL = Mounting(0.5)


def _sweep(mounting=LEVEL, camera=CAMERA, limits=LIMITS, increment=0.0):
    return lay_out([camera.rays()], mounting.floor_T_optical, limits, increment)


def test_a_level_camera_sweeps_its_field_of_view():
    """The last column, u = 79, is at atan((79 - 37.5) / 74) = 29.28 degrees to the right."""
    sweep = _sweep()
    right, left = math.atan((79 - 37.5) / 74), math.atan(37.5 / 74)
    assert sweep.angle_min == pytest.approx(-right, abs=sweep.angle_increment)
    assert sweep.angle_max == pytest.approx(left, abs=sweep.angle_increment)


def test_the_increment_is_the_largest_step_between_pixels():
    """In the middle of a level image that is atan(0.5 / 74) - atan(-0.5 / 74) = 0.013513 rad."""
    assert _sweep().angle_increment == pytest.approx(0.013513, abs=1e-6)


def test_a_larger_increment_is_taken_and_a_smaller_one_is_not():
    sweep = _sweep(increment=0.05)
    assert sweep.angle_increment == 0.05
    assert sweep.angle_max - sweep.angle_min == pytest.approx((sweep.count - 1) * 0.05)
    assert _sweep(increment=0.001).angle_increment == _sweep().angle_increment


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 2), st.floats(-0.2, 0.7), st.floats(-0.3, 0.3), st.floats(-3.1, 3.1))
def test_no_bearing_is_empty(height, pitch, roll, yaw):
    sweep = _sweep(Mounting(height, pitch, roll, yaw))
    counts = np.bincount(sweep.beam[sweep.beam >= 0], minlength=sweep.count)
    assert len(counts) == sweep.count and counts.min() > 0


def test_a_level_ray_stays_in_the_band():
    """Row 31 is the horizon, 0.5 m up: far. The way up to 4 m ahead is 4 m on the axis."""
    sweep = _sweep()
    far, way = sweep.far.reshape(60, 80), sweep.way.reshape(60, 80)
    assert far[31].all()
    assert way[31, 37] == pytest.approx(4 * math.hypot(1, 0.5 / 74), rel=1e-3)


def test_a_steep_ray_leaves_the_band_at_its_floor():
    """Row 59 falls by 28 / 70 = 0.4 m a metre: 0.1 m high after 1 m ahead, 1.077 m of way."""
    sweep = _sweep()
    far, way = sweep.far.reshape(60, 80), sweep.way.reshape(60, 80)
    assert not far[59].any()
    assert way[59, 37] == pytest.approx(math.hypot(1, 0.4), rel=1e-3)


def test_a_ray_that_leaves_the_band_near_tells_nothing():
    """Row 59 leaves it after 1 m: with a smallest range of 1.2 m it does not look through it."""
    sweep = _sweep(limits=ScanLimits(Band(0.1, 1.0), 1.2, 4.0))
    beam = sweep.beam.reshape(60, 80)
    assert (beam[59, 30:45] == -1).all() and (beam[31] >= 0).all()


def test_a_band_below_the_camera_is_entered_from_above():
    """From 1.5 m, the horizon never comes down to 1 m; row 59 does, after 0.5 / 0.4 = 1.25 m."""
    beam = _sweep(Mounting(1.5)).beam.reshape(60, 80)
    assert (beam[31] == -1).all() and (beam[:31] == -1).all() and (beam[59] >= 0).all()


def test_a_band_above_the_camera_is_entered_from_below():
    """From 0.05 m, the horizon stays below 0.1 m; row 0 rises by 31 / 70 m a metre."""
    beam = _sweep(Mounting(0.05)).beam.reshape(60, 80)
    assert (beam[31:] == -1).all() and (beam[0] >= 0).all()


def test_the_depth_error_has_to_be_passed_too():
    """A ray proves 4 m free when it goes on for 10 % more."""
    limits = ScanLimits(Band(0.1, 1.0, depth_error=0.1), 0.3, 4.0)
    ratio = _sweep(limits=limits).way.reshape(60, 80)[31] / _sweep().way.reshape(60, 80)[31]
    assert np.allclose(ratio, 1.1)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3.1, 3.1))
def test_yaw_moves_the_bearings(yaw):
    """Also over the seam at pi, where angles go on counting."""
    turned = _sweep(Mounting(0.6, 0.15, 0.03, yaw))
    plain = _sweep(MOUNTING)
    moved = math.remainder(turned.angle_min - plain.angle_min - yaw, 2 * math.pi)
    assert turned.count == plain.count and moved == pytest.approx(0, abs=1e-6)
    assert (turned.beam != plain.beam).mean() < 0.01


def test_beams_are_the_nearest_bearings():
    """First -0.2, step 0.1, five of them: 0.14 is nearest to 0.1, the fourth; 0.4 is outside."""
    sweep = _sweep()
    sweep = type(sweep)(-0.2, 0.1, 5, sweep.beam, sweep.way, sweep.far)
    bearing = np.float32([0.14, 0.16, -0.2, 0.4, -0.4, 0.14 + 2 * math.pi, np.nan])
    assert sweep.beams(bearing).tolist() == [3, 4, 0, -1, -1, 3, -1]


def test_near_places_beside_the_camera_are_in_the_sweep():
    """
    A camera 0.5 m left of the origin: what it sees at its left is farther left from there.

    0.3 m along the edge ray of atan(37.5 / 74) = 26.9 degrees: (0.268, 0.5 + 0.136), at 67.2.
    """
    sweep = _sweep(Mounting(0.5, y=0.5))
    assert math.degrees(sweep.angle_max) == pytest.approx(67.2, abs=0.8)


def test_two_views_make_one_sweep():
    """Each 57 degrees wide, turned by 28 degrees to each side; rays that are NaN tell nothing."""
    rays = CAMERA.rays()
    views = []
    for angle in (-0.49, 0.49):
        c, s = math.cos(angle), math.sin(angle)
        views.append((rays @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T).astype(np.float32))
    views[1][:, 10:20] = np.nan
    sweep = lay_out(views, LEVEL.floor_T_optical, LIMITS)
    assert len(sweep.beam) == 2 * rays[..., 0].size
    assert math.degrees(sweep.angle_max - sweep.angle_min) == pytest.approx(56.2 + 56.1, abs=2)
    assert (sweep.beam[rays[..., 0].size :].reshape(60, 80)[:, 10:20] == -1).all()


def test_a_camera_that_sees_no_obstacle_is_refused():
    """It looks up steeply: all rays leave the band before the smallest range."""
    with pytest.raises(ValueError, match=r'no pixel sees heights of 0.1 to 1 m within 4 m'):
        _sweep(Mounting(0.9, pitch=-1.2))


def test_an_increment_that_is_none_is_refused():
    with pytest.raises(ValueError, match='angle_increment is -0.1; expected more than 0'):
        _sweep(increment=-0.1)
    with pytest.raises(ValueError, match='angle_increment is 0; expected more than 0'):
        _sweep(camera=Camera(1, 60, 74.0, 70.0, 0.0, 31.0))


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ((0.5, 0.5), 'range_min is 0.5, range_max 0.5; expected 0 <= range_min < range_max'),
        ((-0.1, 4.0), 'range_min is -0.1'),
        ((0.3, math.inf), 'range_max inf'),
        ((0.3, 4.0, 0), 'min_points is 0; expected 1 or more'),
    ],
)
def test_limits_that_are_none_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        ScanLimits(Band(0.1, 1.0), *arguments)

"""Laser scans of exact scenes: ranges, bearings, and what is free, near or not known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from level_scene import BOX, CAMERA, MOUNTING, exact_depth, floor_points, points_of

from fcrn_ros.mounting import Mounting
from fcrn_ros.space.obstacles import Band, ray_ends
from fcrn_ros.space.scan import laser_scan
from fcrn_ros.space.sweep import ScanLimits, lay_out

BAND = Band(0.1, 1.0)
LIMITS = ScanLimits(BAND, 0.3, 4.0)
WALL_AT_3 = (3.0, -9.0, 0.0, 3.5, 9.0, 3.0)
WALL_AT_4_3 = (4.3, -9.0, 0.0, 5.0, 9.0, 3.0)


def _scan(depth, mounting=MOUNTING, limits=LIMITS, camera=CAMERA):
    """Return bearings and ranges of a depth image that is +Inf beyond 9 m."""
    depth = np.where(depth > 9, np.float32(np.inf), depth)  # False for NaN
    points = points_of(depth, camera)
    ends = ray_ends(points, depth, camera, 9.0)
    t = mounting.floor_T_optical
    sweep = lay_out([camera.rays()], t, limits)
    ranges = laser_scan(points.reshape(-1, 4), ends.reshape(-1, 4), t, sweep, limits)
    assert ranges.shape == (sweep.count,) and ranges.dtype == np.float32
    return sweep.angle_min + np.arange(sweep.count) * sweep.angle_increment, ranges


def _scene(*boxes, mounting=MOUNTING, **options):
    return _scan(exact_depth(mounting, boxes), mounting, **options)


# -- obstacles


def test_a_box_is_at_its_range_and_bearing():
    """Corner (2.4, 0.2) is at atan(0.2 / 2.4) = 4.76 degrees, corner (2, 0.7) at 19.29."""
    bearing, ranges = _scene(BOX)
    hit = np.isfinite(ranges)
    first, last = np.degrees(bearing[hit][[0, -1]])
    assert first == pytest.approx(4.76, abs=1) and last == pytest.approx(19.29, abs=1)
    front = np.abs(np.degrees(bearing) - 12) < 5
    assert hit[front].all()
    assert np.allclose(ranges[front] * np.cos(bearing[front]), 2.0, atol=0.02)


def test_a_wall_has_no_gaps():
    bearing, ranges = _scene(WALL_AT_3)
    assert np.allclose(ranges[2:-2] * np.cos(bearing[2:-2]), 3.0, atol=0.03)


def test_the_nearest_obstacle_counts():
    bearing, ranges = _scene(BOX, WALL_AT_3)
    assert ranges[np.argmin(np.abs(bearing - 0.2))] == pytest.approx(2.0 / math.cos(0.2), abs=0.03)
    assert ranges[np.argmin(np.abs(bearing + 0.2))] == pytest.approx(3.0 / math.cos(0.2), abs=0.03)


@settings(max_examples=15, deadline=None)
@given(st.floats(-3.1, 3.1))
def test_camera_and_scene_turned_together_give_the_same_ranges(yaw):
    """The picture stays; bearings in the floor frame turn with the camera."""
    depth = exact_depth(MOUNTING, (BOX, WALL_AT_3))
    turned = Mounting(MOUNTING.height, MOUNTING.pitch, MOUNTING.roll, yaw)
    bearing, ranges = _scan(depth, turned)
    plain_bearing, plain = _scan(depth)
    assert np.allclose(np.exp(1j * (bearing - plain_bearing - yaw)), 1, atol=1e-5)
    both = np.isfinite(plain) & np.isfinite(ranges)
    assert both.mean() > 0.9
    assert np.median(np.abs(ranges[both] - plain[both])) < 1e-4


@settings(max_examples=15, deadline=None)
@given(st.floats(0.3, 1.2), st.floats(-0.1, 0.4), st.floats(-0.2, 0.2))
def test_the_mounting_does_not_move_the_wall(height, pitch, roll):
    bearing, ranges = _scene(WALL_AT_3, mounting=Mounting(height, pitch, roll))
    hit = np.isfinite(ranges)
    assert hit.sum() > 30
    # a bearing is a pixel wide: at 35 degrees, 0.007 rad of it are 1.5 cm at 3 m
    assert np.allclose(ranges[hit] * np.cos(bearing[hit]), 3.0, atol=0.05)


def test_ranges_are_from_the_frames_origin():
    """The camera is 0.3 m ahead and 0.1 m left of the base: the wall stays 3 m from the base."""
    mounting = Mounting(0.6, 0.15, 0.03, x=0.3, y=0.1)
    bearing, ranges = _scene(WALL_AT_3, mounting=mounting)
    hit = np.isfinite(ranges)
    assert hit.sum() > 60
    assert np.allclose(ranges[hit] * np.cos(bearing[hit]), 3.0, atol=0.05)


def test_bearings_are_from_the_frames_origin():
    """The camera is 0.4 m left of the base: the box's corners stay at 4.76 and 19.29 degrees."""
    bearing, ranges = _scene(BOX, mounting=Mounting(0.6, 0.15, 0.03, y=0.4))
    hit = np.degrees(bearing[np.isfinite(ranges)])
    # from y = 0.4 the box's right side is hidden: its front begins at atan(0.2 / 2) = 5.71
    assert hit[0] == pytest.approx(5.71, abs=1) and hit[-1] == pytest.approx(19.29, abs=1)


def test_what_is_outside_the_band_is_no_obstacle():
    """A threshold of 0.08 m, and a lamp that hangs from 1.1 m on."""
    _, low = _scene((2.0, -3.0, 0.0, 2.4, 3.0, 0.08))
    _, high = _scene((2.0, -3.0, 1.1, 2.4, 3.0, 1.6))
    assert np.isposinf(low).mean() > 0.95 and np.isposinf(high).mean() > 0.95


def test_an_obstacle_nearer_than_the_smallest_range_is_minus_inf():
    bearing, ranges = _scene(BOX, limits=ScanLimits(BAND, 2.5, 4.0))
    front = np.abs(np.degrees(bearing) - 12) < 5
    assert np.isneginf(ranges[front]).all()


# -- free space


def test_an_empty_floor_is_free():
    """The horizon is in view: all but the corners that a leaning camera cuts off."""
    _, ranges = _scene()
    assert np.isposinf(ranges).mean() > 0.95 and not np.isfinite(ranges).any()


def test_a_wall_beyond_the_largest_range_is_free_space():
    bearing, ranges = _scene(WALL_AT_4_3)
    assert np.isposinf(ranges[np.abs(bearing) < 0.4]).all()


def test_an_obstacle_within_the_depth_error_of_the_largest_range_is_not_free():
    """At 4.3 m with 10 % of error it may be at 3.9 m; at 25 degrees it is 4.3 / 0.906 = 4.7 m."""
    bearing, ranges = _scene(WALL_AT_4_3, limits=ScanLimits(Band(0.1, 1.0, 0.1), 0.3, 4.0))
    assert np.isnan(ranges[np.abs(bearing) < 0.1]).all()
    assert np.isposinf(ranges[np.abs(np.abs(np.degrees(bearing)) - 25) < 2]).all()


def test_untrusted_pixels_are_not_free():
    _, ranges = _scan(np.full((CAMERA.height, CAMERA.width), np.nan, np.float32))
    assert np.isnan(ranges).all()


def test_a_few_untrusted_pixels_leave_a_bearing_free():
    """Every 17th row of 60 is less than a tenth of the rays; every third is more."""
    few, many = exact_depth(boxes=()), exact_depth(boxes=())
    few[::17], many[::3] = np.nan, np.nan
    assert np.isposinf(_scan(few)[1]).mean() > 0.9
    assert np.isnan(_scan(many)[1]).all()


def test_an_untrusted_patch_makes_its_bearings_unknown():
    """A patch of 20 x 20 pixels where a chair might be: columns 10 to 29 lie at the left."""
    depth = exact_depth(boxes=())
    depth[25:45, 10:30] = np.nan
    bearing, ranges = _scan(depth)
    inside = (bearing > math.atan((37.5 - 27) / 74)) & (bearing < math.atan((37.5 - 12) / 74))
    assert inside.sum() > 10 and np.isnan(ranges[inside]).all()
    assert np.isposinf(ranges[bearing < 0]).mean() > 0.95


def test_the_near_floor_has_to_be_known_too():
    """The horizon is trusted and free; the lowest quarter of the picture is not trusted."""
    depth = exact_depth(boxes=())
    depth[45:] = np.nan
    assert np.isnan(_scan(depth)[1]).all()


def test_floor_that_ends_near_does_not_prove_what_is_far():
    """Looking down by 45 degrees from 0.6 m, the camera sees 0.2 to 1.5 m of floor, not 4 m."""
    _, ranges = _scene(mounting=Mounting(0.6, pitch=math.radians(45)))
    assert np.isnan(ranges).all()


def test_what_hangs_before_the_band_hides_it():
    """From 1.2 m, a board at 1 m range and 0.9 m height hides most of 0.1 to 0.8 m behind it."""
    mounting = Mounting(1.2, pitch=0.2)
    limits = ScanLimits(Band(0.1, 0.8), 0.3, 4.0)
    board = (1.0, -3.0, 0.9, 1.02, 3.0, 2.0)
    assert np.isposinf(_scene(mounting=mounting, limits=limits)[1]).mean() > 0.9
    assert np.isnan(_scene(board, mounting=mounting, limits=limits)[1]).all()


# -- doubt


def test_one_point_is_no_obstacle_and_no_free_space():
    depth = exact_depth(boxes=())
    depth[40, 20] = 1.5  # 0.6 m up and below the horizon: in the band
    place = floor_points(points_of(depth))[40, 20]
    assert 0.1 < place[2] < 1.0
    bearing, ranges = _scan(depth)
    beam = np.argmin(np.abs(bearing - math.atan2(place[1], place[0])))
    assert np.isnan(ranges[beam]) and np.isposinf(ranges[beam - 3])
    _, ranges = _scan(depth, limits=ScanLimits(BAND, 0.3, 4.0, min_points=1))
    assert ranges[beam] == pytest.approx(math.hypot(*place[:2]), abs=1e-4)


def test_the_point_that_is_enough_gives_the_range():
    """Points 1.4, 1.5 and 1.7 m deep in one column: the second counts, then the third."""
    depth = exact_depth(boxes=())
    depth[38:41, 20] = 1.5, 1.7, 1.4
    place = floor_points(points_of(depth))[38:41, 20]
    bearing, two = _scan(depth)
    _, three = _scan(depth, limits=ScanLimits(BAND, 0.3, 4.0, min_points=3))
    beam = np.argmin(np.abs(bearing - np.arctan2(place[0, 1], place[0, 0])))
    assert two[beam] == pytest.approx(math.hypot(*place[0, :2]), abs=1e-4)
    assert three[beam] == pytest.approx(math.hypot(*place[1, :2]), abs=1e-4)


def test_lifted_floor_is_neither_obstacle_nor_free():
    """Depth 25 % too small lifts the floor to 0.15 m, over 0.1 m: an obstacle if all is right."""
    depth = exact_depth(boxes=()) * np.float32(0.75)
    _, believed = _scan(depth)
    _, doubted = _scan(depth, limits=ScanLimits(Band(0.1, 1.0, depth_error=0.34), 0.3, 4.0))
    assert np.isfinite(believed).all() and np.isnan(doubted).all()


def test_arrays_of_another_size_are_refused():
    sweep = lay_out([CAMERA.rays()], MOUNTING.floor_T_optical, LIMITS)
    good, bad = np.zeros((4800, 3), np.float32), np.zeros((60, 80, 3), np.float32)
    with pytest.raises(ValueError, match=r"points are \(60, 80, 3\); expected the sweep's 4800"):
        laser_scan(bad, good, MOUNTING.floor_T_optical, sweep, LIMITS)
    with pytest.raises(ValueError, match=r"ends are \(4799, 3\); expected the sweep's 4800"):
        laser_scan(good, good[1:], MOUNTING.floor_T_optical, sweep, LIMITS)

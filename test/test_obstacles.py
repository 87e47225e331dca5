"""What stands above the floor, what may be lifted floor, and where rays are free."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from level_scene import BOX, CAMERA, MOUNTING, exact_depth, floor_points, points_of

from fcrn_ros.mounting import Mounting
from fcrn_ros.space.obstacles import (
    Band,
    clearing_points,
    heights,
    marking_points,
    on_floor,
    ray_ends,
)

BAND = Band(0.15, 2.0)
NAN, INF = np.float32(np.nan), np.float32(np.inf)


def _marked(mounting=MOUNTING, boxes=(BOX,), band=BAND, factor=1.0, **options):
    points = points_of(exact_depth(mounting, boxes) * np.float32(factor))
    return marking_points(points, mounting.floor_T_optical, band, **options)


def _numbers(points):
    """Return the pixel numbers that ``points_of`` gave to points."""
    return np.ascontiguousarray(points[:, 3]).view(np.uint32)


# -- heights


def test_height_of_a_point_on_the_axis_of_a_tilted_camera():
    """1 m up, 30 degrees down: 2 m along the axis is the floor, 1 m is 1 - sin(30) = 0.5 m up."""
    t = Mounting(1.0, pitch=math.radians(30)).floor_T_optical
    found = heights(np.float32([[[0, 0, 2], [0, 0, 1], [NAN, NAN, NAN]]]), t)
    assert found.shape == (1, 3) and found.dtype == np.float32
    assert found[0, :2].tolist() == pytest.approx([0, 0.5], abs=1e-6) and np.isnan(found[0, 2])


def test_heights_are_the_floor_frames_z():
    points = points_of(exact_depth())
    expected = floor_points(points)[..., 2]
    assert np.allclose(heights(points, MOUNTING.floor_T_optical), expected, 0, 2e-5, True)


def test_the_colour_of_a_point_has_no_height():
    points = points_of(exact_depth())
    other = points.copy()
    other.view(np.uint32)[..., 3] = 0x00FFFFFF
    t = MOUNTING.floor_T_optical
    assert np.array_equal(heights(points, t), heights(other, t), equal_nan=True)


def test_a_found_floor_replaces_the_mountings():
    """The floor of the depth is tilted by 2 degrees and 0.1 m lower: there it has no height."""
    truth = Mounting(0.7, pitch=0.15 + math.radians(2), roll=0.03, yaw=0.4, x=0.2, y=-0.1)
    t = on_floor(Mounting(0.6, 0.15, 0.03, 0.4, 0.2, -0.1).floor_T_optical, truth.up, 0.7)
    assert np.allclose(t, truth.floor_T_optical, atol=2e-3)
    assert np.allclose(t[:3, :3] @ t[:3, :3].T, np.eye(3)) and np.linalg.det(t[:3, :3]) > 0
    points = points_of(exact_depth(truth, boxes=()))
    assert np.nanmax(np.abs(heights(points, t))) < 1e-3


# -- marking


def test_the_box_marks_and_the_floor_does_not():
    """Every marked point is on the box, 2 m ahead, and all of the box above 0.15 m is marked."""
    depth = exact_depth()
    place = floor_points(points_of(depth))
    on_box = np.isfinite(depth) & (place[..., 2] > 0.15)
    marked = _marked()
    assert on_box.sum() > 100
    assert sorted(_numbers(marked)) == np.flatnonzero(on_box).tolist()
    place = floor_points(marked)
    assert (np.abs(place[:, 0] - 2.0) < 0.41).all() and place[:, 2].max() < 0.501


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 2), st.floats(-0.2, 1.0), st.floats(-0.4, 0.4))
def test_a_plane_floor_never_marks(height, pitch, roll):
    assert len(_marked(Mounting(height, pitch, roll), boxes=())) == 0


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(-2, 2), st.floats(-2, 2))
def test_place_and_heading_of_the_robot_change_nothing(yaw, x, y):
    """The camera's picture is the same; so are the marked pixels."""
    points = points_of(exact_depth())
    moved = Mounting(MOUNTING.height, MOUNTING.pitch, MOUNTING.roll, yaw, x, y)
    band = Band(0.15, 2.0, tilt_error=0.02)
    assert np.array_equal(
        _numbers(marking_points(points, moved.floor_T_optical, band)),
        _numbers(marking_points(points, MOUNTING.floor_T_optical, band)),
    )


def test_what_is_higher_than_the_robot_does_not_mark():
    """The box is 0.5 m high: with a robot of 0.3 m, nothing above 0.3 m is marked."""
    marked = _marked(band=Band(0.15, 0.3))
    assert len(marked) and floor_points(marked)[:, 2].max() <= 0.3 + 1e-6


def test_untrusted_points_do_not_mark():
    assert np.isfinite(_marked()).all()
    assert len(marking_points(np.full((3, 4, 4), NAN), MOUNTING.floor_T_optical, BAND)) == 0


def test_nothing_is_a_cloud_without_points():
    assert _marked(boxes=()).shape == (0, 4) and _marked(boxes=()).dtype == np.float32


def test_marked_points_are_thinned():
    """The box's front, 0.35 m of it visible and 0.5 m wide, has at most 5 x 7 cubes of 0.1 m."""
    thin = _marked(boxes=((2.0, 0.2, 0.0, 2.001, 0.7, 0.5),), voxel_size=0.1)
    assert 20 < len(thin) <= 2 * 5 * 7
    assert len(_marked(voxel_size=0.1, min_points=1000)) == 0


# -- depth that is wrong


def test_floor_that_is_lifted_by_an_allowed_error_does_not_mark():
    """
    All depth 30 % too small lifts floor by 0.3 * 0.6 = 0.18 m, over 0.15 m.

    A truth of 1 / 0.7 = 1.4286 times the depth is an error of 0.43.
    """
    assert len(_marked(boxes=(), factor=0.7)) > 1000
    assert len(_marked(boxes=(), factor=0.7, band=Band(0.15, 2.0, depth_error=0.43))) == 0


def test_the_depth_error_asks_for_the_height_that_is_left():
    """H = 1.2, e = 0.1: a point at h may be at h - 0.1 (1.2 - h), 0.15 for h = 0.27 / 1.1."""
    band, least = Band(0.15, 2.0, depth_error=0.1), 0.27 / 1.1
    found = band.holds(np.float32([least - 1e-4, least + 1e-4, 1.9, NAN]), None, 1.2)
    assert found.tolist() == [False, True, True, False]


def test_the_tilt_error_grows_with_range():
    """A floor that rises by 2 degrees is 0.175 m high after 5 m; 0.04 rad allow 0.2 m there."""
    rising = Mounting(0.6, pitch=0.15 + math.radians(2), roll=0.03)
    points = points_of(exact_depth(rising, (), limit=9.0))
    t = MOUNTING.floor_T_optical
    along = np.hypot(*np.moveaxis(floor_points(points)[..., :2], -1, 0))
    high = marking_points(points, t, BAND)
    assert len(high) > 20 and along.ravel()[_numbers(high)].min() > 0.15 / math.tan(0.035) - 0.2
    assert len(marking_points(points, t, Band(0.15, 2.0, tilt_error=0.04))) == 0


def test_the_tilt_error_is_by_the_distance_along_the_floor():
    """Camera 0.6 m up, level: the point 3 m ahead and 0.4 m below it is at 0.2 m, range 3 m."""
    t = Mounting(0.6).floor_T_optical
    point = np.float32([[0, 0.4, 3.0, 0]])
    assert len(marking_points(point, t, Band(0.15, 2.0, tilt_error=0.0166)))
    assert not len(marking_points(point, t, Band(0.15, 2.0, tilt_error=0.0168)))


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ((0.5, 0.5), 'heights are 0.5 to 0.5 m; expected two numbers in order'),
        ((math.nan, 1.0), 'heights are nan to 1 m'),
        ((0.1, 1.0, -0.1), 'depth_error is -0.1; expected 0 <= depth_error < 1'),
        ((0.1, 1.0, 0.1, math.nan), 'tilt_error is nan'),
    ],
)
def test_a_band_that_is_none_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        Band(*arguments)


# -- clearing


def _ends(depth, limit=4.0):
    return ray_ends(points_of(depth), depth, CAMERA, limit)


def test_rays_end_on_surfaces_and_at_the_limit():
    """Pixel (u 74, v 3) beyond 4 m: x = 4 (74 - 37.5) / 74 = 1.973; y = 4 (3 - 31) / 70 = -1.6."""
    depth = exact_depth()
    depth[depth > 4] = INF
    depth[5, 6] = NAN
    ends = _ends(depth)
    assert ends[3, 74, :3].tolist() == pytest.approx([1.97297, -1.6, 4.0], abs=1e-4)
    surface = np.isfinite(depth)
    assert np.array_equal(ends[surface], points_of(depth)[surface])
    assert np.isnan(ends[5, 6, :3]).all()
    assert np.isfinite(ends[..., :3]).all(-1).sum() == depth.size - 1
    assert np.isnan(points_of(depth)[3, 74, 2])


def test_where_nothing_is_trusted_nothing_is_cleared():
    """Beyond range without trust is NaN in depth, and stays so."""
    depth = np.full((CAMERA.height, CAMERA.width), NAN)
    assert clearing_points(_ends(depth)).shape == (0, 4)


def test_clearing_has_floor_box_and_open_space():
    depth = exact_depth()
    depth[depth > 4] = INF
    cleared = clearing_points(_ends(depth))
    assert sorted(_numbers(cleared)) == list(range(depth.size))
    place = floor_points(cleared)
    assert (np.abs(place[:, 2]) < 1e-3).sum() > 500  # the floor's
    assert cleared[:, 2].max() == 4.0 and np.isfinite(cleared).all()
    assert set(_numbers(_marked())) < set(_numbers(cleared))


def test_clearing_points_are_thinned():
    cleared = _ends(exact_depth(boxes=()))
    whole, thin = clearing_points(cleared), clearing_points(cleared, 0.1)
    assert 100 < len(thin) < 0.8 * len(whole)


def test_ends_are_those_of_the_depth():
    with pytest.raises(ValueError, match=r'points are \(3, 4, 4\); expected \(60, 80\), as depth'):
        ray_ends(np.zeros((3, 4, 4), np.float32), exact_depth(), CAMERA, 4.0)


def test_the_points_are_left_alone():
    depth = exact_depth()
    points = points_of(depth)
    ray_ends(points, depth, CAMERA, 4.0)
    assert np.array_equal(points, points_of(depth), equal_nan=True)

"""Flying pixels by hand, what is spared, what is no evidence, and edges that are known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcrn_ros.camera import Camera
from fcrn_ros.recording import read_bag
from fcrn_ros.space.edges import flying_pixels

ROOM = Path(__file__).resolve().parent.parent / 'demo' / 'room'
CAMERA = Camera(64, 48, 52.0, 49.0, 29.0, 21.0)


def _row(*depths, rows=7):
    """Return a depth of equal rows."""
    return np.tile(np.float32(depths), (rows, 1))


def _floor(height, tilt=0.0, camera=CAMERA):
    """Return the depth of a floor that lies ``height`` [m] below a level or tilted camera."""
    v = (np.arange(camera.height) - camera.cy)[:, None] / camera.fy
    u = (np.arange(camera.width) - camera.cx)[None] / camera.fx
    down = v + tilt * u
    return np.where(down > 0.02, height / np.maximum(down, 0.02), np.nan).astype(np.float32)


def test_pixel_between_two_surfaces_flies():
    """The module's worked number: 2 m hangs between 1 m and 4 m, which stay."""
    found = flying_pixels(_row(1, 1, 1, 1, 2, 4, 4, 4, 4), 1.0)
    assert found.dtype == bool and found.shape == (7, 9)
    assert (found == (np.arange(9) == 4)).all()


def test_edge_along_rows_is_the_same_edge():
    depth = _row(1, 1, 1, 1, 2, 4, 4, 4, 4)
    assert np.array_equal(flying_pixels(depth.T.copy(), 1.0), flying_pixels(depth, 1.0).T)


@pytest.mark.parametrize('reach', [1, 3])
def test_tall_picture_is_judged_like_a_wide_one(reach):
    """Rows are worked on in bands, of which this one has three and its transpose two."""
    noise = np.random.default_rng(5).uniform(1, 4, (16, 11)).astype(np.float32)
    depth = cv2.resize(noise, (90, 150))
    found = flying_pixels(depth, 1.0, reach)
    assert 0.05 < found.mean() < 0.95
    assert np.array_equal(found, flying_pixels(depth.T.copy(), 1.0, reach).T)


def test_sharp_edge_has_no_flying_pixels():
    """Both sides of it are where a surface is."""
    assert not flying_pixels(_row(1, 1, 1, 1, 4, 4, 4, 4), 1.0).any()


def test_melted_edge_keeps_what_is_near_its_surfaces():
    """
    1 m melts to 4 m; clear are depths above 1.07 times the nearest within 2 px and below the
    farthest divided by 1.07: 1.2, 2 and 3 m. 1.04 m is within 4 % of 1 m, 3.9 m within 3 % of 4 m.
    """
    depth = _row(1, 1, 1, 1.04, 1.2, 2, 3, 3.9, 4, 4, 4)
    assert np.flatnonzero(flying_pixels(depth, 1.0)[3]).tolist() == [4, 5, 6]


def test_strength_sets_how_faint_an_edge_may_be():
    """
    1.06 m between 1 m and 1.12 m: clear by 5.7 %. At strength 1 7 % are asked for, at 2 3.5 %.

    The bend beside it is |1 - 2 / 1 + 1 / 1.12| / 1 = 10.7 % at the last pixel of 1 m.
    """
    depth = _row(1, 1, 1, 1, 1.06, 1.12, 1.12, 1.12, 1.12)
    assert not flying_pixels(depth, 1.0).any()
    assert np.flatnonzero(flying_pixels(depth, 2.0)[3]).tolist() == [4]


def test_no_strength_finds_nothing():
    assert not flying_pixels(_row(1, 1, 1, 1, 2, 4, 4, 4, 4), 0.0).any()


@pytest.mark.parametrize('height', [0.15, 0.4, 1.25])
@pytest.mark.parametrize('tilt', [0.0, 0.3])
def test_floor_is_kept_however_low_the_camera(height, tilt):
    """
    At 7 rows under the horizon neighbouring rows differ by 1 / 7 = 14 %: far more than 7 %. But
    a floor's inverse depth is linear, so it does not bend.
    """
    depth = _floor(height, tilt)
    seen = np.isfinite(depth)
    steps = np.abs(np.diff(np.log(depth), axis=0))
    assert seen.any() and np.nanmax(steps) > 0.14
    assert not flying_pixels(depth, 1.0).any()


def test_box_on_a_floor_flies_at_its_melted_rim_alone():
    """
    The box is 1.5 m away before a floor that reaches farther. Blurred, its upper rim melts into
    what lies behind it; its face stays, and so does the floor but for 5 rows at the box's foot.
    """
    depth = np.fmin(_floor(0.5), np.float32(8))
    depth[~np.isfinite(depth)] = 8
    depth[14:37, 20:41] = 1.5
    melted = cv2.GaussianBlur(depth, (5, 5), 1)
    found = flying_pixels(melted, 1.0)
    assert found[12:16, 22:39].any(0).all()
    assert not found[18:35, 24:37].any()
    assert not found[42:].any()


@pytest.mark.parametrize('bad', [np.nan, np.inf, 0.0, -1.0])
def test_unknown_depth_neither_flies_nor_makes_an_edge(bad):
    depth = _row(1, 1, 1, bad, 1, 1, 1, bad, bad)
    assert not flying_pixels(depth, 1.0).any()
    depth[:] = bad
    assert not flying_pixels(depth, 1.0).any()


def test_edge_beside_a_hole_is_found():
    """The column behind 4 m is not known; the bend is seen from the side of 1 m."""
    found = flying_pixels(_row(1, 1, 1, 1, 2, 4, np.nan, 4, 4), 1.0)
    assert (found == (np.arange(9) == 4)).all()


def test_enlarged_depth_is_judged_as_what_it_was():
    """
    1.12 m stands between 1 m and 1.25 m. Four times larger it is a ramp of 3 % a pixel, so that
    within 2 px no depth is 7 % nearer and none 7 % farther; within a reach of 4 there are. The
    pixels 16 to 19 are what 1.12 m has become.
    """
    depth = cv2.resize(_row(1, 1, 1, 1, 1.12, 1.25, 1.25, 1.25, 1.25), None, fx=4, fy=4)
    wide = np.flatnonzero(flying_pixels(depth, 1.0, reach=4)[14])
    assert {16, 17, 18, 19} & set(wide) and wide.min() >= 14 and wide.max() <= 21
    assert not flying_pixels(depth, 1.0).any()


@pytest.mark.parametrize('shape', [(1, 1), (2, 9), (4, 4), (5, 1)])
def test_small_pictures(shape):
    assert flying_pixels(np.ones(shape, np.float32), 1.0).shape == shape


def test_input_is_left_as_it_is():
    depth = _row(1, 1, 1, np.nan, 2, 4, 4, np.inf, 4)
    before = depth.copy()
    flying_pixels(depth, 1.0)
    assert np.array_equal(depth, before, equal_nan=True)


@pytest.mark.parametrize(
    ('depth', 'message'),
    [
        (np.ones((3, 4)), r'depth is \(3, 4\) float64; expected \(h, w\) float32'),
        (np.ones((3, 4, 1), np.float32), r'depth is \(3, 4, 1\) float32; expected'),
    ],
)
def test_other_arrays_are_refused(depth, message):
    with pytest.raises(ValueError, match=message):
        flying_pixels(depth, 1.0)


@pytest.mark.parametrize('strength', [-1.0, np.nan, np.inf])
def test_strength_is_checked(strength):
    with pytest.raises(ValueError, match='strength is .*; expected a finite number of 0 or more'):
        flying_pixels(np.ones((3, 4), np.float32), strength)


def test_reach_is_checked():
    with pytest.raises(ValueError, match='reach is 0; expected 1 or more'):
        flying_pixels(np.ones((3, 4), np.float32), 1.0, reach=0)


depths = arrays(np.float32, (9, 11), elements=st.floats(0.25, 8, width=32) | st.just(np.nan))


@settings(deadline=None, max_examples=60)
@given(depths, st.sampled_from([0.25, 0.5, 2.0, 64.0]))
def test_factor_on_all_depths_changes_nothing(depth, factor):
    """Powers of two, so that rounding is the same."""
    scaled = (depth * factor).astype(np.float32)
    assert np.array_equal(flying_pixels(scaled, 1.0), flying_pixels(depth, 1.0))


@settings(deadline=None, max_examples=60)
@given(depths, st.floats(0.1, 4), st.floats(1, 4))
def test_more_strength_never_finds_less(depth, strength, more):
    weak, strong = flying_pixels(depth, strength), flying_pixels(depth, strength * more)
    assert not (weak & ~strong).any()


@settings(deadline=None, max_examples=40)
@given(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.integers(1, 3))
def test_planes_have_no_flying_pixels(a, b, reach):
    """1 / z = 0.6 + a u + b v up to 26 times the slope: from 0.08 to 1.12; below 0.05 unknown."""
    v, u = np.mgrid[:12, :16]
    inverse = 0.6 + a * u + b * v
    depth = np.where(inverse > 0.05, 1 / np.maximum(inverse, 0.05), np.nan).astype(np.float32)
    assert not flying_pixels(depth, 1.0, reach).any()


def test_melted_depth_of_the_demo_room():
    """
    Exact depth, averaged over 2 x 2 px of the network's grid and enlarged again. A melted pixel is
    more than 10 cm + 5 % away from both of its surfaces: three quarters of them and more are
    found, and of the rest at most 15 % are lost.
    """
    frame = next(iter(read_bag(ROOM)))
    exact = cv2.resize(frame.depth, (128, 96), interpolation=cv2.INTER_NEAREST_EXACT)
    coarse = cv2.resize(frame.depth, (64, 48), interpolation=cv2.INTER_AREA)
    melted = cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_LINEAR)
    window = np.ones((5, 5), np.uint8)
    off = 0.1 + 0.05 * melted
    in_air = melted > cv2.erode(exact, window) + off
    in_air &= melted < cv2.dilate(exact, window) - off
    in_air &= np.abs(melted - exact) > off
    found = flying_pixels(melted, 1.0)
    assert in_air.mean() > 0.005
    assert found[in_air].mean() > 0.75
    assert found[~in_air].mean() < 0.15

"""Views of wide lenses: how many, which way, and that together they see everything once."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import IDENTITY, Camera
from fcrn_ros.lenses.field import field_of_view, sees
from fcrn_ros.lenses.views import ANGLE, OVERLAP, View, describe_views, plan_views, rectified_view

# 256 x 192 px of a camera of 64 x 50 degrees; fx != fy, off the centre
NETWORK = Camera(256, 192, 205.0, 206.0, 130.0, 101.0)
COEFFICIENTS = (0.01, 0.002, -0.001, 0.0001)


def _fisheye(left, right, fx=150.0):
    """Return a camera of fx != fy whose left and right borders lie at these angles [degrees]."""
    k1, k2, k3, k4 = COEFFICIENTS

    def reach(degrees):
        t = math.radians(degrees)
        return t * (1 + k1 * t**2 + k2 * t**4 + k3 * t**6 + k4 * t**8)

    width = round(fx * (reach(left) + reach(right)))
    cx = fx * reach(left) - 0.5
    return Camera(width, 400, fx, fx + 2, cx, 190.0, 'equidistant', COEFFICIENTS)


def _heading(view):
    """Return how far a view looks to the right [degrees], and check that it looks level."""
    x, y, z = view.camera_R_view[:, 2]
    assert y == pytest.approx(0, abs=1e-12)
    return math.degrees(math.atan2(x, z))


# How many


def test_an_ordinary_camera_has_the_one_view_of_its_camera_info():
    turn = cv2.Rodrigues(np.array([0.02, -0.03, 0.015]))[0]
    camera = Camera(
        640,
        480,
        480.0,
        478.0,
        315.0,
        245.0,
        'plumb_bob',
        (-0.28, 0.09, 0.001, -0.002, 0.0),
        tuple(turn.ravel()),
        (450.0, 440.0, 305.0, 250.0),
    )
    (view,) = plan_views(camera, NETWORK)
    assert view.name == 'front'
    assert view.camera == camera.pinhole()
    np.testing.assert_array_equal(view.camera_R_view, turn.T)


def test_a_pinhole_of_a_hundred_degrees_is_ordinary_and_a_wider_one_not():
    """320 / tan(50 deg) = 268.5 px."""
    assert len(plan_views(Camera(640, 480, 270.0, 270.0, 310.0, 240.0), NETWORK)) == 1
    assert len(plan_views(Camera(640, 480, 265.0, 265.0, 310.0, 240.0), NETWORK)) == 3


@pytest.mark.parametrize(
    ('width', 'projected', 'count'), [(95, 60, 1), (115, 98, 1), (115, 90, 3), (150, 98, 3)]
)
def test_a_projection_that_loses_much_of_a_wide_lens_is_not_kept(width, projected, count):
    """P is what the driver chose: of a lens beyond 100 degrees it may lose 20."""
    raw = _fisheye(width / 2, width / 2)
    focal = raw.width / 2 / math.tan(math.radians(projected / 2))
    projection = (focal, focal, (raw.width - 1) / 2, 190.0)
    assert len(plan_views(replace(raw, rectified=projection), NETWORK)) == count


@pytest.mark.parametrize(
    ('width', 'names'),
    [
        (140, ['front', 'left', 'right']),
        (190, ['front', 'left', 'right']),
        (250, ['front', 'left', 'right', 'far_left', 'far_right']),
        (300, ['front', 'left', 'right', 'far_left', 'far_right']),
    ],
)
def test_views_are_as_few_as_cover_the_field(width, names):
    """With 8 degrees of overlap, 3 views of 80 degrees cover 72 * 3 + 8 = 224, 5 of them 368."""
    views = plan_views(_fisheye(width / 2 + 3, width / 2 - 3), NETWORK)
    assert [view.name for view in views] == names
    headings = {view.name: _heading(view) for view in views}
    assert headings['front'] == pytest.approx(0) and headings['left'] < 0 < headings['right']
    if 'far_left' in headings:
        assert headings['far_left'] < headings['left']
        assert headings['far_right'] > headings['right']


def test_more_than_five_views_are_refused():
    with pytest.raises(ValueError, match='190 degrees need 7 views of 35 degrees; expected at'):
        plan_views(_fisheye(95, 95), NETWORK, angle=35)


@pytest.mark.parametrize('angle', [8, 101, math.nan])
def test_impossible_angles_are_refused(angle):
    with pytest.raises(ValueError, match=f'view is {angle}; expected 8..100 degrees'):
        plan_views(_fisheye(95, 95), NETWORK, angle)


# Which way, and how large


@settings(deadline=None, max_examples=25)
@given(st.floats(55, 140), st.floats(55, 140))
def test_views_reach_from_border_to_border_and_overlap(left, right):
    camera = _fisheye(left, right)
    field = field_of_view(camera)
    views = sorted(plan_views(camera, NETWORK), key=_heading)
    width = views[0].angles[0]
    assert {view.camera for view in views} == {views[0].camera}
    assert width == pytest.approx(ANGLE)
    headings = [_heading(view) for view in views]
    assert headings[0] - width / 2 == pytest.approx(-field.left, abs=0.01)
    assert headings[-1] + width / 2 == pytest.approx(field.right, abs=0.01)
    assert np.diff(headings).max() < width - OVERLAP + 0.01


def test_a_view_looks_like_the_networks_own_camera():
    """
    Square pixels, as many for a radian on the axis as the raw image has: sqrt(150 * 152) = 151.

    The picture's shape is the network's: (192 / 206) / (256 / 205) = 0.7464.
    """
    view = plan_views(_fisheye(100, 90), NETWORK)[0].camera
    assert view.fx == view.fy == pytest.approx(151, abs=0.6)
    assert view.height / view.width == pytest.approx(0.7464, abs=0.5 / view.width)
    assert (view.cx, view.cy) == ((view.width - 1) / 2, (view.height - 1) / 2)
    assert not view.distorted


def test_a_point_of_a_view_in_the_cameras_frame():
    """Of 190 degrees, views of 80: the right one looks at 95 - 40 = 55 degrees, to 0.01."""
    _, _, right = plan_views(_fisheye(95, 95), NETWORK)
    expected = (2 * 0.8192, 0.0, 2 * 0.5736)  # sin and cos of 55 degrees
    np.testing.assert_allclose(right.camera_R_view @ (0, 0, 2), expected, atol=5e-3)


def test_views_are_turned_about_the_vertical_of_the_rectified_frame():
    """R rolls by 90 degrees: the rectified x is the camera's -y, so right is up in the camera."""
    turn = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    camera = Camera(400, 900, 250.0, 260.0, 200.0, 440.0, 'equidistant', COEFFICIENTS, turn)
    front, _, right = plan_views(camera, NETWORK)
    np.testing.assert_allclose(front.camera_R_view[:, 0], (0, -1, 0), atol=0.05)
    x, y, z = right.camera_R_view[:, 2]
    assert x == pytest.approx(0, abs=1e-12) and y < -0.7 and z > 0.3


def test_rays_are_the_cameras_turned():
    view = plan_views(_fisheye(100, 90), NETWORK)[1]
    expected = view.camera.rays().astype(float) @ view.camera_R_view.T
    assert view.rays().dtype == np.float64
    np.testing.assert_allclose(view.rays(), expected, atol=1e-6)


# Everything once


@pytest.mark.parametrize(('left', 'right'), [(55, 70), (100, 90), (125, 125)])
def test_every_direction_of_the_band_is_one_views_own(left, right):
    """Directions within 0.3 degrees of a seam are left out: a pixel may be either side's."""
    camera = _fisheye(left, right)
    views = plan_views(camera, NETWORK)
    rng = np.random.default_rng(5)
    azimuth = np.deg2rad(rng.uniform(-left + 0.5, right - 0.5, 4000))
    height = rng.uniform(-0.36, 0.36, 4000)  # about 20 degrees up and down
    rays = np.stack((np.sin(azimuth), height, np.cos(azimuth)), -1)
    rays = rays[sees(camera, rays)]
    nearness = np.sort(rays @ np.stack([view.camera_R_view[:, 2] for view in views], -1))
    rays = rays[nearness[:, -1] - nearness[:, -2] > 5e-3]
    assert len(rays) > 3500
    times = np.zeros(len(rays), int)
    for view in views:
        size = 4 * view.camera.width, 4 * view.camera.height
        u, v = np.moveaxis(view.camera.resized(*size).project(rays @ view.camera_R_view), -1, 0)
        inside = (u > -0.5) & (u < size[0] - 0.5) & (v > -0.5) & (v < size[1] - 0.5)
        mine = view.own(*size)
        assert mine.shape == size[::-1] and mine.dtype == np.bool_
        times[inside] += mine[np.rint(v[inside]).astype(int), np.rint(u[inside]).astype(int)]
    np.testing.assert_array_equal(times, 1)


def test_own_ends_half_way_between_the_axes():
    """
    The other view looks 40 degrees to the left, so 20 degrees to the left belong to this one.

    tan(20 deg) * 50 px = 18.2 px: of the columns -32 .. 31 about the axis, -18 is the first.
    """
    other = (-math.sin(math.radians(40)), 0.0, math.cos(math.radians(40)))
    view = View('right', Camera(64, 48, 50.0, 45.0, 32.0, 20.0), IDENTITY, (other,))
    expected = np.zeros((48, 64), bool)
    expected[:, 32 - 18 :] = True
    np.testing.assert_array_equal(view.own(64, 48), expected)


def test_one_view_owns_everything():
    view = rectified_view(Camera(64, 48, 50.0, 45.0, 30.0, 26.0))
    assert view.own(16, 12).all()


# The report


def test_views_are_described_in_one_line():
    """
    The fisheye's 400 rows are 190.5 / 152 up and 209.5 / 152 down at least: some 150 degrees.

    80 degrees in the network's shape: 2 atan(0.7464 tan 40 deg) = 64.1.
    """
    camera = _fisheye(95, 95)
    text = describe_views(camera, plan_views(camera, NETWORK))
    vertical = field_of_view(camera).vertical
    assert 140 < vertical < 155
    assert text == f'190 x {vertical:.0f} degrees: 3 views of 80 x 64'
    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)  # 2 atan(320 / 525), 2 atan(240 / 525)
    assert describe_views(camera, plan_views(camera, NETWORK)) == (
        '63 x 49 degrees: 1 view of 63 x 49'
    )

"""What a camera sees, of lenses whose border angles are chosen."""

import math

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.field import field_of_view, pinhole_field, sees

K1 = 0.1
FISHEYE = (K1, 0.0, 0.0, 0.0)


def _reach(degrees):
    """Return t + K1 t^3: how far an angle is from the centre of a fisheye's image, at f = 1."""
    t = math.radians(degrees)
    return t + K1 * t**3


def _fisheye(left, right, up, down):
    """Return a 400x300 camera whose image's borders lie at these angles [degrees]."""
    fx = 400 / (_reach(left) + _reach(right))
    fy = 300 / (_reach(up) + _reach(down))
    cx, cy = fx * _reach(left) - 0.5, fy * _reach(up) - 0.5
    return Camera(400, 300, fx, fy, cx, cy, 'equidistant', FISHEYE)


def _angles(field):
    return field.left, field.right, field.up, field.down


def test_field_of_a_pinhole():
    """fx 100: 49.5 + 0.5 = 50 px to the left, 150 to the right; fy 80: 80 up, 20 down."""
    camera = Camera(200, 100, 100.0, 80.0, 49.5, 79.5)
    expected = (26.565, 56.310, 45.0, 14.036)  # atan 0.5, 1.5, 1, 0.25
    assert _angles(pinhole_field(camera)) == pytest.approx(expected, abs=1e-3)
    assert _angles(field_of_view(camera)) == pytest.approx(expected, abs=0.011)
    assert pinhole_field(camera).horizontal == pytest.approx(82.875, abs=1e-3)
    assert pinhole_field(camera).vertical == pytest.approx(59.036, abs=1e-3)


def test_field_of_a_fisheye_reaches_behind_it():
    field = field_of_view(_fisheye(80, 100, 50, 40))
    assert _angles(field) == pytest.approx((80, 100, 50, 40), abs=0.011)


def test_field_ends_where_the_polynomial_turns():
    """t - 0.1 t^3 turns at t = 1.826 or 104.6 degrees, 1.217 * 50 = 60.9 px; 99.5 px are seen."""
    camera = Camera(200, 400, 50.0, 200.0, 99.5, 199.5, 'equidistant', (-0.1, 0.0, 0.0, 0.0))
    field = field_of_view(camera)
    assert (field.left, field.right) == pytest.approx((104.60, 104.60), abs=0.011)
    assert field.down < 90


def test_field_is_about_the_rectified_axis():
    """R turns by 10 degrees about y: what is 30 degrees left of the camera is then 20 left."""
    turn = cv2.Rodrigues(np.array([0.0, math.radians(10), 0.0]))[0]
    half = 100 / math.tan(math.radians(30))
    camera = Camera(200, 80, half, 90.0, 99.5, 40.0, rotation=tuple(turn.ravel()))
    field = field_of_view(camera)
    assert (field.left, field.right) == pytest.approx((20, 40), abs=0.011)


def test_field_of_a_window_beside_the_axis():
    """The axis is 10.5 px left of the window's border and in its height: -atan(10.5 / 100)."""
    field = field_of_view(Camera(100, 40, 100.0, 90.0, -11.0, 20.0))
    assert field.left == pytest.approx(-5.99, abs=0.011)
    assert field.right == pytest.approx(47.86, abs=0.011)  # atan(110.5 / 100)
    assert (field.up, field.down) == (0, 0)


def test_sees_what_opencv_projects_into_the_image():
    coefficients = (-0.28, 0.09, 0.001, -0.002, 0.0)
    camera = Camera(320, 240, 250.0, 240.0, 155.0, 125.0, 'plumb_bob', coefficients)
    u, v = np.meshgrid(np.linspace(-0.9, 0.9, 37), np.linspace(-0.7, 0.7, 31))
    rays = np.stack((u, v, np.ones_like(u)), -1)
    points, zero = rays.reshape(-1, 1, 3), np.zeros(3)
    pixels = cv2.projectPoints(points, zero, zero, camera.matrix, np.array(coefficients))[0]
    pixels = pixels.reshape(31, 37, 2)
    inside = ((pixels > -0.5) & (pixels < (319.5, 239.5))).all(-1)
    seen = sees(camera, rays)
    np.testing.assert_array_equal(seen, inside)
    assert seen.any() and not seen.all()
    assert not sees(camera, -rays).any()

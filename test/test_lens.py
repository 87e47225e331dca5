"""Lens models: values by hand, against OpenCV where that is right, and where they end."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcrn_ros.lenses.lens import distort, require_model, widest_angle

EQUIDISTANT = (-0.02, 0.01, -0.003, 0.0005)
RATIONAL = (0.5, -0.2, 0.001, -0.001, 0.03, 0.8, -0.25, 0.04)


def test_plumb_bob_by_hand():
    """
    The ray (1, -0.5, 2) is (x, y) = (0.5, -0.25): r^2 = 0.3125, radial 1 - 0.2 r^2 = 0.9375.

    x: 0.46875 + 2 * 0.01 * xy - 0.02 (r^2 + 2 x^2) = 0.46875 - 0.0025 - 0.01625 = 0.45; y:
    -0.234375 + 0.01 (r^2 + 2 y^2) - 2 * 0.02 * xy = -0.234375 + 0.004375 + 0.005 = -0.225.
    """
    image = distort('plumb_bob', (-0.2, 0, 0.01, -0.02, 0), np.array([1.0, -0.5, 2.0]))
    np.testing.assert_allclose(image, (0.45, -0.225), atol=1e-12)


def test_equidistant_by_hand():
    """
    At 90 degrees t = 1.5708: 1.5708 + 0.1 t^3 = 1.9584. At 45 degrees down-left t = 0.7854:

    0.7854 + 0.1 * 0.4845 = 0.8338, along (-0.6, 0.8): (-0.5003, 0.6671). At 135 degrees t =
    2.3562: 2.3562 + 0.1 * 13.081 = 3.6643, upwards.
    """
    rays = np.array([[1.0, 0, 0], [-0.6, 0.8, 1], [0, -2, -2], [0, 0, 5]])
    image = distort('equidistant', (0.1, 0.0, 0.0, 0.0), rays)
    expected = [(1.9584, 0), (-0.5003, 0.6671), (0, -3.6643), (0, 0)]
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_equidistant_agrees_with_opencv_ahead_of_the_lens():
    rays = np.random.default_rng(3).normal(size=(200, 3)) + (0, 0, 0.2)
    rays = rays[rays[:, 2] > 0.05]
    points = rays.reshape(-1, 1, 3)
    zero = np.zeros(3)
    expected = cv2.fisheye.projectPoints(points, zero, zero, np.eye(3), np.array(EQUIDISTANT))[0]
    np.testing.assert_allclose(distort('equidistant', EQUIDISTANT, rays), expected[:, 0])


def test_only_an_equidistant_lens_images_what_is_beside_and_behind():
    rays = np.array([[1.0, 0, 0], [0.5, 1, -1]])
    assert np.isfinite(distort('equidistant', EQUIDISTANT, rays)).all()
    assert np.isnan(distort('rational_polynomial', RATIONAL, rays)).all()
    assert np.isnan(distort('', (), rays)).all()


@pytest.mark.parametrize('model', ['', 'plumb_bob', 'equidistant'])
def test_coefficients_of_zero_bend_nothing(model):
    image = distort(model, (0.0,) * 4, np.array([[[3.0, 4.0, 2.0]]], np.float32))
    assert image.shape == (1, 1, 2) and image.dtype == np.float64
    assert image.tolist() == [[[1.5, 2.0]]]
    assert widest_angle(model, (0.0,) * 4) == math.pi / 2


@pytest.mark.parametrize(
    ('model', 'coefficients', 'expected'),
    [
        ('equidistant', (-0.1, 0.0, 0.0, 0.0), math.sqrt(1 / 0.3)),
        ('equidistant', (0.0, 0.0, 0.0, -0.001), (1 / 0.009) ** (1 / 8)),
        ('equidistant', (0.1, 0.0, 0.0, 0.0), math.pi),
        ('plumb_bob', (-0.5, 0.0, 0.0, 0.0), math.atan(math.sqrt(1 / 1.5))),
        ('plumb_bob', (0.1, 0.0, 0.0, 0.0), math.pi / 2),
        ('rational_polynomial', (0, 0, 0, 0, 0, -0.25, 0, 0), math.atan(2)),
    ],
)
def test_widest_angle_is_where_the_polynomial_turns(model, coefficients, expected):
    """
    t - 0.1 t^3 turns where 0.3 t^2 = 1, t - 0.001 t^9 where 0.009 t^8 = 1.

    r - 0.5 r^3 turns where 1.5 r^2 = 1; r / (1 - 0.25 r^2) ends at its pole r = 2.
    """
    assert widest_angle(model, coefficients) == pytest.approx(expected, abs=1e-3)


@given(st.lists(st.floats(-0.1, 0.1), min_size=4, max_size=4))
def test_an_equidistant_image_grows_up_to_the_widest_angle_and_not_beyond(numbers):
    coefficients = tuple(numbers)
    widest = widest_angle('equidistant', coefficients)
    angles = np.linspace(0, 1.02 * widest, 5101)  # the widest angle is the 5001st
    rays = np.stack((np.sin(angles), 0 * angles, np.cos(angles)), -1)
    if not any(coefficients) or 1.02 * widest > math.pi:
        return
    grows = np.diff(distort('equidistant', coefficients, rays)[:, 0]) > 0
    assert grows[:4999].all() and not grows[5001:5010].any()


@pytest.mark.parametrize(
    ('model', 'numbers', 'expected'),
    [
        ('omni', 4, "distortion model 'omni' is not known; expected one of plumb_bob, rational"),
        ('equidistant', 5, 'equidistant has 5 coefficients; expected 4'),
        ('plumb_bob', 8, 'plumb_bob has 8 coefficients; expected 4 or 5'),
    ],
)
def test_unknown_models_are_refused(model, numbers, expected):
    with pytest.raises(ValueError, match=expected):
        require_model(model, (0.1,) * numbers)
    require_model(model, (0.0,) * numbers)

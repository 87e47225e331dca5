"""Rectification against OpenCV's own distortion of points."""

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.rectify import Rectifier

PLUMB_BOB = (-0.28, 0.09, 0.001, -0.002, 0.0)
RATIONAL = (0.5, -0.2, 0.001, -0.001, 0.03, 0.8, -0.25, 0.04)
EQUIDISTANT = (-0.02, 0.01, -0.003, 0.0005)
CAMERA = Camera(64, 48, 50.0, 45.0, 30.0, 26.0)
ROTATION = cv2.Rodrigues(np.array([0.02, -0.03, 0.015]))[0]


def _raw_camera(model, d, rotation=ROTATION):
    return Camera(
        320,
        240,
        250.0,
        240.0,
        155.0,
        125.0,
        distortion_model=model,
        distortion=d,
        rotation=tuple(rotation.ravel()),
        rectified=(200.0, 190.0, 162.0, 115.0),
    )


def _distort(camera, points):
    """Return where OpenCV sees points (N, 3) of the raw camera's frame: (N, 2) px."""
    zero = np.zeros(3)
    points = points.reshape(-1, 1, 3)
    fisheye = camera.distortion_model == 'equidistant'
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    coefficients = np.array(camera.distortion) if camera.distortion else None
    return project(points, zero, zero, camera.matrix, coefficients)[0].reshape(-1, 2)


def _dots(width, height, centres):
    """Draw a bright Gaussian dot, 2 px wide, at every (u, v)."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    image = np.zeros((height, width))
    for x, y in centres:
        image += 250 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 8)
    return image.clip(0, 255).round().astype(np.uint8)


def _centroid(image, near):
    """Return the centre of mass of a dot in the window of +-7 px about a pixel."""
    x, y = np.round(near).astype(int)
    window = image[y - 7 : y + 8, x - 7 : x + 8].astype(float)
    v, u = np.mgrid[y - 7 : y + 8, x - 7 : x + 8]
    return np.array([(window * u).sum(), (window * v).sum()]) / window.sum()


MODELS = [
    ('plumb_bob', PLUMB_BOB),
    ('rational_polynomial', RATIONAL),
    ('equidistant', EQUIDISTANT),
    ('', ()),
]


@pytest.mark.parametrize(('model', 'd'), MODELS)
def test_rectified_dots_lie_where_the_pinhole_projects_them(model, d):
    """Points 2 m away, spread over 40 px steps of the rectified image, seen by the raw camera."""
    raw = _raw_camera(model, d)
    rectifier = Rectifier(raw)
    assert rectifier.camera == Camera(320, 240, 200.0, 190.0, 162.0, 115.0)
    u, v = np.meshgrid(np.arange(45, 280, 40) + 0.3, np.arange(40, 210, 40) - 0.4)
    expected = np.stack((u.ravel(), v.ravel()), -1)
    rays = np.concatenate((expected, np.ones((len(expected), 1))), -1)
    points = 2.0 * rays @ np.linalg.inv(rectifier.camera.matrix).T
    np.testing.assert_allclose(rectifier.camera.project(points), expected)
    seen = _distort(raw, points @ ROTATION)  # raw_T_rectified = R transposed
    assert np.abs(seen - expected).max() > 4, 'the test shall move the dots'
    image = rectifier(_dots(320, 240, seen))
    inside = ((seen > 9) & (seen < (310, 230))).all(-1)
    assert inside.sum() >= 20
    for pixel in expected[inside]:
        assert _centroid(image, pixel) == pytest.approx(pixel, abs=0.1)


@pytest.mark.parametrize(('model', 'd'), MODELS)
def test_valid_marks_what_the_raw_image_shows(model, d):
    raw = _raw_camera(model, d)
    rectifier = Rectifier(raw)
    rays = rectifier.camera.rays().reshape(-1, 3).astype(np.float64)
    seen = _distort(raw, rays @ ROTATION).reshape(240, 320, 2)
    margin = np.minimum(seen + 0.5, (319.5, 239.5) - seen).min(-1)  # negative outside
    clear = np.abs(margin) > 1e-2
    assert rectifier.valid.dtype == np.bool_
    np.testing.assert_array_equal(rectifier.valid[clear], margin[clear] > 0)
    assert not rectifier.valid.all() and rectifier.valid[120, 160]


def test_rectifier_keeps_shape_type_and_channels():
    rectifier = Rectifier(_raw_camera('plumb_bob', PLUMB_BOB))
    image = np.empty((240, 320, 3), np.uint8)
    image[:] = (10, 90, 200)
    rectified = rectifier(image)
    assert rectified.dtype == np.uint8
    np.testing.assert_array_equal(rectified, image)
    assert rectifier(image[..., 1]).shape == (240, 320)


def test_rectifier_of_a_pinhole_changes_nothing():
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    rectifier = Rectifier(CAMERA)
    np.testing.assert_array_equal(rectifier(image), image)
    assert rectifier.valid.all()
    assert rectifier.camera == CAMERA


def test_rectifier_refuses_an_image_of_another_size():
    rectifier = Rectifier(_raw_camera('plumb_bob', PLUMB_BOB))
    with pytest.raises(ValueError, match='image is 240x320; expected 320x240, the size of its'):
        rectifier(np.zeros((320, 240, 3), np.uint8))


def test_rectifier_marks_rays_beyond_the_turn_of_the_lens_polynomial():
    """r (1 - 0.5 r^2) turns where 1 - 1.5 r^2 = 0: r = 0.8165. At fx 50, that is 40.8 px."""
    camera = Camera(160, 40, 50.0, 50.0, 80.0, 20.0, 'plumb_bob', (-0.5, 0.0, 0.0, 0.0, 0.0))
    valid = Rectifier(camera).valid[20]
    assert valid[80 + 40] and not valid[80 + 42]
    assert not valid[-1]

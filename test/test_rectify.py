"""Rectification against OpenCV's own, and of scenes rendered through a fisheye."""

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.rectify import Rectifier
from fcrn_ros.lenses.views import View, plan_views, rectified_view

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


@pytest.mark.parametrize(('model', 'd'), MODELS)
def test_the_one_view_of_camera_info_is_opencvs_bit_for_bit(model, d):
    raw = _raw_camera(model, d)
    fisheye = model == 'equidistant'
    build = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
    maps = build(
        *(raw.matrix, np.array(d), ROTATION, raw.pinhole().matrix, (320, 240), cv2.CV_32FC1)
    )
    image = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    fixed = cv2.convertMaps(*maps, cv2.CV_16SC2)
    expected = cv2.remap(image, *fixed, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    for rectifier in (Rectifier(raw), Rectifier(raw, rectified_view(raw))):
        np.testing.assert_array_equal(rectifier(image), expected)


def test_rectifier_marks_rays_beyond_the_turn_of_a_fisheyes_polynomial():
    """
    t - 0.3 t^3 turns where 0.9 t^2 = 1: t = 1.054 or 60.4 degrees; 40 tan(60.4 deg) = 70.4 px.

    The image would have room for it: 0.703 * 80 = 56 px of 99.5.
    """
    camera = Camera(
        *(200, 40, 80.0, 80.0, 100.0, 20.0, 'equidistant', (-0.3, 0.0, 0.0, 0.0)),
        rectified=(40.0, 40.0, 100.0, 20.0),
    )
    valid = Rectifier(camera).valid[20]
    assert valid[100 - 70 : 100 + 71].all() and valid.sum() == 141


# Several views of a fisheye of 200 degrees, rendered through its lens

NETWORK = Camera(256, 192, 205.0, 206.0, 130.0, 101.0)
FISHEYE = Camera(720, 500, 200.0, 205.0, 355.0, 240.0, 'equidistant', EQUIDISTANT)


def _fisheye_rays():
    """Return every pixel's direction, of length 1, by a table of the lens polynomial."""
    k1, k2, k3, k4 = EQUIDISTANT
    t = np.linspace(0, 2.2, 100_001)
    radius = t * (1 + k1 * t**2 + k2 * t**4 + k3 * t**6 + k4 * t**8)
    assert (np.diff(radius) > 0).all()
    u, v = np.meshgrid(np.arange(720), np.arange(500))
    x, y = (u - 355.0) / 200.0, (v - 240.0) / 205.0
    angle, turn = np.interp(np.hypot(x, y), radius, t), np.arctan2(y, x)
    across = np.sin(angle)
    return np.stack((across * np.cos(turn), across * np.sin(turn), np.cos(angle)), -1)


def test_views_show_what_is_beside_and_behind_a_fisheye():
    """The right view's outer columns look at more than 90 degrees; OpenCV's map has none of it."""
    _, _, right = plan_views(FISHEYE, NETWORK)
    rectifier = Rectifier(FISHEYE, right)
    behind = right.rays()[..., 2] < 0
    assert behind.mean() > 0.03
    assert rectifier.valid[behind].mean() > 0.9
    coded = (127.5 + 127.5 * _fisheye_rays()).round().astype(np.uint8)
    shown = rectifier(coded)[rectifier.valid] / 127.5 - 1
    rays = right.rays()[rectifier.valid]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    np.testing.assert_allclose(shown, rays, atol=0.02)  # 1/255 of coding, and the remap


@pytest.mark.parametrize('normal', [(0.1, 1.0, 0.05), (0.15, -1.0, 0.1)])
def test_straight_lines_are_straight_in_every_view(normal):
    """
    A line in space and the lens span a plane with this normal; a view shows it where n . ray = 0.

    It is drawn bright in the raw image, where n . ray is small, and sought in each view's columns.
    """
    normal = np.array(normal) / np.linalg.norm(normal)
    line = 250 * np.exp(-(((_fisheye_rays() @ normal) / 0.02) ** 2))
    for view in plan_views(FISHEYE, NETWORK):
        rectifier, pinhole = Rectifier(FISHEYE, view), view.camera
        image = rectifier(line.round().astype(np.uint8)).astype(float)
        a, b, c = normal @ view.camera_R_view
        u = np.arange(10, pinhole.width - 10)
        v = pinhole.cy - pinhole.fy * (a * (u - pinhole.cx) / pinhole.fx + c) / b
        assert ((v > 20) & (v < pinhole.height - 20)).all(), 'the line shall cross the picture'
        rows = np.arange(pinhole.height)[:, None]
        columns = image[:, u]
        found = (rows * columns).sum(0) / columns.sum(0)
        np.testing.assert_allclose(found, v, atol=0.2)


def test_a_plane_seen_in_all_views_is_one_plane_in_the_cameras_frame():
    """
    A floor 1.2 m below, tilted: y + 0.1 x = 1.2. Its distance along each raw ray, 1.2 / (n . ray).

    Depth of a view is distance divided by the length of the view's ray.
    """
    normal = np.array([0.1, 1.0, 0.0])
    towards = _fisheye_rays() @ normal
    distance = np.where(towards > 0.15, 1.2 / np.maximum(towards, 0.15), np.nan)
    azimuths = []
    for view in plan_views(FISHEYE, NETWORK):
        rectifier = Rectifier(FISHEYE, view)
        length = np.linalg.norm(view.camera.rays(), axis=-1)
        depth = (rectifier(distance.astype(np.float32)) / length).astype(np.float32)
        points = view.camera.unproject(depth)[rectifier.valid & np.isfinite(depth)]
        seen = points @ view.camera_R_view.T
        assert len(seen) > 5000
        np.testing.assert_allclose(seen @ normal, 1.2, rtol=0.005)
        azimuths.append(np.degrees(np.arctan2(seen[:, 0], seen[:, 2])))
    every = np.concatenate(azimuths)
    assert every.min() < -95 and every.max() > 95


def test_a_view_of_a_pinhole_is_the_pinhole_image_turned():
    """A wide pinhole's view 30 degrees to the right sees its axis at x / z = tan 30 deg."""
    wide = Camera(640, 360, 180.0, 185.0, 310.0, 170.0)
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turned = View('right', Camera(96, 72, 60.0, 60.0, 47.5, 35.5), (c, 0, s, 0, 1, 0, -s, 0, c))
    seen = np.array([[310 + 180 * np.tan(np.pi / 6), 170.0]])  # (413.9, 170) px
    rectifier = Rectifier(wide, turned)
    assert rectifier.camera == turned.camera
    image = rectifier(_dots(640, 360, seen))
    assert image.shape == (72, 96)
    v, u = np.mgrid[:72, :96]
    centre = (u * image).sum() / image.sum(), (v * image).sum() / image.sum()
    assert centre == pytest.approx((47.5, 35.5), abs=0.15)


def test_a_perspective_lens_shows_nothing_beside_it():
    """A view 70 degrees to the right: its right half is beyond 90 degrees at 60 tan 20 deg."""
    wide = Camera(640, 360, 180.0, 185.0, 310.0, 170.0, 'plumb_bob', (0.001, 0.0, 0.0, 0.0))
    c, s = np.cos(np.deg2rad(70)), np.sin(np.deg2rad(70))
    turned = View('right', Camera(96, 72, 60.0, 60.0, 47.5, 35.5), (c, 0, s, 0, 1, 0, -s, 0, c))
    valid = Rectifier(wide, turned).valid
    ahead = turned.rays()[..., 2] > 0
    assert not valid[~ahead].any() and (~ahead).mean() > 0.2
    assert valid.any()

"""Augmentation by reprojection: a point is found where its moved copy is projected."""

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.training.augment import (
    MAX_ROTATION,
    MAX_ZOOM,
    augment,
    colour_jitter,
    target_from_sample,
    warp,
)

# another size, focal length, aspect and centre for each of the three
SAMPLE = Camera(160, 120, 130.0, 128.0, 82.0, 57.0)
INPUT = Camera(128, 96, 104.0, 102.0, 61.0, 50.0)
OUTPUT = INPUT.resized(64, 48)
CAMERAS = (SAMPLE, INPUT, OUTPUT)
VIEWS = [
    (1.0, 0.0, False),
    (1.4, 0.0, False),
    (1.0, 4.0, False),
    (1.0, 0.0, True),
    (1.3, -5.0, True),
]


def _scene():
    """Return (12, 3) points [m] in view of the sample, no two equally far, and colours."""
    rng = np.random.default_rng(4)
    u, v = np.meshgrid(np.linspace(30, 130, 4), np.linspace(25, 95, 3))
    depth = np.linspace(1.0, 6.5, 12)
    x, y = (u.ravel() - SAMPLE.cx) / SAMPLE.fx, (v.ravel() - SAMPLE.cy) / SAMPLE.fy
    points = np.stack((x, y, np.ones(12)), -1) * depth[:, None]
    return points, rng.integers(60, 255, (12, 3))


def _sample(points, colours):
    """Draw each point as a Gaussian dot of its colour (2.5 px) and a disc of its depth (6 px)."""
    image, depth = np.zeros((120, 160, 3)), np.full((120, 160), np.nan, np.float32)
    v, u = np.mgrid[:120, :160]
    for point, colour, (x, y) in zip(points, colours, SAMPLE.project(points), strict=True):
        distance = (u - x) ** 2 + (v - y) ** 2
        image += colour * np.exp(-distance / 12.5)[..., None]
        depth[distance <= 36] = point[2]
    return image.round().astype(np.uint8), depth


def _moved(points, zoom, angle, flip):
    """
    Move the scene instead of the picture.

    Flip x, turn back by ``angle`` about the optical axis, come ``zoom`` times nearer along it.
    """
    points = points * (-1 if flip else 1, 1, 1)
    c, s = np.cos(angle), np.sin(angle)
    turned = points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return turned / (1, 1, zoom)


@pytest.mark.parametrize(('zoom', 'degrees', 'flip'), VIEWS)
def test_warped_points_lie_where_the_moved_scene_projects_them(zoom, degrees, flip):
    points, colours = _scene()
    angle = np.deg2rad(degrees)
    image, depth = warp(*_sample(points, colours), CAMERAS, zoom, angle, flip)
    assert (image.shape, image.dtype) == ((96, 128, 3), np.uint8)
    assert (depth.shape, depth.dtype) == ((48, 64), np.float32)
    moved = _moved(points, zoom, angle, flip)
    np.testing.assert_allclose(moved[:, 2], points[:, 2] / zoom)
    offsets = []
    for point, colour in zip(moved, colours, strict=True):
        (u, v), (x, y) = INPUT.project(point), OUTPUT.project(point)
        if not (12 < u < 115 and 12 < v < 83):
            continue
        np.testing.assert_allclose(image[round(v), round(u)], colour, rtol=0.15)
        assert _centroid(image.sum(-1), (u, v), 9) == pytest.approx((u, v), abs=0.1)
        assert depth[round(y), round(x)] == pytest.approx(point[2], rel=1e-6)
        disc = np.isclose(depth, point[2])
        offsets.append(_centroid(disc, (x, y), 6) - (x, y))
    assert len(offsets) >= 4
    assert np.abs(offsets).max() < 0.5, 'the disc is sampled at whole pixels'
    assert np.abs(np.mean(offsets, 0)).max() < 0.15, 'but without a bias'


def _centroid(weights, near, reach):
    """Return the centre of mass (u, v) of the window of +-reach px about a pixel."""
    x, y = np.round(near).astype(int)
    rows = slice(max(0, y - reach), y + reach + 1)
    columns = slice(max(0, x - reach), x + reach + 1)
    v, u = np.mgrid[: weights.shape[0], : weights.shape[1]]
    window = weights[rows, columns].astype(float)
    moments = (window * u[rows, columns]).sum(), (window * v[rows, columns]).sum()
    return np.array(moments) / window.sum()


def test_zoom_of_a_plane_by_hand():
    """
    A wall at 3 m, zoomed by 1.5, is at 2 m; pixel (61 + 30, 50) sees the sample's (82 + 25, 57).

    The ray 30 / 104 is divided by 1.5: 0.192308, times 130 = 25 px from the sample's centre.
    """
    ramp = np.tile(np.arange(160, dtype=np.uint8)[None, :, None], (120, 1, 3))
    image, depth = warp(ramp, np.full((120, 160), 3, np.float32), CAMERAS, 1.5)
    assert image[50, 91].tolist() == [107, 107, 107]
    np.testing.assert_allclose(depth, 2.0)


def test_plain_warp_puts_the_optical_axes_on_each_other():
    matrix = target_from_sample(SAMPLE, INPUT, 1.0, 0.0, False)
    assert matrix @ (INPUT.cx, INPUT.cy, 1) == pytest.approx((SAMPLE.cx, SAMPLE.cy))
    assert matrix[:, :2] == pytest.approx(np.diag((130 / 104, 128 / 102)))


def test_plain_warp_onto_the_same_camera_changes_nothing():
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    depth = np.random.default_rng(1).uniform(1, 5, (120, 160)).astype(np.float32)
    warped, target = warp(image, depth, (SAMPLE, SAMPLE, SAMPLE))
    np.testing.assert_array_equal(warped, image)
    np.testing.assert_array_equal(target, depth)


def test_flipping_twice_restores_the_picture():
    image = np.random.default_rng(0).integers(0, 255, (96, 129, 3), np.uint8)
    # the principal point lies in the middle of the columns: the flip keeps them all
    camera = Camera(129, 96, 100.0, 90.0, 64.0, 40.0)
    cameras, depth = (camera,) * 3, np.ones((96, 129), np.float32)
    once, _ = warp(image, depth, cameras, flip=True)
    np.testing.assert_array_equal(once, image[:, ::-1])
    np.testing.assert_array_equal(warp(once, depth, cameras, flip=True)[0], image)


def test_holes_and_the_outside_have_zero_depth():
    """Only the left half has a reading, and the wide target sees beyond the sample."""
    depth = np.full((120, 160), 2, np.float32)
    depth[:, 80:] = np.nan
    wide = Camera(128, 96, 50.0, 50.0, 64.0, 48.0)
    image, target = warp(np.full((120, 160, 3), 255, np.uint8), depth, (SAMPLE, wide, wide))
    assert np.isfinite(target).all()
    assert set(np.unique(target)) == {0.0, 2.0}
    assert target[48, 80] == 0 and target[48, 50] == 2 and target[2, 2] == 0
    assert image[2, 2].tolist() == [0, 0, 0]


def test_depth_is_never_mixed_across_an_edge():
    depth = np.where(np.arange(160) < 77, 1, 8).astype(np.float32) * np.ones((120, 1), np.float32)
    _, target = warp(np.zeros((120, 160, 3), np.uint8), depth, CAMERAS, 1.2, np.deg2rad(4), False)
    assert np.unique(target) == pytest.approx([1 / 1.2, 8 / 1.2])


def test_colour_jitter_keeps_shape_and_type():
    image = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)
    before = image.copy()
    changed = colour_jitter(image, np.random.default_rng(1))
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    assert (changed != image).any()
    np.testing.assert_array_equal(image, before)


def test_colour_jitter_stays_within_forty_percent_of_brightness():
    """Grey has no contrast and no hue: 100 * 0.6 * 0.9 = 54 to 100 * 1.4 * 1.1 = 154."""
    image = np.full((4, 5, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    values = np.stack([colour_jitter(image, rng)[0, 0] for _ in range(200)])
    assert values.min() >= 53 and values.max() <= 154
    assert values.min() < 70 and values.max() > 130


def test_colour_jitter_does_not_wrap_around():
    image = np.full((4, 5, 3), 255, np.uint8)
    image[:, 0] = 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        changed = colour_jitter(image, rng).astype(int)
        assert (changed[:, 1] >= changed[:, 0]).all()


def test_augment_repeats_with_its_generator():
    sample = _sample(*_scene())
    a, b, c = (augment(*sample, CAMERAS, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    assert (a[0] != c[0]).any()


def test_augment_divides_depth_by_a_zoom_of_its_range():
    """A wall at 3 m comes to between 3 / 1.5 = 2 and 3 m."""
    sample = np.zeros((120, 160, 3), np.uint8), np.full((120, 160), 3, np.float32)
    rng = np.random.default_rng(0)
    depths = np.array([augment(*sample, CAMERAS, rng)[1].max() for _ in range(60)])
    assert (depths.min() >= 3 / MAX_ZOOM - 1e-6) and depths.max() <= 3
    assert depths.min() < 2.1 and depths.max() > 2.8


def test_augment_turns_by_at_most_its_range(monkeypatch):
    angles = []

    def spy(image, depth, cameras, zoom, angle, flip):
        angles.append((np.rad2deg(angle), flip))
        return image, depth

    monkeypatch.setattr('fcrn_ros.training.augment.warp', spy)
    rng = np.random.default_rng(0)
    for _ in range(60):
        augment(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), np.float32), CAMERAS, rng)
    degrees = np.array([a for a, _ in angles])
    assert np.abs(degrees).max() <= MAX_ROTATION
    assert degrees.min() < -3 and degrees.max() > 3
    assert {flip for _, flip in angles} == {True, False}


def test_warp_agrees_with_resize_where_only_the_size_changes():
    """The half-pixel rule of Camera.resized and the sampling of warpAffine are one rule."""
    ramp = np.tile(np.arange(160, dtype=np.float32), (120, 1))
    small = SAMPLE.resized(80, 60)
    _, target = warp(np.zeros((120, 160, 3), np.uint8), ramp + 1, (SAMPLE, small, small))
    expected = cv2.resize(ramp + 1, (80, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(target - expected).max() <= 0.5

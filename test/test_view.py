"""Views of scenes whose every point is known: what is shown, where, how far."""

import numpy as np
import plane_scene
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sources import CAMERA, plane_sample

from fcrn_ros.camera import Camera
from fcrn_ros.scale import focal_scale
from fcrn_ros.training.data.augment import Ranges, random_view
from fcrn_ros.training.data.view import View, plain_view

INPUT, OUTPUT = (64, 96), (32, 48)
WIDE = Ranges(zoom=2.0, stretch=1.3, rotation=20.0)
views = st.integers(0, 10_000).map(
    lambda seed: random_view(CAMERA, INPUT, WIDE, np.random.default_rng(seed))
)
random = settings(max_examples=60, deadline=None, derandomize=True)


def _in_sample(view, grid):
    """Return the direction of every pixel of a grid in the sample's frame, and its (u, v)."""
    rays = grid.rays().astype(float) @ view.view_R_sample
    return rays, CAMERA.project(rays)


def _inside(pixels, margin=0.0):
    u, v = np.moveaxis(pixels, -1, 0)
    far = np.maximum(np.abs(u - 65.5) - 66, np.abs(v - 44.5) - 45)  # 132 x 90, from its middle
    return far < -margin


# What is shown where


@random
@given(views)
def test_a_view_shows_what_its_camera_would_see_of_the_scene(view):
    """
    The textured plane, rendered anew along the view's rays.

    Waves of 10 radians/m on a plane 2 m away are 0.2 radians/px at fx = 120 px in the sample:
    reading between its pixels misses by 0.2^2 / 8 * 0.48 = 0.2 %, and levels and the fractions of
    a pixel are rounded. Half a pixel off would miss by 0.1 * 0.48 = 5 %.
    """
    sample = plane_sample()
    shown = view.image(sample.image, CAMERA)
    assert (shown.shape, shown.dtype) == ((64, 96, 3), np.uint8)
    rays, pixels = _in_sample(view, view.camera)
    turned = np.eye(4)
    turned[:3, :3] = view.view_R_sample.T
    expected, _ = plane_scene.render(turned, view.camera)
    error = np.abs(shown / 255 - expected)[_inside(pixels, 0.5)]
    assert len(error) > 3000
    assert error.max() < 0.015 and error.mean() < 0.003


@random
@given(views)
def test_lifted_depth_lies_on_the_surface(view):
    """
    NORMAL . X = DISTANCE holds for X = R^T (depth * ray), but for the nearest reading's place.

    That is up to half a pixel away in u and v, and the inverse depth of a plane is linear in them:
    NORMAL . X - DISTANCE = depth * (0.2 du / fx - 0.1 dv / fy).
    """
    sample, grid = plane_sample(), view.camera.resized(48, 32)
    depth = view.depth(sample.depth, CAMERA, OUTPUT)
    assert (depth.shape, depth.dtype) == (OUTPUT, np.float32)
    points = grid.unproject(depth).astype(float)[depth > 0] @ view.view_R_sample
    miss = points @ plane_scene.NORMAL - plane_scene.DISTANCE
    bound = points[:, 2] * 0.5 * (0.2 / CAMERA.fx + 0.1 / CAMERA.fy)
    assert len(miss) > 800
    assert (np.abs(miss) <= 1.01 * bound + 1e-5).all()


@random
@given(views)
def test_depth_is_the_nearest_reading_and_none_from_beyond_the_border(view):
    """Every reading is its own number: 1 + row * 132 + column, and 0 is none."""
    numbers = 1 + np.arange(90 * 132, dtype=np.float32).reshape(90, 132)
    found = view.depth(numbers, CAMERA, OUTPUT)
    _, pixels = _in_sample(view, view.camera.resized(48, 32))
    known = found > 0
    assert (known[_inside(pixels, 0.01)]).all()
    assert not known[~_inside(pixels, -0.01)].any()
    row, column = np.divmod(found[known] - 1, 132)
    away = pixels[known] - np.stack((column, row), -1)
    assert np.abs(away).max() < 0.51


DOTS = {  # colour -> (u, v) [px] in the sample and depth [m]
    (250, 30, 40): ((31.3, 24.8), 1.1),
    (20, 240, 60): ((96.6, 28.2), 2.7),
    (40, 50, 230): ((36.9, 66.4), 4.6),
    (220, 210, 20): ((93.1, 63.5), 7.9),
}


def _dots():
    """Return a picture of Gaussian dots (sigma 2.5 px), the discs of their depth, the points."""
    v, u = np.mgrid[:90, :132]
    image, depth, points = np.zeros((90, 132, 3)), np.full((90, 132), np.nan, np.float32), []
    for colour, ((x, y), metres) in DOTS.items():
        distance = (u - x) ** 2 + (v - y) ** 2
        image += np.array(colour) * np.exp(-distance / 12.5)[..., None]
        depth[distance <= 36] = metres
        points.append(((x - 61) / 120 * metres, (y - 48.5) / 112 * metres, metres))
    return np.rint(image).astype(np.uint8), depth, np.array(points)


def _centroid(weights, near, reach):
    """Return the centre of mass (u, v) of the window of +-reach px about a pixel."""
    x, y = np.round(near).astype(int)
    window = weights[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(float)
    v, u = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return np.array([(window * u).sum(), (window * v).sum()]) / window.sum()


@random
@given(views)
def test_a_coloured_dot_is_where_the_camera_projects_its_point(view):
    """Its centre within 0.15 px, its colour at the peak, its depth there the point's z."""
    image, depth, points = _dots()
    shown, far = view.image(image, CAMERA), view.depth(depth, CAMERA, INPUT)
    moved = points @ view.view_R_sample.T
    np.testing.assert_allclose(moved[:, 2], points[:, 2])  # neither turn nor mirror changes z
    for colour, place, metres in zip(DOTS, view.camera.project(moved), points[:, 2], strict=True):
        if not (10 < place[0] < 85 and 10 < place[1] < 53):
            continue
        assert _centroid(shown.sum(-1), place, 8) == pytest.approx(place, abs=0.15)
        u, v = np.round(place).astype(int)
        np.testing.assert_allclose(shown[v, u], colour, rtol=0.2, atol=3)
        assert far[v, u] == pytest.approx(metres)


def test_most_random_views_show_some_dots():
    """The test above compares nothing where a view shows none."""
    points, seen = _dots()[2], []
    for seed in range(60):
        view = random_view(CAMERA, INPUT, WIDE, np.random.default_rng(seed))
        u, v = view.camera.project(points @ view.view_R_sample.T).T
        seen.append(((u > 10) & (u < 85) & (v > 10) & (v < 53)).sum())
    assert np.mean(np.array(seen) > 0) > 0.8 and max(seen) >= 3


# Border and holes


def test_the_picture_goes_on_mirrored_beyond_its_border():
    """Four columns farther left than the sample: column -3 shows column 3, row 0 stays."""
    camera = Camera(8, 5, 10.0, 11.0, 3.0, 2.5)
    image = np.zeros((5, 8, 3), np.uint8)
    image[..., 0], image[..., 1] = 10 * np.arange(8), 20 * np.arange(5)[:, None]
    view = View(Camera(8, 5, 10.0, 11.0, 7.0, 2.5), np.eye(3))
    shown = view.image(image, camera)
    assert shown[0, :, 0].tolist() == [40, 30, 20, 10, 0, 10, 20, 30]
    assert shown[:, 5, 1].tolist() == [0, 20, 40, 60, 80]
    depth = view.depth(np.full((5, 8), 2, np.float32), camera, (5, 8))
    assert depth[3].tolist() == [0, 0, 0, 0, 2, 2, 2, 2]


def test_invalid_depth_stays_invalid_and_edges_stay_edges():
    """Left half 1 m, right half 8 m, NaN and 0 between: only 0, 1 and 8 come out."""
    depth = np.where(np.arange(132) < 60, 1, 8).astype(np.float32) * np.ones((90, 1), np.float32)
    depth[:, 50:60], depth[:, 60:70], before = np.nan, 0, depth
    before = depth.copy()
    view = random_view(CAMERA, INPUT, Ranges(flip=False), np.random.default_rng(3))
    found = view.depth(depth, CAMERA, OUTPUT)
    assert set(np.unique(found)) == {0.0, 1.0, 8.0}
    _, pixels = _in_sample(view, view.camera.resized(48, 32))
    hole = (pixels[..., 0] > 50) & (pixels[..., 0] < 69)
    assert hole.sum() > 100 and not found[hole].any()
    np.testing.assert_array_equal(depth, before)


# The plain view


def test_plain_view_is_the_whole_picture():
    """132 x 90 to 96 x 64: fx 120 * 96 / 132 = 87.2727, cx 61.5 * 96 / 132 - 0.5 = 44.2273."""
    view = plain_view(CAMERA, INPUT)
    assert (view.camera.width, view.camera.height) == (96, 64)
    assert view.camera.fx == pytest.approx(87.272727)
    assert view.camera.cx == pytest.approx(44.227273)
    assert view.camera.fy == pytest.approx(112 * 64 / 90)
    assert view.camera.cy == pytest.approx(49 * 64 / 90 - 0.5)
    np.testing.assert_array_equal(view.view_R_sample, np.eye(3))


def test_plain_view_of_the_same_size_changes_nothing():
    sample = plane_sample()
    view = plain_view(CAMERA, (90, 132))
    np.testing.assert_array_equal(view.image(sample.image, CAMERA), sample.image)
    np.testing.assert_array_equal(view.depth(sample.depth, CAMERA, (90, 132)), sample.depth)


def test_plain_view_of_half_the_size_is_the_mean_of_four_pixels():
    """As cv2.resize has it: the centre of pixel 0 lies at 0.5 of the large picture."""
    image = np.random.default_rng(0).integers(0, 256, (90, 132, 3), np.uint8)
    shown = plain_view(CAMERA, (45, 66)).image(image, CAMERA)
    means = image.reshape(45, 2, 66, 2, 3).mean((1, 3))
    assert np.abs(shown - means).max() <= 1


# Canonical depth


def test_canonical_by_hand():
    """
    Zoomed by 1.5 into fx 200 px, for a training camera of 200 px: a wall at 3 m is to be 2 m.

    fy goes from 180 to 405 px, 2.25 times, while x stays: sqrt(2.25) = 1.5 again.
    """
    training = Camera(80, 60, 200.0, 180.0, 41.0, 27.0)
    zoomed = View(Camera(80, 60, 300.0, 270.0, 11.0, 9.0), np.eye(3))
    stretched = View(Camera(80, 60, 200.0, 405.0, 11.0, 9.0), np.eye(3))
    assert 3 * zoomed.canonical(training) == pytest.approx(2)
    assert 3 * stretched.canonical(training) == pytest.approx(2)


@random
@given(views)
def test_canonical_is_the_inverse_of_what_the_node_multiplies_by(view):
    training = Camera(96, 64, 80.0, 75.0, 46.0, 33.0)
    node = focal_scale(view.camera, training).factor
    assert view.canonical(training) * node == pytest.approx(1)


@random
@given(st.integers(0, 10_000))
def test_a_zoom_keeps_metres_and_divides_canonical_depth(seed):
    """What looks z times larger is to be predicted z times nearer, and is as far as before."""
    only_zoom = Ranges(zoom=2.5, stretch=1.0, rotation=0.0, flip=False)
    view = random_view(CAMERA, INPUT, only_zoom, np.random.default_rng(seed))
    plain, training = plain_view(CAMERA, INPUT), Camera(96, 64, 80.0, 75.0, 46.0, 33.0)
    zoom = view.camera.fx / plain.camera.fx
    assert 1 <= zoom <= 2.5
    assert view.canonical(training) == pytest.approx(plain.canonical(training) / zoom)
    metres = np.where(np.arange(132) < 66, 2, 5).astype(np.float32) * np.ones((90, 1), np.float32)
    found = view.depth(metres, CAMERA, OUTPUT)
    assert set(np.unique(found)) <= {2.0, 5.0}, 'all of it lies in the picture, and in metres'


def test_canonical_needs_the_size_of_the_training_camera():
    view = plain_view(CAMERA, INPUT)
    with pytest.raises(ValueError, match='network image is 96x64; expected 80x60'):
        view.canonical(Camera(80, 60, 200.0, 180.0, 41.0, 27.0))


# Poses


def test_pose_of_a_mirrored_view_by_hand():
    """
    The other camera 0.3 m to the right is 0.3 m to the left of a mirrored world.

    A turn about y (x and z) changes its sign, one about x keeps it.
    """
    mirrored = View(CAMERA, np.diag([-1.0, 1, 1]))
    turn_y, turn_x = (plane_scene.pose((0.3, 0, 0), axis) for axis in ((0, 0.1, 0), (0.1, 0, 0)))
    back_y, same_x = (plane_scene.pose((-0.3, 0, 0), axis) for axis in ((0, -0.1, 0), (0.1, 0, 0)))
    np.testing.assert_allclose(mirrored.pose(turn_y), back_y, atol=1e-12)
    np.testing.assert_allclose(mirrored.pose(turn_x), same_x, atol=1e-12)


poses = st.tuples(*[st.floats(-1, 1)] * 6).map(lambda v: plane_scene.pose(v[:3], v[3:]))


@random
@given(views, poses, st.tuples(*[st.floats(-3, 3)] * 3))
def test_a_moved_point_agrees_in_both_views(view, a_T_b, point):
    """X_a = a_T_b X_b, seen in the view: R X_a = pose (R X_b); the pose stays a rigid motion."""
    moved = view.pose(a_T_b)
    in_a = a_T_b[:3, :3] @ point + a_T_b[:3, 3]
    seen_b = view.view_R_sample @ point
    expected = view.view_R_sample @ in_a
    np.testing.assert_allclose(moved[:3, :3] @ seen_b + moved[:3, 3], expected, atol=1e-9)
    np.testing.assert_allclose(moved[:3, :3] @ moved[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(moved[:3, :3]) == pytest.approx(1)
    assert moved[3].tolist() == [0, 0, 0, 1]

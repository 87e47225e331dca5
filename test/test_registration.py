"""Registration against scenes whose depth is known for every ray: a wall, and a box before it."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.rigid import inverse, matrix
from fcrn_ros.training.sources.registration import (
    DepthRectifier,
    register,
    resized_depth,
    same_view,
)

DEPTH = Camera(60, 44, 50.0, 52.0, 28.0, 23.0)
COLOUR = Camera(96, 70, 90.0, 88.0, 50.0, 33.0)
# the colour camera is 6 cm right of and 1 cm above the depth camera, and looks 3 degrees left
TURN = (0.0, math.sin(math.radians(1.5)), 0.0, math.cos(math.radians(1.5)))
COLOUR_T_DEPTH = matrix((-0.06, 0.01, 0.004), TURN)


def seen(camera: Camera, camera_T_scene: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Cast a ray through every pixel.

    The scene has a slanted wall, z = 3 + 0.2 x, and a box's front at z = 1.2, x in -0.25..0.3, y
    in -0.2..0.15.

    :return: (H, W) z-depth [m], and whether the ray hits the box.
    """
    scene_T_camera = inverse(camera_T_scene)
    rays = camera.rays().astype(float) @ scene_T_camera[:3, :3].T
    x, y, z = scene_T_camera[:3, 3]
    dx, dy, dz = np.moveaxis(rays, -1, 0)
    wall = (3 + 0.2 * x - z) / (dz - 0.2 * dx)
    front = (1.2 - z) / dz
    at_x, at_y = x + front * dx, y + front * dy
    box = (at_x > -0.25) & (at_x < 0.3) & (at_y > -0.2) & (at_y < 0.15)
    return np.where(box, front, wall).astype(np.float32), box


def test_pixel_moves_by_its_disparity() -> None:
    """
    One reading of 2 m at (30, 20), colour camera 0.1 m to the right, both fx = 50.

    It moves 50 * 0.1 / 2 = 2.5 px left: its patch, 29.5..30.5, goes to 27..28, and is seen in the
    pixels 27 and 28 of row 20; z stays.
    """
    camera = Camera(60, 44, 50.0, 50.0, 28.0, 23.0)
    depth = np.full((44, 60), np.nan, np.float32)
    depth[20, 30] = 2
    found = register(depth, camera, camera, matrix((-0.1, 0, 0), (0, 0, 0, 1)))
    rows, columns = np.nonzero(~np.isnan(found))
    assert set(rows) == {20} and set(columns) == {27, 28}
    np.testing.assert_allclose(found[20, 27:29], 2)


def test_forward_shift_changes_z() -> None:
    """The colour camera is 0.5 m ahead: a wall at 2 m is at 1.5 m, and fills its image."""
    depth = np.full((44, 60), 2, np.float32)
    found = register(depth, DEPTH, DEPTH, matrix((0, 0, -0.5), (0, 0, 0, 1)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 1.5, rtol=1e-6)


@pytest.mark.parametrize('invalid', [np.nan, np.inf, 0.0, -1.0])
def test_invalid_readings_are_not_drawn(invalid: float) -> None:
    depth = np.full((44, 60), invalid, np.float32)
    assert np.isnan(register(depth, DEPTH, COLOUR, COLOUR_T_DEPTH)).all()


def test_what_lies_behind_the_colour_camera_is_not_drawn() -> None:
    """It stands 3 m ahead of the depth camera, behind a wall at 2 m."""
    depth = np.full((44, 60), 2, np.float32)
    found = register(depth, DEPTH, COLOUR, matrix((0, 0, -3), (0, 0, 0, 1)))
    assert np.isnan(found).all()


def test_scene_is_as_the_colour_camera_sees_it() -> None:
    """
    A slanted wall and a box before it, of which the colour camera sees other parts.

    Two pixels from the box's edges, the error is what half a pixel of depth changes on the wall:
    z = 3 / (1 - 0.2 x') at x' = 0.6 is 3.41 m, dz / dx' = 0.2 z^2 / 3 = 0.78 m, and half a pixel,
    0.5 / 50, changes 0.0078 m; half a pixel of colour, 0.5 / 90, 0.0043 m more.
    """
    depth, _ = seen(DEPTH, np.eye(4))
    exact, box = seen(COLOUR, COLOUR_T_DEPTH)
    found = register(depth, DEPTH, COLOUR, COLOUR_T_DEPTH)
    known = ~np.isnan(found)
    wrong = known & (np.abs(found - exact) > 0.0121)
    around = np.ones((5, 5), np.uint8)
    picture = box.astype(np.uint8)
    edges = cv2.dilate(picture, around) != cv2.erode(picture, around)
    assert box.sum() > 300 and (~box).sum() > 3000
    assert not (wrong & ~edges).any()
    assert known[box & ~edges].all()  # no wall shows through the box, and the box has no holes


def test_what_only_colour_sees_stays_empty() -> None:
    """
    The box hides wall from the depth camera.

    Its right edge, x = 0.3 at 1.2 m, hides the wall to its right up to x = 0.3 * 3.2 / 1.2 = 0.79
    from a camera 0.06 m to the left of the other: the strip is 0.06 * (3.1 / 1.2 - 1) = 0.095 m of
    wall or 90 * 0.095 / 3.1 = 2.8 px wide beside the box.
    """
    depth, _ = seen(DEPTH, np.eye(4))
    _, box = seen(COLOUR, COLOUR_T_DEPTH)
    found = register(depth, DEPTH, COLOUR, COLOUR_T_DEPTH)
    rows = np.flatnonzero(box.any(1))[3:-3]
    widths = []
    for row in rows:
        right = np.flatnonzero(box[row])[-1]
        widths.append(int(np.isnan(found[row, right - 2 : right + 9]).sum()))
    assert 2 <= np.mean(widths) <= 4


def test_wall_has_no_holes_where_colour_has_more_pixels() -> None:
    """Colour has 90 / 50 = 1.8 times the resolution; every pixel in both views has depth."""
    depth = np.full((44, 60), 2, np.float32)
    found = register(depth, DEPTH, COLOUR, np.eye(4))
    np.testing.assert_array_equal(found[~np.isnan(found)], 2)
    column = COLOUR.rays()[0, :, 0] * DEPTH.fx + DEPTH.cx
    row = COLOUR.rays()[:, 0, 1] * DEPTH.fy + DEPTH.cy
    inside = ((column > -0.1) & (column < 59.1))[None] & ((row > -0.1) & (row < 43.1))[:, None]
    assert inside.sum() > 4000
    assert not np.isnan(found[inside]).any()


def test_register_refuses_other_sizes_and_lenses() -> None:
    depth = np.ones((44, 61), np.float32)
    with pytest.raises(ValueError, match=r'depth is \(44, 61\); expected'):
        register(depth, DEPTH, COLOUR, np.eye(4))
    bent = replace(DEPTH, distortion_model='plumb_bob', distortion=(0.1, 0, 0, 0, 0))
    with pytest.raises(ValueError, match='expected a pinhole'):
        register(depth[:, :60], bent, COLOUR, np.eye(4))
    with pytest.raises(ValueError, match='is 22.5 pixels of colour wide; expected at most 20'):
        register(depth[:, :60], replace(DEPTH, fx=4.0), COLOUR, np.eye(4))
    with pytest.raises(ValueError, match='the colour camera is distorted'):
        register(depth[:, :60], DEPTH, bent, np.eye(4))


@pytest.mark.parametrize(
    ('other', 'same'),
    [
        (DEPTH, True),
        (DEPTH.resized(120, 88), True),
        (replace(DEPTH, cx=28.4), True),
        (replace(DEPTH, cx=28.6), False),
        (replace(DEPTH, fx=50.7), True),
        (replace(DEPTH, fx=50.9), False),
        (COLOUR, False),
    ],
)
def test_same_view_is_to_half_a_pixel(other: Camera, same: bool) -> None:
    """A corner lies 31.5 px from cx: 31.5 * 0.7 / 50 = 0.44 px, 31.5 * 0.9 / 50 = 0.57 px."""
    assert same_view(DEPTH, other) is same


def test_resized_depth_takes_readings_as_they_are() -> None:
    """Twice the size repeats each reading; NaN spreads to its own four pixels only."""
    depth = np.float32([[1, np.nan, 3], [4, 5, 6]])
    camera = Camera(6, 4, 5.0, 5.0, 2.5, 1.5)
    np.testing.assert_array_equal(
        resized_depth(depth, camera), depth.repeat(2, axis=0).repeat(2, axis=1)
    )
    assert resized_depth(depth, replace(camera, width=3, height=2)) is depth


def test_rectified_depth_is_a_reading_and_not_a_mean() -> None:
    """An edge between 1 and 3 m: behind a bent lens there are the two depths, and NaN outside."""
    bent = replace(DEPTH, distortion_model='plumb_bob', distortion=(0.3, 0.0, 0.0, 0.0, 0.0))
    depth = np.ones((44, 60), np.float32)
    depth[:, 30:] = 3
    rectify = DepthRectifier(bent)
    found = rectify(depth)
    assert rectify.camera == DEPTH
    assert set(np.unique(found[~np.isnan(found)])) == {1.0, 3.0}
    np.testing.assert_array_equal(np.isnan(found), ~rectify.valid)
    assert np.isnan(found).any()


def test_rectified_depth_comes_from_the_nearest_pixel() -> None:
    """
    With k1 = 0.3 a pixel at x = (48 - 28) / 50 = 0.4, y = 0 comes from x (1 + 0.3 x^2).

    0.4 * 1.048 = 0.4192 is column 48.96, so column 49; on the other side, x = -0.4 is column 8,
    from -0.4192: 7.04, so column 7.
    """
    bent = replace(DEPTH, distortion_model='plumb_bob', distortion=(0.3, 0.0, 0.0, 0.0, 0.0))
    depth = np.tile(np.arange(1, 61, dtype=np.float32), (44, 1))
    found = DepthRectifier(bent)(depth)
    assert found[23, 48] == 49 + 1 and found[23, 8] == 7 + 1


def test_rectifying_rotation_changes_z() -> None:
    """
    A wall at 2 m before a camera whose rectified frame is turned by 10 degrees about y.

    On the rectified axis, z_raw = cos 10 * z: z = 2 / 0.9848 = 2.031 m.
    """
    angle = math.radians(10)
    turn = (math.cos(angle), 0, math.sin(angle), 0, 1, 0, -math.sin(angle), 0, math.cos(angle))
    camera = Camera(61, 45, 50.0, 52.0, 30.0, 22.0, rotation=tuple(map(float, turn)))
    found = DepthRectifier(camera)(np.full((45, 61), 2, np.float32))
    assert found[22, 30] == pytest.approx(2 / math.cos(angle), rel=1e-5)


def test_depth_rectifier_refuses_another_size() -> None:
    bent = replace(DEPTH, distortion_model='plumb_bob', distortion=(0.3, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match='depth is 61x44; expected 60x44, the size of its camera'):
        DepthRectifier(bent)(np.ones((44, 61), np.float32))

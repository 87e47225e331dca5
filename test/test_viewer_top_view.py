"""The view from above: cells counted by hand, and nothing claimed that was not seen."""

import math

import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.viewer.top_view import (
    COLUMNS,
    FREE,
    OBSTACLE,
    ROWS,
    SEEN,
    UNKNOWN,
    level_points,
    top_view,
)

LEVEL = Mounting(height=1.0)
CAMERA = Camera(64, 48, fx=60.0, fy=66.0, cx=29.0, cy=20.0)


def _cells(picture, value):
    """Return the (row, column) of every cell with a value."""
    return [tuple(int(n) for n in cell) for cell in np.argwhere(picture == value)]


def _optical(ahead, left, above):
    """Return a point of a level camera's surroundings in its optical frame, (1, 3)."""
    return np.array([[-left, -above, ahead]], np.float32)


def _floor_depth(mounting):
    """Return the depth of an endless floor, (48, 64) [m]; NaN above the horizon."""
    down = CAMERA.rays() @ -mounting.up
    with np.errstate(divide='ignore'):
        depth = mounting.height / down
    return np.where(down > 0, depth, np.nan).astype(np.float32)


def test_cell_of_a_point_is_counted_by_hand():
    """
    Look up the cell of a point 2.02 m ahead and 0.31 m to the left, 0.4 m below the camera.

    2.02 / 0.05 = 40.4 and 0.31 / 0.05 = 6.2: row 160 - 1 - 40 = 119, column 80 - 1 - 6 = 73. With
    the camera at 1 m it is 0.6 m high: an obstacle.
    """
    picture = top_view(_optical(2.02, 0.31, -0.4), LEVEL)
    assert picture.shape == (ROWS, COLUMNS) == (160, 160) and picture.dtype == np.uint8
    assert _cells(picture, OBSTACLE) == [(119, 73)]
    assert (picture == UNKNOWN).sum() == 160 * 160 - 1


def test_right_of_the_camera_is_right_of_the_middle():
    """0.31 m to the right: floor(-6.2) = -7, column 80 - 1 + 7 = 86."""
    assert _cells(top_view(_optical(2.02, -0.31, -0.4), LEVEL), OBSTACLE) == [(119, 86)]


@pytest.mark.parametrize(
    ('above', 'value'),
    [
        (-1.0, FREE),  # on the floor
        (-1.14, FREE),  # 0.14 m under it
        (-1.2, UNKNOWN),  # under it by 0.2 m: a hole, or an error
        (-0.86, FREE),  # 0.14 m high
        (-0.8, UNKNOWN),  # 0.2 m high: 0.2 - 0.1 (1 - 0.2) = 0.12 m with 10 % more depth
        (-0.7, OBSTACLE),  # 0.3 m high: 0.3 - 0.1 (1 - 0.3) = 0.23 m at the least
        (0.95, OBSTACLE),  # 1.95 m high
        (1.05, UNKNOWN),  # 2.05 m high: over the robot
    ],
)
def test_height_decides(above, value):
    picture = top_view(_optical(3.01, 0.01, above), LEVEL)
    assert picture[160 - 1 - 60, 79] == value


def test_without_a_mounting_nothing_is_free_or_an_obstacle():
    points = np.concatenate([_optical(2.02, 0.31, a) for a in (-1.0, 0.0, 3.0)])
    picture = top_view(points)
    assert _cells(picture, SEEN) == [(119, 73)]
    assert set(np.unique(picture)) == {UNKNOWN, SEEN}


def test_no_points_are_unknown_not_free():
    points = np.full((4, 5, 3), np.nan, np.float32)
    assert (top_view(points, LEVEL) == UNKNOWN).all()
    assert (top_view(points) == UNKNOWN).all()


def test_points_outside_are_left_out():
    """8.01 m ahead, 4.01 m to a side, and behind the camera."""
    outside = ((8.01, 0), (2, 4.01), (2, -4.01), (-0.01, 0))
    points = np.concatenate([_optical(x, y, -0.5) for x, y in outside])
    assert (top_view(points, LEVEL) == UNKNOWN).all()


def test_obstacle_outweighs_floor_in_its_cell():
    points = np.concatenate([_optical(2.02, 0.31, a) for a in (-0.5, -1.0)])
    for order in (points, points[::-1]):
        assert _cells(top_view(order, LEVEL), OBSTACLE) == [(119, 73)]
        assert _cells(top_view(order, LEVEL), FREE) == []


def test_given_obstacles_replace_those_by_height():
    points = np.concatenate((_optical(2.02, 0.31, -0.5), _optical(3.01, 0.01, -1.0)))
    marking = _optical(4.01, 0.01, -0.9)
    picture = top_view(points, LEVEL, marking)
    assert _cells(picture, OBSTACLE) == [(160 - 1 - 80, 79)]
    assert _cells(picture, FREE) == [(160 - 1 - 60, 79)]
    assert not (top_view(points, LEVEL, np.empty((0, 3), np.float32)) == OBSTACLE).any()


@pytest.mark.parametrize('yaw', [0.0, 1.2])
def test_floor_of_a_tilted_camera_is_free_and_whole(yaw):
    """
    Look down by 20 degrees from 0.9 m at an endless floor.

    The lowest ray is (47 - 20) / 66 = 0.409 down, 22.2 degrees, and with the tilt 42.2: it meets
    the floor 0.9 / tan(42.2 deg) = 0.99 m ahead. In the column of the principal point the rows lie
    less than 0.5 m apart up to there where atan(0.9 / x) falls by a row in 0.5 m: x = 5.2 m. So
    from 1.05 m to 5 m every cell straight ahead is free, though there are but 48 rows.
    """
    mounting = Mounting(0.9, pitch=math.radians(20), roll=0.05, yaw=yaw, x=0.3, y=-0.2)
    points = CAMERA.unproject(_floor_depth(mounting))
    picture = top_view(points, mounting)
    ahead = picture[ROWS - 1 - np.arange(21, 100), COLUMNS // 2]
    assert (ahead == FREE).all()
    assert not (picture == OBSTACLE).any()
    below_the_image = picture[ROWS - 1 - np.arange(18), COLUMNS // 2]  # nearer than 0.9 m
    assert (below_the_image == UNKNOWN).all()


def test_gap_in_the_floor_is_not_bridged():
    """Rows that are not trusted leave a band of unknown cells across."""
    mounting = Mounting(0.9, pitch=math.radians(20))
    depth = _floor_depth(mounting)
    distance = level_points(CAMERA.unproject(depth), mounting)[..., 0]
    depth[(distance > 2) & (distance < 3)] = np.nan
    picture = top_view(CAMERA.unproject(depth), mounting)
    assert (picture[ROWS - 1 - np.arange(42, 58), COLUMNS // 2] == UNKNOWN).all()
    assert (picture[ROWS - 1 - np.arange(25, 37), COLUMNS // 2] == FREE).all()


def test_floor_is_not_joined_across_an_edge():
    """Two floor pixels above each other, 1 m apart: what lies between was not seen."""
    near, far = _optical(2.02, 0.01, -1.0), _optical(3.02, 0.01, -1.0)
    picture = top_view(np.stack((far, near)), LEVEL)
    assert _cells(picture, FREE) == [(160 - 1 - 60, 79), (160 - 1 - 40, 79)]
    joined = top_view(np.stack((_optical(2.42, 0.01, -1.0), near)), LEVEL)
    assert len(_cells(joined, FREE)) == 9  # cells 40 to 48


def test_floor_is_not_joined_to_what_stands_on_it():
    """Floor 2.02 m ahead, and above it in the picture a point 0.5 m high at 2.42 m."""
    points = np.stack((_optical(2.42, 0.01, -0.5), _optical(2.02, 0.01, -1.0)))
    picture = top_view(points, LEVEL)
    assert _cells(picture, FREE) == [(160 - 1 - 40, 79)]
    assert _cells(picture, OBSTACLE) == [(160 - 1 - 48, 79)]


def test_level_points_stand_upright():
    """
    Check the point on the axis of a camera 1 m high that looks down by 30 degrees.

    2 m along the axis it is on the floor, 2 cos(30 deg) = 1.732 m ahead, whatever the yaw.
    """
    mounting = Mounting(1.0, pitch=math.radians(30), yaw=0.7, x=5.0)
    point = level_points(np.array([0.0, 0.0, 2.0]), mounting)
    np.testing.assert_allclose(point, (math.sqrt(3), 0, 0), atol=1e-6)
    np.testing.assert_allclose(level_points(np.array([1.0, 2.0, 3.0]), None), (3, -1, -2))

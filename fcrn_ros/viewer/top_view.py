"""
The space ahead of a camera from above, in cells, as a costmap has it.

Convention: the picture's top is ahead of the camera, its left is to the left; the camera stands
in the middle of the bottom edge. A cell is 5 cm. Worked number: a point 2.02 m ahead and 0.31 m to
the left lies 40 cells ahead and 6 to the left: row 160 - 1 - 40 = 119, column 80 - 1 - 6 = 73.

Nothing is free or an obstacle unless the camera's place above the floor is known: without it a
cell with points is only ``SEEN``. A cell without points is ``UNKNOWN``, not free.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.mounting import BODY_R_OPTICAL, Mounting
from fcrn_ros.space.obstacles import Band

CELL = 0.05  # [m]
ROWS, COLUMNS = 160, 160  # 8 m ahead, 4 m to either side
UNKNOWN, FREE, OBSTACLE, SEEN = range(4)
FLOOR = 0.15  # a point within this of the floor belongs to it [m]
OBSTACLES = Band(0.15, 2.0, depth_error=0.1)
# between two neighbouring floor pixels nearer to each other than this, the floor was seen [m]
FLOOR_STEP = 0.5
STEPS = np.linspace(0, 1, 11, dtype=np.float32)[:, None, None]


def level_points(points: NDArray[np.floating], mounting: Mounting | None) -> NDArray[np.float32]:
    """
    Turn points upright, about the camera.

    :param points: (..., 3) [m], optical frame.
    :param mounting: None takes the camera as level.
    :return: (..., 3) float32 [m]: ahead of the camera, to its left, and above the floor; above the
        camera where there is no mounting.
    """
    if mounting is None:
        return np.asarray(points @ BODY_R_OPTICAL.T, np.float32)
    facing = replace(mounting, yaw=0.0)
    return np.asarray(points @ facing.floor_R_optical.T + (0, 0, mounting.height), np.float32)


def top_view(
    points: NDArray[np.floating],
    mounting: Mounting | None = None,
    marking: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """
    Sort points into cells.

    :param points: (h, w, 3) organised or (n, 3), [m], optical frame; NaN where there is none.
    :param mounting: the camera's place above the floor; None: not known.
    :param marking: (..., 3) [m], optical frame: the obstacles, where somebody else has found them;
        None: the points in ``OBSTACLES``.
    :return: (ROWS, COLUMNS) uint8: UNKNOWN, FREE, OBSTACLE or SEEN. An obstacle outweighs floor in
        its cell.
    """
    level = level_points(points, mounting)
    picture = np.full((ROWS, COLUMNS), UNKNOWN, np.uint8)
    if mounting is None:
        _draw(picture, level[..., :2], SEEN)
    else:
        floor = np.abs(level[..., 2]) <= FLOOR  # False for NaN
        _draw(picture, level[floor][:, :2], FREE)
        if points.ndim == 3:
            _draw(picture, _between(level[..., :2], floor), FREE)
        if marking is None:
            marking = points[OBSTACLES.holds(level[..., 2], None, mounting.height)]
    if marking is not None:
        _draw(picture, level_points(marking, mounting)[..., :2], OBSTACLE)
    return picture


def _between(places: NDArray[np.float32], floor: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return places on the lines between floor pixels above each other, (m, 2) [m]."""
    both = floor[1:] & floor[:-1]
    start, end = places[1:][both], places[:-1][both]
    near = np.hypot(*(end - start).T) < FLOOR_STEP
    start, end = start[near], end[near]
    return (start + (end - start) * STEPS).reshape(-1, 2)


def _draw(picture: NDArray[np.uint8], places: NDArray[np.float32], value: int) -> None:
    """Set the cells of (..., 2) places, ahead and to the left [m]; those outside are left out."""
    ahead, left = places.reshape(-1, 2).T
    known = np.isfinite(ahead) & np.isfinite(left)
    row = ROWS - 1 - np.floor(ahead[known] / CELL).astype(int)
    column = COLUMNS // 2 - 1 - np.floor(left[known] / CELL).astype(int)
    inside = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
    picture[row[inside], column[inside]] = value

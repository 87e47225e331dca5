"""
A room with boxes on its floor, as shapes: what every ray of a camera meets.

Convention: the floor frame of ``fcrn_ros.mounting`` (x ahead, y left, z up, origin on the floor
below the camera when the mounting has no offset), metres. Worked number: a camera 1 m high that
looks down by 30 degrees has the floor on its axis at a z-depth of 1 / sin(30 deg) = 2 m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR, WALL, CEILING, BOX = 0, 1, 2, 3  # labels; the box with index i of a scene has BOX + i


@dataclass(frozen=True)
class Box:
    """
    A box that stands on the floor.

    :param x: of the footprint's centre [m].
    :param y: likewise.
    :param size: depth, width and height [m].
    :param yaw: to the left [rad].
    :param look: ``cardboard``, ``wood`` or ``paint``.
    """

    x: float
    y: float
    size: tuple[float, float, float] = (0.4, 0.5, 0.5)
    yaw: float = 0.0
    look: str = 'cardboard'

    @property
    def floor_R_box(self) -> NDArray[np.float64]:
        """The rotation from the box's axes to the floor frame, (3, 3) float64."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])

    @property
    def corners(self) -> NDArray[np.float64]:
        """The corners in the floor frame, (8, 3) float64 [m]; the first four on the floor."""
        around = ((1, 1), (1, -1), (-1, -1), (-1, 1))
        local = np.array([(a, b, c) for c in (0, 2) for a, b in around]) * self.size / 2
        return local @ self.floor_R_box.T + (self.x, self.y, 0)


@dataclass(frozen=True)
class Scene:
    """
    A room with boxes in it.

    :param boxes: the first is the one that matters.
    :param low: least x, y, z of the room [m]; z is 0, the floor.
    :param high: greatest x, y, z [m].
    :param lamp: where the lamp is [m].
    :param ambient: share of the light that comes from everywhere.
    :param floor: ``planks``, ``tiles`` or ``carpet``.
    :param seed: of textures and colours.
    """

    boxes: tuple[Box, ...] = ()
    low: tuple[float, float, float] = (-1.5, -2.2, 0.0)
    high: tuple[float, float, float] = (5.0, 2.0, 2.6)
    lamp: tuple[float, float, float] = (2.2, 0.5, 2.4)
    ambient: float = 0.45
    floor: str = 'planks'
    seed: int = 1


@dataclass
class Hits:
    """
    What each ray meets.

    :param depth: (H, W) z-depth [m].
    :param label: (H, W), as in ``View``.
    :param axis: (H, W), of the surface's normal: 0, 1 or 2 of the room or box.
    :param cosine: (H, W), between normal and ray, times the ray's length.
    :param local: (H, W, 3), the point on the axes of the room or box [m].
    """

    depth: NDArray[np.float32]
    label: NDArray[np.int64]
    axis: NDArray[np.int64]
    cosine: NDArray[np.float32]
    local: NDArray[np.float32]


def cast(scene: Scene, origin: NDArray[np.float32], rays: NDArray[np.float32]) -> Hits:
    """Intersect every ray with the room from inside and with the boxes from outside."""
    low, high = (np.array(c, np.float32) for c in (scene.low, scene.high))
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        leaving = np.where(rays > 0, high - origin, low - origin) / rays
    leaving[~np.isfinite(leaving)] = np.inf
    axis = leaving.argmin(-1)
    depth = np.take_along_axis(leaving, axis[..., None], -1)[..., 0]
    label = np.where(axis == 2, np.where(rays[..., 2] > 0, CEILING, FLOOR), WALL)
    local = origin + depth[..., None] * rays
    cosine = np.abs(np.take_along_axis(rays, axis[..., None], -1)[..., 0])
    hits = Hits(depth, label, axis, cosine, local)
    for i, box in enumerate(scene.boxes):
        _put_box(hits, box, BOX + i, origin, rays)
    return hits


def _put_box(
    hits: Hits, box: Box, label: int, origin: NDArray[np.float32], rays: NDArray[np.float32]
) -> None:
    """Put a box in front of what was hit before."""
    turn = box.floor_R_box.astype(np.float32)
    start = (origin - np.array((box.x, box.y, 0), np.float32)) @ turn
    local = rays @ turn
    depth, width, height = box.size
    low = np.array((-depth / 2, -width / 2, 0), np.float32)
    high = np.array((depth / 2, width / 2, height), np.float32)
    local[np.abs(local) < 1e-9] = 1e-9
    near = np.where(local > 0, low - start, high - start) / local
    far = np.where(local > 0, high - start, low - start) / local
    entry, axis = near.max(-1), near.argmax(-1)
    seen = (entry > 0) & (entry < far.min(-1)) & (entry < hits.depth)
    hits.depth[seen], hits.label[seen], hits.axis[seen] = entry[seen], label, axis[seen]
    hits.local[seen] = start + entry[seen, None] * local[seen]
    hits.cosine[seen] = np.abs(np.take_along_axis(local[seen], axis[seen, None], -1)[:, 0])

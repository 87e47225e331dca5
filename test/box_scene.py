"""
The room of ``box_room`` as a photograph, with exact depth.

Surfaces have textures, a ceiling lamp throws soft shadows on the floor, corners and contacts are
darker, and the picture is exposed, blurred and noisy: the cues that a network takes depth from.
Frames and units are those of ``box_room``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from box_room import BOX, CEILING, FLOOR, WALL, Box, Hits, Scene, cast
from box_textures import SIDE, TEXTURES
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting

__all__ = ['BOX', 'CEILING', 'FLOOR', 'WALL', 'Box', 'Scene', 'View', 'render']
TEXEL, LEVELS = 0.005, 6  # [m]; textures blurred over 1, 2, 4 ... texels
CELL, CELLS = 0.02, 500  # [m] and a side of the light map of the floor, centred on LIT
LIT = (4.0, 0.0)


@dataclass
class View:
    """
    What the camera sees of a scene.

    :param picture: (H, W, 3) uint8 RGB.
    :param depth: (H, W) float32, z-depth [m].
    :param label: (H, W) int, ``FLOOR``, ``WALL``, ``CEILING`` or ``BOX`` and more.
    """

    picture: NDArray[np.uint8]
    depth: NDArray[np.float32]
    label: NDArray[np.int64]


def render(scene: Scene, camera: Camera, mounting: Mounting, noise: int = 1) -> View:
    """
    Return the photograph and its exact depth.

    :param camera: a pinhole camera.
    :param mounting: inside the room.
    :param noise: seed of the photograph's colour cast and noise.
    """
    rays = camera.rays() @ mounting.floor_R_optical.T.astype(np.float32)
    origin = np.array((mounting.x, mounting.y, mounting.height), np.float32)
    hits = cast(scene, origin, rays)
    albedo = _albedo(scene, hits, rays, camera)
    points = origin + hits.depth[..., None] * rays
    radiance = albedo * _light(scene, hits, points)[..., None]
    return View(_photograph(radiance, np.random.default_rng(noise)), hits.depth, hits.label)


def _albedo(
    scene: Scene,
    hits: Hits,
    rays: NDArray[np.float32],
    camera: Camera,
) -> NDArray[np.float32]:
    """Look every point up in its surface's texture, blurred by what one pixel covers."""
    covers = hits.depth * np.linalg.norm(rays, axis=-1) / (camera.fx * TEXEL)
    covers *= np.linalg.norm(rays, axis=-1) / np.maximum(hits.cosine, 0.05)
    level = np.clip(np.log2(np.maximum(covers, 1)) - 0.5, 0, LEVELS - 1).astype(int)
    looks = [scene.floor, 'wall', 'ceiling', *(b.look for b in scene.boxes)]
    result = np.empty((*hits.depth.shape, 3), np.float32)
    for label, look in enumerate(looks):
        texture = _levels(look, scene.seed + label)
        at = hits.label == label
        local, axis = hits.local[at], hits.axis[at]
        across = np.where(axis == 0, local[:, 1], local[:, 0])
        along = np.where(axis == 2, local[:, 1], local[:, 2])
        column, row = (np.floor(c / TEXEL).astype(int) % SIDE for c in (across, along))
        result[at] = texture[level[at], row, column]
        if look == 'wall':
            result[at & (hits.local[..., 2] < 0.08)] *= 0.5  # skirting
    return result


@lru_cache(maxsize=64)
def _levels(look: str, seed: int) -> NDArray[np.float32]:
    """Return a texture and its averages over 2, 4, 8 ... texels, (LEVELS, T, T, 3)."""
    texture = TEXTURES[look](np.random.default_rng(seed))
    levels = [texture]
    for k in range(1, LEVELS):
        small = cv2.resize(texture, (SIDE >> k,) * 2, interpolation=cv2.INTER_AREA)
        levels.append(cv2.resize(small, (SIDE, SIDE)))
    return np.stack(levels)


def _light(scene: Scene, hits: Hits, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what falls on every point: the lamp by Lambert's law, and all around."""
    to_lamp = np.array(scene.lamp, np.float32) - points
    far = np.linalg.norm(to_lamp, axis=-1)
    facing = np.abs(np.take_along_axis(to_lamp, hits.axis[..., None], -1)[..., 0])
    for i, box in enumerate(scene.boxes):
        at = hits.label == BOX + i
        turned = to_lamp[at] @ box.floor_R_box.astype(np.float32)
        outwards = turned * np.sign(hits.local[at])
        facing[at] = np.take_along_axis(outwards, hits.axis[at][:, None], -1)[:, 0].clip(0)
    shadow, open_sky = _floor_maps(scene)
    lit, corner = np.ones_like(far), np.ones_like(far)
    floor = hits.label == FLOOR
    cell = [((points[floor, k] - LIT[k]) / CELL).astype(int) + CELLS // 2 for k in (0, 1)]
    cell = [c.clip(0, CELLS - 1) for c in cell]
    lit[floor], corner[floor] = shadow[cell[1], cell[0]], open_sky[cell[1], cell[0]]
    on_box = hits.label >= BOX
    side = on_box & (hits.axis != 2)
    corner[side] = 1 - 0.5 * np.exp(-points[side, 2] / 0.15)
    corner[~on_box] *= _corners(scene, hits.axis[~on_box], points[~on_box])
    lamp = 4.0 * facing / far**3
    return ((1 - scene.ambient) * lit * lamp + scene.ambient * corner).astype(np.float32)


def _corners(
    scene: Scene, axis: NDArray[np.int64], points: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how much less light comes from all around where the room's faces meet."""
    low, high = (np.array(c, np.float32) for c in (scene.low, scene.high))
    gap = np.minimum(points - low, high - points)
    dim = 1 - 0.35 * np.exp(-gap / 0.3)
    np.put_along_axis(dim, axis[:, None], 1, -1)
    result: NDArray[np.float32] = dim.prod(-1)
    return result


def _floor_maps(scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the floor's maps of the lamp's light and of the light from all around, 0..1."""
    shadow = np.zeros((CELLS, CELLS), np.float32)
    feet = np.ones((CELLS, CELLS), np.uint8)
    lamp = np.array(scene.lamp)
    ring = [(0.25 * math.cos(a), 0.25 * math.sin(a), 0) for a in np.arange(12) * math.pi / 6]
    for box in scene.boxes:
        cv2.fillConvexPoly(feet, _cells(box.corners[:4]), 0)
        for offset in ring:
            start, corners = lamp + offset, box.corners
            if box.size[2] >= start[2] - 0.1:
                continue
            reach = start[2] / (start[2] - corners[:, 2])
            cast = start + reach[:, None] * (corners - start)
            part = np.zeros((CELLS, CELLS), np.uint8)
            cv2.fillConvexPoly(part, cv2.convexHull(_cells(cast)), 1)
            shadow += part / np.float32(len(ring))
    near = cv2.distanceTransform(feet, cv2.DIST_L2, 3) * CELL
    return 1 - np.minimum(shadow, 1), 1 - 0.65 * np.exp(-near / 0.12)


def _cells(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round((points[:, :2] - LIT) / CELL + CELLS // 2).astype(np.int32)


def _photograph(radiance: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Expose, fade to the corners, blur, add noise, apply sRGB's curve, roughly a power of 2.2."""
    height, width = radiance.shape[:2]
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    cast = rng.uniform(0.9, 1.1, 3).astype(np.float32)
    exposed = radiance * (0.22 / np.median(radiance)) * cast
    exposed *= (1 - 0.12 * (u**2 + v**2))[..., None]
    exposed = cv2.GaussianBlur(exposed, (0, 0), 0.7 * width / 640 + 0.2)
    exposed += rng.standard_normal(exposed.shape, np.float32) * 0.01 * np.sqrt(exposed)
    curve = np.clip(exposed / (1 + 0.25 * exposed), 0, 1) ** (1 / 2.2)
    result: NDArray[np.uint8] = (255 * curve + 0.5).astype(np.uint8)
    return result

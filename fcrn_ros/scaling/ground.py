"""
The floor in a depth image.

Convention: a camera in its mounting, the floor frame's axes (``fcrn_ros.mounting``: ahead, left,
up) with the origin in the camera; heights are metres below the camera, in the depth's own metres.
Worked number: a level camera with fy = 100 px sees, 50 px below its principal point, 0.5 m of drop
for each metre of z-depth. A depth of 2.4 m there is a floor 1.2 m below the camera.

A network's floor melts into what stands on it, always upwards; where it is sure of the floor, it
is right. So pixels count by the eighth power of their confidence, and the floor's height is the
80th percentile of its pixels' heights, not their median: that is within 2 % of the scale of the
whole scene on held-out frames of NYU Depth v2 (benchmarks/ground_scale.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting

COLUMNS = 128  # a larger image is sampled, to about so many
STEP = 3  # pixels of the sampled image to each side, over which the slope of a surface is taken
STEEPEST = math.radians(20)  # a surface within it is level
FLATTEST = 0.05  # drop for each metre of depth; below it, a degree of tilt moves the floor away
BIN, LOWEST, HIGHEST = 0.05, math.log(0.02), math.log(50.0)  # of the histogram of log heights
RANGE_OF_SCALE = 0.5  # log units: how far the scale of depth is from 1, before the floor tells
LARGE = 0.1  # of the likeliest plane: a lower plane that is so likely is the floor
NEAR = 0.2  # log units: pixels so near to the plane take part in the fit
UPPER = 0.8  # quantile of the floor pixels' heights that is the floor's
LEAST_PIXELS = 40  # of the sampled image
LEAST_EVIDENCE = 0.001  # share of a sure image
LEAST_NOISE = 0.01  # of the height
TILT = math.radians(1)  # how well a mounting's angles are known
MOST_TILT = math.radians(8)  # a surface that leans more is not the floor of this mounting
FLAT = 5.0  # times less residual
INDEPENDENT = 5.0  # errors of depth are smooth: all pixels of a floor tell as much as so many


@dataclass(frozen=True)
class Ground:
    """
    A floor that was found.

    :param up: (3,) float64 of length 1, away from the floor, in the optical frame.
    :param height: of the camera above it, in the depth's metres.
    :param middle: of the camera above the median of the floor's pixels, which melt upwards into
        what stands on them: what is to be told from the floor has to rise above this.
    :param evidence: 0..1: share of the image that shows it, by confidence.
    :param spread: standard deviation of its pixels' log heights.
    :param error: estimated standard deviation of the logarithm of ``height``, against the scale of
        the whole depth image.
    """

    up: NDArray[np.float64]
    height: float
    middle: float
    evidence: float
    spread: float
    error: float

    def scaled(self, factor: float) -> Ground:
        """Return the floor of the depth multiplied by a factor."""
        return replace(self, height=self.height * factor, middle=self.middle * factor)


def find_ground(
    depth: NDArray[np.float32],
    camera: Camera,
    mounting: Mounting,
    confidence: NDArray[np.float32] | None = None,
) -> Ground | None:
    """
    Find the floor: the lowest large level surface.

    The angles of the mounting are taken as known within a few degrees, its height as a hint among
    several levels, since depth may have any scale.

    :param depth: (h, w) float32, z-depth [m]; pixels that are not finite or positive are ignored.
    :param camera: pinhole camera of the depth.
    :param mounting: of the camera.
    :param confidence: (h, w) float32, 0..1; None: depth is measured, every pixel is sure.
    :return: None where no floor is seen.
    :raises ValueError: ``depth`` is not the camera's (h, w).
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(
            f"depth is {depth.shape}; expected the camera's ({camera.height}, {camera.width})"
        )
    rows, stride, rays = _rays(camera, mounting)
    with np.errstate(invalid='ignore', over='ignore'):  # infinite and huge depth
        points = rays * depth[rows, ::stride]
        seen = _level(points)
    if seen.sum() < LEAST_PIXELS:
        return None
    ahead, left, height = points[:, seen]
    weight = np.ones_like(height)
    if confidence is not None:
        weight = np.fmax(confidence[rows, ::stride][seen], 0) ** 8  # NaN is not sure
    mode = _lowest_mode(np.log(height), weight, math.log(mounting.height))
    near = np.abs(np.log(height) - mode) < NEAR
    if near.sum() < LEAST_PIXELS:
        return None
    share = 1 / (len(depth[::stride]) * points.shape[2])
    return _fit(np.stack((ahead, left, height))[:, near], weight[near], share, mounting)


@lru_cache(maxsize=16)
def _rays(camera: Camera, mounting: Mounting) -> tuple[slice, int, NDArray[np.float32]]:
    """
    Return what of the image is looked at, and its rays.

    :return: the rows that see below the horizon, the stride, and (3, h, w) float32: metres ahead,
        left and down for each metre of z-depth; read-only.
    """
    stride = max(1, camera.width // COLUMNS)
    rays = camera.rays()[::stride, ::stride] @ mounting.floor_R_optical.T.astype(np.float32)
    rays[..., 2] *= -1
    below = np.flatnonzero((rays[..., 2] > FLATTEST).any(1))
    first, last = (int(below[0]), int(below[-1]) + 1) if len(below) else (0, 0)
    rows = slice(first * stride, last * stride, stride)
    result = np.ascontiguousarray(np.moveaxis(rays[first:last], -1, 0))
    result[:, result[2] <= FLATTEST] = np.nan
    result.flags.writeable = False
    return rows, stride, result


def _level(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (h, w): which pixels lie on a level surface below the camera."""
    level = np.zeros(points.shape[1:], np.bool_)
    if min(level.shape) <= 2 * STEP:
        return level
    inner = slice(STEP, -STEP)
    across = points[:, inner, 2 * STEP :] - points[:, inner, : -2 * STEP]
    along = points[:, 2 * STEP :, inner] - points[:, : -2 * STEP, inner]
    slope = math.tan(STEEPEST) ** 2
    flat = points[2, inner, inner] > 0  # False for NaN, as all that follows
    for ahead, left, down in (across, along):
        flat &= down * down < slope * (ahead * ahead + left * left)
    level[inner, inner] = flat
    return level


def _lowest_mode(
    heights: NDArray[np.float32], weight: NDArray[np.float32], expected: float
) -> float:
    """Return the log height of the lowest plane that is likely; log heights are a histogram."""
    bins = int((HIGHEST - LOWEST) / BIN)
    index = np.clip((heights - LOWEST) / BIN, 0, bins - 1).astype(np.intp)
    mass = np.convolve(np.bincount(index, weight, bins), (0.5, 1, 1, 1, 0.5), 'same')
    centres = LOWEST + BIN * (np.arange(bins) + 0.5)
    likely = mass * np.exp(-0.5 * ((centres - expected) / RANGE_OF_SCALE) ** 2)
    at = int(np.flatnonzero(likely >= LARGE * likely.max())[-1])
    while at and mass[at - 1] > mass[at]:
        at -= 1
    return float(centres[at])


def _fit(
    points: NDArray[np.float32], weight: NDArray[np.float32], share: float, mounting: Mounting
) -> Ground | None:
    """Fit a plane to (3, n) points ahead, left and down; ``share`` of the image is one of them."""
    evidence = float(weight.sum()) * share
    if evidence < LEAST_EVIDENCE:
        return None
    height = points[2].astype(np.float64)
    design = np.stack((np.ones_like(height), *points[:2].astype(np.float64)))
    plane = _held_plane(design, height, weight / weight.sum())
    up = np.array([plane[1], plane[2], 1.0])
    length = float(np.linalg.norm(up))
    distance = float(plane[0]) / length
    if plane[0] <= 0 or length * math.cos(MOST_TILT) > 1:
        return None
    above = np.log(height / np.maximum(plane @ design, 0.1 * plane[0]))
    return Ground(
        up=mounting.floor_R_optical.T @ (up / length),
        height=distance * math.exp(_quantile(above, weight)),
        middle=distance * math.exp(float(np.median(above))),
        evidence=evidence,
        spread=float(np.std(above)),
        error=_error(evidence),
    )


def _held_plane(
    design: NDArray[np.float64], height: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return height, slope ahead and slope to the left of the plane through points.

    Least squares with the precision of the mounting's angles on the diagonal (ridge regression);
    the noise is the residual of a level plane. Where a free plane leaves so much less that the
    surface is truly flat, the angles are wrong, and it is the one.

    :param design: (3, n), 1 and the metres ahead and to the left.
    :param height: (n,) [m].
    :param weight: (n,), with the sum 1.
    """
    normal, right = (design * weight) @ design.T, (design * weight) @ height
    floor = (LEAST_NOISE * float(right[0])) ** 2
    held, noise = np.array([right[0], 0.0, 0.0]), 0.0
    for _ in range(2):
        noise = float(weight @ (height - held @ design) ** 2) + floor
        prior = np.diag((0.0, TILT**-2, TILT**-2)) * noise / INDEPENDENT
        held = np.linalg.solve(normal + prior, right)
    free = np.linalg.solve(normal + 1e-9 * floor * np.eye(3), right)
    left = float(weight @ (height - free @ design) ** 2) + floor
    return free if left * FLAT**2 < noise else held


def _quantile(values: NDArray[np.float64], weight: NDArray[np.float32]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, UPPER * total[-1])]])


def _error(evidence: float) -> float:
    """Return the error that floors of such evidence had (benchmarks/ground_scale.py)."""
    return 0.04 + 0.36 / (1 + evidence / 0.008)

"""
The bearings of a laser scan, and which rays of a camera look through its band of heights.

Convention: a scan frame has z up (x ahead, y to the left) with its origin on the floor; bearings
are counted from its x axis to the left [rad], ranges along the floor from its origin [m]. Worked
number: a camera 0.5 m up looks through heights from 0.1 to 1 m. A ray that falls by 0.2 m a metre
leaves them after (0.5 - 0.1) / 0.2 = 2 m: it tells nothing of what is farther away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.space.obstacles import Band


@dataclass(frozen=True)
class ScanLimits:
    """
    What a scan looks at.

    :param band: the heights at which something is an obstacle.
    :param range_min: an obstacle nearer than this is -Inf [m].
    :param range_max: how far +Inf is free [m].
    :param min_points: an obstacle has so many points at one bearing, and the last of them gives
        the range; fewer are noise, or too thin to tell: NaN.
    :raises ValueError: the ranges are not in order, or ``min_points`` is not positive.
    """

    band: Band
    range_min: float
    range_max: float
    min_points: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.range_min < self.range_max < math.inf:
            raise ValueError(
                f'range_min is {self.range_min:g}, range_max {self.range_max:g}; '
                'expected 0 <= range_min < range_max'
            )
        if self.min_points < 1:
            raise ValueError(f'min_points is {self.min_points}; expected 1 or more')


@dataclass(frozen=True)
class Sweep:
    """
    The bearings of a scan, and which rays look through its band; from the mounting alone.

    :param angle_min: bearing of the first range [rad].
    :param angle_increment: between ranges [rad]; never smaller than between two pixels, so that no
        bearing is empty.
    :param count: number of ranges.
    :param beam: (n,) int32, the range that every ray belongs to; -1 where it misses the band.
    :param way: (n,) float32, length of a ray [m] up to where it leaves the band, or has passed the
        largest range for sure.
    :param far: (n,) bool, whether it is in the band all the way to there.
    """

    angle_min: float
    angle_increment: float
    count: int
    beam: NDArray[np.int32]
    way: NDArray[np.float32]
    far: NDArray[np.bool_]

    @property
    def angle_max(self) -> float:
        """Bearing of the last range [rad]."""
        return self.angle_min + (self.count - 1) * self.angle_increment

    def beams(self, bearing: NDArray[np.floating]) -> NDArray[np.int32]:
        """Return the number of the range at each bearing; -1 outside of the sweep and for NaN."""
        middle = (self.angle_min + self.angle_max) / 2
        offset = _turned(bearing - middle)
        number = np.rint(offset / self.angle_increment + (self.count - 1) / 2)
        inside = (number >= 0) & (number < self.count)
        return np.where(inside, number, -1).astype(np.int32)


def lay_out(
    rays: Sequence[NDArray[np.float32]],
    scan_T_optical: NDArray[np.float64],
    limits: ScanLimits,
    angle_increment: float = 0.0,
) -> Sweep:
    """
    Lay out a scan.

    :param rays: of each view, (h, w, 3) float32, ``Camera.rays`` turned into the optical frame;
        NaN where the lens does not see or another view does.
    :param scan_T_optical: (4, 4) float64, from the optical frame to the scan's [m].
    :param limits: what it looks at.
    :param angle_increment: at least so much [rad]; 0 takes the largest angle between two pixels of
        a row.
    :raises ValueError: no ray passes through the band within the ranges, or the increment is
        negative, or 0 where no row has two pixels.
    """
    parts = [_passage(view.astype(np.float64), scan_T_optical, limits) for view in rays]
    increment = max(angle_increment, *(part.step for part in parts))
    bearing = np.concatenate([part.bearing for part in parts])
    if not np.isfinite(bearing).any():
        band = limits.band
        raise ValueError(
            f'no pixel sees heights of {band.low:g} to {band.high:g} m within '
            f'{limits.range_max:g} m; expected a camera that does'
        )
    if angle_increment < 0 or increment == 0:
        raise ValueError(f'angle_increment is {angle_increment:g}; expected more than 0')
    both = np.concatenate([bearing, *(part.first for part in parts)])
    low, high = _span(both[np.isfinite(both)])
    count = math.floor((high - low) / increment) + 1
    start = (low + high - (count - 1) * increment) / 2
    way = np.concatenate([part.way for part in parts]).astype(np.float32)
    far = np.concatenate([part.far for part in parts])
    angles = Sweep(start, increment, count, np.empty(0, np.int32), way, far)
    return replace(angles, beam=angles.beams(bearing))


@dataclass(frozen=True)
class _Passage:
    """
    Where the rays of one view pass through the band.

    :param bearing: (n,) of the place where they have done so [rad]; NaN where a ray misses it.
    :param first: (n,) of the place where they begin to; likewise.
    :param step: largest angle between two neighbours of a row, seen from the camera [rad].
    :param way: as in ``Sweep``.
    :param far: as in ``Sweep``.
    """

    bearing: NDArray[np.float64]
    first: NDArray[np.float64]
    step: float
    way: NDArray[np.float64]
    far: NDArray[np.bool_]


def _passage(
    rays: NDArray[np.float64], scan_T_optical: NDArray[np.float64], limits: ScanLimits
) -> _Passage:
    band, (x, y, height) = limits.band, scan_T_optical[:3, 3]
    ahead, left, rise = np.moveaxis(rays @ scan_T_optical[:3, :3].T, -1, 0)
    along = np.hypot(ahead, left)
    with np.errstate(divide='ignore', invalid='ignore'):
        # factors on the ray
        nearest = limits.range_min / along
        largest = limits.range_max * (1 + band.depth_error) / along
        above, below = _from_to(rise, band.low - height), _from_to(-rise, height - band.high)
        start = np.maximum(np.maximum(above[0], below[0]), nearest)
        end = np.minimum(np.minimum(above[1], below[1]), largest)
        seen = start < end  # False for NaN
        places = [np.arctan2(y + s * left, x + s * ahead) for s in (end, start)]
        way = end * np.linalg.norm(rays, axis=-1)
    bearing, first = (np.where(seen, place, np.nan).ravel() for place in places)
    step = _largest_step(np.where(seen, np.arctan2(left, ahead), np.nan))
    return _Passage(bearing, first, step, way.ravel(), (seen & (end >= largest)).ravel())


def _from_to(
    slope: NDArray[np.float64], offset: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of factors s >= 0 with s * slope >= offset; from > to where none is."""
    crossing = offset / slope
    if offset > 0:
        return np.where(slope > 0, crossing, np.inf), np.where(slope > 0, np.inf, 0.0)
    return np.zeros_like(slope), np.where(slope < 0, crossing, np.inf)


def _span(bearing: NDArray[np.float64]) -> tuple[float, float]:
    """Return the first and the last bearing, wherever the circle begins."""
    middle = math.atan2(float(np.sin(bearing).mean()), float(np.cos(bearing).mean()))
    offset = _turned(bearing - middle)
    return middle + float(offset.min()), middle + float(offset.max())


def _largest_step(bearing: NDArray[np.float64]) -> float:
    """Return the largest angle between two neighbours of a row; 0 where there are none."""
    step = np.abs(_turned(np.diff(bearing, axis=1)))
    return float(step[np.isfinite(step)].max(initial=0.0))


def _turned(angle: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return angles in [-pi, pi)."""
    return np.remainder(angle + math.pi, 2 * math.pi) - math.pi

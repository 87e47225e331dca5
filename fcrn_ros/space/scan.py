"""
A laser scan out of depth: the nearest obstacle at every bearing, in a level band of heights.

Convention: that of ``sweep``. Values are REP 117's: +Inf, nothing up to the largest range; -Inf,
nearer than the smallest; NaN, not known. Worked number: a camera at the origin that looks ahead
sees a box 2 m ahead and 0.5 m to the left at range sqrt(4 + 0.25) = 2.062 m and bearing
atan2(0.5, 2) = 0.245 rad.

Nav2 clears along a range, and along +Inf where ``inf_is_valid`` is set, and does nothing along NaN
and -Inf. So +Inf is said only where rays have been seen to pass through the band: a bearing whose
pixels are not trusted, or end in the floor before the largest range, is NaN. So is one with points
that lie in the band but may be lifted floor, by the errors that the band allows for; and a ray has
to go beyond the largest range by the depth error to prove it free.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.space.sweep import ScanLimits, Sweep

# a bearing is free when this share of the rays through its band is known to be
KNOWN_SHARE = 0.9
# a ray of this share of a distance has passed it: rounding, and floor that is not quite level
NEARLY = 0.99


def laser_scan(
    points: NDArray[np.float32],
    ends: NDArray[np.float32],
    scan_T_optical: NDArray[np.float64],
    sweep: Sweep,
    limits: ScanLimits,
) -> NDArray[np.float32]:
    """
    Return the range at every bearing of a sweep.

    :param points: (n, 3 or more) float32 [m], surfaces in the optical frame, in the order of the
        sweep's rays; NaN where there is none.
    :param ends: the same shape, as ``ray_ends`` returns them.
    :param scan_T_optical: (4, 4) float64 [m]: the mounting's, or that of the floor found in this
        depth; it may differ a little from the one that the sweep was laid out with.
    :param sweep: of the same rays and limits.
    :param limits: what the scan looks at.
    :return: (sweep.count,) float32 [m]; +Inf, -Inf and NaN as above.
    :raises ValueError: the numbers of points and rays differ.
    """
    for name, array in (('points', points), ('ends', ends)):
        if array.ndim != 2 or len(array) != len(sweep.beam):
            raise ValueError(f"{name} are {array.shape}; expected the sweep's {len(sweep.beam)}")
    beam, distance, firm = _in_band(points, scan_T_optical, sweep, limits)
    ranges = np.full(sweep.count, np.nan, np.float32)
    seen = np.bincount(beam, minlength=sweep.count)
    ranges[_known(ends, sweep) & (seen == 0)] = np.inf
    beam, distance = beam[firm], distance[firm]
    found = np.bincount(beam, minlength=sweep.count)
    # sorting one number per point puts them in order of bearing, and of range within it
    turn = 2 * limits.range_max
    order = np.sort(beam * turn + distance)
    enough = np.flatnonzero(found >= limits.min_points)
    last = (np.cumsum(found) - found)[enough] + limits.min_points - 1
    nearest = order[last] - enough * turn
    ranges[enough] = np.where(nearest < limits.range_min, -np.inf, nearest)
    return ranges


def _in_band(
    points: NDArray[np.float32],
    scan_T_optical: NDArray[np.float64],
    sweep: Sweep,
    limits: ScanLimits,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_]]:
    """
    Find the points in the band and within range.

    :return: of each, its number of range, its distance [m], and whether it is an obstacle for
        sure: one that may be lifted floor is none, and is not free space either.
    """
    transform, band = scan_T_optical.astype(np.float32), limits.band
    place = points[:, :3] @ transform[:3, :3].T
    place[:, 2] += transform[2, 3]
    inside = (place[:, 2] >= band.low) & (place[:, 2] <= band.high)
    place = place.take(np.flatnonzero(inside), axis=0)
    firm = band.holds(place[:, 2], np.hypot(place[:, 0], place[:, 1]), float(transform[2, 3]))
    ahead, left = place[:, 0] + transform[0, 3], place[:, 1] + transform[1, 3]
    beam, distance = sweep.beams(np.arctan2(left, ahead)), np.hypot(ahead, left)
    within = (beam >= 0) & (distance < limits.range_max)
    return beam[within], distance[within].astype(np.float64), firm[within]


def _known(ends: NDArray[np.float32], sweep: Sweep) -> NDArray[np.bool_]:
    """Tell at which bearings enough rays have passed the band, and the largest range in it."""
    length = np.sqrt(np.einsum('ij,ij->i', ends[:, :3], ends[:, :3]))
    looking = sweep.beam >= 0
    passed = looking & (length >= NEARLY * sweep.way)  # False for NaN
    known = np.ones(sweep.count, np.bool_)
    for rays in (looking, sweep.far):
        asked = np.bincount(sweep.beam[rays], minlength=sweep.count)
        told = np.bincount(sweep.beam[rays & passed], minlength=sweep.count)
        known &= (told >= KNOWN_SHARE * asked) & (asked > 0)
    return known

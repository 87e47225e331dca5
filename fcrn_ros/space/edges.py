"""
Flying pixels: depth that hangs between two surfaces at a depth discontinuity.

Where a near surface ends before a far one, a network or an interpolation lets depth melt from one
to the other, and the pixels between become points in the air. A pixel counts as flying when it
stands clear of both the nearest and the farthest depth around it, and the surface bends there. A
plane never bends in inverse depth, which is linear in the pixel (1/z = (n . ray) / distance): so a
floor is kept however flat it is looked at.

Everything is relative: a factor on all depths changes nothing.

Worked number: a row melts from 1 m over 2 m to 4 m. At strength 1 a pixel has to stand clear by 7
%: 2 m is farther than 1.07 * 1 m and nearer than 4 m / 1.07; inverse depths 1, 0.5, 0.25 bend by
|1 - 2 * 0.5 + 0.25| / 0.5 = 50 % of the pixel's own. It flies; 1 m and 4 m stay.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

CLEAR = 0.07  # at strength 1: share of depth by which a flying pixel is clear of both surfaces
BEND = 0.5  # the least bend of inverse depth, as a share of the clearance
BAND = 64  # rows that are worked on together, so that temporary arrays stay small
MELT = 2  # [px] from a pixel to its surfaces, on the grid of the network's output


def flying_pixels(
    depth: NDArray[np.float32], strength: float, reach: int = 1
) -> NDArray[np.bool_]:
    """
    Find the pixels on depth discontinuities.

    :param depth: (h, w) float32, z-depth or range in any unit; what is not finite or not positive
        is no evidence: it neither flies nor makes its neighbours fly.
    :param strength: a flying pixel is clear of both surfaces by 7 % / strength of its depth, so
        that more finds fainter edges; 0 finds none.
    :param reach: pixels of ``depth`` to one of the grid that it was enlarged from; 1 where it was
        not.
    :return: (h, w) bool; True where the depth belongs to no surface.
    :raises ValueError: ``depth`` is not such an array, strength is not finite or negative, or
        reach is not positive.
    """
    _check(depth, strength, reach)
    if strength == 0:
        return np.zeros(depth.shape, bool)
    if reach > 1:
        return _enlarged(depth, strength, reach)
    found = np.empty(depth.shape, bool)
    margin = 2 * MELT  # rows that a row's answer depends on
    for top in range(0, len(depth), BAND):
        first = max(0, top - margin)
        band = _flying(depth[first : top + BAND + margin], CLEAR / strength)
        found[top : top + BAND] = band[top - first :][:BAND]
    return found


def _enlarged(depth: NDArray[np.float32], strength: float, reach: int) -> NDArray[np.bool_]:
    """Judge the middle pixel of every reach x reach ones for all of them."""
    found = np.zeros(depth.shape, bool)
    grid = depth[reach // 2 :: reach, reach // 2 :: reach]
    if grid.size:
        blocks = flying_pixels(np.ascontiguousarray(grid), strength)
        blocks = blocks.repeat(reach, 0).repeat(reach, 1)[: len(depth), : depth.shape[1]]
        found[: len(blocks), : blocks.shape[1]] = blocks
    found &= (depth > 0) & (depth < np.inf)
    return found


def _check(depth: NDArray[np.float32], strength: float, reach: int) -> None:
    if depth.ndim != 2 or depth.dtype != np.float32:
        raise ValueError(f'depth is {depth.shape} {depth.dtype}; expected (h, w) float32')
    if not 0 <= strength < math.inf:
        raise ValueError(f'strength is {strength:g}; expected a finite number of 0 or more')
    if reach < 1:
        raise ValueError(f'reach is {reach}; expected 1 or more')


def _flying(depth: NDArray[np.float32], clear: float) -> NDArray[np.bool_]:
    """
    Return the pixels that stand between two surfaces, near a bend.

    :param clear: share of depth by which they are clear of both.
    """
    window = np.ones((2 * MELT + 1,) * 2, np.uint8)
    found = (depth > 0) & (depth < np.inf)  # False for NaN
    near, far = (np.where(found, depth, np.float32(none)) for none in (np.inf, 0))
    cv2.erode(near, window, near)
    cv2.dilate(far, window, far)
    with np.errstate(over='ignore'):  # where all are unknown
        near *= np.float32(1 + clear)
    far /= np.float32(1 + clear)
    found &= depth > near
    found &= depth < far
    if found.any():
        found &= cv2.dilate(_bends(depth, BEND * clear), window).view(bool)
    return found


def _bends(depth: NDArray[np.float32], least: float) -> NDArray[np.uint8]:
    """
    Return where inverse depth i bends along row or column: |i(-2) - 2 i(0) + i(2)| > least i(0).

    :return: (h, w) uint8, 1 where it bends; 0 also where one of the three is not known.
    """
    with np.errstate(divide='ignore', over='ignore'):
        inverse = np.float32(1) / depth
    inverse[~((inverse > 0) & (inverse < np.inf))] = np.nan
    found = np.zeros(depth.shape, np.uint8)
    for i, out in ((inverse, found), (inverse.T, found.T)):
        middle = i[MELT:-MELT]
        second = i[: -2 * MELT] + i[2 * MELT :]
        second -= middle
        second -= middle
        np.abs(second, out=second)
        second /= middle
        out[MELT:-MELT] |= second > np.float32(least)  # False for NaN
    return found

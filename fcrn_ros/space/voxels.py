"""
Fewer points: one for every cube of space that has some.

Convention: cubes of ``size`` metres whose corners lie at whole multiples of it, in the points' own
frame. Worked number: with a size of 0.1 m, the points x = 0.31 and x = 0.37 (y = z = 0.05) lie in
the cube from 0.3 to 0.4 and become one at x = 0.34; x = 0.41 stays alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# a key is three whole numbers of a cube, below 2^53 together, so that float64 holds it
CUBE_BITS = 17
CUBES = 1 << CUBE_BITS - 1  # to each side of the origin


def downsample(
    points: NDArray[np.float32], size: float, min_points: int = 1
) -> NDArray[np.float32]:
    """
    Return the mean of the points in every cube, with the colour of the first of them.

    :param points: (n, 4) float32: x, y, z [m] and the bits of a colour; all finite.
    :param size: edge of the cubes [m]; 0 changes nothing.
    :param min_points: a cube with fewer is left out. Points of one surface lie farther apart the
        farther it is: more than 1 takes away what is far before what is noise.
    :return: (m, 4) float32, ordered by place.
    :raises ValueError: the size is negative, or a point is too far away for it.
    """
    if size < 0:
        raise ValueError(f'voxel size is {size:g} m; expected 0 or more')
    if size == 0 or not len(points):
        return points
    keys = _keys(points, size)
    # neighbours in an image are neighbours in space: a sort that looks for runs is the fastest
    order = np.argsort(keys, kind='stable')
    keys = keys.take(order)
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    count = np.diff(first, append=len(keys))
    points = points.take(order, axis=0)
    result = points.take(first, axis=0)
    # offsets from a point of the cube: sums of them keep float32's precision
    offsets = points[:, :3] - result.repeat(count, axis=0)[:, :3]
    result[:, :3] += np.add.reduceat(offsets, first, axis=0) / count[:, None].astype(np.float32)
    return result if min_points <= 1 else result[count >= min_points]


def _keys(points: NDArray[np.float32], size: float) -> NDArray[np.float64]:
    """Return one number for each point, (n,), the same for those of one cube."""
    cubes = np.floor(points[:, :3] * np.float32(1 / size)).astype(np.float64)
    if np.abs(cubes).max() >= CUBES:
        far = np.abs(points[:, :3]).max()
        raise ValueError(
            f'a point is {far:g} m away; expected less than {CUBES * size:g} m '
            f'with a voxel size of {size:g} m'
        )
    weights = np.array([1 << 2 * CUBE_BITS, 1 << CUBE_BITS, 1], np.float64)
    keys: NDArray[np.float64] = cubes @ weights
    return keys

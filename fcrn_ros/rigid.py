"""
Rigid transforms as matrices, and as the numbers that messages have.

Convention: target_T_source is (4, 4) float64 and takes points [m] of the frame source into the
frame target. Worked number: x = 1 m and a turn by 90 degrees about z (quaternion 0, 0, 0.7071,
0.7071) take (0.2, 0, 0) to (1, 0.2, 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float] | NDArray[np.float64]


def matrix(translation: Numbers, quaternion: Numbers) -> NDArray[np.float64]:
    """
    Return a transform as a matrix.

    :param translation: x, y, z [m].
    :param quaternion: x, y, z, w; of any length but 0.
    :return: (4, 4) float64.
    :raises ValueError: a number is not finite, or the quaternion has no length.
    """
    numbers = np.array([*translation, *quaternion], np.float64)
    length = float(np.linalg.norm(numbers[3:]))
    if not np.isfinite(numbers).all() or length < 1e-6:
        raise ValueError(
            f'transform is {numbers.tolist()}; expected finite x, y, z and a rotation'
        )
    axis, w = numbers[3:6] / length, numbers[6] / length
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result = np.eye(4)
    result[:3, :3] = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    result[:3, 3] = numbers[:3]
    return result


def quaternion(target_T_source: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """
    Return the rotation of a transform as x, y, z, w of length 1.

    By the largest of the four (Shepperd, "Quaternion from Rotation Matrix", 1978): q q^T times 4
    has 1 + trace, and sums and differences of the matrix's elements, beside it.
    """
    r = target_T_source[:3, :3]
    outer = np.array(
        [
            [
                1 + r[0, 0] - r[1, 1] - r[2, 2],
                r[0, 1] + r[1, 0],
                r[0, 2] + r[2, 0],
                r[2, 1] - r[1, 2],
            ],
            [
                r[0, 1] + r[1, 0],
                1 - r[0, 0] + r[1, 1] - r[2, 2],
                r[1, 2] + r[2, 1],
                r[0, 2] - r[2, 0],
            ],
            [
                r[0, 2] + r[2, 0],
                r[1, 2] + r[2, 1],
                1 - r[0, 0] - r[1, 1] + r[2, 2],
                r[1, 0] - r[0, 1],
            ],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + np.trace(r)],
        ]
    )
    column = outer[:, int(np.argmax(np.diag(outer)))]
    x, y, z, w = (column / np.linalg.norm(column)).tolist()
    return x, y, z, w


def inverse(target_T_source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return source_T_target, (4, 4) float64."""
    result = np.eye(4)
    result[:3, :3] = target_T_source[:3, :3].T
    result[:3, 3] = -result[:3, :3] @ target_T_source[:3, 3]
    return result

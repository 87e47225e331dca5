"""
Protocols: which pixels of a recorded depth image count, and how a prediction is limited.

``native`` takes every recorded pixel at the picture's own size. ``nyu`` and ``kitti`` are what
published tables use: a crop, a range of recorded depths, and predictions clipped to that range; a
pixel without a prediction counts there as the nearest depth, so that silence gains nothing.
Worked number: of a 375 x 1242 KITTI picture the rows from int(0.40810811 * 375) = 153 up to, not
including, 371, and the columns from 44 up to 1197 count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Protocol:
    """
    One way to evaluate.

    :param name: for people and files.
    :param rows: first and end row of the crop [px of ``size``]; shares of the height where there
        is no ``size``.
    :param columns: likewise.
    :param size: (rows, columns) [px] that the depth must have; None takes any.
    :param limits: (nearest, farthest) z-depth [m]: recorded depth strictly between them counts,
        and predictions are clipped to them; None counts and keeps everything.
    """

    name: str
    rows: tuple[float, float] = (0.0, 1.0)
    columns: tuple[float, float] = (0.0, 1.0)
    size: tuple[int, int] | None = None
    limits: tuple[float, float] | None = None

    def window(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """
        Return the rows and columns that count.

        :param shape: (H, W) of the depth.
        :raises ValueError: the protocol is defined for another size.
        """
        if self.size is None:
            unit = shape
        elif shape == self.size:
            unit = (1, 1)
        else:
            raise ValueError(
                f'depth is {shape[1]}x{shape[0]}; expected {self.size[1]}x{self.size[0]}, '
                f'for which the {self.name} protocol is defined'
            )
        (top, bottom), (left, right) = self.rows, self.columns
        rows = slice(int(top * unit[0]), int(bottom * unit[0]))
        return rows, slice(int(left * unit[1]), int(right * unit[1]))

    def target(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Return the recorded depth that counts.

        :param depth: (H, W) float32, z-depth [m]; not finite or not positive where there is none.
        :return: (H, W) float32; NaN where it does not count.
        :raises ValueError: the protocol is defined for another size.
        """
        window = self.window(depth.shape)
        near, far = self.limits or (0.0, np.inf)
        with np.errstate(invalid='ignore'):
            counts = (depth > near) & (depth < far)
        target = np.full_like(depth, np.nan)
        target[window] = np.where(counts, depth, np.float32(np.nan))[window]
        return target

    def limited(self, prediction: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Return a prediction as this protocol compares it.

        :param prediction: any shape, z-depth [m]; NaN where there is none.
        :return: the same shape; the same array where there are no limits.
        """
        if self.limits is None:
            return prediction
        near, far = self.limits
        limited: NDArray[np.float32] = np.clip(np.nan_to_num(prediction, nan=near), near, far)
        return limited


NATIVE = Protocol('native')
# Eigen et al. 2014: the part of the 480 x 640 frames where the projected depth is valid; 10 m is
# the sensor's range
NYU = Protocol('nyu', (45, 471), (41, 601), (480, 640), (1e-3, 10.0))
# Garg et al. 2016: crop as shares of the picture; Eigen et al. 2014: the cap of 80 m
KITTI = Protocol('kitti', (0.40810811, 0.99189189), (0.03594771, 0.96405229), None, (1e-3, 80.0))
PROTOCOLS = {p.name: p for p in (NATIVE, NYU, KITTI)}

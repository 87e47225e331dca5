"""
The flicker of a network's scale from frame to frame, and what takes it out.

From one frame to the next a network's depth changes as a whole by some percent, up and down, far
more than what it shows has moved. The median of log(depth / depth before), pixel for pixel, is
that change, a motion included; its sum is the level of the scene. A fading-memory filter of the
first degree (Morrison, Introduction to Sequential Smoothing and Prediction, 1969, chapter 9)
follows level and rate, so that a steady motion passes without a lag. Depth is multiplied by
exp(filtered level - level).

Worked number: with a time constant of 0.3 s at 30 Hz, theta = exp(-(1/30) / 0.3) = 0.895 and the
filter takes 1 - theta^2 = 20 % of a change at once: depth that is suddenly 5 % greater is
multiplied by exp(-0.8 * log 1.05) = 0.962 in that frame.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

COLUMNS = 64  # a larger image is sampled, to about so many
LEAST_PIXELS = 50  # of the sampled image, in both frames
LONGEST_GAP = 0.15  # [s]; over a longer one, what moved is not told from flicker: it starts anew
FARTHEST = 0.15  # log units: no frame is changed by more, whatever moves


class Flicker:
    """
    Takes the flicker out of one camera's depth.

    :param time_constant: over which the level is smoothed [s]; 0: not at all.
    """

    def __init__(self, time_constant: float) -> None:
        self.time_constant = time_constant
        self._before: NDArray[np.float32] | None = None
        self._time = 0.0
        self._offset = self._rate = 0.0

    def factor(self, depth: NDArray[np.float32], time: float) -> float:
        """
        Return what this frame's depth is to be multiplied by.

        :param depth: (h, w) float32 [m], as the network gave it; pixels that are not finite or
            positive are ignored.
        :param time: of the frame [s].
        """
        if self.time_constant <= 0:
            return 1.0
        stride = max(1, depth.shape[1] // COLUMNS)
        with np.errstate(divide='ignore', invalid='ignore'):
            level = np.log(depth[::stride, ::stride])
        change = self._change(level, time)
        if change is None:
            self._offset = self._rate = 0.0
        elif time > self._time:
            self._follow(change, time - self._time)
        self._before, self._time = level, time
        return math.exp(self._offset)

    def _change(self, level: NDArray[np.float32], time: float) -> float | None:
        """Return the median change of log depth; None where the frames do not follow."""
        before, gap = self._before, time - self._time
        if before is None or before.shape != level.shape or not 0 <= gap <= LONGEST_GAP:
            return None
        with np.errstate(invalid='ignore'):
            change = level - before
        change = change[np.isfinite(change)]
        return float(np.median(change)) if len(change) >= LEAST_PIXELS else None

    def _follow(self, change: float, gap: float) -> None:
        """Predict the level by its rate, then take a share of what was not predicted."""
        theta = math.exp(-gap / self.time_constant)
        missed = change - self._rate * gap - self._offset
        self._offset = max(-FARTHEST, min(FARTHEST, -missed * theta**2))
        self._rate += (1 - theta) ** 2 / gap * missed

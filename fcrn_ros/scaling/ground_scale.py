"""
The scale of depth from the floor, over time.

A camera of known height above the floor measures the scale of its depth: factor = known height /
height found. Worked number: the mounting says 1.2 m, the floor of the depth lies 1.0 m below the
camera: depth is multiplied by 1.2, if the floor is certain.

Two opinions are weighed. The network's own scale has an error of ``PRIOR``, the floor's has the
error of ``Ground``, in log units; the floor gets the share PRIOR^2 / (PRIOR^2 + error^2), the
quality. Errors of neighbouring frames are alike, so that many uncertain floors stay uncertain:
the errors are averaged over ``MEMORY``, not divided. What comes out never moves faster than
``RATE``, holds while no floor is seen, and loses quality then.

Where the floor is out of sight a table top is the lowest level surface. So a plane that is
suddenly nearer than the floor by ``RAISED`` is not believed; the longer ago the floor was seen,
the farther from it a plane may be.
"""

from __future__ import annotations

import math

from fcrn_ros.scale import Scale
from fcrn_ros.scaling.ground import Ground

PRIOR = 0.3
MEMORY = 1.0  # [s]
RATE = 0.3  # log units a second
LONGEST_STEP = 0.5  # [s]; after a longer gap the scale moves no farther than after this
FADING = 5.0  # [s]; the quality of a floor that is no longer seen falls to 1 / e in it
MISSED_AFTER = 2.0  # [s]
RAISED, OPENING = 0.3, 0.03  # log units, and log units a second
NEARLY = 0.05  # log units
FARTHEST = math.log(4)  # a floor that asks for more, either way, is none


class GroundScale:
    """
    Follows the scale of one camera's depth; starts at 1, the network's own.

    :ivar factor: the present one.
    """

    def __init__(self) -> None:
        self._log = self._wanted = self._certainty = 0.0
        self._seen: float | None = None
        self._time: float | None = None

    @property
    def factor(self) -> float:
        """What depth is to be multiplied by."""
        return math.exp(self._log)

    def update(self, ground: Ground | None, height: float, time: float) -> Scale:
        """
        Take the next frame's floor.

        :param ground: found in depth that this factor is not part of; None where none is seen.
        :param height: of the camera above the floor, known [m].
        :param time: of the frame [s]. Where it goes back, earlier floors are forgotten.
        :return: the factor for that depth; its quality falls to 0 while no floor is seen.
        """
        if self._time is not None and time < self._time:
            self._seen = None
        step = 0.0 if self._time is None else min(max(time - self._time, 0.0), LONGEST_STEP)
        self._time = time
        if ground is not None:
            wanted = math.log(height / ground.height)
            if self._believes(wanted, time):
                self._weigh(wanted, ground.error, time)
        if self._seen is None:
            return Scale(self.factor, 'ground', 'no floor has been seen', 0.0)
        share = self._share
        gap = share * self._wanted - self._log
        self._log += max(-RATE * step, min(RATE * step, gap))
        age = time - self._seen
        return Scale(self.factor, 'ground', self._doubt(age, gap), share * math.exp(-age / FADING))

    def _believes(self, wanted: float, time: float) -> bool:
        """Whether a log factor can be the floor's."""
        if abs(wanted) > FARTHEST:
            return False
        if self._seen is None:
            return True
        return wanted - self._wanted <= RAISED + OPENING * (time - self._seen)

    def _weigh(self, wanted: float, error: float, time: float) -> None:
        """Average logarithm and certainty (1 / variance), the former weighted by the latter."""
        kept = 0.0 if self._seen is None else math.exp((self._seen - time) / MEMORY)
        old, new = kept * self._certainty, (1 - kept) / error**2
        if old + new > 0:
            self._wanted = (old * self._wanted + new * wanted) / (old + new)
            self._certainty = old + new
        self._seen = time

    @property
    def _share(self) -> float:
        return self._certainty / (self._certainty + PRIOR**-2)

    def _doubt(self, age: float, gap: float) -> str:
        if age > MISSED_AFTER:
            return f'no floor seen for {age:.0f} s'
        if abs(gap) > NEARLY:
            return f'the scale is on its way to {self.factor * math.exp(gap):.2f}'
        return ''

"""The best and the worst frames of an evaluation, as small copies."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

SHOWN = 3  # best frames that are kept, and worst ones
WIDTH = 320  # [px], of a copy


@dataclass(frozen=True, eq=False)
class Shot:
    """
    A small copy of one evaluated frame.

    :param name: the sample's.
    :param absrel: of the whole frame.
    :param image: (h, w, 3) uint8 RGB.
    :param recorded: (h, w) float32, z-depth [m]; NaN where it does not count.
    :param predicted: (h, w) float32, z-depth [m]; NaN where there is none.
    """

    name: str
    absrel: float
    image: NDArray[np.uint8]
    recorded: NDArray[np.float32]
    predicted: NDArray[np.float32]

    @property
    def error(self) -> NDArray[np.float32]:
        """(h, w) float32: (predicted - recorded) / recorded; NaN where one of them is missing."""
        error: NDArray[np.float32] = (self.predicted - self.recorded) / self.recorded
        return error


@dataclass
class Album:
    """Keeps the few best and worst of any number of frames."""

    best: list[Shot] = field(default_factory=list)
    worst: list[Shot] = field(default_factory=list)

    def wants(self, absrel: float) -> bool:
        """Whether a frame of that error would be kept."""
        low = len(self.best) < SHOWN or absrel < self.best[-1].absrel
        return low or len(self.worst) < SHOWN or absrel > self.worst[-1].absrel

    def add(self, shot: Shot) -> None:
        """Keep a small copy, where it is one of the best or worst."""
        small = _small(shot)
        self.best = sorted([*self.best, small], key=lambda s: s.absrel)[:SHOWN]
        self.worst = sorted([*self.worst, small], key=lambda s: -s.absrel)[:SHOWN]

    def sides(self) -> tuple[tuple[Shot, ...], tuple[Shot, ...]]:
        """Return the best, ascending, and the worst, descending; no frame is in both."""
        every = sorted(dict.fromkeys(self.best + self.worst), key=lambda s: s.absrel)
        half = min(SHOWN, (len(every) + 1) // 2)
        return tuple(every[:half]), tuple(reversed(every[half:][-SHOWN:]))


def _small(shot: Shot) -> Shot:
    """Return copies of at most ``WIDTH``, so that no full picture is kept in memory."""
    height, width = shot.recorded.shape
    share = min(1.0, WIDTH / width)
    size = round(width * share), max(1, round(height * share))
    depths = [
        cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        for depth in (shot.recorded, shot.predicted)
    ]
    image = cv2.resize(shot.image, size, interpolation=cv2.INTER_AREA)
    return Shot(shot.name, shot.absrel, image, *depths)  # type: ignore[arg-type]

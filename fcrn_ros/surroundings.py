"""
What one image tells a robot: points, obstacles, free space, a scan.

Everything is made when it is first asked for, once, and kept for whoever else needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.cloud import colored_points
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.mounting import Mounting
from fcrn_ros.settings import Settings


class Surroundings:
    """
    The products of one image.

    :param frames: its views, the front one first.
    :param mounting: how its camera is held; None where that is not known.
    :param settings: thresholds.
    """

    def __init__(
        self, frames: Sequence[DepthFrame], mounting: Mounting | None, settings: Settings
    ) -> None:
        self.frames, self.mounting, self.settings = frames, mounting, settings

    @property
    def front(self) -> DepthFrame:
        """The front view."""
        return self.frames[0]

    @cached_property
    def points(self) -> NDArray[np.float32]:
        """The coloured points, (h, w, 4) float32 as ``colored_points`` gives them."""
        return colored_points(self.front, self.settings.min_confidence)

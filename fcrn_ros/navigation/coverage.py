"""
What a mounted camera sees: its window, the floor in it, and the frustum that fits into it.

Convention: the optical frame and pixels of :mod:`fcrn_ros.camera`, the floor frame of
:mod:`fcrn_ros.mounting` below the camera and turned as it looks, so x is ahead of the camera. A
window is given by the tangents of its sides, x / z and y / z in the optical frame.

Worked number: a level camera 1 m above the floor, whose image ends 240 px below the principal
point at fy = 480 px, has its lower side at 240 / 480 = 0.5; it sees the floor from 1 / 0.5 = 2 m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fcrn_ros.mounting import Mounting

PARALLEL = 1e-12  # a slope below it never crosses


@dataclass(frozen=True)
class Window:
    """
    The sides of a view: tangents of the angles to the optical axis.

    :param left: x / z of the left side, negative.
    :param right: x / z of the right side.
    :param top: y / z of the upper side, negative.
    :param bottom: y / z of the lower side.
    :raises ValueError: the optical axis does not lie inside.
    """

    left: float
    right: float
    top: float
    bottom: float

    def __post_init__(self) -> None:
        if not (self.left < 0 < self.right and self.top < 0 < self.bottom):
            raise ValueError(
                f'the view reaches from {self.left:.2f} to {self.right:.2f} and from '
                f'{self.top:.2f} to {self.bottom:.2f}; expected the optical axis inside: '
                'is the principal point outside of the image?'
            )


@dataclass(frozen=True)
class Frustum:
    """
    The volume in which the spatio-temporal voxel layer forgets, in that layer's own terms.

    The layer turns the axis by half of the horizontal and then by half of the vertical angle to
    the four corners, and measures its near and far planes along these (DepthCameraFrustum of
    spatio_temporal_voxel_layer). Its sides therefore lie at tan(horizontal / 2) / cos(vertical /
    2), and its planes at cos(horizontal / 2) cos(vertical / 2) of the ranges that it is given.
    Worked number: both angles 90 degrees put the sides at 1 / 0.707 = 1.414 and the far plane of 4
    m at 2 m.

    :param horizontal: angle [rad].
    :param vertical: angle [rad].
    """

    horizontal: float
    vertical: float

    @property
    def side(self) -> float:
        """X / z of its right side."""
        return math.tan(self.horizontal / 2) / math.cos(self.vertical / 2)

    def along_corner(self, depth: float) -> float:
        """Return the range that puts a plane of the frustum at a z-depth [m]."""
        return depth / (math.cos(self.horizontal / 2) * math.cos(self.vertical / 2))


def frustum_of(window: Window) -> Frustum:
    """
    Return the widest frustum about the optical axis that a window holds.

    Wider, it would forget what the camera does not see.
    """
    upright = min(-window.top, window.bottom)
    sideways = min(-window.left, window.right)
    half = math.atan(upright)
    return Frustum(2 * math.atan(sideways * math.cos(half)), 2 * half)


def floor_seen(
    window: Window, mounting: Mounting, aside: float, near: float, far: float
) -> tuple[float, float] | None:
    """
    Return from where to where the camera sees the floor along a line ahead.

    A point of the line is, in the optical frame, a linear function of its distance ahead; each
    side of the window and each depth bounds that distance from one side.

    :param window: of the camera.
    :param mounting: its yaw, x and y do not matter.
    :param aside: how far to the left of the camera the line lies [m].
    :param near: the smallest z-depth that is measured [m].
    :param far: the largest [m].
    :return: the distances ahead of the point below the camera [m]; None: no floor is seen.
    """
    turned = replace(mounting, yaw=0.0, x=0.0, y=0.0).floor_R_optical
    start = np.array([0.0, aside, -mounting.height]) @ turned
    step = turned[0]
    low, high = 0.0, math.inf
    for normal, offset in (
        ((1, 0, -window.left), 0.0),
        ((-1, 0, window.right), 0.0),
        ((0, 1, -window.top), 0.0),
        ((0, -1, window.bottom), 0.0),
        ((0, 0, 1), -near),
        ((0, 0, -1), far),
    ):
        value, slope = float(start @ normal) + offset, float(step @ normal)
        if abs(slope) < PARALLEL:
            if value < 0:
                return None
        elif slope > 0:
            low = max(low, -value / slope)
        else:
            high = min(high, -value / slope)
    return (low, high) if low < high else None

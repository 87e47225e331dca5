"""
What a camera sees through the pinhole views that its depth is made from.

Convention: as in :mod:`fcrn_ros.lenses.views`; tangents are of angles to the axis of the rectified
frame, which is taken for the optical frame. Worked number: a pinhole of 640 px and fx = 500 px
with its axis in the middle sees to x / z = 320 / 500 = 0.64 on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.field import sees, within
from fcrn_ros.lenses.views import View, rectified_view
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.coverage import Window

STEP = 0.005  # of the tangents at which a lens is probed
STEPS = 346  # to each side, up to 60 degrees


@dataclass(frozen=True)
class Sight:
    """
    A camera's field, from inside and from outside.

    :param window: a rectangle all of which is seen.
    :param corners: (n, 3) float64: directions in the optical frame, of z-depth 1 in their view,
        between which lies all that is seen.
    """

    window: Window
    corners: NDArray[np.float64]

    def highest(self, mounting: Mounting, far: float) -> float:
        """Return how high above the floor something at a z-depth of a view is seen [m]."""
        return mounting.height + far * float((self.corners @ mounting.up).max())


def sight_of(camera: Camera, views: Sequence[View] = ()) -> Sight:
    """
    Return what a camera sees.

    Of a distorted lens, only what it really sees counts.

    :param camera: of the raw image.
    :param views: of it; none: that of camera_info's R and P.
    :raises ValueError: the optical axis is not seen.
    """
    views = views or (rectified_view(camera),)
    corners = np.concatenate([_corners(view) for view in views])
    if len(views) > 1 or camera.distorted:
        return Sight(_probed(camera, views), corners)
    (left, top), (right, bottom) = corners[0][:2], corners[-1][:2]
    return Sight(Window(float(left), float(right), float(top), float(bottom)), corners)


def _corners(view: View) -> NDArray[np.float64]:
    """Return the view's corners from top left to bottom right, (4, 3) in the camera's frame."""
    pinhole = view.camera
    x = [(u - pinhole.cx) / pinhole.fx for u in (-0.5, pinhole.width - 0.5)]
    y = [(v - pinhole.cy) / pinhole.fy for v in (-0.5, pinhole.height - 0.5)]
    corners: NDArray[np.float64] = np.array([(a, b, 1.0) for b in y for a in x])
    return corners @ view.camera_R_view.T


def _probed(camera: Camera, views: Sequence[View]) -> Window:
    """Return the widest window along the horizontal through the axis, as high as all of it is."""
    tangents = np.arange(-STEPS, STEPS + 1) * STEP
    x, y = np.meshgrid(tangents, tangents)
    rays = np.stack((x, y, np.ones_like(x)), -1) @ rectified_view(camera).camera_R_view.T
    seen = sees(camera, rays)
    seen &= np.any([_contains(view, rays) for view in views], axis=0)
    left, right = _reach(seen[STEPS, STEPS::-1]), _reach(seen[STEPS, STEPS:])
    columns = seen[:, STEPS - left : STEPS + right + 1]
    up = min(_reach(column[STEPS::-1]) for column in columns.T)
    down = min(_reach(column[STEPS:]) for column in columns.T)
    return Window(-left * STEP, right * STEP, -up * STEP, down * STEP)


def _contains(view: View, rays: NDArray[np.float64]) -> NDArray[np.bool_]:
    pixels = view.camera.project(rays @ view.camera_R_view)
    return within(view.camera, pixels[..., 0], pixels[..., 1])


def _reach(seen: NDArray[np.bool_]) -> int:
    """Return how many steps from the first one is seen without a gap."""
    return int(np.argmin(np.append(seen, False))) - 1 if seen[0] else 0

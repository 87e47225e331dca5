"""
What a camera sees: its field of view through its lens.

Convention: pixels and frames as in :mod:`fcrn_ros.camera`; angles are from the optical axis, the
rectified frame's where camera_info has a rectifying rotation.

Worked number: an equidistant lens that bends nothing more, fx = 200 px, has its image's right edge
400 px from the principal point: it sees 400 / 200 = 2 radians = 115 degrees to the right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.lens import distort, widest_angle


@dataclass(frozen=True)
class FieldOfView:
    """
    How far an image reaches from the axis of the rectified frame [degrees].

    :param left: along the horizontal through the axis; negative where the axis is left of the
        image.
    :param right: likewise; both are 0 where that line is not in the image.
    :param up: along the vertical through the axis, likewise.
    :param down: likewise.
    """

    left: float
    right: float
    up: float
    down: float

    @property
    def horizontal(self) -> float:
        """From the left to the right [degrees]."""
        return self.left + self.right

    @property
    def vertical(self) -> float:
        """From the top to the bottom [degrees]."""
        return self.up + self.down


def field_of_view(camera: Camera) -> FieldOfView:
    """
    Measure what a lens sees, to a hundredth of a degree.

    Within the image, and within the angle up to which the polynomial of the lens grows. The dark
    border of an image circle smaller than the sensor is not told from the picture.

    :param camera: of the raw image.
    """
    degrees = np.arange(-18_000, 18_001) / 100
    across, ahead = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    nothing = np.zeros_like(across)
    camera_R_rectified = np.array(camera.rotation).reshape(3, 3).T

    def reach(*rays: NDArray[np.float64]) -> tuple[float, float]:
        seen = degrees[sees(camera, np.stack(rays, -1) @ camera_R_rectified.T)]
        return (-float(seen[0]), float(seen[-1])) if len(seen) else (0.0, 0.0)

    return FieldOfView(*reach(across, nothing, ahead), *reach(nothing, across, ahead))


def pinhole_field(camera: Camera) -> FieldOfView:
    """
    Return what a pinhole image shows.

    :param camera: without distortion; its own is not looked at.
    """
    ends = (
        (camera.cx + 0.5) / camera.fx,
        (camera.width - 0.5 - camera.cx) / camera.fx,
        (camera.cy + 0.5) / camera.fy,
        (camera.height - 0.5 - camera.cy) / camera.fy,
    )
    return FieldOfView(*(math.degrees(math.atan(end)) for end in ends))


def sees(camera: Camera, rays: NDArray[np.floating]) -> NDArray[np.bool_]:
    """
    Return whether things in these directions are in the image.

    :param camera: of the raw image.
    :param rays: (..., 3) in the camera's frame.
    :return: (...) bool.
    """
    image = distort(camera.distortion_model, camera.distortion, rays)
    u, v = np.moveaxis(image * (camera.fx, camera.fy) + (camera.cx, camera.cy), -1, 0)
    return within(camera, u, v) & unfolded(camera, rays)


def within(camera: Camera, u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether pixels lie inside the image; False for NaN."""
    inside: NDArray[np.bool_] = (
        (u >= -0.5) & (u <= camera.width - 0.5) & (v >= -0.5) & (v <= camera.height - 0.5)
    )
    return inside


def unfolded(camera: Camera, rays: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether rays (..., 3) of the camera's frame lie where the model of its lens holds."""
    x, y, z = np.moveaxis(rays, -1, 0)
    angle = np.arctan2(np.hypot(x, y), z)
    held: NDArray[np.bool_] = angle < widest_angle(camera.distortion_model, camera.distortion)
    return held

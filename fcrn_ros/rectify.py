"""
From a distorted image to a pinhole one.

The lens models are OpenCV's, under camera_info's names; see :mod:`fcrn_ros.camera` for the
convention of pixels and frames. Rays beyond the field that a lens polynomial describes are marked.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera


def _unfolded_radius(camera: Camera) -> float:
    """
    Return the tan of the angle up to which a lens polynomial grows; it means nothing beyond.

    A fitted polynomial may turn back outside the calibrated field and map two rays to one pixel.
    Source of the model: OpenCV's calibration module (radial terms k1..k6).
    """
    if camera.distortion_model == 'equidistant' or not any(camera.distortion):
        return math.inf
    k1, k2, _, _, k3, k4, k5, k6 = (*camera.distortion, *(0.0,) * 8)[:8]
    r = np.linspace(0, 10, 10_001)
    r2 = r * r
    above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    turned = np.flatnonzero((np.diff(r * above / below) <= 0) | (below[1:] <= 0))
    return float(r[turned[0]]) if len(turned) else math.inf


class Rectifier:
    """
    Turns the image of a distorted camera into that of its pinhole camera; built once per camera.

    :param camera: the camera of the raw image.
    :ivar camera: the camera of the rectified image.
    :ivar valid: (H, W) bool, whether a rectified pixel lies inside the raw image.
    """

    def __init__(self, camera: Camera) -> None:
        self.source = camera
        self.camera = camera.pinhole()
        size = (camera.width, camera.height)
        coefficients = np.array(camera.distortion)
        rotation = np.array(camera.rotation).reshape(3, 3)
        build = (
            cv2.fisheye.initUndistortRectifyMap
            if camera.distortion_model == 'equidistant'
            else cv2.initUndistortRectifyMap
        )
        x, y = build(camera.matrix, coefficients, rotation, self.camera.matrix, size, cv2.CV_32FC1)
        inside = (x >= -0.5) & (x <= camera.width - 0.5) & (y >= -0.5) & (y <= camera.height - 0.5)
        self.valid: NDArray[np.bool_] = inside & (self._radius() < _unfolded_radius(camera))
        self._maps = cv2.convertMaps(x, y, cv2.CV_16SC2)

    def _radius(self) -> NDArray[np.float32]:
        """Return tan of the angle to the raw camera's axis, of every rectified pixel's ray."""
        rotation = np.array(self.source.rotation, np.float32).reshape(3, 3)
        x, y, z = np.moveaxis(self.camera.rays() @ rotation, -1, 0)
        radius: NDArray[np.float32] = np.where(z > 0, np.hypot(x, y) / np.maximum(z, 1e-6), np.inf)
        return radius

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        Rectify one image.

        :param image: (H, W) or (H, W, C) uint8 of the raw camera.
        :return: the same shape; pixels outside the raw image repeat its border.
        :raises ValueError: the image is not of the camera's size.
        """
        if image.shape[:2] != (self.source.height, self.source.width):
            raise ValueError(
                f'image is {image.shape[1]}x{image.shape[0]}; expected '
                f'{self.source.width}x{self.source.height}, the size of its camera_info'
            )
        rectified: NDArray[np.uint8] = cv2.remap(
            image, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )  # type: ignore[assignment, call-overload]
        return rectified

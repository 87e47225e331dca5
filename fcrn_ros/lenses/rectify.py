"""
From a distorted image to a pinhole one.

The lens models are those of :mod:`fcrn_ros.lenses.lens`; see :mod:`fcrn_ros.camera` for the
convention of pixels and frames. Rays beyond the field that a lens polynomial describes are marked.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.field import unfolded, within
from fcrn_ros.lenses.lens import distort, is_fisheye
from fcrn_ros.lenses.views import View, rectified_view

Map = NDArray[np.float32]


class Rectifier:
    """
    Turns the image of a distorted camera into that of a pinhole camera; built once per view.

    :param camera: the camera of the raw image.
    :param view: the pinhole picture to make of it; None: that of camera_info's R and P.
    :ivar camera: the camera of the rectified image.
    :ivar valid: (H, W) bool, whether a rectified pixel lies inside the raw image.
    """

    def __init__(self, camera: Camera, view: View | None = None) -> None:
        view = view or rectified_view(camera)
        self.source, self.camera = camera, view.camera
        rays = view.rays()
        u, v = _maps(camera, view, rays)
        self.valid: NDArray[np.bool_] = within(camera, u, v) & unfolded(camera, rays)
        self._maps = cv2.convertMaps(u, v, cv2.CV_16SC2)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        Rectify one image.

        :param image: (H, W) or (H, W, C) uint8 of the raw camera.
        :return: of the view's size, with the same channels; pixels outside the raw image repeat
            its border.
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


def _maps(camera: Camera, view: View, rays: NDArray[np.float64]) -> tuple[Map, Map]:
    """
    Return the raw column and row that every pixel of a view shows, (H, W) float32 each [px].

    OpenCV's map of a fisheye has no rays at 90 degrees to the axis and more.

    :param rays: the view's, (H, W, 3).
    """
    if is_fisheye(camera.distortion_model, camera.distortion):
        image = distort(camera.distortion_model, camera.distortion, rays)
        pixels = image * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        return pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32)
    u, v = cv2.initUndistortRectifyMap(
        camera.matrix,
        np.array(camera.distortion),
        view.camera_R_view.T,
        view.camera.matrix,
        (view.camera.width, view.camera.height),
        cv2.CV_32FC1,
    )
    return u, v  # type: ignore[return-value]

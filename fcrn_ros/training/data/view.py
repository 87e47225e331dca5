"""
A view: what the network is shown of a sample, and the camera of what is shown.

Convention: a point X_sample [m] in the sample's optical frame (x right, y down, z forward) has
X_view = R X_sample in the view's, R being a turn about the optical axis and a mirror image of x.
Neither changes z, so a view has the sample's own z-depth [m]. Cropping, zooming and stretching
change the view's camera and nothing else. Worked number: a zoom of 1.5 into a sample of fx 200 px
gives a view of fx 300 px in which a wall at 3 m is still at 3 m; a network whose training camera
has 200 px is to say 3 * 200 / 300 = 2 m, which is what the node multiplies by 1.5 again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.scale import focal_scale


@dataclass(frozen=True)
class View:
    """
    A camera looking at a sample.

    :param camera: of the network's input image, as this view fills it.
    :param view_R_sample: (3, 3) float64, turn about z and mirror image of x.
    """

    camera: Camera
    view_R_sample: NDArray[np.float64]

    def canonical(self, training: Camera) -> float:
        """
        Return what turns depth in this view into what the network has to predict.

        The inverse of the node's focal-length correction.

        :param training: camera of the model's input in training.
        """
        return 1 / focal_scale(self.camera, training).factor

    def pose(self, a_T_b: NDArray[np.float64]) -> NDArray[np.float64]:
        """
        Return the pose between two pictures that are both shown in this view.

        :param a_T_b: (4, 4) float64, between the samples' optical frames.
        """
        move = np.eye(4)
        move[:3, :3] = self.view_R_sample
        moved: NDArray[np.float64] = move @ a_T_b @ move.T
        return moved

    def image(self, image: NDArray[np.uint8], sample: Camera) -> NDArray[np.uint8]:
        """
        Return what this view shows of an image; beyond its border the image is mirrored.

        :param image: (H, W, 3) uint8.
        :param sample: its camera.
        :return: (height, width, 3) uint8, of this view's camera.
        """
        shown: NDArray[np.uint8] = self._warped(
            image, sample, self.camera, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
        )
        return shown

    def depth(
        self, depth: NDArray[np.float32], sample: Camera, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """
        Return what this view shows of a depth image, on another grid.

        :param depth: (H, W) float32, z-depth [m]; NaN or 0 invalid.
        :param sample: its camera.
        :param size: rows and columns of the result.
        :return: float32, z-depth [m]; 0 invalid, and beyond the border of the sample.
        """
        grid = self.camera.resized(size[1], size[0])
        moved = self._warped(depth, sample, grid, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
        filled: NDArray[np.float32] = np.nan_to_num(moved, copy=False, nan=0)
        return filled

    def _warped(self, array: Any, sample: Camera, grid: Camera, how: int, border: int) -> Any:
        matrix = sample.matrix @ self.view_R_sample.T @ np.linalg.inv(grid.matrix)
        return cv2.warpAffine(
            array,
            matrix[:2],
            (grid.width, grid.height),
            flags=how | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )


def plain_view(sample: Camera, size: tuple[int, int]) -> View:
    """
    Return the view that the node makes: the whole picture, resized.

    :param sample: camera of the picture.
    :param size: rows and columns of the network's input.
    """
    return View(sample.resized(size[1], size[0]), np.eye(3))

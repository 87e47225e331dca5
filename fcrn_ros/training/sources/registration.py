"""
Depth of one camera as another camera sees it.

Convention: optical frames (x right, y down, z forward), metres; colour_T_depth is (4, 4) and takes
points of the depth camera's frame into the colour camera's. Worked number: both cameras have fx =
500 px, and the colour camera is 0.05 m to the right, so that colour_T_depth has x = -0.05 m. What
the depth camera sees at 2 m is 500 * 0.05 / 2 = 12.5 px farther left in the colour image.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.rectify import Rectifier

DENSITY = 1.5  # points per pixel of the colour image, along x and y, at the least
COARSEST = 20  # pixels of colour in a pixel of depth, along x or y; more is a wrong K
SAME = 0.5  # [px]


def register(
    depth: NDArray[np.float32],
    depth_camera: Camera,
    colour_camera: Camera,
    colour_T_depth: NDArray[np.float64],
) -> NDArray[np.float32]:
    """
    Return the depth image that the colour camera would have taken of the same surfaces.

    A pixel of depth is a square patch of its depth, and is drawn as large as it appears: it is
    divided until its points lie less than a pixel of the colour image apart. Of all points in a
    pixel the nearest counts, so a surface in front hides the one behind without gaps through which
    that would show. Nothing is filled beyond these patches: what only the colour camera sees stays
    NaN.

    :param depth: (h, w) float32, z-depth [m] of the depth camera; NaN marks an invalid pixel.
    :param depth_camera: pinhole camera of that image [px].
    :param colour_camera: pinhole camera to see it from [px].
    :param colour_T_depth: (4, 4) float64.
    :return: (H, W) float32 of the colour camera, z-depth [m]; NaN where nothing was measured.
    :raises ValueError: ``depth`` is not of its camera's size, a camera is distorted, or depth is
        far coarser than colour.
    """
    if colour_camera.distorted:
        raise ValueError('the colour camera is distorted; expected that of the rectified image')
    scale = max(colour_camera.fx / depth_camera.fx, colour_camera.fy / depth_camera.fy)
    if scale > COARSEST:
        raise ValueError(
            f'a pixel of depth is {scale:.3g} pixels of colour wide; expected at most {COARSEST}'
        )
    points = depth_camera.unproject(depth)[np.isfinite(depth) & (depth > 0)]
    turn = colour_T_depth[:3, :3].astype(np.float32)
    centres = turn @ points.T + colour_T_depth[:3, 3:].astype(np.float32)
    column = turn[:, :1] * (points[:, 2] / depth_camera.fx)  # one pixel to the right, (3, N) [m]
    row = turn[:, 1:2] * (points[:, 2] / depth_camera.fy)
    nearest = np.full((colour_camera.height, colour_camera.width), np.inf, np.float32)
    parts = math.ceil(DENSITY * scale)
    offsets = [(i + 0.5) / parts - 0.5 for i in range(parts)]
    for du, dv in product(offsets, offsets):
        _draw(centres + du * column + dv * row, colour_camera, nearest)
    nearest[np.isinf(nearest)] = np.nan
    return nearest


def _draw(points: NDArray[np.float32], camera: Camera, nearest: NDArray[np.float32]) -> None:
    """Lower the depth of every pixel that a point is seen in; (3, N) points [m]."""
    x, y, z = points
    with np.errstate(divide='ignore', invalid='ignore'):
        u = np.rint(camera.fx * x / z + camera.cx)
        v = np.rint(camera.fy * y / z + camera.cy)
    seen = (z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    index = v[seen].astype(np.intp) * camera.width + u[seen].astype(np.intp)
    np.minimum.at(nearest.reshape(-1), index, z[seen])


def same_view(a: Camera, b: Camera) -> bool:
    """
    Whether images of two pinhole cameras in one place differ in their size at most.

    That is, whether the corners of both images look the same way, to half a pixel.
    """
    b = b.resized(a.width, a.height)
    corners = np.array([[-0.5, -0.5], [a.width - 0.5, a.height - 0.5]])
    rays = (corners - [a.cx, a.cy]) / [a.fx, a.fy]
    return bool(np.abs(rays * [b.fx, b.fy] + [b.cx, b.cy] - corners).max() <= SAME)


def resized_depth(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Return depth in the size of a camera with the same view; nearest reading, none averaged."""
    if depth.shape == (camera.height, camera.width):
        return depth
    size = (camera.width, camera.height)
    resized: Any = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.float32)


class DepthRectifier:
    """
    Turns the depth image of a distorted camera into that of its pinhole camera.

    Every pixel takes the nearest reading: a mean of two depths would be a surface that is not
    there. z-depth is along the axis of the rectified image, which the raw one's may differ from
    by the camera's rectifying rotation; depth is turned with it.

    :param camera: the camera of the raw depth image.
    :ivar camera: the camera of the rectified image.
    """

    def __init__(self, camera: Camera) -> None:
        rectifier = Rectifier(camera)
        self.camera, self.valid = rectifier.camera, rectifier.valid
        # rectified as if it were a picture, a pixel's own place says where it comes from
        place: Any = np.dstack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)))
        source = np.rint(rectifier(place.astype(np.float32))).astype(np.int64)
        self._u = source[..., 0].clip(0, camera.width - 1)
        self._v = source[..., 1].clip(0, camera.height - 1)
        rotation = np.array(camera.rotation).reshape(3, 3)
        self._z = 1 / (self.camera.rays() @ rotation[:, 2]).astype(np.float32)

    def __call__(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Rectify one depth image.

        :param depth: (H, W) float32, z-depth [m], NaN invalid, of the raw camera.
        :return: the same shape; NaN outside the raw image.
        :raises ValueError: it is not of the camera's size.
        """
        if depth.shape != self.valid.shape:
            rows, columns = self.valid.shape
            raise ValueError(
                f'depth is {depth.shape[1]}x{depth.shape[0]}; expected {columns}x{rows}, the size '
                'of its camera_info'
            )
        return np.where(self.valid, depth[self._v, self._u] * self._z, np.float32(np.nan))

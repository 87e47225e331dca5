"""
Recorded messages to the pixels of a sample: rectified, and all as the colour camera sees them.

Convention: a camera's frame is the optical frame that its images name; the rectified image's is
turned from it by the camera's rectifying rotation, and that is the frame of a sample's camera.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.rectify import Rectifier
from fcrn_ros.recording import colour_of, depth_of
from fcrn_ros.rigid import inverse
from fcrn_ros.training.sources.registration import (
    DepthRectifier,
    register,
    resized_depth,
    same_view,
)

SAME_PLACE = 1e-4  # [m], and of a rotation matrix
rectifier = lru_cache(maxsize=4)(Rectifier)
depth_rectifier = lru_cache(maxsize=4)(DepthRectifier)


def rectified_T_frame(camera: Camera) -> NDArray[np.float64]:
    """Return the transform from a camera's frame to its rectified image's, (4, 4) float64."""
    result = np.eye(4)
    result[:3, :3] = np.array(camera.rotation).reshape(3, 3)
    return result


def colour_view(message: Any, camera: Camera) -> tuple[NDArray[np.uint8], Camera]:
    """
    Read a picture and rectify it.

    :param camera: of the recorded image.
    :return: (H, W, 3) uint8 RGB, and its pinhole camera.
    :raises ValueError: it cannot be decoded, or is not of the camera's size.
    """
    image = colour_of(message)
    _require_size(image.shape, camera)
    if not camera.distorted:
        return image, camera
    rectify = rectifier(camera)
    return rectify(image), rectify.camera


def right_view(message: Any, camera: Camera, left: Camera) -> NDArray[np.uint8]:
    """
    Read the right picture of a pair, rectify it, and give it the left one's intrinsics.

    :param camera: of the recorded right image.
    :param left: pinhole camera of the rectified left picture.
    :return: (H, W, 3) uint8 RGB of the left camera's size.
    :raises ValueError: it cannot be decoded, or is not of the camera's size.
    """
    image, right = colour_view(message, camera)
    if right == left:
        return image
    sx, sy = right.fx / left.fx, right.fy / left.fy
    right_T_left = np.array([[sx, 0, right.cx - sx * left.cx], [0, sy, right.cy - sy * left.cy]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (left.width, left.height)
    moved = cv2.warpAffine(image, right_T_left, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def depth_view(
    message: Any,
    camera: Camera,
    colour: Camera,
    frames: NDArray[np.float64],
) -> NDArray[np.float32]:
    """
    Read a depth image, rectify it, and show it from the colour camera.

    :param camera: of the recorded depth image.
    :param colour: of the recorded colour image.
    :param frames: (4, 4), the transform from the depth camera's frame to the colour camera's.
    :return: (H, W) float32 of the colour camera, z-depth [m], NaN where there is none or the
        rectified colour image has no pixel.
    :raises ValueError: it cannot be decoded, is not of its camera's size, or shows nothing.
    """
    depth = depth_of(message)
    _require_size(depth.shape, camera)
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))
    if camera.distorted:
        depth = depth_rectifier(camera)(depth)
    colour_T_depth = rectified_T_frame(colour) @ frames @ inverse(rectified_T_frame(camera))
    depth = _moved(depth, camera.pinhole(), colour.pinhole(), colour_T_depth)
    if colour.distorted:
        depth = np.where(rectifier(colour).valid, depth, np.float32(np.nan))
    if np.isnan(depth).all():
        raise ValueError("depth image without a reading in the colour camera's view")
    return depth


def _moved(
    depth: NDArray[np.float32],
    camera: Camera,
    colour: Camera,
    colour_T_depth: NDArray[np.float64],
) -> NDArray[np.float32]:
    here = np.allclose(colour_T_depth, np.eye(4), atol=SAME_PLACE)
    if here and same_view(camera, colour):
        return resized_depth(depth, colour)
    return register(depth, camera, colour, colour_T_depth)


def _require_size(shape: tuple[int, ...], camera: Camera) -> None:
    if shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'image is {shape[1]}x{shape[0]}; expected {camera.width}x{camera.height}, the size '
            'of its camera_info'
        )

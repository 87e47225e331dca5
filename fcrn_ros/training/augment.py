"""
Augmentation that keeps image, depth and camera consistent.

Every sample is brought to the network's input size and to the training camera's focal length, so
the network meets one focal length only. Zooming in by s shows the scene as from a place s times
nearer, seen through the same lens: depth is divided by s and the focal length stays. Rotation
about the optical axis leaves z-depth as it is, and so does a horizontal flip.

Source of the ranges: Laina et al. 2016, section 4 (zoom 1..1.5, rotation +-5 degrees, flip,
colour).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera

MAX_ZOOM = 1.5
MAX_ROTATION = 5.0  # [degrees]
COLOUR = 0.4


def target_from_sample(
    sample: Camera, target: Camera, zoom: float, angle: float, flip: bool
) -> NDArray[np.float64]:
    """
    Return the affine map from target pixels to sample pixels.

    A target pixel's ray is rotated by ``angle`` about the optical axis, flipped, divided by
    ``zoom`` and projected into the sample. Zoom 1 puts the target's rays onto the sample's where
    both have one focal length.

    :param sample: camera of the sample's image.
    :param target: camera of the network's input.
    :param angle: [radians].
    :return: (2, 3) float64, for ``cv2.warpAffine`` with ``WARP_INVERSE_MAP``.
    """
    c, s = np.cos(angle), np.sin(angle)
    rotate = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    scale = np.diag([(-1.0 if flip else 1.0) / zoom, 1.0 / zoom, 1.0])
    full = sample.matrix @ scale @ rotate @ np.linalg.inv(target.matrix)
    affine: NDArray[np.float64] = full[:2]
    return affine


def warp(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    cameras: tuple[Camera, Camera, Camera],
    zoom: float = 1.0,
    angle: float = 0.0,
    flip: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """
    Bring one sample to the network's input and output grids.

    :param image: (H, W, 3) uint8 RGB.
    :param depth: (H, W) float32, z-depth [m]; NaN or 0 invalid.
    :param cameras: of the sample, of the network's input, of the network's output grid.
    :return: the input image (uint8) and the target depth [m] on the output grid; 0 invalid.
    """
    sample, inputs, outputs = cameras
    moved = []
    for picture, camera, how in ((image, inputs, cv2.INTER_LINEAR), (depth, outputs, 0)):
        matrix = target_from_sample(sample, camera, zoom, angle, flip)
        moved.append(
            cv2.warpAffine(
                picture,
                matrix,
                (camera.width, camera.height),
                flags=how | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            )
        )
    target = np.nan_to_num(moved[1].astype(np.float32), nan=0) / zoom
    return moved[0], target  # type: ignore[return-value]


def colour_jitter(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """
    Change brightness, contrast, saturation and colour balance by up to +-40 %.

    :param image: (H, W, 3) uint8 RGB.
    :return: a new image of the same shape.
    """
    x = image.astype(np.float32)
    brightness, contrast, saturation = rng.uniform(1 - COLOUR, 1 + COLOUR, 3)
    balance = rng.uniform(0.9, 1.1, 3)
    grey = x.mean(-1, keepdims=True)
    x = grey + (x - grey) * saturation
    mean = grey.mean()
    x = (mean + (x - mean) * contrast) * brightness * balance
    return np.clip(x, 0, 255).astype(np.uint8)


def augment(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    cameras: tuple[Camera, Camera, Camera],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a random view of one sample; parameters and result as in :func:`warp`."""
    zoom = rng.uniform(1, MAX_ZOOM)
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION, MAX_ROTATION))
    picture, target = warp(image, depth, cameras, zoom, angle, bool(rng.integers(2)))
    return colour_jitter(picture, rng), target

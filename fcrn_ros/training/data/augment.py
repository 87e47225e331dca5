"""
Random views and colours, for training.

Source of zoom, rotation, flip and colour: Laina et al. 2016, section 4. There a zoom divides the
depth; here it multiplies the view's focal length, which is the same to a network whose depth is
multiplied by that: both say that what looks larger is nearer or seen through a longer lens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.view import View


@dataclass(frozen=True)
class Ranges:
    """
    How far views may differ from the plain one.

    :param zoom: largest zoom into the picture; the window lies anywhere in it.
    :param stretch: largest factor between the zooms along x and y.
    :param rotation: largest turn about the optical axis [degrees].
    :param flip: mirror every other view.
    :param colour: brightness, contrast and saturation change by up to this share.
    :param erase: share of views with one rectangle blotted out.
    """

    zoom: float = 1.5
    stretch: float = 1.1
    rotation: float = 5.0
    flip: bool = True
    colour: float = 0.4
    erase: float = 0.3


def random_view(
    sample: Camera, size: tuple[int, int], ranges: Ranges, rng: np.random.Generator
) -> View:
    """
    Return a random view: a window of the picture, turned and mirrored.

    :param sample: camera of the picture.
    :param size: rows and columns of the network's input.
    """
    zoom = rng.uniform(1, ranges.zoom)
    stretch = np.exp(rng.uniform(-1, 1) * np.log(ranges.stretch))
    zooms = np.maximum((zoom * stretch**0.5, zoom / stretch**0.5), 1)
    at = rng.uniform(0, 1 - 1 / zooms)  # the window's corner, in widths and heights
    whole = sample.resized(size[1], size[0])
    camera = Camera(
        whole.width,
        whole.height,
        whole.fx * zooms[0],
        whole.fy * zooms[1],
        (whole.cx + 0.5 - at[0] * whole.width) * zooms[0] - 0.5,
        (whole.cy + 0.5 - at[1] * whole.height) * zooms[1] - 0.5,
    )
    angle = np.deg2rad(rng.uniform(-ranges.rotation, ranges.rotation))
    c, s = np.cos(angle), np.sin(angle)
    mirror = -1.0 if ranges.flip and rng.integers(2) else 1.0
    return View(camera, np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([mirror, 1, 1]))


def colour_change(
    image: NDArray[np.uint8], amount: float, rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """
    Return a random change of brightness, contrast, saturation, colour balance and gamma.

    The first four are linear in a pixel's values and so one matrix; the last is a table.

    :param image: (H, W, 3) uint8 RGB, about whose mean the contrast turns.
    :param amount: largest share of change.
    :return: a function from such a picture to a new one.
    """
    brightness, contrast, saturation, gamma = rng.uniform(1 - amount, 1 + amount, 4)
    balance = rng.uniform(1 - amount / 4, 1 + amount / 4, 3)
    grey = np.full((3, 3), (1 - saturation) / 3) + saturation * np.eye(3)
    gain = brightness * balance
    shift = gain * (1 - contrast) * np.mean(cv2.mean(image)[:3])
    matrix = np.column_stack((gain[:, None] * contrast * grey, shift))
    table = np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)
    return lambda picture: cv2.LUT(cv2.transform(picture, matrix), table)  # type: ignore[return-value]


def erase(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """
    Blot out one random rectangle, up to 40 % wide and high, in place.

    What lies in it has to be told from what lies around it.
    """
    height, width = image.shape[:2]
    rows, columns = (int(rng.uniform(0.1, 0.4) * n) for n in (height, width))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    image[top : top + rows, left : left + columns] = rng.integers(0, 256, 3)

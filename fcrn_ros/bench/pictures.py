"""The pictures that engines are compared on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.recording import read_bag
from fcrn_ros.share import share_folder
from fcrn_ros.sources import IMAGE_SUFFIXES

COUNT = 8


def find_pictures(folder: Path | None = None, count: int = COUNT) -> list[NDArray[np.uint8]]:
    """
    Return pictures spread over a folder, or over the bundled clip.

    :return: at most ``count`` of (H, W, 3) uint8 RGB.
    :raises FileNotFoundError: there is no such folder.
    :raises ValueError: it holds no image, or one that cannot be read.
    """
    if folder is None:
        clip = [frame.image for frame in read_bag(share_folder() / 'demo' / 'room')]
        return [clip[i] for i in _spread(len(clip), count)]
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is not a folder; expected one with images')
    paths = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        raise ValueError(f'{folder}: no image; expected {", ".join(IMAGE_SUFFIXES)}')
    return [_read(paths[i]) for i in _spread(len(paths), count)]


def resized(pictures: list[NDArray[np.uint8]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """
    Bring pictures to a network's input size.

    :param size: (rows, columns) [px].
    :return: (B, rows, columns, 3) uint8 RGB.
    """
    area = cv2.INTER_AREA
    return np.stack([cv2.resize(p, size[::-1], interpolation=area) for p in pictures])  # type: ignore[misc]


def _spread(number: int, count: int) -> list[int]:
    """Return at most ``count`` of 0 ... number - 1, the first and the last among them."""
    return sorted({round(float(x)) for x in np.linspace(0, number - 1, min(number, count))})


def _read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path}: not a readable image')
    return np.ascontiguousarray(image[..., ::-1])  # type: ignore[return-value]

"""
The pictures that int8 is calibrated with, and those that its cost is measured on.

They come from the bundled clip, or from what the user names, spread evenly over it; the same
source always gives the same pictures. Every third one is held out of the calibration.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.recording import Frame, read_bag
from fcrn_ros.share import share_folder
from fcrn_ros.sources import open_source

COUNT = 48  # 32 to calibrate with, 16 held out
FEWEST = 12
BAG_SUFFIXES = ('.bag', '.mcap', '.db3')


def calibration_pictures(
    path: Path | None, spec: ModelSpec
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """
    Read pictures at a network's input size.

    :param path: a folder of images, a video or a bag; None takes the bundled clip.
    :return: those to calibrate with and those held out, (N, H, W, 3) uint8 RGB each.
    :raises FileNotFoundError: there is no such path.
    :raises ValueError: it cannot be read, or has fewer than ``FEWEST`` pictures.
    """
    rows, columns = spec.input_size
    pictures = [
        cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        for image in _spread(open_frames(path))
    ]
    if len(pictures) < FEWEST:
        raise ValueError(
            f'{path or "the bundled clip"} has {len(pictures)} pictures; '
            f'expected at least {FEWEST} to calibrate int8'
        )
    held_out = pictures[2::3]
    seen = [picture for i, picture in enumerate(pictures) if i % 3 != 2]
    return np.stack(seen), np.stack(held_out)  # type: ignore[return-value]


def open_frames(path: Path | None) -> Iterable[Frame]:
    """Return the frames of a source in order, once; errors as in ``calibration_pictures``."""
    if path is None:
        return read_bag(share_folder() / 'demo' / 'room')
    if not path.exists():
        raise FileNotFoundError(f'{path} was not found; expected images, a video or a bag')
    if path.suffix in BAG_SUFFIXES or _is_bag_folder(path):
        return read_bag(path)
    if path.is_dir():
        return open_source(images=path).frames
    return open_source(video=path).frames


def _is_bag_folder(path: Path) -> bool:
    return any(any(path.glob(f'*{suffix}')) for suffix in BAG_SUFFIXES[1:])


def _spread(frames: Iterable[Frame]) -> list[NDArray[np.uint8]]:
    """
    Return ``COUNT`` images spread evenly over frames whose number is not known beforehand.

    At most twice as many are held: when they are that many, every second one is let go, and from
    there on half as many are taken.
    """
    kept: list[NDArray[np.uint8]] = []
    step = 1
    for index, frame in enumerate(frames):
        if index % step == 0:
            kept.append(frame.image)
        if len(kept) > 2 * COUNT:
            kept, step = kept[::2], 2 * step
    chosen = np.linspace(0, len(kept) - 1, min(COUNT, len(kept))).round().astype(int)
    return [kept[i] for i in chosen]

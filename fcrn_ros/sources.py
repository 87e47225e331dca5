"""Where pictures come from: the bundled clip, a bag, a folder, a video, a local camera."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.recording import Frame, read_bag
from fcrn_ros.share import share_folder

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
CLIP_RATE = 30.0  # [Hz]
# the mean of the bundled clip's camera, which is held by a hand (demo/room_camera.py)
CLIP_MOUNTING = Mounting(1.25, pitch=math.radians(10.6), roll=math.radians(0.6))
PEEKED = 10  # frames of a bag that tell its rate


@dataclass(frozen=True)
class Source:
    """
    Pictures at a rate.

    :param name: for people.
    :param frames: in time order.
    :param rate: [Hz].
    """

    name: str
    frames: Iterable[Frame]
    rate: float


def bundled_clip() -> Source:
    """
    Return the clip of this package, to and fro without end, so that the camera never jumps.

    :raises FileNotFoundError: it is not installed.
    """
    frames = list(read_bag(share_folder() / 'demo' / 'room'))
    return Source('bundled clip', _to_and_fro(frames), CLIP_RATE)


def _to_and_fro(frames: list[Frame]) -> Iterator[Frame]:
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def open_source(
    bag: Path | None = None,
    images: Path | None = None,
    video: Path | None = None,
    camera: int | None = None,
    intrinsics: tuple[float, float, float, float] | None = None,
    topic: str = '',
) -> Source:
    """
    Open what the user chose, else the bundled clip.

    :param intrinsics: fx, fy, cx, cy [px] of pictures that come without a camera_info; without
        them there is depth, in the training camera's scale, and no cloud.
    :param topic: the colour topic of the bag.
    :raises ValueError: the source has no pictures, or cannot be read.
    :raises FileNotFoundError: there is no such file.
    """
    if bag is not None:
        return _bag(bag, topic)
    if images is not None:
        return Source(str(images), _folder(images, intrinsics), CLIP_RATE)
    chosen = video if video is not None else camera
    if chosen is None:
        return bundled_clip()
    capture = _captured(chosen)
    rate = capture.get(cv2.CAP_PROP_FPS) or CLIP_RATE
    name = f'camera {chosen}' if isinstance(chosen, int) else str(chosen)
    return Source(name, _film(capture, intrinsics), rate)


def _bag(path: Path, topic: str) -> Source:
    frames = read_bag(path, topic)
    first = list(islice(frames, PEEKED))
    if not first:
        raise ValueError(f'{path}: no picture; expected at least one image message')
    steps = np.diff([frame.time for frame in first])
    rate = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else CLIP_RATE
    return Source(str(path), chain(first, frames), rate)


def _folder(folder: Path, intrinsics: tuple[float, float, float, float] | None) -> Iterator[Frame]:
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is not a folder; expected one with images')
    paths = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        raise ValueError(f'{folder}: no image; expected {", ".join(IMAGE_SUFFIXES)}')
    return _pictures(paths, intrinsics)


def _pictures(
    paths: list[Path], intrinsics: tuple[float, float, float, float] | None
) -> Iterator[Frame]:
    for index, path in enumerate(paths):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f'{path}: not a readable image')
        yield _frame(image, intrinsics, index / CLIP_RATE)


def _captured(source: Path | int) -> cv2.VideoCapture:
    if isinstance(source, Path) and not source.is_file():
        raise FileNotFoundError(f'{source} was not found; expected a video file')
    capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    if not capture.isOpened():
        what = f'camera {source}' if isinstance(source, int) else str(source)
        raise ValueError(f'{what} cannot be opened as a video')
    return capture


def _film(
    capture: cv2.VideoCapture, intrinsics: tuple[float, float, float, float] | None
) -> Iterator[Frame]:
    rate = capture.get(cv2.CAP_PROP_FPS) or CLIP_RATE
    index = 0
    try:
        while True:
            more, image = capture.read()
            if not more:
                return
            yield _frame(image, intrinsics, index / rate)
            index += 1
    finally:
        capture.release()


def _frame(
    image: np.ndarray, intrinsics: tuple[float, float, float, float] | None, time: float
) -> Frame:
    height, width = image.shape[:2]
    camera = Camera(width, height, *intrinsics) if intrinsics else None
    return Frame(np.ascontiguousarray(image[..., ::-1]), camera, None, time)

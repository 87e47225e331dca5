"""
A recorded bag as frames: colour, its camera, and recorded depth where there is some.

ROS 1 bags, rosbag2 folders (sqlite3, MCAP) and single MCAP or db3 files, read without ROS. Topics
are found by type and name when they are not given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from fcrn_ros.camera import Camera
from fcrn_ros.image import (
    depth_from_compressed,
    depth_from_msg,
    rgb_from_compressed,
    rgb_from_msg,
)

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
SAME_TIME = 0.02  # [s], colour and depth at most this far apart are of one frame
TRANSPORTS = ('compressed', 'compressedDepth')  # image_transport adds them to a topic's name
PATIENCE = 30  # images that wait for a depth recorded later


@dataclass(frozen=True)
class Frame:
    """
    One picture of a camera.

    :param image: (H, W, 3) uint8 RGB.
    :param camera: of the image; None where it is not known.
    :param depth: (H, W) float32, recorded or exact z-depth [m], NaN invalid; None where there is
        none.
    :param time: [s], from the start of its source.
    """

    image: NDArray[np.uint8]
    camera: Camera | None
    depth: NDArray[np.float32] | None
    time: float


@dataclass(frozen=True)
class Topics:
    """The topics to read: colour, its camera_info, and depth; '' where there is none."""

    image: str
    info: str
    depth: str


def find_topics(types: dict[str, str], image: str = '', depth: str = '') -> Topics:
    """
    Choose the topics of a bag.

    :param types: topic -> message type.
    :param image: the colour topic; '' takes the first image topic that is not named depth.
    :param depth: the depth topic; '' takes one that is named depth: one that is aligned to the
        colour camera, or else that with the most of its name in common.
    :raises ValueError: there is none; the message lists the bag's topics.
    """
    images = [t for t, kind in sorted(types.items()) if kind in IMAGE_TYPES]
    colour = [t for t in images if 'depth' not in t.lower() and t != depth]
    chosen = image or (colour[0] if colour else '')
    if chosen not in images:
        raise ValueError(
            f'image topic {chosen or "(none)"} is not in the bag; it has {topic_list(types)}'
        )
    candidates = (t for t in images if 'depth' in t.lower())
    found = max(candidates, key=lambda t: _kinship(t, chosen), default='')
    return Topics(chosen, info_topic(types, chosen), depth or found)


def _kinship(depth: str, image: str) -> tuple[bool, int]:
    """Rank a depth topic: aligned_depth_to_color/image_raw belongs to color/image_raw."""
    folder = plain_topic(image).split('/')[-2:-1]
    aligned = any(name and f'aligned_depth_to_{name}' in depth for name in folder)
    return aligned, _common(depth, image)


def plain_topic(topic: str) -> str:
    """Return an image topic's name without its transport's."""
    base, _, transport = topic.rpartition('/')
    return base if transport in TRANSPORTS else topic


def info_topic(types: dict[str, str], image: str) -> str:
    """Return the camera_info topic beside an image topic; '' where the bag has none."""
    info = f'{plain_topic(image).rpartition("/")[0]}/camera_info'
    return info if types.get(info) == INFO_TYPE else ''


def topic_list(types: dict[str, str]) -> str:
    """Return a bag's topics and their types for an error message."""
    return ', '.join(f'{t} ({k})' for t, k in sorted(types.items())) or 'no topics'


def _common(a: str, b: str) -> int:
    pairs = zip(a.split('/'), b.split('/'), strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(a.count('/'), b.count('/')))


def read_bag(path: Path, image: str = '') -> Iterator[Frame]:
    """
    Read the frames of a bag in time order.

    :param path: a ROS 1 .bag, a rosbag2 folder, or its .mcap or .db3 file.
    :param image: the colour topic; '' finds it.
    :raises ValueError: the bag has no such topic, or cannot be read.
    :raises FileNotFoundError: there is no such path.
    """
    with opened(path) as reader:
        yield from _frames(reader, find_topics(topic_types(reader), image))


@contextmanager
def opened(path: Path) -> Iterator[AnyReader]:
    """
    Open a bag; what fails while it is open fails in one line as well.

    :param path: a ROS 1 .bag, a rosbag2 folder, or its .mcap or .db3 file.
    :raises ValueError: it cannot be read.
    :raises FileNotFoundError: there is no such path.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path} was not found; expected a bag')
    try:
        with AnyReader(
            _files(path), default_typestore=get_typestore(Stores.ROS2_HUMBLE)
        ) as reader:
            yield reader
    except Exception as err:  # rosbags has many kinds of error for a damaged file
        if isinstance(err, (ValueError, OSError)) and not isinstance(err, UnicodeError):
            raise
        raise ValueError(f'{path}: not a readable bag: {one_line(err)}') from err


def one_line(error: Exception) -> str:
    """Return what an error says in one line; its kind, where it says nothing."""
    return ' '.join(str(error).split()) or type(error).__name__


def topic_types(reader: AnyReader) -> dict[str, str]:
    """Return topic -> message type of an open bag."""
    return {c.topic: c.msgtype for c in reader.connections}


def _files(path: Path) -> list[Path]:
    if not path.is_dir() or (path / 'metadata.yaml').exists():
        return [path]
    files = sorted([*path.glob('*.mcap'), *path.glob('*.db3')])
    if not files:
        raise FileNotFoundError(f'{path} has neither metadata.yaml nor .mcap or .db3 files')
    return files


def _frames(reader: Any, topics: Topics) -> Iterator[Frame]:
    wanted = {topics.image, topics.info, topics.depth}
    connections = [c for c in reader.connections if c.topic in wanted]
    pending = _Pending(topics)
    for connection, nanoseconds, data in reader.messages(connections=connections):
        message = reader.deserialize(data, connection.msgtype)
        if connection.topic == topics.info:
            pending.camera = Camera.from_msg(message)
        else:
            waiting = pending.depths if connection.topic == topics.depth else pending.images
            waiting.append((stamp_of(message, nanoseconds) / 1e9, message))
        yield from pending.ready()
    yield from pending.ready(at_end=True)


class _Pending:
    """Colour images that wait for their depth and their camera, in order."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.images: deque[tuple[float, Any]] = deque()
        self.depths: deque[tuple[float, Any]] = deque(maxlen=PATIENCE)
        self.camera: Camera | None = None
        self._start: float | None = None

    def ready(self, at_end: bool = False) -> Iterator[Frame]:
        """Yield the images that need not wait any longer."""
        while self.images:
            time = self.images[0][0]
            depth = min(self.depths, key=lambda d: abs(d[0] - time), default=None)
            if depth is not None and abs(depth[0] - time) > SAME_TIME:
                depth = None
            if not (at_end or len(self.images) > PATIENCE or self._complete(time, depth)):
                return
            self._start = time if self._start is None else self._start
            yield _frame(self.images.popleft(), depth, self.camera, self._start)

    def _complete(self, time: float, depth: object) -> bool:
        late = bool(self.depths) and self.depths[-1][0] > time + SAME_TIME
        has_depth = depth is not None or late or not self.topics.depth
        return has_depth and (self.camera is not None or not self.topics.info)


def stamp_of(message: Any, recorded: int) -> int:
    """
    Return the time [ns] in a message's header; where that is zero, the time of its recording.

    :param recorded: the latter [ns].
    """
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec) or recorded


def colour_of(message: Any) -> NDArray[np.uint8]:
    """
    Read a recorded colour image, compressed or not: (H, W, 3) uint8 RGB.

    :raises ValueError: it cannot be decoded.
    """
    return rgb_from_compressed(message) if hasattr(message, 'format') else rgb_from_msg(message)


def depth_of(message: Any) -> NDArray[np.float32]:
    """
    Read a recorded depth image, compressed or not: (H, W) float32 [m], NaN invalid.

    :raises ValueError: it cannot be decoded.
    """
    compressed = hasattr(message, 'format')
    return depth_from_compressed(message) if compressed else depth_from_msg(message)


def _frame(
    image: tuple[float, Any],
    depth: tuple[float, Any] | None,
    camera: Camera | None,
    start: float,
) -> Frame:
    time, message = image
    metres = None if depth is None else depth_of(depth[1])
    return Frame(colour_of(message), camera, metres, time - start)

"""
The first reading of a bag: when every picture was taken, its camera, and where the camera was.

No pixel is kept. From the stamps follows which pictures are of one moment; times are in
nanoseconds, those of the headers, and of the recording where a header has none.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera, is_rectified
from fcrn_ros.recording import one_line, plain_topic, stamp_of, topic_types
from fcrn_ros.training.sources.bag_topics import STATIC, BagTopics
from fcrn_ros.transforms import Joint, TransformTree, frame_name

EYES = ('image', 'depth', 'right')  # what an image topic is read as
UNREADABLE = -1  # the stamp of a message that cannot be read
Message = tuple[str, int, int, Any, bytes]  # its role and number in it, [ns], connection, data


class Faults:
    """Bad messages, counted by what they are, with the cause of the first."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.causes: dict[str, str] = {}
        self.cut = ''  # why the bag could not be read to its end

    def add(self, topic: str, error: Exception) -> None:
        """Count a message."""
        self.counts[topic] += 1
        self.causes.setdefault(topic, one_line(error))

    def lines(self) -> list[str]:
        """Return one line for each topic with bad messages."""
        lines = [f'the bag cannot be read to its end: {self.cut}'] if self.cut else []
        for topic, count in self.counts.items():
            lines.append(f'{count} bad on {topic}, the first: {self.causes[topic]}')
        return lines


@dataclass
class Eye:
    """
    What is known of one image topic.

    :param stamps: of every message [ns]; ``UNREADABLE`` where it is bad.
    :param frame: the frame of the first.
    :param infos: (from when [ns], camera, P[3] / P[0] [m]), a new one where they change.
    """

    stamps: array[int] = field(default_factory=lambda: array('q'))
    frame: str = ''
    infos: list[tuple[int, Camera, float]] = field(default_factory=list)

    def info(self, stamp: int) -> tuple[Camera, float]:
        """Return the camera and P[3] / P[0] [m] at a time: the newest then, or else the first."""
        index = bisect_right(self.infos, stamp, key=lambda info: info[0])
        return self.infos[max(index - 1, 0)][1:]

    def readable(self) -> NDArray[np.int64]:
        """Return the numbers of the messages that can be read."""
        return np.flatnonzero(np.array(self.stamps, np.int64) != UNREADABLE)

    def add_info(self, stamp: int, message: Any, rectified: bool) -> None:
        """Take a camera_info."""
        camera = Camera.from_msg(message, rectified)
        projection = message.p if hasattr(message, 'p') else message.P
        shift = float(projection[3] / projection[0]) if projection[0] > 0 else float('nan')
        if not self.infos or self.infos[-1][1:] != (camera, shift):
            self.infos.append((stamp, camera, shift))


class BagIndex:
    """
    What the first reading of a bag finds.

    :ivar types: topic -> message type, of the whole bag.
    :ivar eyes: by role: image, depth, right.
    :ivar tree: all transforms.
    :ivar odometry: the robot's motion; None without.
    """

    def __init__(self, reader: Any, topics: BagTopics, faults: Faults) -> None:
        self.topics, self.faults = topics, faults
        self.types = topic_types(reader)
        self.eyes = {role: Eye() for role in EYES}
        self.tree = TransformTree()
        self.odometry: Joint | None = None
        for role, _, recorded, connection, data in messages(reader, topics.roles(), faults):
            try:
                message = reader.deserialize(data, connection.msgtype)
                self._take(role, message, recorded, connection.topic)
            except Exception as err:  # rosbags has many kinds of error for a damaged message
                faults.add(connection.topic, err)
                if role in self.eyes:
                    self.eyes[role].stamps.append(UNREADABLE)

    def _take(self, role: str, message: Any, recorded: int, topic: str) -> None:
        if role == 'transforms':
            self._take_transforms(message, topic)
            return
        stamp = stamp_of(message, recorded)
        if role == 'odometry':
            self._take_odometry(stamp, message)
        elif role in self.eyes:
            eye = self.eyes[role]
            eye.frame = eye.frame or frame_name(message.header.frame_id)
            eye.stamps.append(stamp)
        else:
            role = role.removesuffix('_info')
            rectified = is_rectified(plain_topic(getattr(self.topics, role)))
            self.eyes[role].add_info(stamp, message, rectified)

    def _take_transforms(self, message: Any, topic: str) -> None:
        for recorded in message.transforms:
            place, turn = recorded.transform.translation, recorded.transform.rotation
            try:
                self.tree.add(
                    recorded.header.frame_id,
                    recorded.child_frame_id,
                    stamp_of(recorded, 0),
                    (place.x, place.y, place.z),
                    (turn.x, turn.y, turn.z, turn.w),
                    topic.endswith(STATIC),
                )
            except ValueError as err:
                self.faults.add(topic, err)

    def _take_odometry(self, stamp: int, message: Any) -> None:
        parent, child = frame_name(message.header.frame_id), frame_name(message.child_frame_id)
        joint = self.odometry or Joint(child, parent, static=False)
        if (joint.parent, joint.child) != (parent, child) or '' in (parent, child):
            raise ValueError(f'odometry of {child!r} in {parent!r}; expected {joint}')
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        joint.add(stamp, (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
        self.odometry = joint


def messages(reader: Any, roles: dict[str, list[str]], faults: Faults) -> Iterator[Message]:
    """
    Yield the messages of a bag that have a role, as far as it can be read.

    :param roles: topic -> what it is read as.
    :raises OSError: the file cannot be read.
    """
    connections = [c for c in reader.connections if c.topic in roles]
    stream = reader.messages(connections=connections) if connections else iter(())
    counts: Counter[str] = Counter()
    while True:
        try:
            connection, recorded, data = next(stream)
        except StopIteration:
            return
        except OSError:
            raise
        except Exception as err:  # rosbags has many kinds of error for a damaged file
            faults.cut = one_line(err)
            return
        for role in roles[connection.topic]:
            yield role, counts[role], recorded, connection, data
            counts[role] += 1


def pair(first: Eye, second: Eye, tolerance: float) -> dict[int, int]:
    """
    Pair the pictures of two topics by their stamps, the nearest first; none is taken twice.

    :param tolerance: greatest distance of two stamps [s].
    :return: number in the first topic -> number in the second.
    """
    mine, others = first.readable(), second.readable()
    a = np.array(first.stamps, np.int64)[mine]
    b = np.array(second.stamps, np.int64)[others]
    order = np.argsort(b, kind='stable')
    reach = round(tolerance * 1e9)
    low = np.searchsorted(b[order], a - reach, 'left')
    counts = np.searchsorted(b[order], a + reach, 'right') - low
    i = np.repeat(np.arange(len(a)), counts)
    j = order[np.arange(len(i)) + np.repeat(low - np.cumsum(counts) + counts, counts)]
    found: dict[int, int] = {}
    taken: set[int] = set()
    for k in np.argsort(np.abs(a[i] - b[j]), kind='stable'):
        one, other = int(mine[i[k]]), int(others[j[k]])
        if one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return found


def usual_offset(one: Eye, other: Eye) -> float:
    """Return the median distance to the nearest stamp of another topic [s]; + where it is late."""
    a = np.array(one.stamps, np.int64)[one.readable()]
    b = np.sort(np.array(other.stamps, np.int64)[other.readable()])
    after = np.clip(np.searchsorted(b, a), 1, len(b) - 1) if len(b) > 1 else np.zeros(len(a), int)
    offsets = np.stack((b[after] - a, b[np.maximum(after - 1, 0)] - a))
    nearest = np.abs(offsets).argmin(0)
    return float(np.median(offsets[nearest, np.arange(len(a))])) / 1e9

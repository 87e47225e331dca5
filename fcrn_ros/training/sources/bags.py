"""
Recorded bags as samples: colour, and with it depth, a right picture, a pose.

A bag is read twice: first the stamps, cameras and transforms, then the pixels, so that no more of
them is held than what waits for its partner. Pictures are of one moment by their headers' stamps.
Bad messages are left out, counted, and reported with the cause of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from fcrn_ros.recording import opened, topic_types
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.bag_index import EYES, BagIndex, Faults, messages
from fcrn_ros.training.sources.bag_plan import BagPlan, Moment
from fcrn_ros.training.sources.bag_topics import BagOptions, choose_topics
from fcrn_ros.training.sources.bag_views import colour_view, depth_view, right_view

__all__ = ['BagOptions', 'BagSource']
WAITING_BYTES = 1 << 28  # of recorded pictures that wait for a partner recorded later


class BagSource:
    """
    Samples of one bag, or of several, each a sequence of its own.

    :param paths: a ROS 1 .bag, a rosbag2 folder, or its .mcap or .db3 file; or several of these.
    :param options: what to read; None finds the topics.
    :raises ValueError: there is no path.
    """

    licence = ''

    def __init__(
        self, paths: Path | str | Sequence[Path | str], options: BagOptions | None = None
    ) -> None:
        several = [paths] if isinstance(paths, (Path, str)) else paths
        self.paths = [Path(path) for path in several]
        self.options = options or BagOptions()
        if not self.paths:
            raise ValueError('no bag; expected the path of at least one')
        self.bags = _names(self.paths)
        more = len(self.paths) - 1
        self.name = f'{self.bags[0]}+{more}' if more else self.bags[0]
        self._lines: list[str] = []
        self._length: int | None = None

    def signature(self) -> str:
        """Return the bags' files with sizes and times, and the options."""
        files = [file for path in self.paths for file in _files(path)]
        states = [f'{f.resolve()} {f.stat().st_size} {f.stat().st_mtime_ns}' for f in files]
        return '\n'.join([*states, repr(self.options)])

    def samples(self) -> Iterator[Sample]:
        """
        Yield the samples of all bags, those of each in the order of time.

        :raises ValueError: a bag cannot be read, or has not what is needed; one line names it.
        :raises FileNotFoundError: a bag is not there.
        """
        self._lines = []
        for path, bag in zip(self.paths, self.bags, strict=True):
            prefix = f'{bag}/' if len(self.paths) > 1 else ''
            for sample in self._samples_of(path, bag):
                yield replace(sample, name=prefix + sample.name, sequence=bag)

    def report(self) -> list[str]:
        """Return what reading found: pairs, offsets, poses, and bad messages."""
        return self._lines

    def __len__(self) -> int:
        """
        Return how many pictures there are, or how many partners where these are fewer.

        :raises ValueError: a bag cannot be read, or has not what is needed.
        """
        if self._length is None:
            self._length = sum(map(self._count, self.paths))
        return self._length

    def _count(self, path: Path) -> int:
        with opened(path) as reader, _named(path):
            topics = choose_topics(topic_types(reader), self.options)
            partners = {'depth': topics.depth, 'stereo': topics.right}
            wanted = [topics.image, *(partners[n] for n in topics.need if n in partners)]
            return min(
                sum(c.msgcount for c in reader.connections if c.topic == topic) for topic in wanted
            )

    def _samples_of(self, path: Path, bag: str) -> Iterator[Sample]:
        faults = Faults()
        with opened(path) as reader:
            with _named(path):
                topics = choose_topics(topic_types(reader), self.options)
                plan = BagPlan(BagIndex(reader, topics, faults), self.options)
            decoding = Decoding(reader, plan, faults)
            yield from decoding.samples()
        lines = [*plan.lines(), *decoding.lines(), *faults.lines()]
        self._lines += [f'{bag}: {line}' for line in lines]


class Decoding:
    """The second reading of a bag: moments become samples."""

    def __init__(self, reader: AnyReader, plan: BagPlan, faults: Faults) -> None:
        self.reader, self.plan, self.faults = reader, plan, faults
        self._waiting: dict[tuple[str, int], tuple[Any, int]] = {}  # with its bytes
        self._dropped = self._without_pose = 0

    def lines(self) -> list[str]:
        """Return what was left out, one line each."""
        lines = []
        if self._dropped:
            lines.append(
                f'{self._dropped} moments left out: their pictures were recorded too far apart'
            )
        if self._without_pose:
            what = 'left out' if 'pose' in self.plan.topics.need else 'kept'
            lines.append(f'{self._without_pose} pictures without a known pose were {what}')
        return lines

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in the order of time."""
        for moment, found in self._complete():
            sample = self._sample(moment, found)
            if sample is not None:
                yield sample

    def _complete(self) -> Iterator[tuple[Moment, dict[str, Any]]]:
        """Yield every moment with its messages, as soon as these have come."""
        moments = deque(self.plan.moments)
        needed = {key for moment in moments for key in moment.numbers.items()}
        roles = self.plan.topics.roles(EYES)
        for role, number, _, connection, data in messages(self.reader, roles, self.faults):
            if (role, number) not in needed:
                continue
            message = self.reader.deserialize(data, connection.msgtype)
            self._waiting[role, number] = message, len(data)
            while moments and self._waiting.keys() >= moments[0].numbers.items():
                moment = moments.popleft()
                yield moment, self._taken(moment)
            while moments and sum(size for _, size in self._waiting.values()) > WAITING_BYTES:
                needed -= moments[0].numbers.items()
                self._taken(moments.popleft())
                self._dropped += 1
        self._dropped += len(moments)

    def _taken(self, moment: Moment) -> dict[str, Any]:
        keys = [key for key in moment.numbers.items() if key in self._waiting]
        return {key[0]: self._waiting.pop(key)[0] for key in keys}

    def _sample(self, moment: Moment, found: dict[str, Any]) -> Sample | None:
        """Return a sample; None where it lacks what it needs."""
        try:
            camera = self.plan.camera('image', moment.stamp)
            image, pinhole = colour_view(found['image'], camera)
        except ValueError as err:
            self.faults.add(self.plan.topics.image, err)
            return None
        sample = Sample(moment.name, image, pinhole, time=moment.time)
        adders = {'depth': self._with_depth, 'stereo': self._with_right, 'pose': self._with_pose}
        for part, add in adders.items():
            changed = add(sample, moment.stamp, found)
            if changed is None and part in self.plan.topics.need:
                return None
            sample = changed or sample
        return sample

    def _with_depth(self, sample: Sample, stamp: int, found: dict[str, Any]) -> Sample | None:
        if 'depth' not in found:
            return None
        plan = self.plan
        camera, colour = plan.camera('depth', stamp), plan.camera('image', stamp)
        try:
            depth = depth_view(found['depth'], camera, colour, plan.colour_T_depth(stamp))
        except ValueError as err:
            self.faults.add(plan.topics.depth, err)
            return None
        return replace(sample, depth=depth)

    def _with_right(self, sample: Sample, stamp: int, found: dict[str, Any]) -> Sample | None:
        if 'right' not in found:
            return None
        try:
            right = right_view(found['right'], self.plan.camera('right', stamp), sample.camera)
        except ValueError as err:
            self.faults.add(self.plan.topics.right, err)
            return None
        return replace(sample, right=right, baseline=self.plan.baseline(stamp))

    def _with_pose(self, sample: Sample, stamp: int, _: dict[str, Any]) -> Sample | None:
        if not self.plan.world:
            return None
        try:
            return replace(sample, world_T_camera=self.plan.world_T_camera(stamp))
        except ValueError:  # the pose is not known at that time
            self._without_pose += 1
            return None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which bag an error is."""
    try:
        yield
    except ValueError as err:
        raise ValueError(f'{path}: {err}') from err


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each bag; bags of one name are numbered."""
    names = [path.resolve().stem if path.is_file() else path.resolve().name for path in paths]
    return [
        name if names.count(name) == 1 else f'{name}-{names[:i].count(name) + 1}'
        for i, name in enumerate(names)
    ]


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(f'{path} was not found; expected a bag')
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]

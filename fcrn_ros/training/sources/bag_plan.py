"""
Which pictures of a bag make which samples, and how their cameras lie to each other.

Settled from the first reading, before a pixel is decoded; what is needed and not there is an error
here, what is only wanted is left out and reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.recording import topic_list
from fcrn_ros.rigid import inverse
from fcrn_ros.training.sources.bag_index import EYES, BagIndex, pair, usual_offset
from fcrn_ros.training.sources.bag_topics import BagOptions
from fcrn_ros.training.sources.bag_views import rectified_T_frame
from fcrn_ros.training.sources.registration import same_view
from fcrn_ros.transforms import Joint, TransformTree

ROLES = {'depth': 'depth', 'stereo': 'right'}  # part of a sample -> its image topic
MEANS = {'depth': 'colour and depth', 'stereo': 'left and right'}


@dataclass(frozen=True)
class Moment:
    """
    The messages of one sample.

    :param name: seconds from the first picture.
    :param stamp: of the colour picture [ns].
    :param time: the same, from the first picture [s].
    :param numbers: role -> number of the message in its topic.
    """

    name: str
    stamp: int
    time: float
    numbers: dict[str, int]


class BagPlan:
    """
    The samples of a bag, before they are decoded.

    :ivar moments: in the order of time.
    :raises ValueError: what every sample needs is not in the bag.
    """

    def __init__(self, index: BagIndex, options: BagOptions) -> None:
        self.index, self.options, self.topics = index, options, index.topics
        self.eyes, self.tree = index.eyes, index.tree
        self.world = ''
        self._lines: list[str] = []
        self._require_messages('image')
        self._lines.append(self._topics_read())
        colour = self.eyes['image']
        if not colour.infos:
            raise ValueError(
                f'no usable camera_info on {self.topics.image_info}'
                f'{self._cause(self.topics.image_info)}; name another with camera_info'
            )
        self._partners: dict[str, dict[int, int]] = {}
        for part in ('depth', 'stereo', 'pose'):
            self._plan_if_there(part)
        self.moments = self._moments()

    def lines(self) -> list[str]:
        """Return what is paired, and what is missing, one line each."""
        return self._lines

    def camera(self, role: str, stamp: int) -> Camera:
        """Return the camera of an image topic at a time [ns]; depth without one has colour's."""
        return (self.eyes[role] if self.eyes[role].infos else self.eyes['image']).info(stamp)[0]

    def colour_T_depth(self, stamp: int) -> NDArray[np.float64]:
        """
        Return the transform from the depth camera's frame to the colour camera's, (4, 4).

        :raises ValueError: it is not known at that time.
        """
        if self._aligned():
            return np.eye(4)
        return self.tree.lookup(self.eyes['image'].frame, self.eyes['depth'].frame, stamp)

    def world_T_camera(self, stamp: int) -> NDArray[np.float64]:
        """
        Return the pose of the rectified colour camera, (4, 4).

        :raises ValueError: it is not known at that time.
        """
        world_T_frame = self.tree.lookup(self.world, self.eyes['image'].frame, stamp)
        return world_T_frame @ inverse(rectified_T_frame(self.camera('image', stamp)))

    def baseline(self, stamp: int) -> float:
        """Return how far right of the left camera the right one is [m], from P of both."""
        return self.eyes['image'].info(stamp)[1] - self.eyes['right'].info(stamp)[1]

    def _plan_if_there(self, part: str) -> None:
        needed = part in self.topics.need
        if not needed and part not in self.options.want:
            return
        if part in ROLES and not getattr(self.topics, ROLES[part]):
            return
        plans = {'depth': self._plan_depth, 'stereo': self._plan_stereo, 'pose': self._plan_pose}
        try:
            plans[part]()
        except ValueError as err:
            self._partners.pop(part, None)
            if needed:
                raise
            if part != 'pose' or self.topics.odometry or self.topics.transforms:
                self._lines.append(f'no {part}: {err}')

    def _plan_depth(self) -> None:
        self._pair('depth')
        colour, depth = self.eyes['image'], self.eyes['depth']
        if not self._aligned():
            try:
                self.tree.chain(colour.frame, depth.frame)
            except ValueError as err:
                raise ValueError(f'depth is not of the colour camera, and {err}') from err
        if depth.infos:
            self._require_frames()
            return
        if not self._aligned():
            raise ValueError(
                f'no usable camera_info of {self.topics.depth}'
                f'{self._cause(self.topics.depth_info)}; name one with depth_info'
            )
        self._lines.append('depth has no camera_info, and is taken as the colour camera sees it')

    def _require_frames(self) -> None:
        """Refuse to take two different cameras that name no frame for cameras in one place."""
        cameras = [self.eyes[role].infos[0][1].pinhole() for role in ('image', 'depth')]
        if self.eyes['image'].frame + self.eyes['depth'].frame == '' and not same_view(*cameras):
            raise ValueError(
                f'{self.topics.image} and {self.topics.depth} name no frame, and their cameras '
                'differ; expected the frame_id of each in its header'
            )

    def _aligned(self) -> bool:
        """Whether depth is in the colour camera's frame."""
        same = self.eyes['image'].frame == self.eyes['depth'].frame
        return same or 'aligned' in self.topics.depth

    def _plan_stereo(self) -> None:
        self._pair('stereo')
        if not self.eyes['right'].infos:
            raise ValueError(
                f'no usable camera_info of {self.topics.right}'
                f'{self._cause(self.topics.right_info)}; name one with right_info'
            )
        baseline = self.baseline(self.eyes['right'].infos[0][0])
        if not baseline > 0:
            raise ValueError(
                f'the baseline of {self.topics.image} and {self.topics.right} is {baseline:g} m '
                'by P of their camera_info; expected P[3] = -fx * baseline in that of the right'
            )

    def _plan_pose(self) -> None:
        frame, odometry = self.eyes['image'].frame, self.index.odometry
        source = self.topics.odometry
        if odometry is not None:
            tree = self.tree.with_joint(odometry)
            if _carries(tree, odometry, frame):
                self.tree, self.world = tree, odometry.parent
            elif self.options.odometry:
                raise ValueError(
                    f'{source} moves the frame {odometry.child!r}, to which no transform connects '
                    f'the camera frame {frame!r}'
                )
        elif self.options.odometry:
            raise ValueError(f'no usable message on {source}{self._cause(source)}')
        if not self.world:
            source = ', '.join(self.topics.transforms) or 'no topic of transforms'
            self.world = self.tree.fixed_frame(frame)
        self._lines.append(f'poses of {frame!r} in {self.world!r}, from {source}')

    def _pair(self, part: str) -> None:
        role = ROLES[part]
        self._require_messages(role)
        one, other = self.eyes['image'], self.eyes[role]
        pairs = pair(one, other, self.options.tolerance)
        if not pairs:
            raise ValueError(
                f'no {getattr(self.topics, role)} within {self.options.tolerance * 1000:g} ms of '
                f'{self.topics.image}: their stamps differ by {usual_offset(one, other):.3f} s; '
                'set both clocks alike, or give a greater tolerance'
            )
        offsets = [other.stamps[j] - one.stamps[i] for i, j in pairs.items()]
        alone = len(one.readable()) - len(pairs), len(other.readable()) - len(pairs)
        self._partners[part] = pairs
        first, second = MEANS[part].split(' and ')
        self._lines.append(
            f'{len(pairs)} pairs of {MEANS[part]}, mean offset {np.mean(offsets) / 1e6:.1f} ms; '
            f'without a partner: {alone[0]} {first}, {alone[1]} {second}'
        )

    def _topics_read(self) -> str:
        topics = {role: getattr(self.topics, role) for role in EYES}
        return 'read ' + ', '.join(f'{role} {topic}' for role, topic in topics.items() if topic)

    def _require_messages(self, role: str) -> None:
        if not len(self.eyes[role].readable()):
            topic = getattr(self.topics, role)
            raise ValueError(
                f'no readable message on {topic}{self._cause(topic)}; name another topic with '
                f'the option {role}; it has {topic_list(self.index.types)}'
            )

    def _cause(self, topic: str) -> str:
        cause = self.index.faults.causes.get(topic) or self.index.faults.cut
        return f' ({cause})' if cause else ''

    def _moments(self) -> list[Moment]:
        eye = self.eyes['image']
        numbers = sorted((int(i) for i in eye.readable()), key=lambda i: eye.stamps[i])
        start = eye.stamps[numbers[0]]
        moments: dict[str, Moment] = {}
        repeated = 0
        for number in numbers:
            partners = {p: pairs.get(number) for p, pairs in self._partners.items()}
            if any(p in partners and partners[p] is None for p in self.topics.need):
                continue
            seconds = (eye.stamps[number] - start) / 1e9
            name = f'{seconds:010.3f}'
            repeated += name in moments
            found = {ROLES[p]: n for p, n in partners.items() if n is not None}
            moment = Moment(name, eye.stamps[number], seconds, {'image': number, **found})
            moments.setdefault(name, moment)
        if repeated:
            self._lines.append(f'{repeated} pictures left out: their stamp repeats another')
        return list(moments.values())


def _carries(tree: TransformTree, joint: Joint, frame: str) -> bool:
    try:
        return joint in tree.chain(joint.parent, frame)[1]
    except ValueError:
        return False

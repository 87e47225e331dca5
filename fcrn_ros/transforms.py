"""
Frames and the transforms between them: static ones, and moving ones by time.

Convention: target_T_source is (4, 4) float64 and takes points [m] of the frame source into the
frame target (REP 105). A recorded transform of a child frame in its parent is parent_T_child.
Between two recorded poses, positions move on a line and rotations at a constant rate (Shoemake,
"Animating Rotation with Quaternion Curves", SIGGRAPH 1985). Times are in nanoseconds.

Worked number: base is at x = 1 m in odom, turned by 90 degrees about z (quaternion 0, 0, 0.7071,
0.7071), and the camera is 0.2 m ahead on the base's x. It is then at (1, 0.2, 0) in odom.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.rigid import Numbers, inverse, matrix

FIXED_FRAMES = ('odom', 'map')  # REP 105; the first is continuous
MARGIN = 20_000_000  # [ns] before the first and after the last pose that take these
GAP = 1_000_000_000  # [ns] between two poses beyond which nothing is known
FEW = 8  # names that an error lists


def _slerp(a: NDArray[np.float64], b: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Turn from one unit quaternion towards another, the shorter way."""
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return a
    turned: NDArray[np.float64] = np.sin((1 - share) * angle) * a + np.sin(share * angle) * b
    return turned / np.sin(angle)


@dataclass
class Joint:
    """
    Where a child frame is in its parent: once for all, or by time.

    :param child: the child frame.
    :param parent: its parent.
    :param static: its last transform holds at any time.
    """

    child: str
    parent: str
    static: bool
    _stamps: array[int] = field(default_factory=lambda: array('q'))
    _poses: array[float] = field(default_factory=lambda: array('d'))
    _sorted: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    def add(self, stamp: int, translation: Numbers, quaternion: Numbers) -> None:
        """
        Add a transform parent_T_child, in any order of time.

        :raises ValueError: a number is not finite, or the quaternion has no length.
        """
        matrix(translation, quaternion)  # refuses what is no transform
        length = float(np.linalg.norm(quaternion))
        if self.static:
            del self._stamps[:], self._poses[:]
        self._stamps.append(stamp)
        self._poses.extend((*translation, *(q / length for q in quaternion)))
        self._sorted = None

    def at(self, stamp: int) -> NDArray[np.float64]:
        """
        Return parent_T_child at a time [ns].

        :raises ValueError: the time lies outside the recorded one, or in a long gap of it.
        """
        stamps, poses = self._in_order()
        after = int(np.searchsorted(stamps, stamp))
        before = max(after - 1, 0)
        after = min(after, len(stamps) - 1)
        if self.static or before == after or stamps[after] == stamp:
            return self._at_end(stamp, int(stamps[after]), poses[after])
        start, end = int(stamps[before]), int(stamps[after])
        if stamp > end:
            return self._at_end(stamp, end, poses[after])
        if end - start > GAP:
            raise ValueError(f'{self} is not known for {(end - start) / 1e9:.1f} s')
        share = (stamp - start) / (end - start)
        position = (1 - share) * poses[before, :3] + share * poses[after, :3]
        return matrix(position, _slerp(poses[before, 3:], poses[after, 3:], share))

    def _at_end(self, stamp: int, end: int, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        late = abs(stamp - end)
        if late > MARGIN and not self.static:
            raise ValueError(f'{self} is not known {late / 1e9:.2f} s from its recorded time')
        return matrix(pose[:3], pose[3:])

    def _in_order(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if self._sorted is None:
            stamps = np.array(self._stamps, np.int64)
            order = np.argsort(stamps, kind='stable')
            self._sorted = stamps[order], np.array(self._poses).reshape(-1, 7)[order]
        return self._sorted

    def __str__(self) -> str:
        return f'{self.parent!r} to {self.child!r}'


class TransformTree:
    """Frames that hang together by their joints; every frame has one parent at most."""

    def __init__(self) -> None:
        self.joints: dict[str, Joint] = {}  # by child

    def add(
        self,
        parent: str,
        child: str,
        stamp: int,
        translation: Numbers,
        quaternion: Numbers,
        static: bool,
    ) -> None:
        """
        Add a recorded transform parent_T_child; a leading slash of a frame's name is dropped.

        :raises ValueError: it is no transform, or the child has another parent already.
        """
        parent, child = frame_name(parent), frame_name(child)
        joint = self.joints.get(child) or Joint(child, parent, static)
        if joint.parent != parent or child == parent:
            raise ValueError(f'frame {child!r} is in {parent!r} and in {joint.parent!r}')
        joint.add(stamp, translation, quaternion)
        self.joints[child] = joint

    def with_joint(self, joint: Joint) -> TransformTree:
        """Return this tree with one frame moving by another joint."""
        tree = TransformTree()
        tree.joints = {**self.joints, joint.child: joint}
        return tree

    def lookup(self, target: str, source: str, stamp: int) -> NDArray[np.float64]:
        """
        Return target_T_source at a time [ns].

        :raises ValueError: the frames do not hang together, or not at that time.
        """
        up, down = self.chain(target, source)
        result = np.eye(4)
        for joint in up:
            result = result @ inverse(joint.at(stamp))
        for joint in reversed(down):
            result = result @ joint.at(stamp)
        return result

    def chain(self, target: str, source: str) -> tuple[list[Joint], list[Joint]]:
        """
        Return the joints from both frames up to the first frame that both have.

        :raises ValueError: there is none; the message names the frames that there are.
        """
        up, down = self._ancestry(target), self._ancestry(source)
        while up and down and up[-1] is down[-1]:
            up.pop(), down.pop()
        if (up[-1].parent if up else target) != (down[-1].parent if down else source):
            raise ValueError(
                f'no transform connects the frames {target!r} and {source!r}; '
                f'static: {self._names(True)}; moving: {self._names(False)}'
            )
        return up, down

    def fixed_frame(self, frame: str) -> str:
        """
        Return the frame that a moving frame's pose is given in: odom, map, or else the root.

        :raises ValueError: nothing moves the frame.
        """
        joints = self._ancestry(frame)
        moving = next((i for i, joint in enumerate(joints) if not joint.static), None)
        if moving is None:
            raise ValueError(
                f'no transform moves the frame {frame!r}; moving: {self._names(False)}'
            )
        above = [joint.parent for joint in joints[moving:]]
        fixed = (f for name in FIXED_FRAMES for f in above if f.rpartition('/')[2] == name)
        return next(fixed, above[-1])

    def _ancestry(self, frame: str) -> list[Joint]:
        joints: list[Joint] = []
        while frame in self.joints:
            joints.append(self.joints[frame])
            frame = joints[-1].parent
            if len(joints) > len(self.joints):
                raise ValueError(f'the transforms of frame {frame!r} form a ring')
        return joints

    def _names(self, static: bool) -> str:
        found = [j for j in self.joints.values() if j.static == static]
        names = sorted({j.child for j in found} | {j.parent for j in found})
        more = f' and {len(names) - FEW} more' if len(names) > FEW else ''
        return ', '.join(names[:FEW]) + more or 'none'


def frame_name(name: str) -> str:
    """Return a frame's name without the leading slash that tf's first version wrote."""
    return name.removeprefix('/')

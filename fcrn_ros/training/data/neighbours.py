"""
Which frames of a video show a frame's scene from a useful other place.

Seen from aside by b, a point at depth d shifts by f b / d. Too small a shift says nothing about
depth, too large a one leaves the picture or is hidden. Worked number: f = 207 px, d = 2.5 m, b =
0.15 m: 12 px, and a depth wrong by 10 % misses by 1.2 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pose = NDArray[np.float64]


@dataclass(frozen=True)
class Usefulness:
    """
    Which motions between two frames are of use.

    :param baselines: least and largest translation [m]: 2.4 and 20 % of a room's 2.5 m.
    :param preferred: the best translation [m].
    :param rotation: largest rotation [degrees].
    :param gap: longest time between the frames [s].
    """

    baselines: tuple[float, float] = (0.06, 0.5)
    preferred: float = 0.15
    rotation: float = 20.0
    gap: float = 5.0


VIDEO = Usefulness()


def motions(world_T_camera: Sequence[Pose | None], index: int) -> NDArray[np.float64]:
    """
    Return the pose of one frame in every frame, NaN where either is not known.

    :param world_T_camera: N poses, (4, 4) float64 [m].
    :return: (N, 4, 4) float64, other_T_this.
    """
    unknown = np.full((4, 4), np.nan)
    poses = np.stack([unknown if p is None else np.asarray(p, float) for p in world_T_camera])
    turned = poses[:, :3, :3].transpose(0, 2, 1)
    result = np.tile(np.eye(4), (len(poses), 1, 1))
    result[:, :3, :3] = turned @ poses[index, :3, :3]
    away = poses[index, :3, 3] - poses[:, :3, 3]
    result[:, :3, 3] = np.einsum('nij,nj->ni', turned, away)
    return result


def rotation_angles(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far (N, 4, 4) poses turn [degrees], (N,); NaN is kept."""
    trace = np.trace(poses[:, :3, :3], axis1=1, axis2=2)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def choose_sources(
    times: Sequence[float],
    world_T_camera: Sequence[Pose | None],
    index: int,
    count: int = 2,
    useful: Usefulness = VIDEO,
    offsets: Sequence[int] = (-1, 1),
) -> list[int]:
    """
    Return the frames that serve view synthesis of one frame, the best first.

    They come from before and after in turn while both have one, for what is hidden in one is often
    seen in the other. A video without any pose gives the frames at fixed offsets.

    :param times: of N frames of one sequence [s], ascending.
    :param world_T_camera: N poses, (4, 4) float64 [m]; None or NaN where not known.
    :param index: the frame.
    :param count: at most so many.
    :param useful: which motions serve.
    :param offsets: in frames, for a video without poses.
    :return: indices; fewer than ``count``, or none, where the motion is of no use.
    :raises ValueError: there are not as many times as poses.
    """
    if len(times) != len(world_T_camera):
        raise ValueError(f'{len(times)} times for {len(world_T_camera)} poses; expected as many')
    if all(pose is None for pose in world_T_camera):
        wanted = [index + o for o in offsets if o and 0 <= index + o < len(times)]
        return [i for i in wanted if abs(times[i] - times[index]) <= useful.gap][:count]
    first = int(np.searchsorted(times, times[index] - useful.gap, 'left'))
    last = int(np.searchsorted(times, times[index] + useful.gap, 'right'))
    costs = _costs(motions(world_T_camera[first:last], index - first), useful)
    ranked = [int(i) + first for i in np.argsort(costs, kind='stable') if np.isfinite(costs[i])]
    before, after = [i for i in ranked if i < index], [i for i in ranked if i > index]
    both = min(len(before), len(after))
    alternate = [i for pair in zip(before, after, strict=False) for i in pair]
    return (alternate + before[both:] + after[both:])[:count]


def _costs(poses: NDArray[np.float64], useful: Usefulness) -> NDArray[np.float64]:
    """Return (N,): 0 for the best motion, infinite for those of no use."""
    baseline, angle = np.linalg.norm(poses[:, :3, 3], axis=1), rotation_angles(poses)
    least, largest = useful.baselines
    serves = (baseline >= least) & (baseline <= largest) & (angle <= useful.rotation)
    with np.errstate(divide='ignore'):
        cost = np.abs(np.log(baseline / useful.preferred)) + angle / useful.rotation
    return np.where(serves, cost, np.inf)

"""
Rectified stereo pairs from a video whose poses are known: one camera at two moments.

What stood still between the moments is seen as a stereo camera would see it, with a metric
baseline. Both pictures are turned, each about its own centre, so that x points from one centre to
the other and both look the same way: a point's row is then the same in both. Turning changes
z-depth: pixel p' of the turned picture looks along r' = K^-1 p', which in the old frame is
r = old_R_new r'; a reading of d along r has X = d r / r_z, and z' = d / r_z.
Worked number: fx = 200 px, a turn of 10 degrees about y. The new centre looks along (sin 10, 0,
cos 10), to the old column cx + 200 tan 10 = cx + 35.3 px; a reading of 2 m there is 2 / cos 10 =
2.031 m away, and that is its new z.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.neighbours import Usefulness, motions, rotation_angles
from fcrn_ros.training.data.samples import Sample

SIDEWAYS = 0.85  # least share of the translation along x; 0.85 turns the pictures by 32 degrees
STEREO = Usefulness(rotation=10.0)  # a turn magnifies every fault of the calibration
LEAST_WINDOW = 0.4  # of width and height, that both turned pictures have to fill

Matrix = NDArray[np.float64]


def sideways_pairs(
    samples: Sequence[Sample], useful: Usefulness = STEREO
) -> Iterator[tuple[int, int]]:
    """
    Yield pairs of samples that make stereo pairs, at most one for each sample.

    :param samples: of one sequence, in the order of time.
    :param useful: which motions serve; of these the most sideways is taken, which turns least.
    :return: (sample, a later one); which of them is the left one, the pair tells.
    """
    poses = [sample.world_T_camera for sample in samples]
    times = np.array([sample.time for sample in samples])
    least, largest = useful.baselines
    for index in range(len(samples)):
        last = int(np.searchsorted(times, times[index] + useful.gap, 'right'))
        moved = motions(poses[index:last], 0)
        baseline = np.linalg.norm(moved[:, :3, 3], axis=1)
        serves = (baseline >= least) & (baseline <= largest)
        serves &= rotation_angles(moved) <= useful.rotation
        share = np.abs(moved[:, 0, 3]) / np.maximum(baseline, least)
        best = int(np.where(serves, share, 0).argmax())
        if share[best] >= SIDEWAYS and serves[best]:
            yield index, index + best


def stereo_pair(one: Sample, other: Sample) -> Sample:
    """
    Make a rectified stereo pair of two samples.

    :param one: with pose.
    :param other: of the same camera, with pose, moved mostly along x.
    :return: the left one, turned and cut to the largest window (of the camera's shape) that both
        turned pictures fill; depth and pose are those of the turned camera.
    :raises ValueError: a pose is not known, the cameras differ, or the motion leaves no window.
    """
    if one.world_T_camera is None or other.world_T_camera is None:
        raise ValueError(f'{one.name}, {other.name}: a pose is not known; expected both')
    if one.camera != other.camera:
        raise ValueError(f'{one.name}, {other.name}: two cameras; expected one')
    move = other.world_T_camera[:3, 3] - one.world_T_camera[:3, 3]
    if move @ one.world_T_camera[:3, 0] < 0:
        one, other, move = other, one, -move
    world_R_new = _common_rotation(_rotation(one), _rotation(other), move)
    turns = [_rotation(sample).T @ world_R_new for sample in (one, other)]
    window = _window(one.camera, turns)
    if window.width < LEAST_WINDOW * one.camera.width or not 0 < window.cx < window.width:
        raise ValueError(
            f'{one.name}, {other.name}: rectified, both fill {window.width} of '
            f'{one.camera.width} columns, the principal point at {window.cx:.0f}; expected at '
            f'least {LEAST_WINDOW:.0%} with it inside: the motion is not sideways enough'
        )
    pose = np.eye(4)
    assert one.world_T_camera is not None
    pose[:3, :3], pose[:3, 3] = world_R_new, one.world_T_camera[:3, 3]
    return replace(
        one,
        name=f'{one.name}+{other.name}',
        image=_turned_image(one, window, turns[0]),
        camera=window,
        depth=_turned_depth(one, window, turns[0]),
        world_T_camera=pose,
        right=_turned_image(other, window, turns[1]),
        baseline=float(np.linalg.norm(move)),
    )


def _rotation(sample: Sample) -> Matrix:
    assert sample.world_T_camera is not None
    rotation: Matrix = sample.world_T_camera[:3, :3]
    return rotation


def _common_rotation(one: Matrix, other: Matrix, move: Matrix) -> Matrix:
    """Return the rotation whose x is the move and whose z is as near as can be to both z's."""
    x = move / np.linalg.norm(move)
    y = np.cross(one[:, 2] + other[:, 2], x)
    y /= np.linalg.norm(y)
    return np.column_stack((x, y, np.cross(x, y)))


def _old_pixels(new: Camera, old: Camera, old_R_new: Matrix, uv: Matrix) -> tuple[Matrix, Matrix]:
    """Return where the old camera sees (..., 2) pixels of the new one, and r_z, (...)."""
    u, v = np.moveaxis(uv, -1, 0)
    rays = np.stack(((u - new.cx) / new.fx, (v - new.cy) / new.fy, np.ones_like(u)), -1)
    turned = rays @ old_R_new.T
    return old.project(turned), turned[..., 2]


def _window(camera: Camera, turns: Sequence[Matrix]) -> Camera:
    """Return the largest window, of the camera's shape, that every turned picture fills."""
    middle = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    centres = [camera.project(turn.T @ _ray(camera, middle)) for turn in turns]
    half = np.array([camera.width / 2, camera.height / 2])
    corners = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)])
    lower, upper, centre = 0.0, 1.5, np.mean(centres, axis=0)
    for _ in range(12):
        share = (lower + upper) / 2
        window = _cut(camera, centre - share * half, 2 * share * half)
        size = np.array([window.width, window.height])
        edge = (corners + 1) / 2 * (size - 1)
        seen = [_old_pixels(window, camera, turn, edge)[0] for turn in turns]
        fits = all(((s >= 0) & (s <= 2 * middle)).all() for s in seen)  # false where NaN
        lower, upper = (share, upper) if fits else (lower, share)
    return _cut(camera, centre - lower * half, 2 * lower * half)


def _ray(camera: Camera, uv: Matrix) -> Matrix:
    return np.array([(uv[0] - camera.cx) / camera.fx, (uv[1] - camera.cy) / camera.fy, 1.0])


def _cut(camera: Camera, corner: Matrix, size: Matrix) -> Camera:
    """Return the camera of a window, which may reach beyond the picture."""
    x, y = (round(float(c)) for c in corner)
    width, height = (max(1, int(s)) for s in size)
    return replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)


def _grid(camera: Camera) -> Matrix:
    axes = np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64)
    grid: Matrix = np.stack(np.meshgrid(*axes), -1)
    return grid


def _turned_image(sample: Sample, window: Camera, old_R_new: Matrix) -> NDArray[np.uint8]:
    pixels, _ = _old_pixels(window, sample.camera, old_R_new, _grid(window))
    u, v = np.moveaxis(pixels.astype(np.float32), -1, 0)
    return cv2.remap(sample.image, u, v, cv2.INTER_LINEAR)  # type: ignore[return-value]


def _turned_depth(sample: Sample, window: Camera, old_R_new: Matrix) -> NDArray[np.float32] | None:
    """Return z-depth in the turned frame, of the nearest reading; NaN is kept."""
    if sample.depth is None:
        return None
    pixels, along = _old_pixels(window, sample.camera, old_R_new, _grid(window))
    u, v = np.moveaxis(np.rint(pixels).astype(int), -1, 0)
    turned: NDArray[np.float32] = (sample.depth[v, u] / along).astype(np.float32)
    return turned

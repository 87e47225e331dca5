"""
What clouds and scan cost on one core, and what of the rendered clip they mark.

    OMP_NUM_THREADS=1 python benchmarks/clouds.py [--repeats 200] [--model NAME] [--no-model]

prints two Markdown tables. The first has the time of every step at three sizes. The second counts,
over the clip's frames, floor that is marked and obstacles (0.2 to 2 m high) that are not, with
exact depth and with the model's, in its own scale and in that which the clip's floor gives it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.bench.timing import milliseconds
from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.recording import Frame, read_bag
from fcrn_ros.settings import Settings
from fcrn_ros.share import share_folder
from fcrn_ros.sources import CLIP_MOUNTING, CLIP_RATE
from fcrn_ros.space.obstacles import Band, clearing_points, heights, marking_points, ray_ends
from fcrn_ros.space.scan import laser_scan
from fcrn_ros.space.surroundings import Surroundings
from fcrn_ros.space.sweep import ScanLimits, Sweep, lay_out

SIZES = ((128, 96), (160, 128), (640, 480))
BANDS = (Band(0.15, 2.0), Band(0.15, 2.0, 0.1), Band(0.15, 2.0, 0.2), Band(0.15, 2.0, 0.1, 0.02))
LIMITS = ScanLimits(Band(0.1, 1.0, 0.1), 0.3, 5.0)
FAR, VOXEL = 10.0, 0.05
FLOOR, OBSTACLE = 0.03, (0.2, 2.0)  # heights in exact depth [m]
FRAMES = 10  # of the clip, evenly spaced
Depth = NDArray[np.float32]


@dataclass(frozen=True)
class Shot:
    """One frame of the clip at the network's size, in its true mounting."""

    camera: Camera
    exact: Depth
    mounting: Mounting
    frame: Frame

    @property
    def height(self) -> Depth:
        """True heights above the floor, (h, w) [m]."""
        return heights(self.camera.unproject(self.exact), self.mounting.floor_T_optical)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--repeats', type=int, default=200)
    parser.add_argument('--model', default='')
    parser.add_argument('--no-model', action='store_true', help='exact depth alone')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    shots = _shots()
    _print_times(shots[0], options.repeats)
    print()
    _print_shares(shots, None if options.no_model else options.model)


def _shots() -> list[Shot]:
    folder = share_folder() / 'demo'
    sys.path.insert(0, str(folder))
    from room_camera import camera_pose

    frames = list(read_bag(folder / 'room'))
    shots = []
    for number in np.linspace(0, len(frames) - 1, FRAMES).astype(int):
        frame = frames[number]
        assert frame.camera is not None and frame.depth is not None
        at = Mounting.from_transform(camera_pose(number / (len(frames) - 1)))
        mounting = Mounting(at.height, at.pitch, at.roll)
        # the middle of every 5 x 5 pixels, so that no edge melts
        exact = np.ascontiguousarray(frame.depth[2::5, 2::5])
        shots.append(Shot(frame.camera.resized(128, 96), exact, mounting, frame))
    return shots


def _print_times(shot: Shot, repeats: int) -> None:
    columns = [_times(shot, *size, repeats) for size in SIZES]
    print('| step |', ' | '.join(f'{w} x {h}, median / p95 ms' for w, h in SIZES), '|')
    print('|---' * (1 + len(SIZES)) + '|')
    for step in columns[0]:
        cells = (f'{c[step]["median"]:.2f} / {c[step]["p95"]:.2f}' for c in columns)
        print(f'| {step} |', ' | '.join(cells), '|')


def _times(shot: Shot, width: int, height: int, repeats: int) -> dict[str, dict[str, float]]:
    camera = shot.camera.resized(width, height)
    depth = cv2.resize(shot.exact, (width, height), interpolation=cv2.INTER_NEAREST)
    depth[depth > 5] = np.inf  # so that rays beyond range are part of it
    t = shot.mounting.floor_T_optical
    sweep = lay_out([camera.rays()], t, LIMITS)
    known = np.where(np.isfinite(depth), depth, np.float32(np.nan))
    points = np.zeros((height, width, 4), np.float32)
    camera.unproject(known, points[..., :3])
    ends = ray_ends(points, depth, camera, FAR)
    steps: dict[str, Callable[[], object]] = {
        'points': lambda: camera.unproject(known, points[..., :3]),
        'heights': lambda: heights(points, t),
        'ends of rays': lambda: ray_ends(points, depth, camera, FAR),
        'marking': lambda: marking_points(points, t, BANDS[1]),
        'marking, voxels': lambda: marking_points(points, t, BANDS[1], VOXEL),
        'clearing': lambda: clearing_points(ends),
        'clearing, voxels': lambda: clearing_points(ends, VOXEL),
        'scan': lambda: _scan(points, ends, t, sweep),
        'lay out a scan (once)': lambda: lay_out([camera.rays()], t, LIMITS),
        'everything, voxels': lambda: _everything(camera, known, depth, points, t, sweep),
    }
    return {name: milliseconds(call, repeats) for name, call in steps.items()}


def _scan(points: Depth, ends: Depth, t: NDArray[np.float64], sweep: Sweep) -> Depth:
    return laser_scan(points.reshape(-1, 4), ends.reshape(-1, 4), t, sweep, LIMITS)


def _everything(
    camera: Camera,
    known: Depth,
    depth: Depth,
    points: Depth,
    t: NDArray[np.float64],
    sweep: Sweep,
) -> None:
    camera.unproject(known, points[..., :3])
    ends = ray_ends(points, depth, camera, FAR)
    marking_points(points, t, BANDS[1], VOXEL)
    clearing_points(ends, VOXEL)
    _scan(points, ends, t, sweep)


def _print_shares(shots: list[Shot], model: str | None) -> None:
    true_floors = [shot.mounting.floor_T_optical for shot in shots]
    rows = {'exact': ([shot.exact for shot in shots], true_floors)}
    if model is not None:
        pipeline = DepthPipeline.open(model, 'torch', threads=1)
        depths = [pipeline(s.frame.image, s.frame.camera).depth for s in shots]
        rows['model'] = depths, true_floors
        scaled = [d * _floor_scale(d, s) for d, s in zip(depths, shots, strict=True)]
        rows['model, scale of its floor'] = scaled, true_floors
        rows['model, scale and floor as the node finds them'] = _as_the_node(pipeline)
    print('| depth | depth error | tilt error | floor marked | obstacles lost |')
    print('|---|---|---|---|---|')
    for name, (images, floors) in rows.items():
        for band in BANDS:
            triples = zip(images, shots, floors, strict=True)
            shares = [_shares(d, s, t, band) for d, s, t in triples]
            floor, lost = np.mean(shares, axis=0)
            print(
                f'| {name} | {band.depth_error} | {band.tilt_error} | {floor:.1%} | {lost:.1%} |'
            )


def _as_the_node(pipeline: DepthPipeline) -> tuple[list[Depth], list[NDArray[np.float64]]]:
    """Play the clip with ``scale: ground``; return depth and floor of the frames looked at."""
    pipeline.options = Options(scale='ground')
    frames = list(read_bag(share_folder() / 'demo' / 'room'))
    numbers = np.linspace(0, len(frames) - 1, FRAMES).astype(int)
    depths, floors = [], []
    for number, frame in enumerate(frames):
        depth = pipeline(frame.image, frame.camera, CLIP_MOUNTING, number / CLIP_RATE)
        if number in numbers:
            depths.append(depth.depth)
            found = Surroundings([depth], CLIP_MOUNTING, Settings())
            floors.append(found.floor_T_optical)
    return depths, floors


def _floor_scale(depth: Depth, shot: Shot) -> np.float32:
    floor = np.abs(shot.height) < FLOOR
    return np.float32(np.median(shot.exact[floor] / depth[floor]))


def _shares(
    depth: Depth, shot: Shot, floor_T_optical: NDArray[np.float64], band: Band
) -> tuple[float, float]:
    """Return the shares of floor that is marked and of obstacles that are not."""
    number = np.arange(depth.size, dtype=np.float32).reshape(depth.shape)
    points = np.dstack((shot.camera.unproject(depth), number))
    found = np.zeros(depth.size, np.bool_)
    found[marking_points(points, floor_T_optical, band)[:, 3].astype(int)] = True
    marked, true = found.reshape(depth.shape), shot.height
    floor = np.abs(true) < FLOOR
    obstacle = (true > OBSTACLE[0]) & (true < OBSTACLE[1])
    return float(marked[floor].mean()), float(1 - marked[obstacle].mean())


if __name__ == '__main__':
    main()

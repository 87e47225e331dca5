"""
Frames with a floor: the network's depth beside the truth, in the true mounting.

Gravity and floor of a video are fitted to the cloud of all its recorded depth, those of a single
photograph to its own depth.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.recording import read_bag
from fcrn_ros.scaling.ground import Ground, find_ground
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.pairs import PairsSource
from fcrn_ros.training.sources.video import VideoSource

ROOT = Path(__file__).resolve().parent.parent
SEEN = 0.08  # share of the image that the floor fills
THICK = 0.06  # half of the thickness of a true floor [m]
NYU = (518.8579, 519.4696, 325.5824, 253.7362)
# the kitchen's colour camera; the file beside it has the depth camera's focal length
KITCHEN = (525.0, 525.0, 319.5, 239.5)
HELD_OUT = ('nyu_test', 'nyu_validation')
# up in the world, and the floor's place along it [m], roughly
CLIP_FLOOR = np.array([0, 0, 1.0]), 0.0
KITCHEN_FLOOR = np.array([0.02, -0.87, -0.48]), -1.65
HEADSET_FLOOR = np.array([0, 1.0, 0]), -1.54
Floats = NDArray[np.float32]


@dataclass
class Shot:
    """One frame: the network's depth at its focal scale, the truth, the true mounting."""

    depth: Floats
    confidence: Floats | None
    truth: Floats
    camera: Camera
    time: float
    world_T_camera: NDArray[np.float64]
    mounting: Mounting | None = None

    def log_scale(self, depth: Floats, floor: bool = False) -> float:
        """Return log of the median ratio of a depth to the truth."""
        use = self.floor if floor else np.ones(depth.shape, bool)
        ratio = (depth / self.truth)[use]
        return float(np.log(np.nanmedian(ratio))) if len(ratio) > 30 else math.nan

    @property
    def floor(self) -> NDArray[np.bool_]:
        """Return which pixels truly are floor, (h, w)."""
        assert self.mounting is not None
        drop = -(self.camera.rays() @ self.mounting.up.astype(np.float32))
        return np.abs(self.truth * drop - self.mounting.height) < THICK

    @property
    def counts(self) -> bool:
        """Whether enough of the floor is seen."""
        return float(self.floor.mean()) >= SEEN


def videos_of(pipeline: DepthPipeline, folder: Path | None) -> dict[str, list[Shot]]:
    """Run the network on the rendered clip and on the recorded videos that are there."""
    videos = {'rendered clip': shots_of(pipeline, clip(), CLIP_FLOOR)}
    if folder and (folder / 'kitchen_video').is_dir():
        source = VideoSource(folder / 'kitchen_video', KITCHEN)
        videos['kitchen video'] = shots_of(pipeline, source.samples(), KITCHEN_FLOOR)
    if folder and (folder / 'headset_video').is_dir():
        source = VideoSource(folder / 'headset_video', rate=5.0)
        videos['headset video'] = shots_of(pipeline, source.samples(), HEADSET_FLOOR)
    return videos


def clip() -> Iterator[Sample]:
    """Yield the rendered clip with exact depth and poses."""
    sys.path.insert(0, str(ROOT / 'demo'))
    from room_camera import camera_pose

    for index, frame in enumerate(read_bag(ROOT / 'demo' / 'room')):
        assert frame.camera is not None and frame.depth is not None
        pose = camera_pose(index / 59)
        yield Sample('', frame.image, frame.camera, frame.depth, index / 30, '', pose)


def shots_of(
    pipeline: DepthPipeline,
    samples: Iterable[Sample],
    floor: tuple[NDArray[np.float64], float] | None = None,
) -> list[Shot]:
    """Run the network; the rough floor (up, place) is fitted to the cloud, if one is given."""
    shots = []
    for sample in samples:
        frame = pipeline(sample.image, sample.camera)
        assert frame.camera is not None and sample.depth is not None
        size = frame.camera.width, frame.camera.height
        truth = cv2.resize(sample.depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        truth = np.where(truth > 0, truth, np.nan).astype(np.float32)
        pose = np.eye(4) if sample.world_T_camera is None else sample.world_T_camera
        shots.append(Shot(frame.depth, frame.confidence, truth, frame.camera, sample.time, pose))
    if floor is not None:
        up, level = _fitted(shots, *floor)
        for shot in shots:
            height = float(up @ shot.world_T_camera[:3, 3]) - level
            shot.mounting = held_by(shot.world_T_camera[:3, :3].T @ up, height)
    return shots


def _fitted(
    shots: list[Shot], up: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], float]:
    """Fit a plane to the points near it, in all frames together."""
    clouds = []
    for shot in shots[::4]:
        points = shot.camera.unproject(shot.truth).reshape(-1, 3)
        points = points[np.isfinite(points).all(1)]
        clouds.append(points @ shot.world_T_camera[:3, :3].T + shot.world_T_camera[:3, 3])
    cloud = np.concatenate(clouds)
    for tolerance in (0.1, 0.05, 0.03, 0.03, 0.03):
        near = cloud[np.abs(cloud @ up - level) < tolerance]
        normal = np.linalg.eigh(np.cov(near.T))[1][:, 0]
        up = normal * np.sign(normal @ up)
        level = float(near.mean(0) @ up)
    return up, level


def photographs(pipeline: DepthPipeline, folder: Path) -> list[Shot]:
    """Return the held-out frames of NYU Depth v2 in whose depth a floor is found beyond doubt."""
    names = {n for s in HELD_OUT for n in (ROOT / f'models/splits/{s}.txt').read_text().split()}
    source = PairsSource(folder / 'rgb', folder / 'depth', NYU)
    samples = (s for s in source.samples() if Path(s.name).stem in names)
    shots = shots_of(pipeline, samples)
    for shot in shots:
        shot.mounting = _own_mounting(shot)
    return [s for s in shots if s.mounting is not None and s.counts]


def _own_mounting(shot: Shot) -> Mounting | None:
    """Search for the angles under which the recorded depth has the largest, flattest floor."""
    best: Ground | None = None
    for pitch in np.radians(np.arange(-15, 46, 4.0)):
        for roll in np.radians((-6.0, 0.0, 6.0)):
            held = Mounting(1.3, float(pitch), float(roll))
            for _ in range(3):
                ground = find_ground(shot.truth, shot.camera, held)
                if ground is None:
                    break
                held = held_by(ground.up, 1.3)
            else:
                assert ground is not None
                flat = ground.spread < 0.025 and 0.9 < ground.height < 1.8
                if flat and (best is None or ground.evidence > best.evidence):
                    best = ground
    return held_by(best.up, best.height) if best else None


def held_by(up: NDArray[np.float64], height: float) -> Mounting:
    """Return the mounting of a camera that sees up in a direction of its optical frame."""
    x, y, z = (float(n) for n in up / np.linalg.norm(up))
    return Mounting(height, -math.asin(z), math.atan2(-x, -y))

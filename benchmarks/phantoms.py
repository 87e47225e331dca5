"""
Recorded and rendered frames on the network's grid, and which of its points are phantoms.

A phantom is a point farther than 10 cm + 5 % of its range from every true surface, of all frames
of its video; a point where no true depth is recorded counts neither way. It is flying when it
stands clear of both surfaces of a true depth discontinuity within 3 px.

Worked number: at a range of 4 m a phantom is farther than 0.1 + 0.05 * 4 = 0.3 m from everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fcrn_ros.camera import Camera
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.recording import read_bag
from fcrn_ros.scale import focal_scale
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.evaluation.evaluate import pair_samples
from fcrn_ros.training.sources.pairs import find_pairs
from fcrn_ros.training.sources.video import VideoSource

ROOT = Path(__file__).resolve().parent.parent
NYU = 518.8579, 519.4696, 325.5824, 253.7362
KITCHEN = 525.0, 525.0, 319.5, 239.5  # of the colour camera
CELL = 0.02  # [m], of the true surfaces
FARTHEST = 1.5  # [m], at which a phantom's distance stops to matter
Array = Any


@dataclass(frozen=True)
class Picture:
    """
    A frame on the network's grid.

    :param output: (4, h, w): depth [m] by the focal length and log(b), of the picture and of its
        mirror image, turned back.
    :param truth: (h, w) recorded or exact z-depth [m], NaN unknown.
    :param full: (H, W) the same at the camera's size.
    """

    output: Array
    truth: Array
    full: Array
    camera: Camera
    pose: Array

    @property
    def depth(self) -> Array:
        """The network's depth."""
        return self.output[0]


def videos(data: Path | None, every: int) -> dict[str, Iterator[Sample]]:
    """
    Return name -> samples with poses.

    :param data: folder of recorded videos; None: the demo clip alone.
    :param every: frames between two of the longest video; of the shorter ones half as many.
    """
    found = {'demo clip': _clip(every // 2)}
    if data:
        for name, camera, step in (('kitchen', KITCHEN, every), ('headset', None, every // 2)):
            source = VideoSource(data / f'{name}_video', camera)
            found[name] = map(source.read, source.entries[::step])
    return found


def _clip(every: int) -> Iterator[Sample]:
    sys.path.insert(0, str(ROOT / 'demo'))
    from room_camera import camera_pose

    for k, frame in enumerate(read_bag(ROOT / 'demo' / 'room')):
        if k % every == 0:
            assert frame.camera is not None
            pose = camera_pose(k / 59)
            yield Sample(str(k), frame.image, frame.camera, frame.depth, world_T_camera=pose)


def nyu(data: Path, split: str) -> Iterator[Sample]:
    """Yield the frames of NYU Depth v2 that ``models/splits`` lists under a name."""
    stems = set((ROOT / 'models' / 'splits' / f'nyu_{split}.txt').read_text().split())
    pairs = find_pairs(data / 'nyu_v2_train' / 'rgb', data / 'nyu_v2_train' / 'depth')
    return pair_samples([pair for pair in pairs if pair.stem in stems], NYU)


def pictures(pipeline: DepthPipeline, samples: Iterator[Sample]) -> list[Picture]:
    """Run the network on every sample and on its mirror image."""
    return [_picture(pipeline, sample) for sample in samples]


def _picture(pipeline: DepthPipeline, sample: Sample) -> Picture:
    spec = pipeline.engine.spec
    (rows, columns), (height, width) = spec.input_size, spec.output_size
    small = cv2.resize(sample.image, (columns, rows), interpolation=cv2.INTER_AREA)
    both = [pipeline.engine.infer(image[None])[0] for image in (small, small[:, ::-1].copy())]
    output = np.concatenate((both[0], both[1][..., ::-1]))
    output[::2] *= focal_scale(sample.camera.resized(columns, rows), spec.network_camera).factor
    truth = nearest(sample.depth, width, height)
    camera = sample.camera.resized(width, height)
    pose = np.eye(4) if sample.world_T_camera is None else sample.world_T_camera
    return Picture(output, truth, sample.depth, camera, pose)


def nearest(depth: Array, width: int, height: int) -> Array:
    """Return depth at another size without a mean of two depths."""
    return cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


class Phantoms:
    """A video, its true surfaces, and which points are phantoms."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = pictures
        self.known = np.array([np.isfinite(p.truth) for p in pictures])
        cloud = [world(nearest(p.full, 320, 240), p) for p in pictures]
        points = np.concatenate([c[np.isfinite(c).all(-1)] for c in cloud])
        cells = np.unique(np.floor(points / CELL).astype(np.int32), axis=0, return_index=True)[1]
        self._tree = cKDTree(points[cells])
        medians = [np.nanmedian(p.truth / p.output[0]) for p in pictures]
        self.factors = np.array(medians, np.float32)[:, None, None]
        self.depth = np.array([p.output[0] for p in pictures])

    def found(self, depths: Array) -> Array:
        """Return (n, h, w) bool, the phantoms of a depth for each picture."""
        result = []
        for depth, picture in zip(depths, self.pictures, strict=True):
            reach = np.linalg.norm(picture.camera.unproject(depth), axis=-1)
            points = world(depth, picture).reshape(-1, 3)
            away = self._tree.query(points, distance_upper_bound=FARTHEST)[0].reshape(depth.shape)
            result.append(away > 0.1 + 0.05 * reach)
        return np.array(result) & self.known

    def flying(self, depths: Array) -> Array:
        """Return (n, h, w) bool: between the two true surfaces of a discontinuity."""
        window = np.ones((7, 7), np.uint8)
        near = [cv2.erode(np.nan_to_num(p.truth, nan=1e3), window) for p in self.pictures]
        far = [cv2.dilate(np.nan_to_num(p.truth), window) for p in self.pictures]
        off = 0.1 + 0.05 * depths
        return (depths > np.array(near) + off) & (depths < np.array(far) - off)


def world(depth: Array, picture: Picture) -> Array:
    """Return the points of a depth of any size in the fixed frame."""
    camera = picture.camera.resized(depth.shape[1], depth.shape[0])
    return camera.unproject(depth) @ picture.pose[:3, :3].T + picture.pose[:3, 3]


def melted(depth: Array, shape: tuple[int, int], melt: int) -> Array:
    """Return depth averaged over squares of ``melt`` px of a (h, w) grid, and enlarged again."""
    hole = (~np.isfinite(depth)).astype(np.uint8)
    if hole.any():  # takes the nearest known depth
        _, label = cv2.distanceTransformWithLabels(
            hole, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        table = np.zeros(label.max() + 1, np.float32)
        table[label[hole == 0]] = depth[hole == 0]
        depth = table[label]
    size = shape[1] // melt, shape[0] // melt
    return cv2.resize(cv2.resize(depth, size, interpolation=cv2.INTER_AREA), shape[::-1])

"""
Which samples a training step reads, and what of them it shows.

Everything is a function of the seed and of the position in the training's one long list of
readings, and of nothing else: not of the process that reads, nor of how often the training was
interrupted. A batch is a dictionary of tensors, B pictures of H x W and depth on h x w:

    image (B, H, W, 3) uint8 RGB, depth (B, h, w) float32, z-depth [m], 0 invalid
    intrinsics (B, 4) float32, fx, fy, cx, cy of the picture [px]
    canonical (B,) float32: times z-depth gives what the network has to predict
    position (B,) int64: in the list of readings
    sources (B, S, H, W, 3) uint8: pictures of other moments, in the same view
    source_T_target (B, S, 4, 4) float32 [m]; posed (B,) bool, whether it is known
    known (B, S) bool: which of the sources are there
    right (B, H, W, 3) uint8: of a stereo pair; right_at (B, 3) float32: the right camera's place
        in the view's frame [m], 0 where there is no pair
    visible (B, H, W) bool: where the view shows the picture, with sources or right alone
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.training.data.augment import Ranges, colour_change, erase, random_view
from fcrn_ros.training.data.parts import Part
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.data.view import View, plain_view

Batch = dict[str, Tensor]
Batches = DataLoader[Batch]


def canonical_depth(batch: Batch) -> Tensor:
    """Return recorded depth at the training focal length, (B, h, w) [m]; 0 where there is none."""
    return batch['depth'] * batch['canonical'].view(-1, 1, 1)


def reading_order(
    sizes: Sequence[int], weights: Sequence[float], count: int, seed: int
) -> NDArray[np.int64]:
    """
    Return which part and which of its samples every reading takes.

    Parts come by chance, by their weights; the samples of a part come in rounds, each in another
    order, so that none is read twice before all were read once. A longer list begins like
    a shorter one.

    :param sizes: samples of each part.
    :param weights: of each part, positive.
    :param count: of readings.
    :return: (count, 2) int64: part, and sample of that part.
    """
    rng = np.random.default_rng(seed)
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    order = np.empty((count, 2), np.int64)
    order[:, 0] = rng.choice(len(sizes), count, p=shares)
    for part, size in enumerate(sizes):
        mine = np.flatnonzero(order[:, 0] == part)
        shuffler = np.random.default_rng((seed, part, 1))
        rounds = [shuffler.permutation(size) for _ in range(-(-len(mine) // size))]
        order[mine, 1] = np.concatenate([*rounds, np.empty(0, np.int64)])[: len(mine)]
    return order


class Views(Dataset[Batch]):
    """
    Samples as the network is shown them, one dictionary each (see above, without B).

    :param parts: the samples.
    :param spec: sizes and training camera.
    :param order: as :func:`reading_order` gives it.
    :param ranges: of the random views; None shows the plain view.
    :param seed: of the views.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        spec: ModelSpec,
        order: NDArray[np.int64],
        ranges: Ranges | None = None,
        seed: int = 0,
    ) -> None:
        self.parts, self.spec, self.order = parts, spec, order
        self.ranges, self.seed = ranges, seed
        self.sources = max((len(s) for part in parts for s in part.sources), default=0)
        self.stereo = any(part.stereo for part in parts)

    def __len__(self) -> int:
        return len(self.order)

    def name(self, position: int) -> str:
        """Return the name of the sample that a reading takes."""
        part, sample = self.order[position]
        store = self.parts[part].store
        return f'{store.name} {store.entries[self.parts[part].indices[sample]]["name"]}'

    def __getitem__(self, position: int) -> Batch:
        number, sample = self.order[position]
        part = self.parts[number]
        target = part.store[part.indices[sample]]
        others = [part.store[i] for i in part.sources[sample]] if part.sources else []
        right = [target.right] if part.stereo and target.right is not None else []
        rng = np.random.default_rng((self.seed, position))
        view = self._view(target, rng)
        pictures = [target.image, *(other.image for other in others), *right]
        shown = self._shown(pictures, target, view, rng)
        item = self._item(target, view, shown[0], part.depth)
        item['position'] = torch.tensor(position)
        if self.sources:
            item |= self._source_items(target, others, view, shown[1 : 1 + len(others)])
        if self.stereo:
            item |= self._right_item(target, view, shown[1 + len(others) :])
        if self.sources or self.stereo:
            whole = np.ones(target.image.shape[:2], np.float32)
            item['visible'] = torch.from_numpy(
                view.depth(whole, target.camera, self.spec.input_size) > 0
            )
        return item

    def _view(self, target: Sample, rng: np.random.Generator) -> View:
        if self.ranges is None:
            return plain_view(target.camera, self.spec.input_size)
        return random_view(target.camera, self.spec.input_size, self.ranges, rng)

    def _shown(
        self,
        pictures: list[NDArray[np.uint8]],
        target: Sample,
        view: View,
        rng: np.random.Generator,
    ) -> list[NDArray[np.uint8]]:
        """Return the pictures of one sample in the view, all with one change of colour."""
        shown = [view.image(picture, target.camera) for picture in pictures]
        if self.ranges is None:
            return shown
        change = colour_change(shown[0], self.ranges.colour, rng)
        shown = [change(picture) for picture in shown]
        if len(shown) == 1 and rng.random() < self.ranges.erase:
            erase(shown[0], rng)
        return shown

    def _item(
        self, target: Sample, view: View, image: NDArray[np.uint8], with_depth: bool
    ) -> Batch:
        size = self.spec.output_size
        depth = np.zeros(size, np.float32)
        if with_depth and target.depth is not None:
            depth = view.depth(target.depth, target.camera, size)
        camera = view.camera
        return {
            'image': torch.from_numpy(image),
            'depth': torch.from_numpy(depth),
            'intrinsics': torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy]).float(),
            'canonical': torch.tensor(view.canonical(self.spec.network_camera)).float(),
        }

    def _source_items(
        self, target: Sample, others: list[Sample], view: View, shown: list[NDArray[np.uint8]]
    ) -> Batch:
        pictures = np.zeros((self.sources, *self.spec.input_size, 3), np.uint8)
        poses = np.tile(np.eye(4, dtype=np.float32), (self.sources, 1, 1))
        pictures[: len(shown)] = shown or 0
        known_poses = [other.world_T_camera for other in others]
        posed = target.world_T_camera is not None and all(p is not None for p in known_poses)
        if posed:
            for i, pose in enumerate(known_poses):
                poses[i] = view.pose(np.linalg.inv(pose) @ target.world_T_camera)  # type: ignore[arg-type, operator]
        return {
            'sources': torch.from_numpy(pictures),
            'source_T_target': torch.from_numpy(poses),
            'known': torch.arange(self.sources) < len(others),
            'posed': torch.tensor(posed),
        }

    def _right_item(self, target: Sample, view: View, shown: list[NDArray[np.uint8]]) -> Batch:
        right = shown[0] if shown else np.zeros((*self.spec.input_size, 3), np.uint8)
        at = view.view_R_sample[:, 0] * (target.baseline if shown else 0)
        return {'right': torch.from_numpy(right), 'right_at': torch.tensor(at).float()}


class Positions(Sampler[int]):
    """
    The positions that one process reads in one stretch of training.

    The stretch is Lightning's epoch; it says which by ``set_epoch``. Every batch of all processes
    together is a run of positions, of which each process takes its share.

    :param batches: of a stretch.
    :param batch: size of one process's batch.
    :param rank: of this process, of ``processes``.
    """

    def __init__(self, batches: int, batch: int, rank: int = 0, processes: int = 1) -> None:
        self.batches, self.batch, self.rank, self.processes = batches, batch, rank, processes
        self.stretch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the stretch."""
        self.stretch = epoch

    def __len__(self) -> int:
        return self.batches * self.batch

    def __iter__(self) -> Iterator[int]:
        for index in range(self.stretch * self.batches, (self.stretch + 1) * self.batches):
            start = (index * self.processes + self.rank) * self.batch
            yield from range(start, start + self.batch)


class _LateLoader(DataLoader[Batch]):
    """
    Asks for positions when the first batch is wanted.

    Workers are given positions as soon as there is an iterator; a Trainer that resumes makes it
    before it says which stretch comes.
    """

    def __iter__(self) -> Any:
        yield from super().__iter__()


def training_batches(views: Views, positions: Positions, workers: int) -> Batches:
    """Return the batches of training, read by ``workers`` processes beside this one."""
    return _LateLoader(
        views,
        positions.batch,
        sampler=positions,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_one_thread,
    )


def plain_batches(parts: Sequence[Part], spec: ModelSpec, batch: int) -> Batches:
    """Return every sample once, in order, in the plain view."""
    order = [(p, i) for p, part in enumerate(parts) for i in range(len(part.indices))]
    return DataLoader(Views(parts, spec, np.array(order, np.int64).reshape(-1, 2)), batch)


def _one_thread(*_: Any) -> None:
    cv2.setNumThreads(0)

"""What the samples of a source are to teach: recorded depth, other moments, a second picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcrn_ros.training.data.neighbours import choose_sources
from fcrn_ros.training.data.partition import Portion
from fcrn_ros.training.data.store import Store


@dataclass(frozen=True)
class Part:
    """
    Samples of one store that take part in training.

    :param store: decoded samples.
    :param indices: those that take part.
    :param weight: how often, beside the weights of the other parts.
    :param depth: whether recorded depth is shown.
    :param sources: per index, the indices of the samples that serve view synthesis; () without.
    :param stereo: whether right pictures are shown.
    """

    store: Store
    indices: tuple[int, ...]
    weight: float = 1.0
    depth: bool = True
    sources: tuple[tuple[int, ...], ...] = ()
    stereo: bool = False

    @property
    def posed(self) -> bool:
        """Whether the pose of every sample with sources is known."""
        return all(
            self.store.entries[i]['world_T_camera'] is not None
            for index, sources in zip(self.indices, self.sources, strict=False)
            for i in ((index, *sources) if sources else ())
        )


def part_of(portion: Portion, objective: str) -> Part:
    """
    Return the training samples of a portion that an objective can learn from.

    :param objective: depth, video, stereo, or auto: the first of depth, stereo and video that the
        samples have.
    :raises ValueError: the samples have not what the objective needs.
    """
    store, indices = portion.store, portion.training
    has = {
        'depth': _some(store, indices, 'depth'),
        'stereo': _some(store, indices, 'right'),
        'video': len(indices) > 2,
    }
    if objective == 'auto':
        objective = next((name for name, there in has.items() if there), 'depth')
    if not has[objective]:
        there = ', '.join(name for name, has_it in has.items() if has_it) or 'nothing'
        raise ValueError(
            f'{store.name}: the {len(indices)} training samples have no '
            f'{NEEDED[objective]}; there is: {there}'
        )
    if objective == 'video':
        found = _sources(store, indices)
        indices = tuple(i for i in indices if found[i])
        sources = tuple(found[i] for i in indices)
        return Part(store, indices, portion.weight, depth=False, sources=sources)
    array = {'depth': 'depth', 'stereo': 'right'}[objective]
    indices = tuple(i for i in indices if store.entries[i]['offsets'][array] is not None)
    stereo = objective == 'stereo'
    return Part(store, indices, portion.weight, depth=not stereo, stereo=stereo)


APART = 0.33  # [s], in which a walking robot moves some 0.1 to 0.3 m
NEEDED = {'depth': 'recorded depth', 'stereo': 'right picture', 'video': 'neighbours in time'}


def _some(store: Store, indices: Sequence[int], array: str) -> bool:
    return any(store.entries[i]['offsets'][array] is not None for i in indices)


def _sources(store: Store, indices: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return for every sample which others of its sequence serve view synthesis."""
    found: dict[int, tuple[int, ...]] = {}
    for sequence in dict.fromkeys(store.entries[i]['sequence'] for i in indices):
        mine = [i for i in indices if store.entries[i]['sequence'] == sequence]
        times = [store.entries[i]['time'] for i in mine]
        poses = [store.pose(i) for i in mine]
        step = _frames_apart(times)
        for place, index in enumerate(mine):
            chosen = choose_sources(times, poses, place, offsets=(-step, step))
            found[index] = tuple(mine[s] for s in chosen)
    if not any(found.values()):
        raise ValueError(
            f'{store.name}: no two frames of its {len(indices)} training samples lie a '
            'useful distance apart; expected a camera that moves'
        )
    return found


def _frames_apart(times: list[float]) -> int:
    """Return how many frames lie between a frame and its sources where no pose is known."""
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return max(1, round(APART / period)) if period > 0 else 1

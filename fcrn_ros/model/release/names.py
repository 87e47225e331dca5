"""
The released network's tensors: their names and shapes, and where they belong in ours.

A name is ``layer/parameter``: weights (H, W, in, out) and biases of a convolution; scale, offset,
mean and variance of a batch normalisation. There are 394, with 63,633,665 numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fcrn_ros.model.fcrn import RELEASED, Fcrn
from fcrn_ros.model.weights import ModelError

STAGES = ('abc', 'abcd', 'abcdef', 'abc')  # the blocks of ResNet-50's stages 2 to 5
SCALES = ('2x', '4x', '8x', '16x')
PHASES = 'ABCD'
CONV = {'weight': 'weights', 'bias': 'biases'}
NORM = {'weight': 'scale', 'bias': 'offset', 'running_mean': 'mean', 'running_var': 'variance'}


@dataclass(frozen=True)
class Target:
    """
    Where a released tensor belongs.

    :param key: in the network's state dict.
    :param shape: of the released tensor.
    """

    key: str
    shape: tuple[int, ...]


def released_tensors() -> dict[str, Target]:
    """Return every tensor of the release by its name."""
    with torch.device('meta'):
        state = Fcrn(RELEASED).state_dict()
    targets = {}
    for layer, module in _layers():
        names = NORM if f'{module}.running_mean' in state else CONV
        for ours, theirs in names.items():
            if f'{module}.{ours}' in state:
                shape = tuple(state[f'{module}.{ours}'].shape)
                if len(shape) == 4:
                    shape = (shape[2], shape[3], shape[1], shape[0])
                targets[f'{layer}/{theirs}'] = Target(f'{module}.{ours}', shape)
    return targets


def _layers() -> Iterator[tuple[str, str]]:
    """Iterate over (released layer, our module)."""
    yield from (('conv1', 'encoder.conv1'), ('bn_conv1', 'encoder.bn1'))
    for stage, letters in enumerate(STAGES, 1):
        for index, letter in enumerate(letters):
            yield from _bottleneck(f'{stage + 1}{letter}', f'encoder.layer{stage}.{index}')
    yield from (('layer1', 'reduce'), ('layer1_BN', 'reduce_bn'))
    for index, scale in enumerate(SCALES):
        yield from _up_projection(f'layer{scale}', f'blocks.{index}')
    yield 'ConvPred', 'predict'


def _bottleneck(name: str, module: str) -> Iterator[tuple[str, str]]:
    for number, letter in enumerate('abc', 1):
        yield f'res{name}_branch2{letter}', f'{module}.conv{number}'
        yield f'bn{name}_branch2{letter}', f'{module}.bn{number}'
    if name.endswith('a'):
        yield f'res{name}_branch1', f'{module}.downsample.0'
        yield f'bn{name}_branch1', f'{module}.downsample.1'


def _up_projection(name: str, module: str) -> Iterator[tuple[str, str]]:
    for branch in (1, 2):
        for phase, letter in enumerate(PHASES):
            yield f'{name}_br{branch}_Conv{letter}', f'{module}.up{branch}.phases.{phase}'
        yield f'{name}_br{branch}_BN', f'{module}.bn{branch}'
    yield from ((f'{name}_Conv', f'{module}.conv'), (f'{name}_BN', f'{module}.bn'))


def network_of(tensors: Mapping[str, NDArray[np.generic]]) -> Fcrn:
    """
    Return the released network, in evaluation mode.

    :param tensors: the 394 released tensors, by name, float32.
    :raises ModelError: a tensor is missing, surplus, not finite, or of another type or shape.
    """
    targets = released_tensors()
    _require_names(tensors, targets)
    for name, target in targets.items():
        _require_numbers(name, tensors[name], target.shape)
    with torch.device('meta'):
        network = Fcrn(RELEASED)
    state = {k: torch.zeros((), dtype=v.dtype) for k, v in network.state_dict().items()}
    state |= {t.key: _tensor(tensors[n]) for n, t in targets.items()}
    network.load_state_dict(state, assign=True)
    return network.eval()


def _require_names(found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    missing = [n for n in expected if n not in found]
    if missing:
        raise ModelError(
            f'{len(missing)} of {len(expected)} tensors are missing; the first is {missing[0]}'
        )
    surplus = sorted(found.keys() - expected.keys())
    if surplus:
        raise ModelError(
            f'{len(surplus)} tensors do not belong to the released network of {len(expected)}; '
            f'the first is {surplus[0]}'
        )


def _require_numbers(name: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or array.shape != shape:
        raise ModelError(f'{name}: found {array.dtype} {array.shape}, expected float32 {shape}')
    if not np.isfinite(array).all():  # type: ignore[call-overload]
        raise ModelError(f'{name}: found a number that is not finite')


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    """Return a copy, a kernel as (out, in, H, W)."""
    ordered = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    return torch.from_numpy(np.array(ordered, np.float32, order='C'))

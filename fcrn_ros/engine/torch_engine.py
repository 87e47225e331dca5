"""The PyTorch backend: the fused network on a CPU or a CUDA device."""

from __future__ import annotations

import logging
import os
import time

import numpy as np
import torch
from numpy.typing import NDArray

from fcrn_ros.engine import EngineError
from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.fused import FusedFcrn, fuse
from fcrn_ros.model.weights import ModelSpec, load_model

LOGGER = logging.getLogger(__name__)
DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
# largest median relative difference from the plain float32 network that an engine may show
TOLERANCE = {'fp32': 1e-3, 'fp16': 1e-2, 'bf16': 2e-2}
WARM_UP_SECONDS = 0.5


class TorchEngine:
    """
    FCRN in PyTorch; see :class:`fcrn_ros.engine.DepthEngine`.

    :param model: a shipped model's name or a path.
    :param device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    :param precision: ``auto``, ``fp32``, ``fp16`` or ``bf16``.
    :param threads: of the processor; 0 takes half of the cores.
    :param form: of the unpooled convolutions; see :mod:`fcrn_ros.model.fused`.
    :raises EngineError: the device or precision is not to be had, or the result is not the
        network's.
    """

    name = 'torch'

    def __init__(
        self,
        model: str = '',
        device: str = 'auto',
        precision: str = 'auto',
        threads: int = 0,
        form: str = 'auto',
    ) -> None:
        torch.set_num_threads(threads or half_of_the_cores())
        network, self.spec = load_model(model)
        self.device = find_device(device)
        example = _example(self.spec)
        candidates = find_precisions(precision, self.device)
        for candidate in candidates:
            self.precision = candidate
            self._network = self._fused(network, form, example)
            error = self._error(network, example)
            if error <= TOLERANCE[self.precision]:
                break
            message = (
                f'{self.precision} on {self.device} differs from the plain network by {error:.2%} '
                f'(median); expected at most {TOLERANCE[self.precision]:.2%}'
            )
            if candidate != candidates[-1]:
                LOGGER.warning('%s: taking %s', message, candidates[-1])
        else:
            raise EngineError(message)
        self._warm_up(example)

    def _fused(self, network: Fcrn, form: str, example: NDArray[np.uint8]) -> FusedFcrn:
        batch = torch.from_numpy(example).to(self.device)
        spec, dtype = self.spec, DTYPES[self.precision]
        try:
            return fuse(network, spec.mean, spec.std, dtype, form, batch)
        except RuntimeError as err:
            raise EngineError(f'the network did not start on {self.device}: {err}') from err

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`fcrn_ros.engine.DepthEngine`."""
        expected = (*self.spec.input_size, 3)
        if batch.shape[1:] != expected or batch.dtype != np.uint8:
            raise EngineError(
                f'batch is {batch.shape} {batch.dtype}; '
                f'expected (B, {expected[0]}, {expected[1]}, 3) uint8'
            )
        batch = np.require(batch, requirements=('C', 'W'))  # all that torch takes without a word
        try:
            with torch.inference_mode():
                output = self._network(torch.from_numpy(batch).to(self.device))
                return output.float().cpu().numpy()
        except RuntimeError as err:
            raise EngineError(f'inference failed on {self.device}: {err}') from err

    def _error(self, network: Fcrn, example: NDArray[np.uint8]) -> float:
        """Return the median relative difference from the plain float32 network."""
        mean, std = (np.array(x, np.float32) for x in (self.spec.mean, self.spec.std))
        x = torch.from_numpy((example - mean) / std).permute(0, 3, 1, 2)
        with torch.inference_mode():
            expected = network.float().cpu()(x)[:, 0].numpy()
        found = self.infer(example)[:, 0]
        return float(np.median(np.abs(found - expected) / np.maximum(expected, 0.1)))

    def _warm_up(self, example: NDArray[np.uint8]) -> None:
        end = time.monotonic() + WARM_UP_SECONDS
        while time.monotonic() < end:
            self.infer(example)


def _example(spec: ModelSpec) -> NDArray[np.uint8]:
    """Return a fixed picture of the model's input size: smooth colours with edges."""
    height, width = spec.input_size
    v, u = np.mgrid[0:height, 0:width]
    waves = np.stack((np.sin(u / 17), np.cos(v / 23), np.sin((u + v) / 31)), -1)
    checks = (((u // 32) + (v // 32)) % 2)[..., None]
    picture = 127 + 70 * waves + 50 * (checks - 0.5)
    return picture.clip(0, 255).astype(np.uint8)[None]


def find_device(device: str) -> str:
    """
    Return the device to use.

    :raises EngineError: it is not known or not there.
    """
    if device == 'auto':
        return 'cuda:0' if torch.cuda.is_available() else 'cpu'
    try:
        kind = torch.device(device)
        if kind.type not in ('cpu', 'cuda'):
            raise RuntimeError(f'{kind.type} is not supported')
    except RuntimeError as err:
        raise EngineError(
            f'device {device!r} is not known; expected auto, cpu, cuda or cuda:N'
        ) from err
    if kind.type == 'cuda' and (kind.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            f'device {device!r} was asked for; found {torch.cuda.device_count()} CUDA devices'
        )
    return device


def find_precisions(precision: str, device: str) -> tuple[str, ...]:
    """
    Return the precisions to try, the fastest first.

    ``auto`` is fp16 on CUDA, bf16 where the CPU computes in it, and fp32 where a network does not
    bear those; a named one stands alone.
    """
    if precision != 'auto':
        return (precision,)
    if device.startswith('cuda'):
        return 'fp16', 'fp32'
    return ('bf16', 'fp32') if cpu_has_bf16() else ('fp32',)


def half_of_the_cores() -> int:
    """
    Return half of the cores that this process may use, at least one.

    A layer ends when its slowest thread does: one thread for each core would wait for every other
    process of the robot, dozens of times in a frame.
    """
    affinity = getattr(os, 'sched_getaffinity', None)  # not everywhere
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // 2)


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    checks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)

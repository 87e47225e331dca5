"""
Whether an engine computes the network: its depth of a fixed picture against the plain network's.

The plain network's answer is kept in the cache, so that a machine that has a plan needs no
PyTorch to trust it.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from fcrn_ros import __version__
from fcrn_ros.engine import DepthEngine, EngineError
from fcrn_ros.engine.cache import Cache
from fcrn_ros.model.weights import ModelSpec

if TYPE_CHECKING:
    from fcrn_ros.model.fcrn import Fcrn

LOGGER = logging.getLogger(__name__)
# largest median relative difference from the plain float32 network that an engine may show
TOLERANCE = {'fp32': 1e-3, 'fp16': 1e-2, 'bf16': 2e-2, 'int8': 2e-2}
WARM_UP_SECONDS = 0.5
SMALLEST_DEPTH = 0.1  # [m]; nearer depths are compared as if they were this far
Engine = TypeVar('Engine', bound=DepthEngine)


def example(spec: ModelSpec) -> NDArray[np.uint8]:
    """Return a fixed picture, (1, H, W, 3) uint8: smooth colours with edges."""
    height, width = spec.input_size
    v, u = np.mgrid[0:height, 0:width]
    waves = np.stack((np.sin(u / 17), np.cos(v / 23), np.sin((u + v) / 31)), -1)
    checks = (((u // 32) + (v // 32)) % 2)[..., None]
    picture = 127 + 70 * waves + 50 * (checks - 0.5)
    return picture.clip(0, 255).astype(np.uint8)[None]


def network_key(spec: ModelSpec) -> dict[str, str]:
    """
    Return the part of a cache's key that says which network an artefact is of.

    The weights alone do not: the same ones may be used at another input size.
    """
    names = ('sha256', 'architecture', 'input_size', 'mean', 'std')
    return {name: json.dumps(getattr(spec, name), sort_keys=True) for name in names}


def reference(model: str, spec: ModelSpec, cache: Cache) -> NDArray[np.float32]:
    """
    Return the plain float32 network's output for ``example``, (1, C, h, w) float32.

    :raises EngineError: it is not in the cache and PyTorch is not there to compute it.
    """

    def make() -> bytes:
        try:
            from fcrn_ros.model.weights import load_model

            network, _ = load_model(model)
        except ImportError as err:
            raise EngineError(
                'the depth to compare an engine with is not in the cache, and computing it needs '
                f'PyTorch: {err}; pip install torch, or run fcrn build where it is'
            ) from err
        file = io.BytesIO()
        np.save(file, plain_output(network, spec, example(spec)), allow_pickle=False)
        return file.getvalue()

    key = {'package': __version__, **network_key(spec)}
    stored = cache.get_or_make('reference', key, make)
    output: NDArray[np.float32] = np.load(io.BytesIO(stored), allow_pickle=False)
    return output


def plain_output(network: Fcrn, spec: ModelSpec, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """
    Run a network in its plain form, in float32 on the CPU.

    :param batch: (B, H, W, 3) uint8 RGB.
    :return: (B, C, h, w) float32.
    """
    import torch

    mean, std = (np.array(x, np.float32) for x in (spec.mean, spec.std))
    with torch.inference_mode():
        x = torch.from_numpy((batch - mean) / std).permute(0, 3, 1, 2)
        output: NDArray[np.float32] = network.float().cpu()(x).numpy()
    return output


def require_batch(batch: NDArray[np.uint8], spec: ModelSpec) -> None:
    """Raise EngineError unless a batch is (B, H, W, 3) uint8 of the model's input size."""
    rows, columns = spec.input_size
    if batch.ndim != 4 or batch.shape[1:] != (rows, columns, 3) or batch.dtype != np.uint8:
        raise EngineError(
            f'batch is {batch.shape} {batch.dtype}; expected (B, {rows}, {columns}, 3) uint8'
        )


def difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """
    Return the median relative difference of two outputs' depth.

    :return: +Inf where what was found is not finite.
    :raises EngineError: they differ in shape.
    """
    if found.shape != expected.shape:
        raise EngineError(f'output is {found.shape}; expected {expected.shape}')
    if not np.isfinite(found).all():
        return float('inf')
    return float(np.median(relative_errors(found[:, 0], expected[:, 0])))


def relative_errors(
    depth: NDArray[np.float32], expected: NDArray[np.float32]
) -> NDArray[np.float32]:
    """
    Return |depth - expected| / expected, pixel by pixel.

    :param depth: float32, z-depth [m].
    :param expected: the same shape; below ``SMALLEST_DEPTH`` taken as that.
    """
    errors: NDArray[np.float32] = np.abs(depth - expected) / np.maximum(expected, SMALLEST_DEPTH)
    return errors


def first_faithful(
    precisions: Sequence[str],
    open_one: Callable[[str], Engine],
    expected: NDArray[np.float32],
) -> Engine:
    """
    Return the first engine that computes the network, warmed up.

    :param precisions: to try, the fastest first.
    :param open_one: opens an engine in a precision.
    :param expected: see :func:`reference`.
    :raises EngineError: not even the last one does, or it does not open.
    """
    for i, precision in enumerate(precisions):
        engine = open_one(precision)
        error = difference(engine.infer(example(engine.spec)), expected)
        if error <= TOLERANCE[precision]:
            _warm_up(engine)
            return engine
        message = (
            f'{engine.name} {precision} on {engine.device} differs from the plain network by '
            f'{error:.2%} (median); expected at most {TOLERANCE[precision]:.2%}'
        )
        if i + 1 < len(precisions):
            LOGGER.warning('%s: taking %s', message, precisions[i + 1])
    raise EngineError(message)


def _warm_up(engine: DepthEngine) -> None:
    batch, end = example(engine.spec), time.monotonic() + WARM_UP_SECONDS
    while time.monotonic() < end:
        engine.infer(batch)

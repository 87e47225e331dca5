"""
int8: a model in bytes, made once from pictures, and refused where it costs too much.

The cost is the mean, over the pixels of pictures that were held out of the calibration, of

    |int8 depth - float32 depth| / float32 depth

and may be ``LIMIT`` at most. No true depth is needed: by the triangle inequality a pixel's error
|int8 - true| is at most |float32 - true| + |int8 - float32|, so that the mean relative error
(absrel) rises by the mean of |int8 - float32| / true at most. That is the cost where the float32
depth is right, and differs from it by the float32 network's own relative error where it is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from os import environ, pathsep
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros import __version__
from fcrn_ros.engine import DepthEngine, EngineError, NotBuilt, Progress, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import network_key, relative_errors
from fcrn_ros.engine.int8.calibration import calibration_pictures
from fcrn_ros.engine.onnx_artefact import exported
from fcrn_ros.model.weights import ModelSpec

LIMIT = 0.02
KIND = 'int8'
WHAT = 'quantising'
MEASURING = 0.9  # share of the work that is done when the cost is measured
# Nodes that stay in float: the input, the float32 stem and the last convolution of every model.
FLOAT_NODES = ('input/.*', 'stem.*', 'predict.*')
# MobileNetV2's depthwise layers do not bear bytes: the whole network in int8 costs 7 %, with its
# encoder in float 0.9 %, at nearly the same speed, since the decoder is most of the work.
FLOAT_NODES_OF = {'mobilenet_v2': ('encoder.*',)}
# (ONNX, precision) -> an engine that runs it
Opener = Callable[[bytes, str], DepthEngine]


@dataclass(frozen=True)
class Quantized:
    """
    A model in bytes.

    :param model: ONNX, serialized.
    :param cost: see the module.
    :param source: what it was calibrated with.
    """

    model: bytes
    cost: float
    source: str

    def pack(self) -> bytes:
        """Return it as one artefact; ``unpack`` is its inverse."""
        return json.dumps([self.cost, self.source]).encode() + b'\n' + self.model

    @classmethod
    def unpack(cls, payload: bytes) -> Quantized:
        """Return what ``pack`` packed."""
        header, _, model = payload.partition(b'\n')
        cost, source = json.loads(header)
        return cls(model, cost, source)


def quantized(
    request: Request,
    spec: ModelSpec,
    cache: Cache,
    open_one: Opener,
    form: str = 'auto',
    signed: bool = False,
) -> bytes:
    """
    Return a model in int8 as ONNX, out of the cache or made now.

    What ``fcrn build --calibration`` made replaces what was there, whatever its pictures.

    :param open_one: opens an engine on an ONNX, to measure the cost; with precision ``int8`` on
        the new one, with ``fp32`` on the one that it was made of.
    :param form: see :func:`fcrn_ros.engine.onnx_export.export`.
    :param signed: whether all activations are signed bytes, as TensorRT wants them.
    :raises EngineError: it costs too much, or the pictures or NNCF are not to be had.
    :raises NotBuilt: it is not in the cache, and ``request.build`` is ``never``.
    """
    key = int8_key(spec, form, signed)
    anew = request.calibration is not None and request.build != 'never'
    stored = None if anew else cache.get(KIND, key)
    if stored is None and request.build == 'never':
        raise NotBuilt(f'{spec.name} in int8 is not built')
    if stored is None:
        with cache.lock(KIND, key):
            stored = None if anew else cache.get(KIND, key)
            if stored is None:
                stored = _make(request, spec, cache, open_one, form, signed).pack()
                cache.put(KIND, key, stored)
    found = Quantized.unpack(stored)
    require_cheap(found.cost, spec, found.source)
    return found.model


def int8_key(spec: ModelSpec, form: str, signed: bool) -> dict[str, str]:
    """Return all that a quantised model depends on, but for the pictures."""
    return {'package': __version__, **network_key(spec), 'form': form, 'signed': str(signed)}


def require_cheap(cost: float, spec: ModelSpec, source: str) -> None:
    """Raise EngineError where int8 costs more than ``LIMIT``."""
    if not cost <= LIMIT:
        raise EngineError(
            f'int8 changes the depth of {spec.name} by {cost:.1%} (mean, calibrated with '
            f'{source}); expected at most {LIMIT:.1%}: take another precision, or calibrate with '
            'pictures of your own camera: fcrn build --precision int8 --calibration PATH'
        )


def cost(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """
    Return the mean relative difference of two outputs' depth; +Inf where it is not finite.

    :param found: (B, C, h, w) float32.
    :param exact: the same shape, the float32 network's.
    """
    mean = float(relative_errors(found[:, 0], exact[:, 0]).mean())
    return mean if np.isfinite(mean) else float('inf')


def _make(
    request: Request, spec: ModelSpec, cache: Cache, open_one: Opener, form: str, signed: bool
) -> Quantized:
    progress = request.progress
    progress(WHAT, 0.0)
    try:
        seen, held_out = calibration_pictures(request.calibration, spec)
    except (ValueError, OSError) as err:
        raise EngineError(f'int8 cannot be calibrated: {err}') from err
    exact = exported(request, spec, cache, form)
    patterns = FLOAT_NODES + FLOAT_NODES_OF.get(spec.architecture.get('encoder', ''), ())
    options = {'float_nodes': patterns, 'signed': signed}
    model = quantize(exact, seen, options, lambda what, share: progress(what, MEASURING * share))
    progress(WHAT, MEASURING)
    engines = open_one(model, 'int8'), open_one(exact, 'fp32')
    measured = cost(*(engine.infer(held_out) for engine in engines))
    progress(WHAT, 1.0)
    return Quantized(model, measured, str(request.calibration or 'the bundled clip'))


def quantize(
    model: bytes, pictures: NDArray[np.uint8], options: dict[str, object], progress: Progress
) -> bytes:
    """
    Run :mod:`fcrn_ros.engine.int8.nncf_process` on a model.

    :param model: float32 ONNX, serialized.
    :param pictures: (N, H, W, 3) uint8 RGB to calibrate with.
    :param options: see :func:`fcrn_ros.engine.int8.nncf_process.quantize`.
    :raises EngineError: NNCF is not installed, or failed.
    """
    with tempfile.TemporaryDirectory(prefix='fcrn_ros-') as name:
        folder = Path(name)
        (folder / 'model.onnx').write_bytes(model)
        (folder / 'options.json').write_text(json.dumps(options))
        np.save(folder / 'pictures.npy', pictures, allow_pickle=False)
        with (folder / 'errors').open('w+') as errors:
            status = _follow(folder, errors, progress)
            if status:
                errors.seek(0)
                raise EngineError(_reason(errors.read(), status))
        return (folder / 'quantized.onnx').read_bytes()


def _follow(folder: Path, errors: object, progress: Progress) -> int:
    """Run the process to its end; return its exit status."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'fcrn_ros.engine.int8.nncf_process', str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,  # type: ignore[call-overload]
        text=True,
        env={**environ, 'PYTHONPATH': pathsep.join(filter(None, sys.path))},
    )
    try:
        for line in process.stdout:
            progress(WHAT, float(line))
        return int(process.wait())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _reason(errors: str, status: int) -> str:
    last = (errors.strip().splitlines() or [f'exit status {status}'])[-1]
    if 'No module named' in last:
        return f"int8 needs NNCF and onnxruntime ({last}): pip install 'fcrn_ros[int8]'"
    return f'the quantisation failed: {last}'

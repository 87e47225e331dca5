"""
Engines: what runs the network. One name, one method, the same arrays for every backend.

``open_engine`` opens a named backend or, with ``auto``, the one that is the fastest on this
machine; it says which and why, and raises one ``EngineError`` when it cannot.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.weights import ModelSpec

LOGGER = logging.getLogger(__name__)
# backend -> its module, the function in it, what has to be installed
OPENERS = {
    'tensorrt': (
        'tensorrt.engine',
        'open_tensorrt',
        "TensorRT: pip install 'fcrn_ros[tensorrt]' or 'fcrn_ros[rtx]'",
    ),
    'openvino': ('openvino_engine', 'open_openvino', "OpenVINO: pip install 'fcrn_ros[openvino]'"),
    'torch': ('torch_engine', 'open_torch', 'PyTorch: pip install torch'),
}
BACKENDS = ('auto', *OPENERS)
PRECISIONS = ('auto', 'fp32', 'fp16', 'bf16', 'int8')
BUILDS = ('block', 'never')
Progress = Callable[[str, float], None]


class EngineError(RuntimeError):
    """An engine that could not be opened or did not run; its cause is chained."""


class NotBuilt(EngineError):
    """An engine that has to be built first, where building was not allowed."""


class DepthEngine(Protocol):
    """
    What every backend offers.

    :ivar name: the backend, for example ``torch``.
    :ivar device: where it runs, for example ``cpu`` or ``cuda:0``.
    :ivar precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``.
    :ivar spec: the model's sidecar.
    """

    name: str
    device: str
    precision: str
    spec: ModelSpec

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """
        Run the network.

        :param batch: (B, H, W, 3) uint8 RGB at the model's input size.
        :return: (B, C, h, w) float32, owned by the caller; channel 0 is z-depth [m] at the
            training focal length, channel 1 (where the model has it) log of the relative error's
            scale.
        :raises EngineError: the backend failed, or the batch has another shape.
        """
        ...


@dataclass(frozen=True)
class Request:
    """
    What is asked of an engine.

    :param model: a shipped model's name or a path; '' is the default model.
    :param device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    :param precision: one of ``PRECISIONS``.
    :param threads: of the processor; 0 takes half of the cores.
    :param build: ``block`` builds what is not in the cache, ``never`` raises ``NotBuilt``.
    :param progress: called with a sentence and a share, 0..1, while something is built.
    :param calibration: a folder of images, a video or a bag whose pictures int8 is calibrated
        with, anew; None takes what is in the cache, and the bundled clip where nothing is.
    """

    model: str = ''
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    build: str = 'block'
    progress: Progress = lambda what, share: None
    calibration: Path | None = None


def open_engine(
    model: str = '',
    backend: str = 'auto',
    device: str = 'auto',
    precision: str = 'auto',
    threads: int = 0,
    build: str = 'block',
    progress: Progress | None = None,
    calibration: Path | None = None,
) -> DepthEngine:
    """
    Open a backend for a model, warmed up and checked against the plain network.

    A named backend that is not to be had is an error; ``auto`` takes the fastest one there is.

    :param backend: one of ``BACKENDS``; the other parameters are those of :class:`Request`.
    :raises EngineError: the backend, device or precision is not to be had.
    :raises NotBuilt: it would have to be built first, and ``build`` is ``never``.
    :raises ModelError: the model is absent or damaged.
    """
    for name, value, known in (
        ('backend', backend, BACKENDS),
        ('precision', precision, PRECISIONS),
        ('build', build, BUILDS),
    ):
        if value not in known:
            raise EngineError(f'{name} {value!r} is not known; expected one of {", ".join(known)}')
    request = Request(
        model, device, precision, threads, build, progress or Request.progress, calibration
    )
    if backend == 'auto':
        from fcrn_ros.engine.choice import open_fastest

        engine = open_fastest(request)
    else:
        engine = open_backend(backend, request)
    LOGGER.info('backend %s (%s), %s on %s', engine.name, backend, engine.precision, engine.device)
    return engine


def open_backend(backend: str, request: Request) -> DepthEngine:
    """Open one backend by name; :raises EngineError: its library is missing, or it failed."""
    module, function, needs = OPENERS[backend]
    try:
        opener = getattr(importlib.import_module(f'fcrn_ros.engine.{module}'), function)
    except ImportError as err:
        raise EngineError(f'backend {backend} needs {needs} ({err})') from err
    engine: DepthEngine = opener(request)
    return engine

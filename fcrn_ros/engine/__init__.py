"""
Engines: what runs the network. One name, one method, the same arrays for every backend.

``open_engine`` chooses a backend, says which and why, and raises one ``EngineError`` when it
cannot.
"""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.weights import ModelSpec

LOGGER = logging.getLogger(__name__)
BACKENDS = ('auto', 'torch')
PRECISIONS = ('auto', 'fp32', 'fp16', 'bf16')


class EngineError(RuntimeError):
    """An engine that could not be opened or did not run; its cause is chained."""


class DepthEngine(Protocol):
    """
    What every backend offers.

    :ivar name: the backend, for example ``torch``.
    :ivar device: where it runs, for example ``cpu`` or ``cuda:0``.
    :ivar precision: ``fp32``, ``fp16`` or ``bf16``.
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


def open_engine(
    model: str = '',
    backend: str = 'auto',
    device: str = 'auto',
    precision: str = 'auto',
    threads: int = 0,
) -> DepthEngine:
    """
    Open a backend for a model, warmed up and checked against the plain network.

    A named backend that is not to be had is an error; ``auto`` takes the best one there is.

    :param model: a shipped model's name or a path; '' is the default model.
    :param backend: one of ``BACKENDS``.
    :param device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    :param precision: one of ``PRECISIONS``.
    :param threads: of the processor; 0 takes half of the cores.
    :raises EngineError: the backend, device or precision is not to be had.
    :raises ModelError: the model is absent or damaged.
    """
    if backend not in BACKENDS:
        raise EngineError(
            f'backend {backend!r} is not known; expected one of {", ".join(BACKENDS)}'
        )
    if precision not in PRECISIONS:
        raise EngineError(
            f'precision {precision!r} is not known; expected one of {", ".join(PRECISIONS)}'
        )
    try:
        from fcrn_ros.engine.torch_engine import TorchEngine
    except ImportError as err:
        raise EngineError(f'backend torch needs PyTorch: {err}; pip install torch') from err
    engine = TorchEngine(model, device, precision, threads)
    LOGGER.info('backend %s (%s), %s on %s', engine.name, backend, engine.precision, engine.device)
    return engine

"""
The little of the CUDA runtime that an engine needs: the GPU, memory, a stream, a captured graph.

CUDA's current device belongs to a thread: whoever works in a thread says ``use_gpu`` first. All
of a process shares the GPU's one context, so that memory of one thread is good in another.
Everything but the refusals runs only with a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import math
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcrn_ros.engine import EngineError

BINDINGS = ('cuda.bindings.runtime', 'cuda.cudart')  # since cuda-python 12.6, and before


class CudaError(EngineError):
    """A call of the CUDA runtime that failed; its message names the call."""


@dataclass(frozen=True)
class Gpu:
    """
    An NVIDIA GPU.

    :param index: as CUDA counts them.
    :param name: for example ``NVIDIA GeForce RTX 4090``.
    :param capability: of computing, for example ``8.9``.
    """

    index: int
    name: str
    capability: str

    @property
    def device(self) -> str:
        """The name by which an engine's device is asked for."""
        return f'cuda:{self.index}'


@functools.cache
def _cudart() -> Any:
    reasons = []
    for name in BINDINGS:
        try:
            return importlib.import_module(name)
        except ImportError as err:
            reasons.append(str(err))
    raise EngineError(
        f'backend tensorrt needs the CUDA bindings: pip install cuda-python ({reasons[0]})'
    )


def call(name: str, *arguments: Any) -> Any:
    """
    Call a function of the CUDA runtime.

    :return: its one result; None where it has none.
    :raises CudaError: it failed.
    """
    error, *results = getattr(_cudart(), name)(*arguments)
    if int(error):
        text = _cudart().cudaGetErrorString(error)[1]
        raise CudaError(f'{name}: {text.decode() if isinstance(text, bytes) else text}')
    return results[0] if results else None


def find_gpu(device: str) -> Gpu:
    """
    Return the GPU to use.

    :param device: ``auto``, ``cuda`` or ``cuda:N``.
    :raises EngineError: it is not there, or the device is none.
    """
    found = re.fullmatch(r'auto|cuda(?::(\d+))?', device)
    if not found:
        known = 'runs on NVIDIA GPUs alone' if device == 'cpu' else 'does not know it'
        raise EngineError(
            f'device {device!r} was asked for: backend tensorrt {known}; '
            'expected auto, cuda or cuda:N'
        )
    index = int(found[1] or 0)
    try:
        count = call('cudaGetDeviceCount')
    except CudaError as err:
        raise EngineError(f'backend tensorrt needs an NVIDIA GPU; found none ({err})') from err
    if index >= count:
        raise EngineError(f'device {device!r} was asked for; found {count} CUDA devices')
    return _describe(index)


def _describe(index: int) -> Gpu:
    properties = call('cudaGetDeviceProperties', index)
    name = properties.name
    name = name.decode(errors='replace') if isinstance(name, bytes) else str(name)
    return Gpu(index, name.strip('\0 '), f'{properties.major}.{properties.minor}')


def use_gpu(index: int) -> None:
    """Make a GPU this thread's; :raises CudaError: it is gone."""
    call('cudaSetDevice', index)


class Stream:
    """A queue of work on the current GPU; ``handle`` is its address."""

    def __init__(self) -> None:
        self._stream = call('cudaStreamCreateWithFlags', _cudart().cudaStreamNonBlocking)
        _free_with(self, 'cudaStreamDestroy', self._stream)
        self.handle = int(self._stream)

    def wait(self) -> None:
        """Wait for all the work in it; :raises CudaError: some of it failed."""
        call('cudaStreamSynchronize', self._stream)

    def launch(self, graph: Any) -> None:
        """Enqueue a captured graph."""
        call('cudaGraphLaunch', graph, self._stream)

    def copy(self, target: int, source: int, size: int, kind: str) -> None:
        """Enqueue a copy; ``kind`` as CUDA names it."""
        way = getattr(_cudart().cudaMemcpyKind, f'cudaMemcpy{kind}')
        call('cudaMemcpyAsync', target, source, size, way, self._stream)

    def capture(self, enqueue: Callable[[], None]) -> Any:
        """
        Return the work that a function enqueues as a graph, which lives as long as the stream.

        :raises CudaError: the work cannot be captured; errors of ``enqueue`` pass through.
        """
        # other threads' CUDA calls neither disturb the capture nor fail for it
        mode = _cudart().cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call('cudaStreamBeginCapture', self._stream, mode)
        try:
            enqueue()
        except BaseException:
            _cudart().cudaStreamEndCapture(self._stream)
            _cudart().cudaGetLastError()  # forget what it left behind
            raise
        graph = call('cudaStreamEndCapture', self._stream)
        try:
            executable = call('cudaGraphInstantiate', graph, 0)
        finally:
            call('cudaGraphDestroy', graph)
        _free_with(self, 'cudaGraphExecDestroy', executable)
        return executable


class Buffer:
    """
    An array twice: page-locked in the computer's memory and in the GPU's.

    :ivar host: the array; valid as long as this object.
    :ivar device: its address on the GPU.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._size = math.prod(shape) * np.dtype(dtype).itemsize
        self._address = int(call('cudaHostAlloc', self._size, 0))
        _free_with(self, 'cudaFreeHost', self._address)
        self.device = int(call('cudaMalloc', self._size))
        _free_with(self, 'cudaFree', self.device)
        raw = (ctypes.c_uint8 * self._size).from_address(self._address)
        self.host: NDArray[Any] = np.ctypeslib.as_array(raw).view(dtype).reshape(shape)

    def upload(self, stream: Stream) -> None:
        """Enqueue the copy to the GPU."""
        stream.copy(self.device, self._address, self._size, 'HostToDevice')

    def download(self, stream: Stream) -> None:
        """Enqueue the copy from the GPU."""
        stream.copy(self._address, self.device, self._size, 'DeviceToHost')


def _free_with(owner: object, function: str, resource: Any) -> None:
    """Free a resource when its owner goes; at the process's end the driver does."""
    weakref.finalize(owner, getattr(_cudart(), function), resource).atexit = False

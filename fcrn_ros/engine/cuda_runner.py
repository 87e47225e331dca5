"""
The network on a CUDA device: one graph for each batch size, bytes up, depth down.

A batch goes up as the camera's bytes, from page-locked memory; everything from the bytes to the
depth is one CUDA graph, captured at the first call with that batch size; depth comes down into
page-locked memory. All of it runs on a stream of the runner's own.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOGGER = logging.getLogger(__name__)
BATCH_SIZES = 4  # that are kept ready; the one unused for the longest goes first
WARM_UPS = 3  # calls before a capture: in the first, cuDNN times its algorithms
_CHOOSING = threading.Lock()  # PyTorch allows one capture at a time, and its flags are global
Network = Callable[[Tensor], Tensor]


@contextlib.contextmanager
def exact_and_fastest(device: str | torch.device) -> Iterator[None]:
    """
    Have cuDNN take the fastest algorithms on a device, of those that keep float32 exact.

    PyTorch lets convolutions of float32 round to TF32, which has no more digits than float16. A
    graph keeps the algorithms that it was captured with. One thread of the process at a time.

    :param device: nothing changes where it is not a CUDA device.
    """
    if torch.device(device).type != 'cuda':
        yield
        return
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    with _CHOOSING, torch.cuda.device(device), flags:
        yield


def capture(call: Callable[[], Tensor], stream: torch.cuda.Stream) -> Callable[[], Tensor]:
    """
    Record what a call does on a stream.

    :param call: reads and writes the same memory each time, and has run before.
    :return: does it again; the tensor is the same one each time, overwritten.
    :raises RuntimeError: it cannot be recorded, or the memory does not suffice.
    """
    graph = torch.cuda.CUDAGraph()
    # thread_local: what other threads do with the GPU meanwhile is no error
    with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
        output = call()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


class Ready:
    """
    A network made ready for one batch size; one call at a time.

    :param network: (B, H, W, 3) uint8 -> (B, C, h, w), both on the stream's device.
    :param shape: of the batch.
    :param stream: the current one; None computes on the CPU.
    :raises RuntimeError: the network failed, or the memory does not suffice.
    """

    def __init__(
        self, network: Network, shape: tuple[int, ...], stream: torch.cuda.Stream | None
    ) -> None:
        self._network, self._stream = network, stream
        self._device = torch.device('cpu') if stream is None else stream.device
        pinned = stream is not None
        self._sent = torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned)
        self._batch = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        with exact_and_fastest(self._device):
            output = [self._forward() for _ in range(WARM_UPS)][-1]
            self._received = torch.empty(output.shape, dtype=torch.float32, pin_memory=pinned)
            self._replay = None if stream is None else self._captured(stream)

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        np.copyto(self._sent.numpy(), batch)
        self._batch.copy_(self._sent, non_blocking=True)
        self._received.copy_(self._compute(), non_blocking=True)
        if self._stream is not None:
            self._stream.synchronize()
        depth: NDArray[np.float32] = self._received.numpy().copy()
        return depth

    def _compute(self) -> Tensor:
        if self._replay is not None:
            return self._replay()
        with exact_and_fastest(self._device):
            return self._forward()

    def _forward(self) -> Tensor:
        return self._network(self._batch).float().contiguous()

    def _captured(self, stream: torch.cuda.Stream) -> Callable[[], Tensor] | None:
        try:
            return capture(self._forward, stream)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as err:
            reason, _, _ = str(err).partition('\n')
            LOGGER.warning('no CUDA graph for %d images: %s', len(self._sent), reason)
            return None


class CudaRunner:
    """
    A network behind NumPy arrays; calls from several threads wait for each other.

    :param network: (B, H, W, 3) uint8 -> (B, C, h, w) on the device, the same at every call.
    :param device: ``cuda:N``; ``cpu`` computes the same without a graph.
    """

    def __init__(self, network: Network, device: str) -> None:
        self._network, self._lock = network, threading.Lock()
        self._ready: OrderedDict[tuple[int, ...], Ready] = OrderedDict()
        self._stream: torch.cuda.Stream | None = None
        if torch.device(device).type == 'cuda':
            self._stream = torch.cuda.Stream(device)
            # the weights were made on this one, and may still be on their way
            self._stream.wait_stream(torch.cuda.current_stream(device))

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """
        Run the network.

        :param batch: (B, H, W, 3) uint8 of any memory layout.
        :return: (B, C, h, w) float32, owned by the caller.
        :raises RuntimeError: the network failed, or the memory does not suffice.
        """
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            return self._ready_for(batch.shape)(batch)

    def _ready_for(self, shape: tuple[int, ...]) -> Ready:
        if shape not in self._ready:
            while len(self._ready) >= BATCH_SIZES:  # before, so that its memory serves the new one
                self._ready.popitem(last=False)
            self._ready[shape] = Ready(self._network, shape, self._stream)
        self._ready.move_to_end(shape)
        return self._ready[shape]

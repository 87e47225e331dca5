"""The PyTorch backend: the fused network on a CPU or a CUDA device."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from fcrn_ros.engine import EngineError, Request
from fcrn_ros.engine.check import example, first_faithful, plain_output, require_batch
from fcrn_ros.engine.cuda_runner import CudaRunner, exact_and_fastest
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.fused import fuse
from fcrn_ros.model.weights import ModelSpec, load_model

LOGGER = logging.getLogger(__name__)
DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


class TorchEngine:
    """
    FCRN in PyTorch in one precision; see :class:`fcrn_ros.engine.DepthEngine`.

    :param network: the plain form.
    :param spec: its sidecar.
    :param device: ``cpu`` or ``cuda:N``.
    :param precision: a key of ``DTYPES``.
    :param form: of the unpooled convolutions; see :mod:`fcrn_ros.model.fused`.
    :raises EngineError: the network did not start.
    :ivar forms: that were taken, block by block.
    """

    name = 'torch'

    def __init__(
        self, network: Fcrn, spec: ModelSpec, device: str, precision: str, form: str = 'auto'
    ) -> None:
        self.spec, self.device, self.precision = spec, device, precision
        try:
            batch = torch.from_numpy(example(spec)).to(device)
            with exact_and_fastest(device):
                fused = fuse(network, spec.mean, spec.std, DTYPES[precision], form, batch)
            self.forms: list[str] = fused.forms
            self._network = fused
            self._run = CudaRunner(fused, device) if batch.is_cuda else self._run_on_cpu
        except RuntimeError as err:
            raise EngineError(
                f'the network did not start on {device}: {_first_line(err)}'
            ) from err

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`fcrn_ros.engine.DepthEngine`."""
        require_batch(batch, self.spec)
        try:
            return self._run(batch)
        except RuntimeError as err:
            raise EngineError(f'inference failed on {self.device}: {_first_line(err)}') from err

    @torch.inference_mode()
    def _run_on_cpu(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = np.require(batch, requirements=('C', 'W'))  # all that torch takes without a word
        output: NDArray[np.float32] = self._network(torch.from_numpy(batch)).float().numpy()
        return output


def _first_line(err: RuntimeError) -> str:
    """Return an error's first line; CUDA's errors go on with general advice."""
    return str(err).partition('\n')[0]


def open_torch(request: Request) -> TorchEngine:
    """
    Open the network in the first precision that computes it.

    Device ``auto`` takes the CPU where the network does not run on the GPU; a named one stands
    alone.

    :raises EngineError: the device or precision is not to be had, or the result is not the
        network's.
    :raises ModelError: the model is absent or damaged.
    """
    device = find_device(request.device)
    find_precisions(request.precision, device)  # before anything is loaded
    torch.set_num_threads(request.threads or half_of_the_cores())
    network, spec = load_model(request.model)
    expected = plain_output(network, spec, example(spec))

    def open_on(device: str) -> TorchEngine:
        precisions = find_precisions(request.precision, device)
        return first_faithful(
            precisions, lambda precision: TorchEngine(network, spec, device, precision), expected
        )

    if request.device != 'auto' or device == 'cpu':
        return open_on(device)
    try:
        return open_on(device)
    except EngineError as err:
        LOGGER.warning('taking the CPU: %s', err)
    return open_on('cpu')


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

    :raises EngineError: PyTorch does not run the network in it.
    """
    if precision != 'auto':
        if precision not in DTYPES:
            raise EngineError(
                f'backend torch has no {precision}; expected one of {", ".join(DTYPES)}'
            )
        return (precision,)
    if device.startswith('cuda'):
        return 'fp16', 'fp32'
    return ('bf16', 'fp32') if cpu_has_bf16() else ('fp32',)


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    checks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)

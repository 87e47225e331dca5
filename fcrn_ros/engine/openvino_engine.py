"""
The OpenVINO backend: the network on a processor, in float32, bfloat16 or int8.

The network comes as ONNX out of the cache; PyTorch is needed only where it is not there yet.

OpenVINO is told one precision for a whole model. Where that is bfloat16 and the network's first
layers do not bear it, the model is cut behind them, and its two parts run one after the other
without a copy in between.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.engine import EngineError, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import first_faithful, reference, require_batch
from fcrn_ros.engine.int8.quantize import quantized
from fcrn_ros.engine.onnx_artefact import exported
from fcrn_ros.engine.quiet_openvino import opset8, ov
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.model.weights import ModelSpec, load_spec

DEVICE = 'CPU'
CUT = 'fcrn_ros.float32_until'  # in the ONNX: the tensor where its float32 part ends
NO_STEM = 'input/'  # that tensor's name starts so where only the normalisation is float32
PREDICTED = 'predict/sum'  # the last convolution's output
BEYOND = 1e6  # no prediction, in metres or as log(b), is as large


class OpenVinoEngine:
    """
    FCRN in OpenVINO in one precision; see :class:`fcrn_ros.engine.DepthEngine`.

    It is compiled for one picture, and takes a batch picture by picture: several at once are
    hardly faster on a processor (4 at once: 7 to 10 %), and each number of them would be compiled
    anew in the midst of work.

    :param model: ONNX, serialized; quantised where the precision is ``int8``.
    :param spec: its sidecar.
    :param precision: ``fp32``, ``bf16`` or ``int8``.
    :param threads: of the processor.
    :raises EngineError: the network did not start.
    """

    name = 'openvino'
    device = 'cpu'

    def __init__(self, model: bytes, spec: ModelSpec, precision: str, threads: int) -> None:
        self.spec, self.precision = spec, precision
        self._lock = threading.Lock()
        try:
            network = core().read_model(model)
            network.reshape([1, *spec.input_size, 3])
            parts = split(network) if precision != 'fp32' and has_bf16() else [(network, 'f32')]
            self._steps = [_start(part, kind, threads) for part, kind in parts]
            for before, after in zip(self._steps, self._steps[1:], strict=False):
                after.set_input_tensor(before.get_output_tensor())
            self._image = self._steps[0].get_input_tensor().data
            self._depth = self._steps[-1].get_output_tensor().data
        except RuntimeError as err:
            raise EngineError(f'OpenVINO did not start {spec.name}: {_line(err)}') from err

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`fcrn_ros.engine.DepthEngine`."""
        require_batch(batch, self.spec)
        output = np.empty((len(batch), *self._depth.shape[1:]), np.float32)
        with self._lock:
            try:
                for picture, depth in zip(batch, output, strict=True):
                    self._image[0] = picture  # any memory layout
                    for step in self._steps:
                        step.infer(share_outputs=True)
                    depth[...] = self._depth[0]
            except RuntimeError as err:
                raise EngineError(f'inference failed in OpenVINO: {_line(err)}') from err
        return output


def open_openvino(request: Request, cache: Cache | None = None) -> OpenVinoEngine:
    """
    Open the network in the first precision that computes it.

    :raises EngineError: the device or precision is not to be had, the network did not start, or
        the result is not its own.
    :raises ModelError: the model is absent or damaged.
    :raises NotBuilt: int8 is asked for and not built, and ``request.build`` is ``never``.
    """
    if request.device not in ('auto', 'cpu'):
        raise EngineError(
            f'backend openvino runs on the processor; device is {request.device!r}, '
            'expected auto or cpu'
        )
    precisions = find_precisions(request.precision)
    spec, cache = load_spec(request.model), cache or Cache()
    threads = request.threads or half_of_the_cores()

    def open_model(model: bytes, precision: str) -> OpenVinoEngine:
        return OpenVinoEngine(model, spec, precision, threads)

    # what is not built is known before anything is computed
    in_bytes = quantized(request, spec, cache, open_model) if precisions == ('int8',) else b''

    def open_one(precision: str) -> OpenVinoEngine:
        return open_model(in_bytes or exported(request, spec, cache), precision)

    return first_faithful(precisions, open_one, reference(request.model, spec, cache))


def find_precisions(precision: str) -> tuple[str, ...]:
    """
    Return the precisions to try, the fastest first; a named one stands alone.

    :raises EngineError: this processor does not compute in it.
    """
    there = ('bf16', 'fp32') if has_bf16() else ('fp32',)
    if precision == 'auto':
        return there
    if precision not in (*there, 'int8'):
        raise EngineError(
            f'backend openvino has no {precision} on this processor; '
            f'expected one of {", ".join((*there, "int8"))}'
        )
    return (precision,)


@lru_cache(maxsize=1)
def core() -> Any:
    """Return the process's OpenVINO."""
    return ov.Core()


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware, as OpenVINO sees it."""
    return 'BF16' in core().get_property(DEVICE, 'OPTIMIZATION_CAPABILITIES')


def split(network: Any) -> list[tuple[Any, str]]:
    """
    Divide a model into parts to run one after the other, each with its precision.

    :param network: with a fixed shape; it is taken apart.
    """
    _keep_the_output(network)
    until = network.get_rt_info(['framework', CUT]).astype(str)
    if until.startswith(NO_STEM):
        return [(network, 'bf16')]
    end = tensor(network, until)
    rest = opset8.parameter(end.partial_shape, end.element_type)
    for target in list(end.get_target_inputs()):
        target.replace_source_output(rest.output(0))
    front = ov.Model([opset8.result(end)], network.get_parameters())
    return [(front, 'f32'), (ov.Model(network.get_results(), [rest]), 'bf16')]


def _keep_the_output(network: Any) -> None:
    """
    Have the last convolution write float32.

    Of its own accord it writes bfloat16, in which a depth of 3 m comes in steps of 16 mm. What is
    computed behind it is float32, and a limit there, which no value reaches, is fused into it.
    """
    end = tensor(network, PREDICTED)
    targets = list(end.get_target_inputs())
    limited = opset8.clamp(end, -BEYOND, BEYOND)
    for target in targets:
        target.replace_source_output(limited.output(0))


def tensor(network: Any, name: str) -> Any:
    """
    Return the node's output that carries a tensor.

    The names of tensors are those in the ONNX; nodes are renamed as they are read.

    :raises RuntimeError: there is none.
    """
    for node in network.get_ordered_ops():
        for output in node.outputs():
            if name in output.names:
                return output
    raise RuntimeError(f'the ONNX has no tensor {name}')


def _start(network: Any, precision: str, threads: int) -> Any:
    settings = {
        'PERFORMANCE_HINT': 'LATENCY',
        'INFERENCE_PRECISION_HINT': precision,
        'INFERENCE_NUM_THREADS': threads,
    }
    return core().compile_model(network, DEVICE, settings).create_infer_request()


def _line(err: Exception) -> str:
    """Return an error of OpenVINO, which has several lines, in one."""
    return ' '.join(str(err).split())

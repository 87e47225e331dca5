"""
Quantisation by NNCF, in a process of its own.

It is ``python -m fcrn_ros.engine.int8.nncf_process FOLDER``.

NNCF takes gigabytes, draws progress bars, changes the class of every later logger and reports its
use to its makers; none of that belongs into a robot's node. The folder has ``model.onnx``,
``pictures.npy`` and ``options.json``; the process writes ``quantized.onnx`` into it and the share
that is done to standard output, one number a line. Everything else it prints goes to standard
error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLLECTING = 0.7  # share of the work: statistics of the pictures; then the biases' correction
LEVELS = 255 / 127  # of unsigned to signed bytes over the same range from 0


def quantize(
    model: Any, pictures: NDArray[np.uint8], options: Any, progress: Callable[[float], None]
) -> Any:
    """
    Return an ONNX with weights and activations in bytes: explicit Quantize and Dequantize nodes.

    Weights are symmetric for each channel, activations symmetric for each tensor.

    :param model: the float32 ONNX of :mod:`fcrn_ros.engine.onnx_export`.
    :param pictures: (N, H, W, 3) uint8 RGB.
    :param options: ``float_nodes``: patterns of the nodes that stay in float; ``signed``: whether
        activations that are never negative are signed, too.
    """
    import nncf

    seen = 0

    def feed(picture: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        nonlocal seen
        seen += 1
        progress(min(1.0, COLLECTING * seen / len(pictures)))
        return {'image': picture[None]}

    quantized = nncf.quantize(
        model,
        nncf.Dataset(list(pictures), feed),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(pictures),
        ignored_scope=nncf.IgnoredScope(patterns=options['float_nodes'], validate=False),
    )
    if options['signed']:
        make_signed(quantized)
    for entry in quantized.metadata_props:
        if entry.key == 'fcrn_ros.precision':
            entry.value = 'int8'
    return quantized


def make_signed(model: Any) -> None:
    """
    Turn unsigned bytes into signed ones, in place: 0 ... 255 into 0 ... 127 of 255/127 the step.

    :raises ValueError: a zero point is not 0.
    """
    from onnx import TensorProto, numpy_helper

    constants = {constant.name: constant for constant in model.graph.initializer}
    pairs = {
        (node.input[1], node.input[2])
        for node in model.graph.node
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear')
    }
    for scale, zero in sorted(pairs):
        value = numpy_helper.to_array(constants[zero])
        if value.any():
            raise ValueError(f'{zero} is {value}; expected 0')
        if value.dtype == np.uint8:
            step = numpy_helper.to_array(constants[scale]) * np.float32(LEVELS)
            constants[scale].CopyFrom(numpy_helper.from_array(step, scale))
            signed = np.zeros(value.shape, np.int8)
            constants[zero].CopyFrom(numpy_helper.from_array(signed, zero))
    for tensor in model.graph.value_info:
        if tensor.type.tensor_type.elem_type == TensorProto.UINT8:
            tensor.type.tensor_type.elem_type = TensorProto.INT8


def _say_nothing_to_its_makers() -> None:
    os.environ['NNCF_CI'] = '1'
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]


def main(folder: Path) -> None:
    """Quantise what lies in a folder."""
    report = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    _say_nothing_to_its_makers()
    if hasattr(os, 'nice'):
        os.nice(10)

    def progress(share: float) -> None:
        print(share, file=report, flush=True)  # ends this process when nobody reads any more

    progress(0.0)
    import onnx
    import onnxruntime

    onnxruntime.disable_telemetry_events()

    options = json.loads((folder / 'options.json').read_bytes())
    pictures = np.load(folder / 'pictures.npy', allow_pickle=False)
    quantized = quantize(onnx.load(folder / 'model.onnx'), pictures, options, progress)
    onnx.save(quantized, folder / 'quantized.onnx')


if __name__ == '__main__':
    main(Path(sys.argv[1]))

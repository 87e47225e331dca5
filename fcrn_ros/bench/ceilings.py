"""
What a large matrix product reaches on this machine: the ceiling of each precision.

Each is measured in a process of its own, ``python -m fcrn_ros.bench.ceilings QUESTION``. For int8
that is PyTorch's integer product, and OpenVINO's where it is installed; the faster one counts.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from fcrn_ros.bench.process import Answer, ask, serve
from fcrn_ros.bench.timing import milliseconds, row

MATRIX = 4096
Rows = list[dict[str, Any]]


def kinds(device: str) -> list[tuple[str, str]]:
    """Return the backends and precisions to measure on a device."""
    on_gpu = device.startswith('cuda')
    precisions = ('fp32', 'fp16', 'bf16', 'int8') if on_gpu else ('fp32', 'bf16', 'int8')
    found = [('torch', precision) for precision in precisions]
    if not on_gpu and find_spec('openvino') is not None:
        found.append(('openvino', 'int8'))
    return found


def ceiling(backend: str, precision: str, device: str, threads: int, repeats: int) -> Answer:
    """Return one ceiling as a row, with ``tflops`` [TFLOP/s, or TOP/s of int8]."""
    question = {
        'backend': backend,
        'precision': precision,
        'device': device,
        'threads': threads,
        'size': MATRIX,
        'repeats': max(3, repeats // 10),
    }
    answer = ask('fcrn_ros.bench.ceilings', question)
    ms, error = answer.get('ms', {}), answer.get('error')
    tflops = round(2 * MATRIX**3 / ms['median'] / 1e9, 4) if ms else None
    what = f'matrix product {MATRIX}'
    more: dict[str, Any] = {'device': device, 'threads': threads}
    return row(what, ms, None, backend, precision, **more, tflops=tflops, error=error)


def peaks(rows: Rows) -> dict[str, float]:
    """Return the highest ceiling of each precision."""
    found: dict[str, float] = {}
    for entry in rows:
        name = entry['precision']
        found[name] = max(found.get(name, 0.0), entry['tflops'] or 0.0)
    return found


def answer(question: Answer) -> Answer:
    """Time a matrix product; runs in the child."""
    make = _openvino_product if question['backend'] == 'openvino' else _torch_product
    return {'ms': milliseconds(make(question), question['repeats'], warm_up=1)}


def _torch_product(question: Answer) -> Callable[[], object]:
    import torch

    torch.set_num_threads(question['threads'])
    device, size, precision = (question[n] for n in ('device', 'size', 'precision'))
    if precision == 'int8':
        a, b = torch.randint(-128, 128, (2, size, size), dtype=torch.int8, device=device)
    else:
        from fcrn_ros.engine.torch_engine import DTYPES

        a, b = torch.randn(2, size, size).to(DTYPES[precision]).to(device)

    def product() -> None:
        # the second matrix as a layer's weights lie
        torch._int_mm(a, b.t()) if precision == 'int8' else a @ b.t()
        if a.is_cuda:
            torch.cuda.synchronize()

    return product


def _openvino_product(question: Answer) -> Callable[[], object]:
    """Return a product of uint8 activations and int8 weights, as quantised networks have it."""
    from fcrn_ros.engine.quiet_openvino import opset8 as ops
    from fcrn_ros.engine.quiet_openvino import ov

    size, generator = question['size'], np.random.default_rng(0)
    x = ops.parameter([size, size], ov.Type.f32)
    low, high = np.float32(-4), np.float32(4)
    quantised = ops.fake_quantize(x, low, high, low, high, 256)
    weights = ops.constant(generator.integers(-127, 128, (size, size)).astype(np.int8))
    scaled = ops.multiply(ops.convert(weights, 'f32'), ops.constant(np.float32(0.01)))
    model = ov.Model([ops.matmul(quantised, scaled, False, True)], [x])
    settings = {'INFERENCE_NUM_THREADS': question['threads'], 'PERFORMANCE_HINT': 'LATENCY'}
    request = ov.Core().compile_model(model, 'CPU', settings).create_infer_request()
    values = [generator.standard_normal((size, size), np.float32)]
    return lambda: request.infer(values)


if __name__ == '__main__':
    serve(answer)

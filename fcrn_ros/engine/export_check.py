"""
A model on disk as an ONNX file, written whole and only after it computed the network elsewhere.

ONNX Runtime runs the file on a picture and its mirror image, or as many as its batch holds; the
plain network in PyTorch says what is expected. ONNX Runtime has no bfloat16 convolution on a
processor: such a file runs in OpenVINO, or is not compared where that is not installed.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.engine import EngineError
from fcrn_ros.engine.check import TOLERANCE, difference, example, plain_output
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.model.weights import ModelSpec, load_model
from fcrn_ros.whole_file import write_whole

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Errors:
    """
    How far a file's depth is from the plain network's.

    :param runtime: what ran the file.
    :param max_m: largest absolute difference [m].
    :param mean_m: mean absolute difference [m].
    :param median_relative: see :func:`fcrn_ros.engine.check.difference`.
    """

    runtime: str
    max_m: float
    mean_m: float
    median_relative: float


@dataclass(frozen=True)
class Exported:
    """
    A file that was written.

    :param inputs: name -> type and shape, for example ``uint8 (batch, 192, 256, 3)``.
    :param outputs: as ``inputs``.
    :param errors: None where nothing that is installed runs its precision.
    """

    path: Path
    opset: int
    precision: str
    form: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    errors: Errors | None


def export_file(
    model: str = '',
    path: Path | None = None,
    precision: str = 'fp32',
    form: str = 'auto',
    batch: int = 0,
) -> Exported:
    """
    Write a model as ONNX; see :func:`fcrn_ros.engine.onnx_export.export` for the parameters.

    :param path: of the file; None takes ``NAME.onnx`` or ``NAME_PRECISION.onnx`` in this folder.
    :raises EngineError: the file does not compute the network, or a library is missing.
    :raises ModelError: the model is absent or damaged.
    :raises ValueError: a parameter is not known, or the path is a folder.
    """
    _require_libraries()
    from fcrn_ros.engine.onnx_export import network_to_onnx

    network, spec = load_model(model)
    name = spec.name if precision == 'fp32' else f'{spec.name}_{precision}'
    path = path or Path(f'{name}.onnx')
    if path.is_dir():
        raise ValueError(f'{path} is a folder; expected a file')
    proto = network_to_onnx(network, spec, precision, form, batch)
    pictures = _pictures(spec, batch)
    errors = compare(proto, precision, pictures, plain_output(network, spec, pictures))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, proto.SerializeToString())
    return _exported(path, proto, precision, errors)


def compare(
    proto: onnx.ModelProto,
    precision: str,
    pictures: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> Errors | None:
    """
    Check an ONNX model, and its depth against the plain network's.

    :param pictures: (B, H, W, 3) uint8 RGB.
    :param expected: (B, C, h, w) float32, the plain network's output for the pictures.
    :return: None where nothing that is installed runs the precision.
    :raises EngineError: it differs by more than ``TOLERANCE``.
    """
    import onnx

    onnx.checker.check_model(proto, full_check=True)
    runtime = 'openvino' if precision == 'bf16' else 'onnxruntime'
    if importlib.util.find_spec(runtime) is None:
        return None
    run = _run_openvino if runtime == 'openvino' else _run_onnxruntime
    found = run(proto.SerializeToString(), pictures)
    relative = difference(found, expected)
    if not relative <= TOLERANCE[precision]:
        raise EngineError(
            f'{precision} in {runtime} differs from the plain network by {relative:.2%} (median); '
            f'expected at most {TOLERANCE[precision]:.2%}: nothing was written'
        )
    metres = np.abs(found[:, 0] - expected[:, 0])
    return Errors(runtime, float(metres.max()), float(metres.mean()), relative)


def _require_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as err:
        raise EngineError(f"export needs pip install 'fcrn_ros[export]' ({err})") from err


def _pictures(spec: ModelSpec, batch: int) -> NDArray[np.uint8]:
    picture = example(spec)
    pair = np.concatenate((picture, picture[:, :, ::-1]))
    return pair[np.arange(batch or 2) % 2]


def _run_onnxruntime(content: bytes, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = half_of_the_cores()
    session = onnxruntime.InferenceSession(content, options, ['CPUExecutionProvider'])
    output: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: pictures})[0]
    return output


def _run_openvino(content: bytes, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    from fcrn_ros.engine.quiet_openvino import ov

    core = ov.Core()
    options = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': half_of_the_cores()}
    network = core.compile_model(core.read_model(content), 'CPU', options)
    output: NDArray[np.float32] = network(pictures)[0]
    return output


def _exported(
    path: Path, proto: onnx.ModelProto, precision: str, errors: Errors | None
) -> Exported:
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    return Exported(
        path,
        proto.opset_import[0].version,
        precision,
        metadata['fcrn_ros.form'],
        {tensor.name: _described(tensor) for tensor in proto.graph.input},
        {tensor.name: _described(tensor) for tensor in proto.graph.output},
        errors,
    )


def _described(tensor: Any) -> str:
    from onnx import helper

    kind = helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
    sizes = [d.dim_param or str(d.dim_value) for d in tensor.type.tensor_type.shape.dim]
    return f'{kind} ({", ".join(sizes)})'

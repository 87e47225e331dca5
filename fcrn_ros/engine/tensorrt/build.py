"""
The building of a TensorRT plan: ONNX in, plan out, TensorRT's own reason where there is none.

A plan takes one picture: a fixed shape leaves the builder nothing to guess, and a robot has one
frame at a time.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fcrn_ros.engine import EngineError, Progress
from fcrn_ros.engine.tensorrt.caches import Timings
from fcrn_ros.engine.tensorrt.cuda_memory import use_gpu
from fcrn_ros.engine.tensorrt.library import (
    ANY,
    Library,
    Target,
    builder_flags,
    network_flags,
    states_types,
)
from fcrn_ros.engine.tensorrt.progress import Phases, monitor
from fcrn_ros.model.weights import ModelSpec

LOGGER = logging.getLogger(__name__)
BATCH = 1
WORKSPACE = 1 << 30  # bytes of scratch memory that a layer may take


def build(
    library: Library,
    model: bytes,
    spec: ModelSpec,
    precision: str,
    target: Target,
    progress: Progress,
    timings: Timings | None = None,
) -> bytes:
    """
    Build a plan.

    :param model: ONNX, serialized.
    :param progress: is called from TensorRT's threads; what it raises ends the build.
    :raises EngineError: TensorRT does not build it; the message has its reason.
    """
    LOGGER.info('building %s in %s with %s for %s', spec.name, precision, library, target)
    progress('building TensorRT plan', 0.0)
    library.logger.errors.clear()
    if target.index is not None:
        use_gpu(target.index)
    what = f'{library} built no plan of {spec.name} in {precision}'
    try:
        builder = library.api.Builder(library.logger)
    except (TypeError, RuntimeError) as err:  # what the bindings make of a null pointer
        raise EngineError(f'{what}: {library.reason()}') from err
    network = parse(library, builder, model)
    require_io(network_io(network), spec, 'the ONNX')
    if precision == 'fp16' and not states_types(library.api):
        _demand_types(library.api, network, model)
    config = _configure(library, builder, precision, target)
    if timings is not None:
        timings.lend(config)
    with monitor(library.api, config, progress) as phases:
        plan = _serialize(builder, network, config, target, phases)
    plan = bytes(library.require(plan, what))
    if timings is not None:
        timings.keep(config)
    progress('building TensorRT plan', 1.0)
    return plan


def _serialize(builder: Any, network: Any, config: Any, target: Target, phases: Phases) -> Any:
    """Build in a thread of its own, so that a Ctrl-C in this one stops it at its next step."""

    def work() -> Any:
        if target.index is not None:
            use_gpu(target.index)
        return builder.build_serialized_network(network, config)

    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(work).result()
        except BaseException as err:
            phases.error = err
            raise


def _configure(library: Library, builder: Any, precision: str, target: Target) -> Any:
    api, config = library.api, builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, WORKSPACE)
    wanted, unwanted = builder_flags(api, precision)
    for name in wanted:
        config.set_flag(getattr(api.BuilderFlag, name))
    for name in unwanted:
        config.clear_flag(getattr(api.BuilderFlag, name))
    if library.builds_anywhere and target.capability != ANY:
        name = 'SM' + target.capability.replace('.', '')
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(api.ComputeCapability, name), 0)
    return config


def parse(library: Library, builder: Any, model: bytes) -> Any:
    """
    Return an ONNX as a network of the library, for one picture.

    :raises EngineError: it is none.
    """
    network = builder.create_network(network_flags(library.api))
    parser = library.api.OnnxParser(network, library.logger)
    if parser.parse(model):
        for tensor in (network.get_input(i) for i in range(network.num_inputs)):
            tensor.shape = (BATCH, *tuple(tensor.shape)[1:])
        return network
    reason = library.reason()
    if parser.num_errors:  # the first one; what follows follows from it
        error = parser.get_error(0)
        node = getattr(error, 'node_name', str)()  # since 10.0
        reason = ' '.join(error.desc().split()) + (f' (node {node})' if node else '')
    raise EngineError(f'{library} does not read the ONNX: {reason}')


def _demand_types(api: Any, network: Any, model: bytes) -> None:
    """Constrain each layer to its ONNX node's type; TensorRT 8.6 alone, and only with a GPU."""
    types = node_types(model)
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        if layer.name in types:
            layer.precision = getattr(api.DataType, types[layer.name])
            layer.set_output_type(0, layer.precision)


def node_types(model: bytes) -> dict[str, str]:
    """Return TensorRT's names of the types of an ONNX's floating-point nodes, by their names."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    tensors = [*graph.value_info, *graph.output]
    numbers = {tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors}
    names = {onnx.TensorProto.FLOAT: 'FLOAT', onnx.TensorProto.FLOAT16: 'HALF'}
    found = ((node.name, names.get(numbers.get(node.output[0], 0))) for node in graph.node)
    return {node: name for node, name in found if name is not None}


Io = dict[str, tuple[str, str, tuple[int, ...]]]  # name -> (INPUT or OUTPUT, type, shape)


def network_io(network: Any) -> Io:
    """Return the inputs and outputs of a network that is not built yet."""
    inputs = (('INPUT', network.get_input(i)) for i in range(network.num_inputs))
    outputs = (('OUTPUT', network.get_output(i)) for i in range(network.num_outputs))
    tensors = [*inputs, *outputs]
    return {t.name: (mode, t.dtype.name, tuple(t.shape)) for mode, t in tensors}


def expected_io(spec: ModelSpec) -> Io:
    """Return the inputs and outputs that a model's plan has."""
    channels = 2 if spec.has_uncertainty else 1
    return {
        'image': ('INPUT', 'UINT8', (BATCH, *spec.input_size, 3)),
        'depth': ('OUTPUT', 'FLOAT', (BATCH, channels, *spec.output_size)),
    }


def require_io(found: Io, spec: ModelSpec, what: str) -> None:
    """Raise EngineError unless the inputs and outputs are those of the sidecar."""
    expected = expected_io(spec)
    if found != expected:
        raise EngineError(f'{what} of {spec.name} has {_say(found)}; expected {_say(expected)}')


def _say(io: Io) -> str:
    parts = [f'{mode.lower()} {name} {kind} {shape}' for name, (mode, kind, shape) in io.items()]
    return ', '.join(parts) or 'no inputs and outputs'

"""Small networks with random weights, of which TensorRT plans are quickly built."""

from dataclasses import asdict, replace

import torch

from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.weights import ModelSpec

SPEC = ModelSpec(
    name='small',
    architecture={},
    input_size=(64, 96),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    camera={'fx': 80.0, 'fy': 75.0, 'cx': 46.0, 'cy': 33.0},
    depth_range=(0.5, 10.0),
    licence='BSD-3-Clause',
)


def network_and_spec(
    encoder='mobilenet_v2', block='upproj', alignment='bottom_right', uncertainty=True
):
    """Return a network with random weights and its sidecar."""
    torch.manual_seed(5)
    architecture = Architecture(encoder, block, alignment, 16, uncertainty)
    return Fcrn(architecture).eval(), replace(SPEC, architecture=asdict(architecture))


def small_onnx(network, spec, precision, batch=1):
    """Return it as serialized ONNX, in the form that plans are built from."""
    from fcrn_ros.engine.onnx_export import network_to_onnx  # where onnx may be absent

    return network_to_onnx(network, spec, precision, 'shuffled', batch).SerializeToString()

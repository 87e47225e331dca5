"""
A model on disk as ONNX: the folded network, taking bytes and giving metres.

One input ``image``, (B, H, W, 3) uint8 RGB, one output ``depth``, (B, C, h, w) float32, as every
engine has them. The graph states its precision: weights and activations are of that type, with
casts where it changes, so that a strongly typed builder needs no flags. Sidecar, form and the
tensor where the float32 part ends travel in the file's metadata.
"""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from fcrn_ros import __version__
from fcrn_ros.model.encoder import SamePool
from fcrn_ros.model.fcrn import LOG_SCALE_LIMIT, Fcrn
from fcrn_ros.model.fused import FusedFcrn, FusedUpProj, Residual, fuse
from fcrn_ros.model.fused_conv import FusedConv
from fcrn_ros.model.unpool_forms import Shuffled
from fcrn_ros.model.weights import ModelSpec, load_model

INPUT, OUTPUT = 'image', 'depth'
OPSETS = {'fp32': 17, 'fp16': 17, 'bf16': 22}  # bfloat16 convolutions came with 22
IR_VERSIONS = {17: 8, 22: 10}
TYPES = {
    'fp32': (torch.float32, TensorProto.FLOAT),
    'fp16': (torch.float16, TensorProto.FLOAT16),
    'bf16': (torch.bfloat16, TensorProto.BFLOAT16),
}
NUMBERS = dict(TYPES.values())  # of ONNX, by PyTorch's type
FORMS = ('auto', 'transposed', 'shuffled')
METADATA = 'fcrn_ros.'


class _Graph:
    """A growing list of nodes and constants; a node and its one output share their name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, tensor: Tensor) -> str:
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        kind = NUMBERS.get(tensor.dtype, TensorProto.INT64)
        self.constants.append(helper.make_tensor(name, kind, list(tensor.shape), raw, raw=True))
        return name

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name


def export(
    model: str = '', precision: str = 'fp32', form: str = 'auto', batch: int = 0
) -> onnx.ModelProto:
    """
    Return a model on disk as ONNX.

    :param model: a shipped model's name or a path.
    :param precision: ``fp32``, ``fp16`` or ``bf16``: of weights and activations.
    :param form: of the unpooled convolutions: ``transposed``, ``shuffled``, or ``auto``: the
        first that can hold the weights.
    :param batch: images at a time; 0 leaves it open.
    :raises ModelError: the model is absent or damaged.
    :raises ValueError: the precision, form or batch is not one, or the form cannot hold the
        weights.
    """
    network, spec = load_model(model)
    return network_to_onnx(network, spec, precision, form, batch)


def network_to_onnx(
    network: Fcrn, spec: ModelSpec, precision: str = 'fp32', form: str = 'auto', batch: int = 0
) -> onnx.ModelProto:
    """Return a network in its plain form as ONNX; see :func:`export`."""
    if precision not in TYPES:
        raise ValueError(f'precision {precision!r}; expected one of {", ".join(TYPES)}')
    if batch < 0:
        raise ValueError(f'batch is {batch}; expected a number of images, or 0 for any')
    fused, form = _fused(network, spec, precision, form)
    graph = _Graph()
    boundary = _emit(graph, fused, spec)
    metadata = {
        'version': __version__,
        'sidecar': spec.to_json(),
        'precision': precision,
        'form': form,
        'float32_until': boundary,
    }
    return _proto(graph, spec, OPSETS[precision], batch, metadata)


def _fused(network: Fcrn, spec: ModelSpec, precision: str, form: str) -> tuple[FusedFcrn, str]:
    if form not in FORMS:
        raise ValueError(f'form {form!r}; expected one of {", ".join(FORMS)}')
    dtype = TYPES[precision][0]
    if form == 'auto':
        try:
            return fuse(network, spec.mean, spec.std, dtype, 'transposed'), 'transposed'
        except ValueError:  # the released weights have a bias for each phase
            form = 'shuffled'
    return fuse(network, spec.mean, spec.std, dtype, form), form


def _proto(
    graph: _Graph, spec: ModelSpec, opset: int, batch: int, metadata: dict[str, str]
) -> onnx.ModelProto:
    images: int | str = batch or 'batch'
    channels = 2 if spec.has_uncertainty else 1
    image = (images, *spec.input_size, 3)
    depth = (images, channels, *spec.output_size)
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            spec.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, image)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, depth)],
            graph.constants,
        ),
        producer_name='fcrn_ros',
        producer_version=__version__,
        opset_imports=[helper.make_opsetid('', opset)],
        ir_version=IR_VERSIONS[opset],
    )
    helper.set_model_props(proto, {METADATA + name: text for name, text in metadata.items()})
    return proto


def _emit(g: _Graph, fused: FusedFcrn, spec: ModelSpec) -> str:
    """Write the whole network; return the name of the tensor where its float32 part ends."""
    x = g.add('Cast', [INPUT], 'input/float', to=TensorProto.FLOAT)
    x = g.add('Transpose', [x], 'input/channels_first', perm=[0, 3, 1, 2])
    x = g.add('Mul', [x, g.constant('input/factor', fused.factor)], 'input/scaled')
    x = g.add('Add', [x, g.constant('input/shift', fused.shift)], 'input/normalised')
    x = _emit_encoder(g, fused.stem, x, 'stem', spec)
    boundary = x
    x = g.add('Cast', [x], 'encoder/input', to=NUMBERS[fused.dtype])
    x = _emit_encoder(g, fused.encoder, x, 'encoder', spec)
    x = _emit_conv(g, fused.reduce, x, 'reduce')
    for i, block in enumerate(fused.blocks):
        x = _emit_block(g, block, x, f'block{i}')
    x = g.add('Cast', [x], 'predict/input', to=TensorProto.FLOAT)
    _emit_activate(g, _emit_conv(g, fused.predict, x, 'predict'), spec.has_uncertainty)
    return boundary


def _emit_encoder(g: _Graph, layers: nn.Sequential, x: str, name: str, spec: ModelSpec) -> str:
    for i, layer in enumerate(layers):
        place = f'{name}{i}'
        if isinstance(layer, Residual):
            x = _emit_residual(g, layer, x, place)
        elif isinstance(layer, FusedConv):
            x = _emit_conv(g, layer, x, place)
        else:
            x = _emit_pool(g, layer, x, place, spec)
    return x


def _emit_residual(g: _Graph, layer: Residual, x: str, name: str) -> str:
    y, *body = x, *layer.body
    for i, conv in enumerate(body[:-1]):
        y = _emit_conv(g, conv, y, f'{name}/conv{i}')  # type: ignore[arg-type]
    other = None
    if layer.shortcut is not None:
        is_conv = isinstance(layer.shortcut, FusedConv)
        other = _emit_conv(g, layer.shortcut, x, f'{name}/shortcut') if is_conv else x  # type: ignore[arg-type]
    return _emit_conv(g, body[-1], y, f'{name}/conv{len(body) - 1}', other)  # type: ignore[arg-type]


def _emit_pool(g: _Graph, layer: nn.Module, x: str, name: str, spec: ModelSpec) -> str:
    top, left, end = 1, 1, 1
    if isinstance(layer, SamePool):  # its input is half of the image, rounded up
        top, left = (-(-size // 2) % 2 for size in spec.input_size)
    pads = [top, left, end, end]
    return g.add('MaxPool', [x], name, kernel_shape=[3, 3], strides=[2, 2], pads=pads)


def _emit_block(g: _Graph, block: nn.Module, x: str, name: str) -> str:
    if not isinstance(block, FusedUpProj):
        return _emit_up(g, block, x, name)
    first = _emit_up(g, block.up1, x, f'{name}/up1')
    return _emit_conv(
        g, block.conv, first, f'{name}/conv', _emit_up(g, block.up2, x, f'{name}/up2')
    )


def _emit_up(g: _Graph, up: nn.Module, x: str, name: str) -> str:
    if isinstance(up, Shuffled):  # channels are (row, column, output), as DCR reads them
        x = _emit_conv(g, up.conv, x, f'{name}/phases')
        return g.add('DepthToSpace', [x], name, blocksize=2, mode='DCR')
    assert isinstance(up, FusedConv)
    return _emit_conv(g, up, x, name)


def _emit_conv(g: _Graph, conv: FusedConv, x: str, name: str, residual: str | None = None) -> str:
    attributes: dict[str, Any] = {'strides': conv.stride, 'pads': conv.padding * 2}
    kind = 'Conv'
    if conv.output_padding is not None:
        kind, attributes['output_padding'] = 'ConvTranspose', [conv.output_padding] * 2
    inputs = [x, g.constant(f'{name}/weight', conv.weight)]
    inputs.append(g.constant(f'{name}/bias', conv.bias))
    y = g.add(kind, inputs, f'{name}/sum', group=conv.groups, **attributes)
    if residual is not None:
        y = g.add('Add', [y, residual], f'{name}/added')
    if conv.activation == 'relu':
        return g.add('Relu', [y], name)
    if conv.activation == 'relu6':
        limits = [g.constant(f'{name}/{n}', conv.bias.new_tensor(n)) for n in (0, 6)]
        return g.add('Clip', [y, *limits], name)
    return y


def _emit_activate(g: _Graph, x: str, uncertain: bool) -> None:
    if not uncertain:
        g.add('Relu', [x], OUTPUT)
        return
    sizes = g.constant('predict/sizes', torch.tensor([1, 1]))
    parts = ['predict/depth', 'predict/log_scale']
    g.nodes.append(helper.make_node('Split', [x, sizes], parts, 'predict/split', axis=1))
    limit = g.constant('predict/limit', torch.tensor(LOG_SCALE_LIMIT))
    depth = g.add('Relu', parts[:1], 'predict/metres')
    y = g.add('Div', [parts[1], limit], 'predict/ratio')
    y = g.add('Mul', [g.add('Tanh', [y], 'predict/tanh'), limit], 'predict/bounded')
    g.add('Concat', [depth, y], OUTPUT, axis=1)

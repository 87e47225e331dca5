"""The ONNX file: it computes the network in another runtime, and says what it is."""

import functools
import itertools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from conftest import MEAN, STD

from fcrn_ros.engine.check import TOLERANCE, difference, example, plain_output
from fcrn_ros.model.encoder import ENCODERS
from fcrn_ros.model.fcrn import RELEASED, Architecture
from fcrn_ros.model.fused import FLOAT32_BLOCKS
from fcrn_ros.model.upsample import ALIGNMENTS, BLOCKS, UnpoolConv
from fcrn_ros.model.weights import ModelError, ModelSpec, load_model

onnx = pytest.importorskip('onnx', reason='needs onnx')
onnxruntime = pytest.importorskip('onnxruntime', reason='needs onnxruntime')
onnx_export = pytest.importorskip('fcrn_ros.engine.onnx_export')
FORMS, METADATA, network_to_onnx = (
    onnx_export.FORMS,
    onnx_export.METADATA,
    onnx_export.network_to_onnx,
)

pytestmark = pytest.mark.usefixtures('one_thread')
CLOSE = 1e-4  # of depth relatively, of log(b) absolutely

# a block without unpooled convolutions has no alignments
DECODERS = [
    (block, alignment, form)
    for block, alignment, form in itertools.product(BLOCKS, ALIGNMENTS, FORMS[1:])
    if not (block.startswith('deconv') and alignment != ALIGNMENTS[0])
]
# every decoder on the smallest encoder, and every encoder below every block
CASES = [('mobilenet_v2', *decoder) for decoder in DECODERS] + [
    (encoder, block, ALIGNMENTS[(i + j) % 2], FORMS[1 + j % 2])
    for (i, encoder), (j, block) in itertools.product(
        enumerate(e for e in ENCODERS if e != 'mobilenet_v2'), enumerate(BLOCKS)
    )
]


@pytest.fixture(scope='module')
def network_of(random_network):
    """Return a function from an architecture to a random network and its spec."""

    @functools.lru_cache(2)
    def build(architecture):
        spec = ModelSpec(
            name='random',
            architecture=asdict(architecture),
            input_size=(64, 96),
            mean=MEAN,
            std=STD,
            camera={'fx': 80.0, 'fy': 75.0, 'cx': 46.0, 'cy': 33.0},
            depth_range=(0.5, 10.0),
        )
        return random_network(architecture), spec

    return build


@pytest.fixture(scope='module')
def tiny(tiny_model):
    """Return the plain tiny network and its spec."""
    return load_model(str(tiny_model))


def _session(proto):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, ['CPUExecutionProvider']
    )


def _run(proto, batch):
    return _session(proto).run(['depth'], {'image': batch})[0]


def _require_close(found, expected):
    """Check both channels of every pixel."""
    assert found.shape == expected.shape and found.dtype == np.float32
    assert expected[:, 0].std() > 0.1  # the network sees
    scale = np.maximum(np.abs(expected), 1)
    assert (np.abs(found - expected) / scale).max() < CLOSE


def _metadata(proto):
    return {entry.key: entry.value for entry in proto.metadata_props}


def _types(proto):
    """Return constant -> its type's name."""
    return {c.name: onnx.TensorProto.DataType.Name(c.data_type) for c in proto.graph.initializer}


# It is the network


@pytest.mark.parametrize('case', CASES, ids='-'.join)
def test_file_is_the_network(network_of, pictures, case):
    """In any batch, the graph being the same; settled weights have one bias for four phases."""
    encoder, block, alignment, form = case
    network, spec = network_of(Architecture(encoder, block, alignment, 16, True))
    proto = network_to_onnx(network, spec, 'fp32', form)
    onnx.checker.check_model(proto, full_check=True)
    batch = pictures[5:].numpy()
    expected = plain_output(network, spec, batch)
    session = _session(proto)
    _require_close(session.run(None, {'image': batch})[0], expected)
    _require_close(session.run(None, {'image': batch[2:]})[0], expected[2:])


@pytest.mark.parametrize('form', FORMS[1:])
@pytest.mark.parametrize('block', ['deconv2', 'deconv3'])
def test_openvino_computes_the_transposed_convolutions(network_of, pictures, block, form):
    openvino = pytest.importorskip('openvino', reason='needs openvino')
    network, spec = network_of(Architecture('mobilenet_v2', block, 'top_left', 16, True))
    core, batch = openvino.Core(), pictures[:2].numpy()
    model = core.read_model(network_to_onnx(network, spec, 'fp32', form).SerializeToString())
    options = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    found = core.compile_model(model, 'CPU', options)(batch)[0]
    _require_close(found, plain_output(network, spec, batch))


@pytest.mark.parametrize(('block', 'size'), [('deconv2', 1), ('deconv3', 3)])
def test_shuffled_transposed_convolution_is_an_ordinary_one(network_of, block, size):
    """16 channels become 4 * 8, before the pixels are shuffled."""
    network, spec = network_of(Architecture('mobilenet_v2', block, 'top_left', 16, True))
    graph = network_to_onnx(network, spec, 'fp32', 'shuffled').graph
    assert [n.op_type for n in graph.node].count('DepthToSpace') == 4
    assert 'ConvTranspose' not in {n.op_type for n in graph.node}
    (kernel,) = [c for c in graph.initializer if c.name == 'block0/phases/weight']
    assert list(kernel.dims) == [32, 16, size, size]


@pytest.mark.parametrize('size', [(57, 75), (58, 76), (60, 77)], ids=str)
@pytest.mark.parametrize('encoder', ['resnet18', 'resnet50_v1', 'mobilenet_v2'])
def test_input_of_any_size_is_held(network_of, encoder, size):
    """
    Halves of 29 x 38, 29 x 38 and 30 x 39: odd and even below the first pooling.

    TensorFlow's SAME pads those differently.
    """
    network, spec = network_of(Architecture(encoder, 'upconv', 'top_left', 16, True))
    spec = replace(spec, input_size=size)
    proto = network_to_onnx(network, spec)
    onnx.checker.check_model(proto, full_check=True)
    picture = example(spec)
    found, expected = _run(proto, picture), plain_output(network, spec, picture)
    assert found.shape == (1, 2, *spec.output_size) == (1, 2, 32, 48)
    _require_close(found, expected)


@pytest.mark.parametrize(
    ('size', 'pads'),
    [
        ((64, 96), [0, 0, 1, 1]),
        ((60, 77), [0, 1, 1, 1]),
        ((58, 76), [1, 0, 1, 1]),
        ((57, 77), [1, 1, 1, 1]),
    ],
)
def test_pooling_is_padded_as_tensorflow_does(network_of, size, pads):
    """
    Top, left, bottom, right, by hand: the first convolution halves, rounding up.

    64 x 96: 32 x 48; 60 x 77: 30 x 39; 58 x 76: 29 x 38; 57 x 77: 29 x 39. Odd ones have one more.
    """
    network, spec = network_of(Architecture('resnet50_v1', 'upconv', 'top_left', 16, True))
    graph = network_to_onnx(network, replace(spec, input_size=size)).graph
    (pool,) = [n for n in graph.node if n.op_type == 'MaxPool']
    assert {a.name: list(a.ints) for a in pool.attribute}['pads'] == pads


def test_network_without_uncertainty_has_one_channel(network_of, pictures):
    network, spec = network_of(Architecture('mobilenet_v2', 'upproj', 'bottom_right', 16))
    proto = network_to_onnx(network, spec)
    onnx.checker.check_model(proto, full_check=True)
    batch = pictures[:2].numpy()
    found = _run(proto, batch)
    assert found.shape == (2, 1, 32, 48)
    _require_close(found, plain_output(network, spec, batch))


@pytest.fixture(scope='module')
def released(network_of):
    """Return a network of the authors' architecture, with a bias for each phase."""
    network, spec = network_of(replace(RELEASED, width=16))
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, UnpoolConv):
            for phase in module.phases:
                phase.bias.data = torch.rand(len(phase.bias), generator=generator)
    return network, spec


def test_released_architecture_falls_to_the_form_that_holds_it(released, pictures):
    network, spec = released
    proto = network_to_onnx(network, spec)
    onnx.checker.check_model(proto, full_check=True)
    assert _metadata(proto)[f'{METADATA}form'] == 'shuffled'
    batch = pictures[:1].numpy()
    found, expected = _run(proto, batch), plain_output(network, spec, batch)
    assert np.abs(found - expected).max() < CLOSE * expected.max() and expected.std() > 0.01


def test_form_that_cannot_hold_the_weights_is_refused(released):
    with pytest.raises(ValueError, match='different biases: no transposed form'):
        network_to_onnx(*released, 'fp32', 'transposed')


@pytest.mark.parametrize(
    ('name', 'factor'),
    [
        ('input/factor', 0.8),
        ('encoder0/weight', 1.5),
        ('encoder5/conv1/bias', 1.5),
        ('reduce/weight', 1.2),
        ('block0/up2/weight', 1.5),
        ('block3/conv/bias', 1.5),
        ('predict/bias', 1.05),
    ],
)
def test_comparison_sees_one_wrong_constant(tiny, pictures, name, factor):
    network, spec = tiny
    proto = network_to_onnx(network, spec)
    (constant,) = [c for c in proto.graph.initializer if c.name == name]
    constant.raw_data = (onnx.numpy_helper.to_array(constant) * np.float32(factor)).tobytes()
    batch = pictures[:1].numpy()
    with pytest.raises(AssertionError):
        _require_close(_run(proto, batch), plain_output(network, spec, batch))


# Precisions


@pytest.mark.parametrize('encoder', ['resnet18', 'mobilenet_v2'])
@pytest.mark.parametrize('form', FORMS[1:])
def test_fp16_is_within_its_tolerance(network_of, pictures, encoder, form):
    network, spec = network_of(Architecture(encoder, 'upproj', 'bottom_right', 16, True))
    proto = network_to_onnx(network, spec, 'fp16', form)
    onnx.checker.check_model(proto, full_check=True)
    batch = pictures[:2].numpy()
    found, expected = _run(proto, batch), plain_output(network, spec, batch)
    assert found.dtype == np.float32
    assert 1e-5 < difference(found, expected) < TOLERANCE['fp16']
    assert np.abs(found - expected).max() < 0.05


def test_bf16_is_within_its_tolerance(tiny, pictures):
    """In OpenVINO; ONNX Runtime has no bfloat16 convolution on a processor."""
    openvino = pytest.importorskip('openvino', reason='needs openvino')
    network, spec = tiny
    core, batch = openvino.Core(), pictures[:2].numpy()
    model = core.read_model(network_to_onnx(network, spec, 'bf16').SerializeToString())
    options = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    found = core.compile_model(model, 'CPU', options)(batch)[0]
    assert 1e-4 < difference(found, plain_output(network, spec, batch)) < TOLERANCE['bf16']


@pytest.mark.parametrize(
    ('precision', 'kind', 'opset', 'ir'),
    [('fp32', 'FLOAT', 17, 8), ('fp16', 'FLOAT16', 17, 8), ('bf16', 'BFLOAT16', 22, 10)],
)
@pytest.mark.parametrize('encoder', ['resnet18', 'mobilenet_v2'])
def test_graph_states_its_precision(network_of, encoder, precision, kind, opset, ir):
    """Every weight is of the precision, but those of the input, the stem and the prediction."""
    network, spec = network_of(Architecture(encoder, 'upproj', 'bottom_right', 16, True))
    proto = network_to_onnx(network, spec, precision)
    onnx.checker.check_model(proto, full_check=True)
    assert [(o.domain, o.version) for o in proto.opset_import] == [('', opset)]
    assert proto.ir_version == ir
    types = _types(proto)
    exact = {name for name in types if name.startswith(('input/', 'stem', 'predict/'))}
    stem = {name.partition('/')[0] for name in exact} - {'input', 'predict'}
    assert stem == {f'stem{i}' for i in range(FLOAT32_BLOCKS.get(encoder, 0))}
    assert {types.pop(name) for name in exact} == {'FLOAT', 'INT64'}
    assert set(types.values()) == {kind} and len(types) > 50


# What it says of itself


@pytest.mark.parametrize('precision', onnx_export.TYPES)
@pytest.mark.parametrize('form', FORMS)
def test_metadata_says_what_it_is(tiny, precision, form):
    from fcrn_ros import __version__

    network, spec = tiny
    proto = network_to_onnx(network, spec, precision, form)
    metadata = _metadata(proto)
    assert (proto.producer_name, proto.producer_version) == ('fcrn_ros', __version__)
    assert {name.removeprefix(METADATA) for name in metadata} == {
        'version',
        'sidecar',
        'precision',
        'form',
        'float32_until',
    }
    assert metadata[f'{METADATA}sidecar'] == spec.to_json()
    assert json.loads(metadata[f'{METADATA}sidecar'])['sha256'] == spec.sha256
    assert metadata[f'{METADATA}precision'] == precision
    assert metadata[f'{METADATA}form'] == ('transposed' if form == 'auto' else form)


@pytest.mark.parametrize(
    ('encoder', 'last'), [('resnet18', 'input/normalised'), ('mobilenet_v2', 'stem1/conv1/sum')]
)
def test_metadata_names_where_float32_ends(network_of, encoder, last):
    """The tensor goes into the cast, and nowhere else."""
    network, spec = network_of(Architecture(encoder, 'upproj', 'bottom_right', 16, True))
    proto = network_to_onnx(network, spec, 'fp16')
    boundary = _metadata(proto)[f'{METADATA}float32_until']
    assert boundary == last
    (reader,) = [node for node in proto.graph.node if boundary in node.input]
    assert (reader.op_type, reader.name) == ('Cast', 'encoder/input')
    assert boundary in {name for node in proto.graph.node for name in node.output}


def _shape(tensor):
    dims = tensor.type.tensor_type.shape.dim
    return [d.dim_param or d.dim_value for d in dims], tensor.type.tensor_type.elem_type


@pytest.mark.parametrize('precision', onnx_export.TYPES)
@pytest.mark.parametrize('batch', [0, 1, 3])
def test_inputs_and_outputs_are_those_of_every_engine(tiny, precision, batch):
    proto = network_to_onnx(*tiny, precision, 'auto', batch)
    onnx.checker.check_model(proto, full_check=True)
    (image,), (depth,) = proto.graph.input, proto.graph.output
    images = batch or 'batch'
    assert (image.name, depth.name) == ('image', 'depth')
    assert _shape(image) == ([images, 64, 96, 3], onnx.TensorProto.UINT8)
    assert _shape(depth) == ([images, 2, 32, 48], onnx.TensorProto.FLOAT)


def test_node_and_its_output_share_a_name(tiny):
    """So that a layer of another runtime is found again here."""
    graph = network_to_onnx(*tiny).graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names) > 50
    assert all(len(n.output) > 1 or n.output[0] == n.name for n in graph.node)
    assert not {c.name for c in graph.initializer} & set(names)


@pytest.mark.parametrize('batch', [1, 3])
def test_fixed_batch_refuses_another(tiny, pictures, batch):
    network, spec = tiny
    session = _session(network_to_onnx(network, spec, 'fp32', 'auto', batch))
    images = pictures[:batch].numpy()
    _require_close(session.run(None, {'image': images})[0], plain_output(network, spec, images))
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, {'image': pictures[: batch + 1].numpy()})


def test_same_model_is_the_same_file(tiny_model, tiny):
    one = onnx_export.export(str(tiny_model), 'fp16', 'shuffled', 2).SerializeToString()
    assert one == network_to_onnx(*tiny, 'fp16', 'shuffled', 2).SerializeToString()


def test_network_is_left_as_it_was(tiny_model):
    """It may be the one to compare with."""
    network, spec = load_model(str(tiny_model))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network_to_onnx(network, spec, 'fp16')
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name]), name


# Refusals


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('fp8',), "precision 'fp8'; expected one of fp32, fp16, bf16"),
        (('int8',), "precision 'int8'; expected one of fp32, fp16, bf16"),
        (('fp32', 'folded'), "form 'folded'; expected one of auto, transposed, shuffled"),
        (
            ('fp32', 'interleaved'),
            "form 'interleaved'; expected one of auto, transposed, shuffled",
        ),
        (('fp32', 'auto', -1), 'batch is -1; expected a number of images, or 0 for any'),
    ],
)
def test_unknown_choice_is_refused_with_the_known_ones(tiny_model, options, message):
    with pytest.raises(ValueError) as error:
        onnx_export.export(str(tiny_model), *options)
    assert str(error.value) == message


def test_absent_model_is_its_own_error():
    with pytest.raises(ModelError, match="'nothing' was not found"):
        onnx_export.export('nothing')

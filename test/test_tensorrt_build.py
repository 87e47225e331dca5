"""The building of TensorRT plans: for real, by TensorRT for RTX, which needs no GPU for it."""

import itertools
import logging
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from small_models import network_and_spec, small_onnx

from fcrn_ros.engine import EngineError
from fcrn_ros.engine.int8.quantize import FLOAT_NODES, quantize
from fcrn_ros.engine.tensorrt import build as tensorrt_build
from fcrn_ros.engine.tensorrt.build import build, expected_io, node_types, parse
from fcrn_ros.engine.tensorrt.library import Library, Target, load_library
from fcrn_ros.engine.tensorrt.progress import Phases
from fcrn_ros.model.encoder import ENCODERS
from fcrn_ros.model.upsample import BLOCKS

pytest.importorskip('onnx', reason='needs onnx, which plans are built from')
pytest.importorskip('tensorrt_rtx', reason='needs tensorrt_rtx, which builds plans without a GPU')
pytestmark = pytest.mark.usefixtures('one_thread')


def _ignore(what, share):
    pass


@pytest.fixture(scope='module')
def library():
    return load_library('tensorrt_rtx')


# Every network is built


@pytest.mark.parametrize(('encoder', 'block'), itertools.product(ENCODERS, BLOCKS))
def test_every_network_is_built_in_every_precision(library, encoder, block):
    """A plan holds the weights: in float32 about twice the bytes that it has in sixteen bits."""
    network, spec = network_and_spec(encoder, block)
    sizes = {}
    for precision in ('fp32', 'fp16', 'bf16'):
        model = small_onnx(network, spec, precision)
        sizes[precision] = len(build(library, model, spec, precision, Target(), _ignore))
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert 4 * weights < sizes['fp32'] < 4.8 * weights
    for precision in sizes.keys() - {'fp32'}:
        assert 2 * weights < sizes[precision] < 2.7 * weights


@pytest.mark.parametrize(('alignment', 'uncertainty'), [('top_left', False), ('top_left', True)])
def test_released_alignment_is_built(library, alignment, uncertainty):
    network, spec = network_and_spec(alignment=alignment, uncertainty=uncertainty)
    plan = build(library, small_onnx(network, spec, 'fp16'), spec, 'fp16', Target(), _ignore)
    assert len(plan) > 1e6


def test_odd_input_size_is_built(library):
    """ceil(97 / 32) = 4 and ceil(130 / 32) = 5; the output has 16 times that: 64 x 80."""
    network, spec = network_and_spec()
    spec = replace(spec, input_size=(97, 130))
    assert expected_io(spec)['depth'] == ('OUTPUT', 'FLOAT', (1, 2, 64, 80))
    build(library, small_onnx(network, spec, 'fp32'), spec, 'fp32', Target(), _ignore)


def test_onnx_for_any_number_of_pictures_is_built_for_one(library):
    network, spec = network_and_spec()
    plans = [
        build(library, small_onnx(network, spec, 'fp16', batch), spec, 'fp16', Target(), _ignore)
        for batch in (0, 1)
    ]
    assert len(plans[0]) == pytest.approx(len(plans[1]), rel=1e-3)


def test_types_that_8_6_is_told_are_those_that_later_ones_find(library):
    """A layer is called what its node is; the stem and the last convolution are in float32."""
    network, spec = network_and_spec()
    model = small_onnx(network, spec, 'fp16')
    types = node_types(model)
    parsed = parse(library, library.api.Builder(library.logger), model)
    layers = [parsed.get_layer(i) for i in range(parsed.num_layers)]
    found = {x.name: x.get_output(0).dtype.name for x in layers if x.name in types}
    assert found == {name: types[name] for name in found} and len(found) > 100
    assert types['stem0/sum'] == types['predict/sum'] == found['stem0/sum'] == 'FLOAT'
    assert types['reduce/sum'] == found['reduce/sum'] == 'HALF'
    assert {x.name for x in layers if x.type.name == 'CONVOLUTION'} <= found.keys()


@pytest.mark.skipif(not find_spec('nncf'), reason='needs nncf')
def test_int8_is_built(library):
    """Weights of a byte each where the network is in int8; the stem and the last layer are not."""
    network, spec = network_and_spec('resnet18')
    pictures = np.random.default_rng(3).integers(0, 255, (2, 64, 96, 3)).astype(np.uint8)
    options = {'float_nodes': FLOAT_NODES, 'signed': True}
    model = quantize(small_onnx(network, spec, 'fp32', 0), pictures, options, _ignore)
    plan = build(library, model, spec, 'int8', Target(), _ignore)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert weights < len(plan) < 1.5 * weights


# What is refused


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.999])
def test_truncated_onnx_is_refused_with_the_parser_s_reason(library, share):
    network, spec = network_and_spec()
    model = small_onnx(network, spec, 'fp16')
    model = model[: int(share * len(model))]
    with pytest.raises(EngineError, match='does not read the ONNX: .*[Ff]ailed to parse') as error:
        build(library, model, spec, 'fp16', Target(), _ignore)
    assert '\n' not in str(error.value) and len(str(error.value)) < 500


def test_unknown_operator_is_refused_by_its_name(library):
    network, spec = network_and_spec()
    model = small_onnx(network, spec, 'fp16').replace(b'DepthToSpace', b'DepthToSpice')
    with pytest.raises(EngineError, match=r'does not read the ONNX: .*Plugin not found.*block0'):
        build(library, model, spec, 'fp16', Target(), _ignore)


@pytest.mark.parametrize(
    ('model', 'match'),
    [
        (b'', 'small has no inputs and outputs; expected input image'),
        (b'no model' * 99, 'does not read the ONNX: .*[Ff]ailed to parse'),
    ],
    ids=['empty', 'text'],
)
def test_what_is_no_onnx_is_refused(library, model, match):
    _, spec = network_and_spec()
    with pytest.raises(EngineError, match=match):
        build(library, model, spec, 'fp16', Target(), _ignore)


@pytest.mark.parametrize(
    ('changes', 'found'),
    [
        ({'input_size': (96, 64)}, r'image UINT8 \(1, 96, 64, 3\)'),
        ({'architecture': {'uncertainty': False}}, r'depth FLOAT \(1, 1, 32, 48\)'),
    ],
    ids=['size', 'channels'],
)
def test_onnx_of_another_sidecar_is_refused(library, changes, found):
    _, expected = network_and_spec()
    architecture = expected.architecture | changes.get('architecture', {})
    network, spec = network_and_spec(uncertainty=architecture['uncertainty'])
    spec = replace(spec, **(changes | {'architecture': architecture}))
    with pytest.raises(
        EngineError, match=rf'the ONNX of small has .*{found}.*expected input image UINT8 \(1, 64'
    ):
        build(library, small_onnx(network, spec, 'fp16'), expected, 'fp16', Target(), _ignore)


# Progress


def test_nested_phases_make_one_share():
    """
    Two of four steps, then a phase of five steps within the third one, two of them done.

    2/4 = 0.5; (2 + 2/5) / 4 = 0.6. A phase that begins again does not turn the share back.
    """
    said = []
    phases = Phases(lambda what, share: said.append((what.partition(': ')[2], round(share, 3))))
    phases.start('all', None, 4)
    assert phases.step('all', 0) and phases.step('all', 1)
    phases.start('inner', 'all', 5)
    assert phases.step('inner', 0) and phases.step('inner', 1)
    phases.finish('inner')
    phases.start('inner', 'all', 5)
    assert said == [
        ('all', 0.0),
        ('all', 0.25),
        ('all', 0.5),
        ('inner', 0.5),
        ('inner', 0.55),
        ('inner', 0.6),
        ('inner', 0.6),
    ]


def test_phases_bear_what_makes_no_sense():
    shares = []
    phases = Phases(lambda what, share: shares.append(share))
    assert phases.step('never began', 3)
    phases.finish('never began')
    phases.start('own parent', 'own parent', 0)
    assert phases.step('own parent', 7)
    assert shares == [0.0, 1.0]


def test_progress_that_raises_is_kept_and_asks_to_stop():
    """Nothing may be raised into TensorRT, not even what is no Exception."""
    calls = []

    def cancel(what, share):
        calls.append(share)
        raise KeyboardInterrupt

    phases = Phases(cancel)
    phases.start('all', None, 2)
    assert isinstance(phases.error, KeyboardInterrupt)
    assert not phases.step('all', 0) and not phases.step('another', 0)
    assert calls == [0.0]


def test_build_says_how_far_it_is(library):
    network, spec = network_and_spec()
    said = []
    model = small_onnx(network, spec, 'fp16')
    build(library, model, spec, 'fp16', Target(), lambda *report: said.append(report))
    shares = [share for _, share in said]
    assert said[0] == ('building TensorRT plan', 0.0) and said[-1][1] == 1.0
    assert shares == sorted(shares) and len(set(shares)) > 20
    assert any('Optimizing graph' in what for what, _ in said)


# What says what


def test_build_says_for_what_it_is(library, caplog):
    network, spec = network_and_spec()
    with caplog.at_level(logging.INFO, tensorrt_build.__name__):
        build(library, small_onnx(network, spec, 'fp16'), spec, 'fp16', Target(), _ignore)
    assert caplog.messages == [f'building small in fp16 with {library} for any GPU']
    assert isinstance(library, Library) and str(library).startswith('tensorrt_rtx 1.')

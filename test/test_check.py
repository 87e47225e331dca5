"""The check of an engine: its picture, the depth it expects, and which engine is taken."""

import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcrn_ros.engine import EngineError, check
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import (
    TOLERANCE,
    difference,
    example,
    first_faithful,
    network_key,
    plain_output,
    reference,
    require_batch,
)
from fcrn_ros.model.weights import ModelError, load_model, load_spec

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def spec(tiny_model):
    return load_spec(str(tiny_model))


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / 'fcrn_ros')


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch):
    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)


# The picture


def test_example_is_always_the_same_picture(spec):
    """
    By hand, at v = 0, u = 0: waves sin 0 = 0, cos 0 = 1, sin 0 = 0; checks 0, so -0.5 * 50.

    127 + 70 * (0, 1, 0) - 25 = (102, 172, 102). At v = 32, u = 0 the check is 1:
    127 + 70 * (0, cos(32 / 23) = 0.17852, sin(32 / 31) = 0.85868) + 25 = (152, 164.5, 212.1).
    """
    picture = example(spec)
    assert picture.shape == (1, 64, 96, 3) and picture.dtype == np.uint8
    assert picture[0, 0, 0].tolist() == [102, 172, 102]
    assert picture[0, 32, 0].tolist() == [152, 164, 212]
    assert np.array_equal(picture, example(spec))


@pytest.mark.parametrize('size', [(64, 96), (57, 75), (228, 304), (96, 96)])
def test_example_shows_every_swap(spec, size):
    """No flip, turn, change of channels or of one picture by the next leaves it as it is."""
    picture = example(replace(spec, input_size=size))[0]
    assert picture.shape == (*size, 3)
    others = [picture[::-1], picture[:, ::-1], picture[::-1, ::-1], picture[..., ::-1]]
    others += [np.roll(picture, 1, axis) for axis in (0, 1, 2)]
    if size[0] == size[1]:
        others.append(picture.transpose(1, 0, 2))
    for other in others:
        assert np.abs(other.astype(int) - picture).mean() > 2


# The depth that is expected


@pytest.mark.parametrize('count', [1, 3])
def test_plain_output_is_the_networks(tiny_model, spec, pictures, count):
    import torch

    network, _ = load_model(str(tiny_model))
    batch = pictures[:count].numpy()
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (spec.mean, spec.std))
    with torch.inference_mode():
        expected = network((pictures[:count].permute(0, 3, 1, 2) - mean) / std).numpy()
    found = plain_output(network, spec, batch)
    assert found.shape == (count, 2, 32, 48) and found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5) and expected[:, 0].std() > 0.1


def test_reference_is_the_plain_network_on_the_example(tiny_model, spec, cache):
    network, _ = load_model(str(tiny_model))
    expected = plain_output(network, spec, example(spec))
    for _ in range(2):
        found = reference(str(tiny_model), spec, cache)
        assert found.dtype == np.float32 and np.array_equal(found, expected)
        found[:] = 0  # it is the caller's own


REFERENCE = """
import sys
from pathlib import Path

for name in ('torch', 'safetensors.torch'):
    sys.modules[name] = None

from fcrn_ros.engine import EngineError
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import reference
from fcrn_ros.model.weights import load_spec

try:
    print(reference(sys.argv[1], load_spec(sys.argv[1]), Cache(Path(sys.argv[2]))).sum())
except EngineError as err:
    print(err)
"""


def _reference_without_torch(model, folder):
    command = [sys.executable, '-c', REFERENCE, str(model), str(folder)]
    folder = Path(check.__file__).parents[2]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_reference_in_the_cache_needs_no_pytorch(tiny_model, spec, cache):
    said = _reference_without_torch(tiny_model, cache.folder)
    assert said.startswith('the depth to compare an engine with is not in the cache, and')
    assert 'needs PyTorch: ' in said and 'pip install torch, or run fcrn build' in said
    expected = reference(str(tiny_model), spec, cache)
    assert float(_reference_without_torch(tiny_model, cache.folder)) == pytest.approx(
        expected.sum(), rel=1e-6
    )


@pytest.mark.parametrize(
    'change',
    [
        {'sha256': '0' * 64},
        {'input_size': (96, 64)},
        {'mean': (0.0, 0.0, 0.0)},
        {'std': (1.0, 1.0, 1.0)},
        {'architecture': {'encoder': 'resnet18', 'alignment': 'top_left'}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_reference_of_another_network_is_made_anew(tiny_model, spec, cache, change, monkeypatch):
    """A sidecar may change while the weights stay."""
    reference(str(tiny_model), spec, cache)
    calls = []
    monkeypatch.setattr(
        check, 'plain_output', lambda *given: calls.append(1) or np.zeros((1, 2, 3, 4), np.float32)
    )
    other = replace(spec, **change)
    assert network_key(other) != network_key(spec)
    assert reference(str(tiny_model), other, cache).shape == (1, 2, 3, 4)
    assert calls == [1]


def test_what_the_output_does_not_depend_on_is_not_in_the_key(spec):
    other = replace(spec, name='other', metrics={'a': 1}, licence='MIT', depth_range=(1.0, 2.0))
    assert network_key(other) == network_key(spec)


def test_absent_model_has_no_reference(spec, cache):
    with pytest.raises(ModelError, match="'nothing' was not found"):
        reference('nothing', spec, cache)


# One batch


@pytest.mark.parametrize('count', [0, 1, 3])
def test_batch_of_the_models_size_is_taken(spec, count):
    require_batch(np.zeros((count, 64, 96, 3), np.uint8), spec)


@pytest.mark.parametrize(
    ('shape', 'dtype'),
    [
        ((1, 96, 64, 3), 'uint8'),
        ((64, 96, 3), 'uint8'),
        ((1, 3, 64, 96), 'uint8'),
        ((1, 1, 64, 96, 3), 'uint8'),
        ((1, 64, 96, 3), 'int8'),
        ((1, 64, 96, 3), 'float32'),
    ],
)
def test_other_batch_is_refused(spec, shape, dtype):
    with pytest.raises(EngineError) as error:
        require_batch(np.zeros(shape, dtype), spec)
    assert str(error.value) == f'batch is {shape} {dtype}; expected (B, 64, 96, 3) uint8'


# The difference


def test_difference_is_the_median_of_the_relative_ones():
    """
    By hand, three pixels: |2.2 - 2| / 2 = 0.1; |3.9 - 4| / 4 = 0.025; |0.06 - 0.05| / 0.1 = 0.1.

    The last is nearer than 0.1 m and compared as if it were that far. The median of (0.1, 0.025,
    0.1) is 0.1; with the first one exact it is that of (0, 0.025, 0.1), 0.025.
    """
    expected = np.array([[[[2.0, 4.0, 0.05]]]], np.float32)
    found = np.array([[[[2.2, 3.9, 0.06]]]], np.float32)
    assert difference(found, expected) == pytest.approx(0.1, rel=1e-5)
    found[..., 0] = 2.0
    assert difference(found, expected) == pytest.approx(0.025, rel=1e-5)
    assert difference(expected, expected) == 0.0


def test_difference_is_that_of_depth():
    """Channel 1 is log(b)."""
    expected = np.full((1, 2, 2, 3), 2.0, np.float32)
    found = expected.copy()
    found[:, 1] = 9.0
    assert difference(found, expected) == 0.0


def test_depth_of_zero_is_no_division_by_zero():
    expected = np.zeros((1, 1, 2, 3), np.float32)
    assert difference(expected + np.float32(0.05), expected) == pytest.approx(0.5)


@pytest.mark.parametrize('channel', [0, 1])
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_infinitely_wrong(value, channel):
    expected = np.ones((1, 2, 8, 9), np.float32)
    found = expected.copy()
    found[0, channel, 3, 4] = value
    assert difference(found, expected) == float('inf')


@pytest.mark.parametrize('shape', [(1, 1, 4, 6), (2, 2, 4, 6), (1, 2, 6, 4), (1, 2, 1, 1)])
def test_output_of_another_shape_is_an_error(shape):
    """It is not stretched to fit: numpy would compare one pixel with all."""
    expected = np.ones((1, 2, 4, 6), np.float32)
    with pytest.raises(EngineError) as error:
        difference(np.ones(shape, np.float32), expected)
    assert str(error.value) == f'output is {shape}; expected (1, 2, 4, 6)'


# Which engine is taken


@pytest.fixture
def expected(spec):
    return np.full((1, 2, *spec.output_size), 2.0, np.float32)


@pytest.fixture
def opening(spec, expected):
    """Return (opened, open_one): engines whose depth is off by the given shares."""
    opened = []

    def with_errors(**errors):
        def open_one(precision):
            output = expected * np.float32(1 + errors[precision])
            calls = []
            engine = types.SimpleNamespace(
                name='fake', device='cpu', precision=precision, spec=spec, calls=calls
            )
            engine.infer = lambda batch: calls.append(batch) or output
            opened.append(engine)
            return engine

        return open_one

    return opened, with_errors


def test_first_that_computes_the_network_is_taken(opening, expected, caplog):
    opened, with_errors = opening
    engine = first_faithful(('fp16', 'fp32'), with_errors(fp16=0.009, fp32=0.0), expected)
    assert engine.precision == 'fp16' and len(opened) == 1
    assert np.array_equal(engine.calls[0], example(engine.spec)) and caplog.messages == []


@pytest.mark.parametrize('precision', TOLERANCE)
@pytest.mark.parametrize('sign', [-1, 1])
def test_tolerance_is_that_of_the_precision(opening, expected, precision, sign):
    _, with_errors = opening
    for share, passes in ((0.9, True), (1.1, False)):
        open_one = with_errors(**{precision: sign * share * TOLERANCE[precision]})
        if passes:
            assert first_faithful((precision,), open_one, expected).precision == precision
        else:
            with pytest.raises(EngineError, match=f'fake {precision} on cpu differs'):
                first_faithful((precision,), open_one, expected)


def test_one_that_does_not_is_left_with_one_warning(opening, expected, caplog):
    opened, with_errors = opening
    open_one = with_errors(fp16=0.5, bf16=0.0, fp32=0.0)
    assert first_faithful(('fp16', 'bf16', 'fp32'), open_one, expected).precision == 'bf16'
    assert [e.precision for e in opened] == ['fp16', 'bf16']
    assert caplog.messages == [
        'fake fp16 on cpu differs from the plain network by 50.00% (median); '
        'expected at most 1.00%: taking bf16'
    ]


@pytest.mark.parametrize('error', [0.03, float('nan'), float('inf')])
def test_last_that_does_not_is_refused(opening, expected, caplog, error):
    _, with_errors = opening
    with pytest.raises(EngineError) as refused:
        first_faithful(('fp16', 'fp32'), with_errors(fp16=error, fp32=error), expected)
    found = '3.00%' if error == 0.03 else 'inf%'
    assert str(refused.value) == (
        f'fake fp32 on cpu differs from the plain network by {found} (median); '
        'expected at most 0.10%'
    )
    assert len(caplog.messages) == 1 and 'taking fp32' in caplog.text


def test_engine_that_does_not_open_is_an_error(expected):
    def open_one(precision):
        raise EngineError('no such device')

    with pytest.raises(EngineError, match='no such device'):
        first_faithful(('fp16', 'fp32'), open_one, expected)


def test_engine_is_warm_when_it_comes(opening, expected, monkeypatch):
    """It ran on after the check, for as long as warming up takes by its clock."""
    ticks = iter(range(100))
    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 3.5)
    monkeypatch.setattr(check, 'time', types.SimpleNamespace(monotonic=lambda: next(ticks)))
    engine = first_faithful(('fp32',), opening[1](fp32=0.0), expected)
    assert len(engine.calls) == 1 + 3  # the check; at 1, 2 and 3 s

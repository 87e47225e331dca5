"""Engines: which one is opened, that it is the network, and how it refuses."""

import logging
import sys

import numpy as np
import pytest
import torch

from fcrn_ros import engine as engines
from fcrn_ros.engine import (
    BACKENDS,
    PRECISIONS,
    EngineError,
    Request,
    check,
    choice,
    open_engine,
    torch_engine,
)
from fcrn_ros.engine.torch_engine import cpu_has_bf16, find_device, find_precisions, open_torch
from fcrn_ros.model.weights import ModelError, load_model, load_spec

pytestmark = pytest.mark.usefixtures('one_thread')

ROWS, COLUMNS = 64, 96
# largest difference of depth and log(b) from the plain network, absolute; depth is about 2.5 m
CLOSE = {'fp32': 2e-3, 'bf16': 0.1}


@pytest.fixture(autouse=True, scope='module')
def no_warm_up():
    """Warming up is for speed, which is not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, 'WARM_UP_SECONDS', 0.0)
        yield


@pytest.fixture(scope='module')
def engine(tiny_model, no_warm_up):
    """Return the torch engine of the tiny model, in float32 on the CPU."""
    return open_engine(str(tiny_model), 'torch', 'cpu', 'fp32')


@pytest.fixture(scope='module')
def batch(pictures):
    """Return three pictures that are not those of the engine's own check."""
    return pictures[:3].numpy()


@pytest.fixture(scope='module')
def plain(tiny_model, batch):
    """Return the plain network's output for the batch."""
    network, spec = load_model(str(tiny_model))
    mean, std = (np.array(x, np.float32) for x in (spec.mean, spec.std))
    with torch.inference_mode():
        x = torch.from_numpy((batch - mean) / std).permute(0, 3, 1, 2)
        return network(x).numpy()


def _refused(*arguments, match):
    """Check that opening fails with one line."""
    with pytest.raises(EngineError, match=match) as error:
        open_engine(*arguments)
    assert '\n' not in str(error.value)
    return error.value


# What is opened


def test_what_was_asked_for_is_what_runs(engine, tiny_model):
    assert (engine.name, engine.device, engine.precision) == ('torch', 'cpu', 'fp32')
    assert engine.spec == load_spec(str(tiny_model))


@pytest.mark.parametrize('precision', CLOSE)
def test_engine_is_the_network(tiny_model, batch, plain, precision):
    engine = open_engine(str(tiny_model), 'torch', 'cpu', precision)
    assert (engine.name, engine.device, engine.precision) == ('torch', 'cpu', precision)
    found = engine.infer(batch)
    assert found.shape == (3, 2, 32, 48) and found.dtype == np.float32
    assert plain[:, 0].std() > 0.1 and plain[:, 1].std() > 0.1
    assert np.abs(found - plain).max() < CLOSE[precision]


def test_precisions_are_not_the_same_engine(tiny_model, batch, engine):
    """The parity above would be empty if bf16 silently ran in float32."""
    half = open_engine(str(tiny_model), 'torch', 'cpu', 'bf16')
    assert (engine.precision, half.precision) == ('fp32', 'bf16')
    assert np.abs(engine.infer(batch) - half.infer(batch)).max() > 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU')
def test_engine_on_a_gpu_is_the_network(tiny_model, batch, plain):
    """Device and precision auto; more in test_cuda_runner.py."""
    engine = open_engine(str(tiny_model), 'torch')
    assert (engine.name, engine.device, engine.precision) == ('torch', 'cuda:0', 'fp16')
    assert np.abs(engine.infer(batch) - plain).max() < 0.05


def test_batch_gives_what_its_pictures_give_alone(engine, batch):
    together = engine.infer(batch)
    for i in range(len(batch)):
        assert np.allclose(together[i : i + 1], engine.infer(batch[i : i + 1]), atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-2)


def test_auto_says_what_it_took(tiny_model, caplog, monkeypatch):
    monkeypatch.setattr(choice, 'candidates', lambda request: ['torch'])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch_engine, 'cpu_has_bf16', lambda: False)
    with caplog.at_level(logging.INFO, engines.__name__):
        engine = open_engine(str(tiny_model))
    assert (engine.name, engine.device, engine.precision) == ('torch', 'cpu', 'fp32')
    assert 'backend torch (auto), fp32 on cpu' in caplog.messages


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert find_device('auto') == 'cuda:0'
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert find_device('auto') == 'cpu'


@pytest.mark.parametrize(
    ('device', 'has_bf16', 'expected'),
    [
        ('cuda:1', False, ('fp16', 'fp32')),
        ('cpu', True, ('bf16', 'fp32')),
        ('cpu', False, ('fp32',)),
    ],
)
def test_auto_precision_follows_the_hardware(monkeypatch, device, has_bf16, expected):
    monkeypatch.setattr(torch_engine, 'cpu_has_bf16', lambda: has_bf16)
    assert find_precisions('auto', device) == expected
    assert find_precisions('bf16', device) == ('bf16',)


def test_bf16_support_survives_a_torch_that_cannot_tell(monkeypatch):
    assert isinstance(cpu_has_bf16(), bool)
    for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported'):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not cpu_has_bf16()


# What is refused


def test_unknown_backend_is_refused():
    expected = f'expected one of {", ".join(BACKENDS)}'
    _refused('', 'caffe', match=f"backend 'caffe' is not known; {expected}")


def test_unknown_precision_is_refused():
    expected = f'expected one of {", ".join(PRECISIONS)}'
    _refused('', 'auto', 'auto', 'fp8', match=f"precision 'fp8' is not known; {expected}")


@pytest.mark.parametrize('device', ['gpu', 'cuda:x', 'cpu:0:1', '', 'xpu', 'meta'])
def test_unknown_device_is_refused(tiny_model, device):
    error = _refused(
        str(tiny_model), 'auto', device, match='is not known; expected auto, cpu, cuda or cuda:N'
    )
    assert repr(device) in str(error)


@pytest.mark.parametrize('backend', ['auto', 'torch'])
def test_gpu_that_is_not_there_is_refused(tiny_model, backend):
    """A named device never falls back, not even with backend auto."""
    count = torch.cuda.device_count()
    _refused(
        str(tiny_model),
        backend,
        f'cuda:{count}',
        match=f"device 'cuda:{count}' was asked for; found {count} CUDA devices",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without an NVIDIA GPU')
def test_cuda_without_a_gpu_is_refused(tiny_model):
    _refused(str(tiny_model), 'torch', 'cuda', match="'cuda' was asked for; found 0 CUDA devices")


def test_absent_model_is_its_own_error(tmp_path):
    with pytest.raises(ModelError, match='nothing.safetensors.* was not found'):
        open_engine(str(tmp_path / 'nothing.safetensors'))


def test_absent_pytorch_is_an_engine_error(monkeypatch):
    monkeypatch.setitem(sys.modules, 'fcrn_ros.engine.torch_engine', None)
    error = _refused('', 'torch', match='backend torch needs PyTorch: .*pip install torch')
    assert isinstance(error.__cause__, ImportError)


# The check against the plain network


def _spoil(name, change):
    """Return a stand-in for ``fuse`` that spoils one tensor of what it returns."""
    real = torch_engine.fuse

    def spoilt(*arguments):
        module = real(*arguments)
        path, _, buffer = name.rpartition('.')
        tensor = module.get_buffer(name).clone()  # the plain network keeps its own
        setattr(module.get_submodule(path), buffer, change(tensor))
        return module

    return spoilt


def _first(tensor, change):
    """Apply a change to the channel of depth alone."""
    tensor[0] = change(tensor[0])
    return tensor


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('predict.weight', lambda w: _first(w, lambda depth: 1.5 * depth)),
        ('predict.bias', lambda b: _first(b, lambda depth: depth + 0.1)),
        ('predict.bias', lambda b: b.fill_(float('nan'))),
        ('factor', lambda f: f * 0.8),
        ('shift', lambda s: s + 0.3),
    ],
    ids=['weight', 'bias', 'nan', 'deviation', 'mean'],
)
@pytest.mark.parametrize('precision', CLOSE)
def test_engine_that_is_not_the_network_is_refused(
    tiny_model, monkeypatch, precision, name, change
):
    """A bias of 0.1 m on 2.5 m is 4 %, twice what bfloat16 is allowed; NaN is no number at all."""
    monkeypatch.setattr(torch_engine, 'fuse', _spoil(name, change))
    with pytest.raises(EngineError, match='differs from the plain network by .*expected at most'):
        open_torch(Request(str(tiny_model), 'cpu', precision))


def test_auto_falls_back_to_fp32_where_the_network_does_not_bear_bf16(
    tiny_model, monkeypatch, caplog
):
    monkeypatch.setattr(torch_engine, 'cpu_has_bf16', lambda: True)
    monkeypatch.setitem(check.TOLERANCE, 'bf16', 0.0)
    engine = open_torch(Request(str(tiny_model), 'cpu'))
    assert engine.precision == 'fp32'
    assert 'bf16 on cpu differs from the plain network' in caplog.text


def test_network_that_does_not_start_is_an_engine_error(tiny_model, monkeypatch):
    def fail(*_):
        raise RuntimeError('no kernel')

    monkeypatch.setattr(torch_engine, 'fuse', fail)
    with pytest.raises(EngineError, match='did not start on cpu: no kernel') as error:
        open_torch(Request(str(tiny_model), 'cpu', 'fp32'))
    assert isinstance(error.value.__cause__, RuntimeError)


# One call


@pytest.mark.parametrize(
    'shape',
    [(1, 64, 97, 3), (1, 96, 64, 3), (64, 96, 3), (1, 3, 64, 96), (1, 64, 96, 4), (1, 64, 96)],
)
def test_batch_of_another_shape_is_refused(engine, shape):
    with pytest.raises(EngineError, match=r'batch is \(.*uint8; expected \(B, 64, 96, 3\) uint8'):
        engine.infer(np.zeros(shape, np.uint8))


@pytest.mark.parametrize('dtype', [np.float32, np.int8, np.uint16, bool])
def test_batch_of_another_type_is_refused(engine, dtype):
    with pytest.raises(EngineError, match=r'expected \(B, 64, 96, 3\) uint8'):
        engine.infer(np.zeros((1, ROWS, COLUMNS, 3), dtype))


def test_result_belongs_to_the_caller(engine, batch):
    """A second call changes nothing of the first, and writing into a result is no harm."""
    first = engine.infer(batch[:1])
    kept = first.copy()
    second = engine.infer(batch[1:2])
    assert np.array_equal(first, kept)
    assert not np.array_equal(second, kept)
    first[:] = -1
    assert np.allclose(engine.infer(batch[:1]), kept, atol=1e-5)


def test_batch_is_left_alone(engine, batch):
    kept = batch.copy()
    engine.infer(batch)
    assert np.array_equal(batch, kept)


@pytest.mark.parametrize(
    'view',
    [lambda b: b[..., ::-1], lambda b: b[:, ::-1], lambda b: b[::2], lambda b: b.copy('F')],
)
def test_any_memory_layout_is_read(engine, batch, view):
    """A camera's BGR turned to RGB is a view with a negative stride."""
    strided = view(batch)
    assert not strided.flags.c_contiguous
    assert np.allclose(engine.infer(strided), engine.infer(strided.copy('C')), atol=1e-5)


def test_read_only_batch_is_read_without_a_warning(engine, batch, recwarn):
    frozen = batch.copy()
    frozen.flags.writeable = False
    assert np.allclose(engine.infer(frozen), engine.infer(batch), atol=1e-5)
    assert not recwarn.list


def test_failure_of_the_network_is_an_engine_error(engine, batch, monkeypatch):
    def fail(_):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(engine, '_network', fail)
    with pytest.raises(EngineError, match='inference failed on cpu: out of memory') as error:
        engine.infer(batch)
    assert isinstance(error.value.__cause__, RuntimeError)

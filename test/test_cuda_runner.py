"""
The runner of a CUDA device, and what PyTorch's engine does with it.

Buffers, batch sizes, ownership and threads are the same on the CPU, where nothing is captured;
graphs, streams and page-locked memory are tested where there is a GPU.
"""

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fcrn_ros.engine import EngineError, Request, check, torch_engine
from fcrn_ros.engine.cuda_runner import BATCH_SIZES, WARM_UPS, CudaRunner, exact_and_fastest
from fcrn_ros.engine.torch_engine import DTYPES, TorchEngine, open_torch
from fcrn_ros.model import fused_conv
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.fused import fuse
from fcrn_ros.model.unpool_forms import FORMS
from fcrn_ros.model.weights import load_model

pytestmark = pytest.mark.usefixtures('one_thread')
ROOT = Path(__file__).resolve().parent.parent
ON_GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU'),
)
# largest difference of depth and log(b) from the plain network, absolute; depth is about 2.5 m
CLOSE = {'fp32': 2e-3, 'fp16': 0.05, 'bf16': 0.15}
DEVICES = ['cpu', pytest.param('cuda:0', marks=ON_GPU)]


def on_gpu(test):
    """Mark a test that needs an NVIDIA GPU."""
    for mark in ON_GPU:
        test = mark(test)
    return test


@pytest.fixture(autouse=True, scope='module')
def no_warm_up():
    """Warming up is for speed, which is not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, 'WARM_UP_SECONDS', 0.0)
        yield


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def _darkened(batch):
    """Stand in for a network: half of each colour, in another type and memory order."""
    return (batch.permute(0, 3, 1, 2) / 2).half()


def _picture(batch, seed=0):
    """Return (B, 4, 6, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (batch, 4, 6, 3), np.uint8)


def _expected(batch):
    """Half of each colour: 0..127.5 in steps of 0.5 are exact in float16."""
    return batch.transpose(0, 3, 1, 2).astype(np.float32) / 2


# Buffers


def test_runner_gives_what_the_network_says(device):
    found = CudaRunner(_darkened, device)(_picture(2))
    assert found.shape == (2, 3, 4, 6) and found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, _expected(_picture(2)))


def test_result_belongs_to_the_caller(device):
    runner = CudaRunner(_darkened, device)
    first = runner(_picture(1, 0))
    kept = first.copy()
    second = runner(_picture(1, 1))
    assert first.flags.owndata and first.flags.writeable
    assert np.array_equal(first, kept) and not np.array_equal(second, kept)
    first[:] = -1
    assert np.array_equal(runner(_picture(1, 0)), kept)


@pytest.mark.parametrize(
    'view',
    [lambda b: b[..., ::-1], lambda b: b[:, ::-1], lambda b: b[::2], lambda b: b.copy('F')],
)
def test_any_memory_layout_is_read(device, view):
    strided = view(_picture(3))
    assert not strided.flags.c_contiguous
    assert np.array_equal(CudaRunner(_darkened, device)(strided), _expected(strided))


def test_read_only_batch_is_read_and_left_alone(device, recwarn):
    batch = _picture(1)
    batch.flags.writeable = False
    assert np.array_equal(CudaRunner(_darkened, device)(batch), _expected(_picture(1)))
    assert not recwarn.list


def test_batch_sizes_do_not_disturb_each_other(device):
    runner = CudaRunner(_darkened, device)
    for size in (1, 3, 16, 1, 3, 2, 16, 1):
        assert np.array_equal(runner(_picture(size, size)), _expected(_picture(size, size)))


def test_size_unused_for_the_longest_is_made_ready_again():
    """
    Four sizes are kept; 5 drops 2, since 1 was used again.

    A size's first call warms up and computes, later ones compute: 1 more than WARM_UPS, then 1.
    """
    calls = []

    def network(batch):
        calls.append(len(batch))
        return _darkened(batch)

    assert BATCH_SIZES == 4
    runner = CudaRunner(network, 'cpu')
    first = WARM_UPS + 1
    sizes = (1, 2, 3, 4, 1, 5, 1, 2)
    for size, expected in zip(sizes, (first,) * 4 + (1, first, 1, first), strict=True):
        calls.clear()
        runner(_picture(size))
        assert calls == [size] * expected, size


def test_size_that_fails_leaves_the_others_ready_and_is_tried_again():
    limit = 2

    def network(batch):
        if len(batch) > limit:
            raise RuntimeError('out of memory')
        return _darkened(batch)

    runner = CudaRunner(network, 'cpu')
    runner(_picture(1))
    with pytest.raises(RuntimeError, match='out of memory'):
        runner(_picture(3))
    assert np.array_equal(runner(_picture(1, 5)), _expected(_picture(1, 5)))
    limit = 3
    assert np.array_equal(runner(_picture(3)), _expected(_picture(3)))


def test_threads_get_their_own_pictures(device):
    """Both share one buffer; without the lock, a network that takes its time mixes them up."""

    def slow(batch):
        if not (batch.is_cuda and torch.cuda.is_current_stream_capturing()):
            time.sleep(1e-3)
        return _darkened(batch)

    runner, wrong = CudaRunner(slow, device), []

    def work(seed):
        for _ in range(20):
            if not np.array_equal(runner(_picture(1, seed)), _expected(_picture(1, seed))):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# A GPU that does not run the network


class NoGpu(TorchEngine):
    """An engine that fails on every GPU, as one does whose GPU has no memory left."""

    def __init__(self, network, spec, device, *arguments):
        if device != 'cpu':
            raise EngineError(f'the network did not start on {device}: CUDA out of memory')
        super().__init__(network, spec, device, *arguments)


@pytest.fixture
def broken_gpu(monkeypatch):
    monkeypatch.setattr(torch_engine, 'TorchEngine', NoGpu)
    monkeypatch.setattr(torch_engine, 'cpu_has_bf16', lambda: False)
    monkeypatch.setattr(
        torch_engine, 'find_device', lambda device: 'cuda:0' if device == 'auto' else device
    )


def test_auto_takes_the_cpu_where_the_gpu_fails(broken_gpu, tiny_model, caplog):
    with caplog.at_level(logging.WARNING):
        engine = open_torch(Request(str(tiny_model)))
    assert (engine.device, engine.precision) == ('cpu', 'fp32')
    expected = 'taking the CPU: the network did not start on cuda:0: CUDA out of memory'
    assert caplog.messages == [expected]


def test_named_gpu_never_falls_back(broken_gpu, tiny_model):
    with pytest.raises(EngineError, match='did not start on cuda:0: CUDA out of memory'):
        open_torch(Request(str(tiny_model), 'cuda:0'))


def test_failure_on_the_cpu_is_not_tried_twice(tiny_model, monkeypatch, caplog):
    tried = []

    def fail(*_):
        tried.append(1)
        raise RuntimeError('no kernel')

    monkeypatch.setattr(torch_engine, 'find_device', lambda _: 'cpu')
    monkeypatch.setattr(torch_engine, 'fuse', fail)
    with pytest.raises(EngineError, match='did not start on cpu: no kernel'):
        open_torch(Request(str(tiny_model)))
    assert len(tried) == 1 and not caplog.messages


def test_advice_below_an_error_is_left_out(tiny_model, monkeypatch):
    """CUDA's errors go on for lines about environment variables."""

    def fail(*_):
        raise RuntimeError('CUDA error: invalid\nFor debugging consider\n')

    monkeypatch.setattr(torch_engine, 'fuse', fail)
    with pytest.raises(EngineError) as error:
        open_torch(Request(str(tiny_model), 'cpu'))
    assert str(error.value) == 'the network did not start on cpu: CUDA error: invalid'


# Memory order


class Orders(TorchDispatchMode):
    """Notes what convolves, pools or pads, and whether channels come last in what it gives."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if any(kind in str(function) for kind in ('conv', 'pool', 'pad')):
            last = result.is_contiguous(memory_format=torch.channels_last)
            self.seen.append((str(function), last))
        return result


@pytest.mark.parametrize(
    ('encoder', 'form'), zip(('mobilenet_v2', 'resnet50_v1', 'resnet18'), FORMS, strict=True)
)
def test_channels_stay_last_from_the_bytes_to_the_depth(encoder, form, monkeypatch):
    """On the road that every device but the CPU takes; a change of order is a copy each time."""
    monkeypatch.setattr(fused_conv, 'onednn_available', lambda: False)
    network = Fcrn(Architecture(encoder, width=32, uncertainty=True))
    module = fuse(network, (0.0,) * 3, (255.0,) * 3, form=form)
    with torch.inference_mode(), Orders() as orders:
        module(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert len(orders.seen) > 30
    assert [name for name, last in orders.seen if not last] == []


# PyTorch's flags


def _flags():
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def test_flags_are_left_alone_on_the_cpu():
    before = _flags()
    with exact_and_fastest('cpu'):
        assert _flags() == before


@on_gpu
def test_flags_hold_inside_alone():
    before = _flags()
    with exact_and_fastest('cuda:0'):
        assert _flags() == (True, True, False, False)
    assert _flags() == before


# The network on a GPU


@pytest.fixture(scope='module')
def plain(tiny_model):
    """Return the plain network: (B, 64, 96, 3) uint8 -> (B, 2, 32, 48) float32."""
    network, spec = load_model(str(tiny_model))
    return lambda batch: check.plain_output(network, spec, batch)


def _open(tiny_model, precision='fp16'):
    engine = open_torch(Request(str(tiny_model), 'cuda:0', precision))
    assert (engine.name, engine.device, engine.precision) == ('torch', 'cuda:0', precision)
    return engine


@on_gpu
@pytest.mark.parametrize('precision', DTYPES)
@pytest.mark.parametrize('size', [1, 3, 16])
def test_network_on_a_gpu_is_the_plain_one(tiny_model, pictures, plain, precision, size, caplog):
    """And it was captured: a network that runs without a graph says so."""
    batch = np.concatenate([pictures.numpy()] * 2)[:size]
    found = _open(tiny_model, precision).infer(batch)
    assert np.abs(found - plain(batch)).max() < CLOSE[precision]
    assert not caplog.messages


@on_gpu
@pytest.mark.parametrize('precision', DTYPES)
def test_shipped_model_on_a_gpu_sees_what_the_plain_one_sees(data_folder, precision, caplog):
    """Four real frames; median relative difference of depth."""
    import cv2

    network, spec = load_model('')
    files = sorted((data_folder / 'nyu_v2_train' / 'rgb').iterdir())[::40][:4]
    rows, columns = spec.input_size
    frames = [cv2.resize(cv2.imread(str(f))[..., ::-1], (columns, rows)) for f in files]
    batch = np.stack(frames)
    found = open_torch(Request('', 'cuda:0', precision)).infer(batch)
    expected = check.plain_output(network, spec, batch)
    assert len(batch) == 4 and expected[:, 0].std() > 0.1
    assert check.difference(found, expected) < check.TOLERANCE[precision]
    assert not caplog.messages


@on_gpu
def test_float32_is_exact_on_a_gpu(tiny_model, pictures, plain):
    """
    Not in TF32: on a CPU, its rounding of every convolution's operands made 1.2e-4 of 1.1e-7.

    The limit lies between, with room for cuDNN's other orders of summation.
    """
    batch = pictures[:2].numpy()
    difference = check.difference(_open(tiny_model, 'fp32').infer(batch), plain(batch))
    assert difference < 2e-5


@on_gpu
def test_repeated_calls_agree_and_take_no_more_memory(tiny_model, pictures):
    """Some of cuDNN's algorithms add in any order, so that the last bits may differ."""
    engine, batch = _open(tiny_model), pictures[:1].numpy()
    first = engine.infer(batch)
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    for _ in range(200):
        assert np.abs(engine.infer(batch) - first).max() < CLOSE['fp16']
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before


@on_gpu
def test_dropped_sizes_give_their_memory_back(tiny_model, pictures):
    engine, batch = _open(tiny_model), np.concatenate([pictures.numpy()] * 2)

    def round_trip():
        for size in range(1, 2 * BATCH_SIZES + 1):
            engine.infer(batch[:size])
        return torch.cuda.memory_allocated()

    before = round_trip()
    assert [round_trip() for _ in range(3)] == [before] * 3


@on_gpu
def test_engine_opened_here_infers_in_another_thread(tiny_model, pictures, plain):
    """The node's way: opened in the main thread, used in a worker, a new batch size there too."""
    engine, batch, found = _open(tiny_model), pictures[:2].numpy(), []
    thread = threading.Thread(
        target=lambda: found.extend((engine.infer(batch[:1]), engine.infer(batch)))
    )
    thread.start()
    thread.join()
    for output, expected in zip(found, (plain(batch[:1]), plain(batch)), strict=True):
        assert np.abs(output - expected).max() < CLOSE['fp16']


CURIOUS = """
import logging
import numpy as np
from fcrn_ros.engine.cuda_runner import CudaRunner

logging.basicConfig(format='%(levelname)s %(message)s')

def curious(batch):
    return batch.permute(0, 3, 1, 2) / 2 if batch.float().sum().item() >= 0 else batch

runner = CudaRunner(curious, 'cuda:0')
for value in (7, 9):
    batch = np.full((1, 4, 6, 3), value, np.uint8)
    print(runner(batch).tolist() == (batch.transpose(0, 3, 1, 2) / 2).tolist())
"""


@on_gpu
def test_network_that_cannot_be_captured_runs_without():
    """Reading a value back is what a graph cannot do; a process of its own takes the damage."""
    command = [sys.executable, '-c', CURIOUS]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == ['True', 'True']
    warnings = [line for line in process.stderr.splitlines() if line.startswith('WARNING')]
    assert len(warnings) == 1 and 'no CUDA graph for 1 images: ' in warnings[0]


@on_gpu
def test_memory_that_does_not_suffice_is_one_line(tiny_model, pictures):
    """The engine that ran before goes on; where none runs, auto takes the CPU."""
    engine, batch = _open(tiny_model), pictures[:1].numpy()
    before = engine.infer(batch)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(EngineError, match='inference failed on cuda:0: .*memory') as error:
            engine.infer(np.repeat(batch, 64, 0))
        assert '\n' not in str(error.value)
        assert np.abs(engine.infer(batch) - before).max() < CLOSE['fp16']
        assert open_torch(Request(str(tiny_model))).device == 'cpu'
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@on_gpu
def test_every_graph_is_its_networks_own(tiny_model, pictures):
    """Two engines in one process, replayed in turns."""
    batch = pictures[:1].numpy()
    engines = [_open(tiny_model, precision) for precision in ('fp32', 'fp16')]
    alone = [engine.infer(batch) for engine in engines]
    for _ in range(3):
        for engine, expected in zip(engines, alone, strict=True):
            assert np.abs(engine.infer(batch) - expected).max() < CLOSE['fp16']
    assert not np.array_equal(*alone)

"""TensorRT on a GPU: it computes the network, from any thread, and survives what goes wrong."""

import itertools
import threading
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from fcrn_ros.engine import EngineError, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import TOLERANCE, plain_output
from fcrn_ros.engine.tensorrt import engine as tensorrt_engine
from fcrn_ros.engine.tensorrt import plan as tensorrt_plan
from fcrn_ros.engine.tensorrt.cuda_memory import call, find_gpu
from fcrn_ros.engine.tensorrt.engine import TensorRtEngine, UnloadablePlan, open_tensorrt
from fcrn_ros.engine.tensorrt.library import find_target, load_library
from fcrn_ros.engine.tensorrt.plan import load_plan
from fcrn_ros.model.weights import load_model, load_spec
from fcrn_ros.sources import bundled_clip


def _gpus():
    try:
        return call('cudaGetDeviceCount')
    except EngineError:
        return 0


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (find_spec('tensorrt') or find_spec('tensorrt_rtx')),
        reason='needs tensorrt or tensorrt_rtx',
    ),
    pytest.mark.skipif(_gpus() == 0, reason='needs an NVIDIA GPU and cuda-python'),
    pytest.mark.usefixtures('one_thread'),
]
# largest median relative difference from the plain network, of a frame
CLOSE = {precision: TOLERANCE[precision] for precision in ('fp32', 'fp16', 'bf16')}


@pytest.fixture(scope='module', autouse=True)
def no_warm_up():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('fcrn_ros.engine.check.WARM_UP_SECONDS', 0.0)
        yield


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp('plans'))


@pytest.fixture(scope='module')
def frames():
    """Return four frames of the bundled clip at the default model's input size."""
    rows, columns = load_spec().input_size
    clip = itertools.islice(bundled_clip().frames, 0, 40, 10)
    return np.stack([cv2.resize(frame.image, (columns, rows)) for frame in clip])


@pytest.fixture(scope='module')
def plain(frames):
    """Return the plain network's output for the frames."""
    network, spec = load_model()
    return plain_output(network, spec, frames)


@pytest.fixture(scope='module')
def engine(cache):
    return open_tensorrt(Request(precision='fp16'), cache)


@pytest.fixture
def make(cache):
    """Return a function that makes an engine of the default model's fp16 plan."""
    library, gpu, spec = load_library(), find_gpu('auto'), load_spec()
    plan = load_plan(Request(precision='fp16'), 'fp16', library, find_target(library, gpu), cache)

    def engine_of(change=lambda plan: plan, **options):
        return TensorRtEngine(library, change(plan), spec, 'fp16', gpu, **options)

    return engine_of


def _differences(found, expected):
    """Return each frame's median relative difference of depth."""
    error = np.abs(found[:, 0] - expected[:, 0]) / np.maximum(expected[:, 0], 0.1)
    return np.median(error, axis=(1, 2))


@pytest.mark.parametrize('precision', CLOSE)
def test_engine_is_the_network(cache, frames, plain, precision):
    engine = open_tensorrt(Request(precision=precision), cache)
    assert (engine.name, engine.device, engine.precision) == ('tensorrt', 'cuda:0', precision)
    found = engine.infer(frames)
    assert found.shape == plain.shape and found.dtype == np.float32
    assert _differences(found, plain).max() <= CLOSE[precision]
    assert np.abs(found[:, 1] - plain[:, 1]).mean() < 0.05


def test_precisions_are_not_the_same_engine(cache, frames, engine):
    """The parity above would be empty if one of them silently ran in another."""
    others = [open_tensorrt(Request(precision=p), cache) for p in ('fp32', 'bf16')]
    outputs = [e.infer(frames) for e in (engine, *others)]
    for first, second in itertools.combinations(outputs, 2):
        assert not np.array_equal(first, second)


def test_auto_is_fp16(cache):
    assert open_tensorrt(Request(), cache).precision == 'fp16'


def test_batch_gives_what_its_pictures_give_alone(engine, frames):
    together = engine.infer(frames)
    for i in range(len(frames)):
        assert np.array_equal(together[i : i + 1], engine.infer(frames[i : i + 1]))
    assert not np.allclose(together[0], together[-1], atol=1e-2)
    assert engine.infer(frames[:0]).shape == (0, *together.shape[1:])


def test_result_belongs_to_the_caller(engine, frames):
    first = engine.infer(frames[:1])
    kept = first.copy()
    engine.infer(frames[-1:])
    assert np.array_equal(first, kept)
    first[:] = -1
    assert np.array_equal(engine.infer(frames[:1]), kept)


@pytest.mark.parametrize('view', [lambda b: b[..., ::-1], lambda b: b[:, ::-1], lambda b: b[::2]])
def test_any_memory_layout_is_read(engine, frames, view):
    strided = view(frames)
    assert np.array_equal(engine.infer(strided), engine.infer(strided.copy('C')))


@pytest.mark.parametrize('shape', [(1, 192, 257, 3), (192, 256, 3), (1, 3, 192, 256)])
def test_batch_of_another_shape_is_refused(engine, shape):
    with pytest.raises(EngineError, match=r'batch is \(.*expected \(B, 192, 256, 3\) uint8'):
        engine.infer(np.zeros(shape, np.uint8))


def test_engine_of_one_thread_serves_others(engine, frames):
    """The node opens in one thread and infers in another; here four at once."""
    expected = engine.infer(frames)
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(engine.infer(frames[i : i + 1])[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_graph_computes_what_steps_compute(make, frames):
    with_graph, plain = make(), make(graph=False)
    assert with_graph._captures_itself or with_graph._graph is not None
    assert plain._graph is None
    assert np.array_equal(with_graph.infer(frames), plain.infer(frames))


def test_what_cannot_be_captured_is_enqueued(make, frames, monkeypatch, caplog):
    def fail(*_):
        raise EngineError('not in a capture')

    monkeypatch.setattr(tensorrt_engine.Stream, 'capture', fail)
    with caplog.at_level('INFO', tensorrt_engine.__name__):
        engine = make()
    if engine._captures_itself:
        pytest.skip('needs TensorRT: TensorRT for RTX captures graphs by itself')
    assert 'no CUDA graph (not in a capture)' in caplog.text
    assert engine.infer(frames[:1]).std() > 0


def test_cached_plan_is_loaded_and_checked(cache, engine, frames, monkeypatch):
    monkeypatch.setattr(tensorrt_plan, 'build', lambda *_: pytest.fail('built'))
    again = open_tensorrt(Request(precision='fp16', build='never'), cache)
    assert np.allclose(again.infer(frames), engine.infer(frames), atol=1e-3)


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.999])
def test_plan_that_is_no_plan_does_not_load(make, share):
    with pytest.raises(UnloadablePlan, match='does not load the plan of fcrn_mobilenet') as error:
        make(lambda plan: plan[: int(share * len(plan))] or b'no plan')
    assert '\n' not in str(error.value)


def test_plan_that_does_not_load_is_built_again(cache, frames, tmp_path, monkeypatch, caplog):
    """It has the right key and checksum, and is no plan."""
    other, real = Cache(tmp_path), tensorrt_plan.build
    monkeypatch.setattr(tensorrt_plan, 'build', lambda *_: b'no plan')
    with pytest.raises(UnloadablePlan):
        open_tensorrt(Request(precision='fp16'), other)
    monkeypatch.setattr(tensorrt_plan, 'build', real)
    engine = open_tensorrt(Request(precision='fp16'), other)
    assert 'building it again' in caplog.text
    assert engine.infer(frames[:1]).std() > 0


def test_plan_of_another_model_is_refused(make, monkeypatch):
    spec = load_spec()
    monkeypatch.setattr(type(spec), 'has_uncertainty', property(lambda _: False))
    with pytest.raises(EngineError, match=r'has .*depth FLOAT \(1, 2, .*expected .*\(1, 1, '):
        make()


def test_kernels_are_kept_for_the_next_start(cache, engine):
    """TensorRT for RTX compiles for the GPU when it starts; TensorRT has when it built."""
    compiled = list(cache.folder.glob('kernels-*'))
    assert bool(compiled) == hasattr(load_library().api, 'IRuntimeCache')


def test_full_memory_is_one_line(make, frames):
    """All of the GPU's memory but 1 MiB is taken; then it is free again."""
    make()  # what CUDA and TensorRT take once
    taken = []
    try:
        size = 1 << 34
        while size >= 1 << 20:
            try:
                taken.append(call('cudaMalloc', size))
            except EngineError:
                size //= 2
        with pytest.raises(EngineError, match='memory|allocat') as error:
            make()
        assert '\n' not in str(error.value) and not isinstance(error.value, UnloadablePlan)
    finally:
        for pointer in taken:
            call('cudaFree', pointer)
    assert make().infer(frames[:1]).std() > 0


def test_gpu_that_is_not_there_is_refused(cache):
    with pytest.raises(EngineError, match=f"'cuda:{_gpus()}' was asked for; found {_gpus()} CUDA"):
        open_tensorrt(Request(device=f'cuda:{_gpus()}'), cache)

"""The OpenVINO backend: that it is the network, in each precision, and how it refuses."""

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('openvino', reason='needs OpenVINO')
pytest.importorskip('onnx', reason='needs onnx')

from fcrn_ros.engine import (  # noqa: E402
    EngineError,
    NotBuilt,
    Request,
    check,
    onnx_artefact,
    onnx_export,
    open_engine,
    openvino_engine,
)
from fcrn_ros.engine.cache import Cache  # noqa: E402
from fcrn_ros.engine.int8 import quantize  # noqa: E402
from fcrn_ros.engine.openvino_engine import (  # noqa: E402
    OpenVinoEngine,
    find_precisions,
    has_bf16,
    open_openvino,
)
from fcrn_ros.model.weights import load_model, load_spec  # noqa: E402

pytestmark = pytest.mark.usefixtures('one_thread')

ROWS, COLUMNS = 64, 96
# largest difference of depth and log(b) from the plain network, absolute; depth is about 2.5 m
CLOSE = {'fp32': 2e-3, 'bf16': 0.1}
SHIPPED_CLOSE = {'fp32': 1e-4, 'bf16': 0.012}  # median relative difference of depth
NEEDS_BF16 = pytest.mark.skipif(not has_bf16(), reason='needs a processor with bfloat16')
PRECISIONS = ('fp32', pytest.param('bf16', marks=NEEDS_BF16))


@pytest.fixture(autouse=True, scope='module')
def no_warm_up():
    """Warming up is for speed, which is not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, 'WARM_UP_SECONDS', 0.0)
        yield


def _open(model, precision='fp32', **request):
    return open_openvino(Request(str(model), precision=precision, threads=1, **request))


@pytest.fixture(scope='module')
def engine(tiny_model, no_warm_up):
    """Return the engine of the tiny model in float32."""
    return _open(tiny_model)


@pytest.fixture(scope='module')
def batch(pictures):
    """Return three pictures that are not those of the engine's own check."""
    return pictures[:3].numpy()


@pytest.fixture(scope='module')
def plain(tiny_model, batch):
    """Return the plain network's output for the batch."""
    network, spec = load_model(str(tiny_model))
    return check.plain_output(network, spec, batch)


@pytest.fixture(scope='module')
def frames(data_folder):
    """Return eight recorded pictures at the shipped model's input size."""
    paths = sorted((data_folder / 'nyu_v2_train' / 'rgb').glob('*.jpg'))[::100]
    rows, columns = load_spec().input_size
    images = [cv2.imread(str(path))[..., ::-1] for path in paths]
    area = cv2.INTER_AREA
    return np.stack([cv2.resize(i, (columns, rows), interpolation=area) for i in images])


@pytest.fixture(scope='module')
def shipped(frames):
    """Return the shipped model's sidecar, and the plain network's output for the frames."""
    network, spec = load_model()
    return spec, check.plain_output(network, spec, frames)


@pytest.fixture(scope='module')
def shipped_onnx(shipped):
    return onnx_artefact.exported(Request(), shipped[0], Cache())


def _median_error(engine, frames, expected):
    return check.difference(engine.infer(frames), expected)


# That it is the network


@pytest.mark.parametrize('precision', PRECISIONS)
def test_engine_is_the_network(tiny_model, batch, plain, precision):
    engine = open_engine(str(tiny_model), 'openvino', 'cpu', precision, 1)
    assert (engine.name, engine.device, engine.precision) == ('openvino', 'cpu', precision)
    assert engine.spec == load_spec(str(tiny_model))
    found = engine.infer(batch)
    assert found.shape == (3, 2, 32, 48) and found.dtype == np.float32
    assert plain[:, 0].std() > 0.1 and plain[:, 1].std() > 0.1
    assert np.abs(found - plain).max() < CLOSE[precision]


@NEEDS_BF16
def test_precisions_are_not_the_same_engine(tiny_model, batch, engine):
    """The parity above would be empty if bf16 silently ran in float32."""
    half = _open(tiny_model, 'bf16')
    assert (engine.precision, half.precision) == ('fp32', 'bf16')
    assert np.abs(engine.infer(batch) - half.infer(batch)).max() > 1e-3


@pytest.mark.parametrize('precision', PRECISIONS)
def test_shipped_model_on_recorded_pictures_is_the_network(frames, shipped, precision):
    engine = _open('', precision)
    assert (engine.name, engine.precision) == ('openvino', precision)
    assert _median_error(engine, frames, shipped[1]) < SHIPPED_CLOSE[precision]


@NEEDS_BF16
def test_without_the_cut_bf16_is_further_off(frames, shipped, shipped_onnx, monkeypatch):
    """The shipped model's first layers lose by bfloat16: 0.8 % in place of 0.3 %."""
    spec, expected = shipped
    cut = _median_error(OpenVinoEngine(shipped_onnx, spec, 'bf16', 1), frames, expected)
    monkeypatch.setattr(openvino_engine, 'NO_STEM', 'stem')
    whole = _median_error(OpenVinoEngine(shipped_onnx, spec, 'bf16', 1), frames, expected)
    assert 1.5 * cut < whole


@NEEDS_BF16
def test_depth_of_bf16_comes_in_fine_steps(frames, shipped, shipped_onnx, monkeypatch):
    """A bfloat16 has 128 values between 2 m and 4 m, an image 12288 pixels."""
    fine = OpenVinoEngine(shipped_onnx, shipped[0], 'bf16', 1).infer(frames[:1])
    monkeypatch.setattr(openvino_engine, '_keep_the_output', lambda network: None)
    coarse = OpenVinoEngine(shipped_onnx, shipped[0], 'bf16', 1).infer(frames[:1])
    assert len(np.unique(fine[:, 0])) > 10000
    assert len(np.unique(coarse[:, 0])) < 1000


def test_network_without_a_stem_is_not_cut(engine, tiny_model):
    spec = load_spec(str(tiny_model))
    network = openvino_engine.core().read_model(
        onnx_artefact.exported(Request(str(tiny_model)), spec, Cache())
    )
    assert [kind for _, kind in openvino_engine.split(network)] == ['bf16']


# int8


@pytest.fixture(scope='module')
def in_bytes(tiny_model, no_warm_up):
    return _open(tiny_model, 'int8')


def test_int8_is_the_network_closely(in_bytes, engine, batch, plain):
    """It lies within the tolerance, and is no disguised float32."""
    assert (in_bytes.name, in_bytes.precision) == ('openvino', 'int8')
    found = in_bytes.infer(batch)
    assert check.difference(found, plain) < check.TOLERANCE['int8']
    assert np.abs(found - engine.infer(batch)).max() > 1e-2


def test_int8_is_not_made_again(in_bytes, tiny_model, batch, monkeypatch):
    def fail(*_):
        raise AssertionError('it is in the cache')

    monkeypatch.setattr(quantize, 'quantize', fail)
    monkeypatch.setattr(quantize, 'calibration_pictures', fail)
    again = _open(tiny_model, 'int8', build='never')
    assert again.precision == 'int8'
    assert np.array_equal(again.infer(batch), in_bytes.infer(batch))


def test_int8_that_costs_too_much_is_refused(in_bytes, tiny_model, monkeypatch):
    monkeypatch.setattr(quantize, 'LIMIT', 0.0)
    expected = r'int8 changes the depth of tiny by 0\.\d% \(mean.*expected at most 0\.0%'
    with pytest.raises(EngineError, match=expected) as error:
        _open(tiny_model, 'int8')
    assert '\n' not in str(error.value)


def test_int8_that_is_not_built_is_its_own_error(tiny_model, tmp_path):
    request = Request(str(tiny_model), precision='int8', build='never')
    with pytest.raises(NotBuilt, match='tiny in int8 is not built'):
        open_openvino(request, Cache(tmp_path))
    assert not list(tmp_path.iterdir())


# The cache


@pytest.mark.parametrize('precision', ['fp32', 'int8'])
def test_built_engine_needs_no_pytorch(engine, in_bytes, tiny_model, precision):
    code = """
import sys
for name in ('torch', 'torchvision', 'onnx', 'onnxruntime', 'nncf'):
    sys.modules[name] = None
from fcrn_ros.engine import open_engine
from fcrn_ros.engine.check import example
engine = open_engine(sys.argv[1], 'openvino', 'cpu', sys.argv[2], 1, 'never')
print(engine.precision, engine.infer(example(engine.spec)).shape)
"""
    done = subprocess.run(
        [sys.executable, '-c', code, str(tiny_model), precision],
        cwd=Path(openvino_engine.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, f'{precision} (1, 2, 32, 48)\n'), done.stderr


def test_import_brings_no_pytorch():
    code = 'import sys, fcrn_ros.engine.openvino_engine; print({"torch"} & set(sys.modules))'
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=Path(openvino_engine.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, 'set()\n'), done.stderr


@pytest.fixture
def exports(monkeypatch):
    """Return a list that grows with each export."""
    real, calls = onnx_export.export, []

    def export(*arguments):
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(onnx_export, 'export', export)
    return calls


def test_onnx_is_exported_once(tiny_model, tmp_path, exports, plain, batch):
    cache, request = Cache(tmp_path), Request(str(tiny_model), precision='fp32', threads=1)
    for _ in range(2):
        open_openvino(request, cache)
    assert len(exports) == 1


def test_damaged_onnx_is_exported_again(tiny_model, tmp_path, exports, plain, batch):
    cache, request = Cache(tmp_path), Request(str(tiny_model), precision='fp32', threads=1)
    open_openvino(request, cache)
    (path,) = (p for p in tmp_path.glob('onnx-*') if p.suffix != '.lock')
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    engine = open_openvino(request, cache)
    assert len(exports) == 2
    assert np.abs(engine.infer(batch) - plain).max() < CLOSE['fp32']


def test_absent_pytorch_is_said(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'fcrn_ros.engine.onnx_export', None)
    with pytest.raises(EngineError, match='exporting it needs PyTorch and onnx: .*pip install'):
        onnx_artefact.exported(
            Request(str(tiny_model)), load_spec(str(tiny_model)), Cache(tmp_path)
        )


# What is refused


@pytest.mark.parametrize('device', ['cuda', 'cuda:0', 'gpu'])
def test_other_device_is_refused(tiny_model, device):
    expected = f"runs on the processor; device is '{device}', expected auto or cpu"
    with pytest.raises(EngineError, match=expected):
        _open(tiny_model, device=device)


def test_precision_that_the_processor_lacks_is_refused(monkeypatch):
    with pytest.raises(EngineError, match='openvino has no fp16 on this processor; expected one'):
        find_precisions('fp16')
    monkeypatch.setattr(openvino_engine, 'has_bf16', lambda: False)
    with pytest.raises(EngineError, match='no bf16 on this processor; expected one of fp32, int8'):
        find_precisions('bf16')


@pytest.mark.parametrize(('has', 'expected'), [(True, ('bf16', 'fp32')), (False, ('fp32',))])
def test_auto_precision_follows_the_processor(monkeypatch, has, expected):
    monkeypatch.setattr(openvino_engine, 'has_bf16', lambda: has)
    assert find_precisions('auto') == expected
    assert find_precisions('int8') == ('int8',)


@pytest.mark.parametrize('change', [0.5, float('nan')])
def test_engine_that_is_not_the_network_is_refused(tiny_model, monkeypatch, change):
    real = openvino_engine.reference
    monkeypatch.setattr(openvino_engine, 'reference', lambda *a: real(*a) + change)
    with pytest.raises(EngineError, match='openvino fp32 on cpu differs from the plain network'):
        _open(tiny_model)


def test_what_is_no_onnx_is_an_engine_error(tiny_model):
    with pytest.raises(EngineError, match='OpenVINO did not start tiny: ') as error:
        OpenVinoEngine(b'no network', load_spec(str(tiny_model)), 'fp32', 1)
    assert '\n' not in str(error.value)


# One call


@pytest.mark.parametrize('shape', [(1, 64, 97, 3), (64, 96, 3), (1, 3, 64, 96), (1, 64, 96, 4)])
def test_batch_of_another_shape_is_refused(engine, shape):
    with pytest.raises(EngineError, match=r'batch is \(.*uint8; expected \(B, 64, 96, 3\) uint8'):
        engine.infer(np.zeros(shape, np.uint8))


def test_batch_of_another_type_is_refused(engine):
    with pytest.raises(EngineError, match=r'float32; expected \(B, 64, 96, 3\) uint8'):
        engine.infer(np.zeros((1, ROWS, COLUMNS, 3), np.float32))


@pytest.mark.parametrize('number', [0, 1, 2, 3])
def test_batch_gives_what_its_pictures_give_alone(engine, batch, number):
    together = engine.infer(batch[:number])
    assert together.shape == (number, 2, 32, 48)
    for i in range(number):
        assert np.array_equal(together[i : i + 1], engine.infer(batch[i : i + 1]))


def test_result_belongs_to_the_caller(engine, batch):
    """A second call changes nothing of the first, and writing into a result is no harm."""
    first = engine.infer(batch[:1])
    kept = first.copy()
    second = engine.infer(batch[1:2])
    assert np.array_equal(first, kept) and not np.array_equal(second, kept)
    first[:] = -1
    assert np.array_equal(engine.infer(batch[:1]), kept)


def test_batch_is_left_alone(engine, batch):
    kept = batch.copy()
    engine.infer(batch)
    assert np.array_equal(batch, kept)


@pytest.mark.parametrize(
    'view', [lambda b: b[..., ::-1], lambda b: b[:, ::-1], lambda b: b[::2], lambda b: b.copy('F')]
)
def test_any_memory_layout_is_read(engine, batch, view):
    """A camera's BGR turned to RGB is a view with a negative stride."""
    strided = view(batch)
    strided.flags.writeable = False
    assert not strided.flags.c_contiguous
    assert np.array_equal(engine.infer(strided), engine.infer(strided.copy('C')))


def test_threads_do_not_mix_their_pictures(engine, batch):
    expected = [engine.infer(batch[i : i + 1]) for i in range(3)]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(engine.infer(batch[i : i + 1]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_failure_of_the_network_is_an_engine_error(engine, batch, monkeypatch):
    class Failing:
        def infer(self, **_):
            raise RuntimeError('out of memory\nat node 3')

    monkeypatch.setattr(engine, '_steps', [Failing()])
    expected = 'inference failed in OpenVINO: out of memory at node 3'
    with pytest.raises(EngineError, match=expected) as error:
        engine.infer(batch)
    assert isinstance(error.value.__cause__, RuntimeError)


def test_openvino_is_imported_without_its_telemetry():
    """Importing it otherwise sends a report over the network, from a forked process."""
    code = (
        'import sys, fcrn_ros.engine.openvino_engine; '
        'print([m for m in sys.modules if m.startswith("openvino_telemetry.")])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '[]\n'), done.stderr

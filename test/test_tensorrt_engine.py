"""The TensorRT backend as far as it goes without a GPU: what it takes and what it refuses."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_models import SPEC, network_and_spec

from fcrn_ros.engine import (
    EngineError,
    NotBuilt,
    Request,
    open_engine,
)
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.tensorrt import cuda_memory
from fcrn_ros.engine.tensorrt import engine as tensorrt_engine
from fcrn_ros.engine.tensorrt.cuda_memory import CudaError, Gpu, call, find_gpu
from fcrn_ros.engine.tensorrt.engine import MEMORY_IS_FULL, UnloadablePlan, open_tensorrt
from fcrn_ros.engine.tensorrt.library import (
    LONGEST_REASON,
    Library,
    builder_flags,
    find_precisions,
    load_library,
    network_flags,
    states_types,
)
from fcrn_ros.model.weights import save_model

REPOSITORY = str(Path(tensorrt_engine.__file__).parents[3])
ADA = Gpu(0, 'NVIDIA RTX 4090', '8.9')


def _gpus():
    try:
        return call('cudaGetDeviceCount')
    except EngineError:
        return 0


needs_rtx = pytest.mark.skipif(not find_spec('tensorrt_rtx'), reason='needs tensorrt_rtx')
needs_cuda = pytest.mark.skipif(not find_spec('cuda'), reason='needs cuda-python')
without_gpu = pytest.mark.skipif(_gpus() > 0, reason='needs a machine without an NVIDIA GPU')


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """Return a request for a small model on disk, in fp16."""
    network, spec = network_and_spec()
    path = save_model(network, spec, tmp_path_factory.mktemp('small'))
    return Request(str(path), precision='fp16')


# The GPU


@needs_cuda
@without_gpu
@pytest.mark.parametrize('device', ['auto', 'cuda', 'cuda:1'])
def test_no_gpu_is_one_line(device):
    """The driver's own reason is in it."""
    match = r'^backend tensorrt needs an NVIDIA GPU; found none \(cudaGetDeviceCount: .*\)$'
    with pytest.raises(EngineError, match=match) as error:
        find_gpu(device)
    assert isinstance(error.value.__cause__, CudaError)


@pytest.mark.parametrize(
    ('device', 'match'),
    [
        ('cpu', "'cpu' was asked for: backend tensorrt runs on NVIDIA GPUs alone; expected auto"),
        ('gpu', "'gpu' was asked for: backend tensorrt does not know it; expected auto, cuda or"),
        ('cuda:', "'cuda:' .* does not know it"),
        ('cuda:-1', "'cuda:-1' .* does not know it"),
        ('', "'' .* does not know it"),
    ],
)
def test_what_is_no_gpu_is_refused(device, match):
    with pytest.raises(EngineError, match=match):
        find_gpu(device)


@pytest.mark.parametrize(('device', 'index'), [('auto', 0), ('cuda', 0), ('cuda:2', 2)])
def test_gpu_is_described(monkeypatch, device, index):
    """CUDA gives names in bytes with zeros behind, and versions in two numbers."""
    properties = SimpleNamespace(name=b'NVIDIA RTX 4090\0\0', major=8, minor=9)
    answers = {'cudaGetDeviceCount': 3, 'cudaGetDeviceProperties': properties}
    monkeypatch.setattr(cuda_memory, 'call', lambda name, *_: answers[name])
    gpu = find_gpu(device)
    assert gpu == Gpu(index, 'NVIDIA RTX 4090', '8.9') and gpu.device == f'cuda:{index}'
    with pytest.raises(EngineError, match="'cuda:3' was asked for; found 3 CUDA devices"):
        find_gpu('cuda:3')


# What a version offers


def _api(flags, builder, types):
    """Return the names that a version of the library has, and nothing else of it."""
    return SimpleNamespace(
        NetworkDefinitionCreationFlag=SimpleNamespace(**flags),
        BuilderFlag=SimpleNamespace(**dict.fromkeys(builder, 0)),
        DataType=SimpleNamespace(**dict.fromkeys(types, 0)),
    )


WEAK = ('FP16', 'INT8', 'TF32', 'OBEY_PRECISION_CONSTRAINTS')
APIS = {
    '8.6': _api({'EXPLICIT_BATCH': 0}, WEAK, ('FLOAT', 'HALF')),
    '10.13': _api({'EXPLICIT_BATCH': 0, 'STRONGLY_TYPED': 1}, WEAK, ('FLOAT', 'HALF', 'BF16')),
    '11.0': _api({'STRONGLY_TYPED': 1}, ('TF32',), ('FLOAT', 'HALF', 'BF16')),
    'without the flag': _api({}, (), ('FLOAT', 'HALF', 'BF16')),
}


@pytest.mark.parametrize(
    ('version', 'strong', 'flags'),
    [('8.6', False, 1), ('10.13', True, 3), ('11.0', True, 2), ('without the flag', True, 0)],
)
def test_networks_state_their_types_where_they_can(version, strong, flags):
    """Flags are bits: EXPLICIT_BATCH is bit 0, STRONGLY_TYPED bit 1."""
    assert states_types(APIS[version]) is strong
    assert network_flags(APIS[version]) == flags


@pytest.mark.parametrize(
    ('version', 'precision', 'wanted', 'unwanted'),
    [
        ('8.6', 'fp32', [], ['TF32']),
        ('8.6', 'fp16', ['FP16', 'OBEY_PRECISION_CONSTRAINTS'], []),
        ('8.6', 'int8', ['INT8'], []),
        ('10.13', 'fp32', [], ['TF32']),
        ('10.13', 'fp16', [], []),
        ('10.13', 'int8', [], []),
        ('11.0', 'fp32', [], ['TF32']),
        ('11.0', 'bf16', [], []),
        ('without the flag', 'fp32', [], []),
    ],
)
def test_flags_follow_the_version(version, precision, wanted, unwanted):
    """A flag that 11 removed is not asked for, and none is silently left out of 8.6."""
    assert builder_flags(APIS[version], precision) == (wanted, unwanted)


def test_precisions_follow_the_version():
    old, new = (Library('tensorrt', v, APIS[v], None) for v in ('8.6', '10.13'))
    assert find_precisions(old, 'auto') == find_precisions(new, 'auto') == ('fp16', 'fp32')
    assert find_precisions(new, 'bf16') == ('bf16',)
    with pytest.raises(EngineError, match=r'tensorrt 8.6 has no bf16: it came with 9.0; expected'):
        find_precisions(old, 'bf16')


@needs_rtx
def test_this_library_states_types():
    library = load_library('tensorrt_rtx')
    assert states_types(library.api) and library.builds_anywhere
    assert builder_flags(library.api, 'fp32') == ([], ['TF32'])
    assert find_precisions(library, 'bf16') == ('bf16',)


# The library and its logger


@needs_rtx
def test_process_has_one_logger():
    """TensorRT refuses a second one."""
    first, second = load_library('tensorrt_rtx'), load_library('tensorrt_rtx')
    assert first.logger is second.logger


@needs_rtx
def test_reason_is_given_once_in_one_line():
    library = load_library('tensorrt_rtx')
    severity = library.api.ILogger.Severity
    library.logger.errors.clear()
    library.logger.log(severity.WARNING, 'a warning')
    for message in ('first\n  error', 'first error', 'second'):
        library.logger.log(severity.ERROR, message)
    assert library.reason() == 'first error; second'
    assert library.reason() == 'TensorRT gives no reason'
    library.logger.log(severity.INTERNAL_ERROR, 'x' * 9999)
    assert len(library.reason()) == LONGEST_REASON + 3


@needs_rtx
@pytest.mark.parametrize('nothing', [None, False])
def test_nothing_is_an_error_with_its_reason(nothing):
    library = load_library('tensorrt_rtx')
    library.logger.errors.clear()
    library.logger.log(library.api.ILogger.Severity.ERROR, 'no reason to worry')
    with pytest.raises(EngineError, match='^no plan: no reason to worry$'):
        library.require(nothing, 'no plan')
    assert library.require(0, 'a number') == 0


BLOCKED = """
import sys
for name in sys.argv[1].split(','):
    sys.modules[name] = None
from fcrn_ros.engine import EngineError, open_engine
try:
    open_engine(backend='tensorrt', device=sys.argv[2])
except EngineError as err:
    print(err)
"""


def _refused_without(names, device='auto'):
    """Return the refusal of a process in which packages are not installed."""
    process = subprocess.run(
        [sys.executable, '-c', BLOCKED, ','.join(names), device],
        env=dict(os.environ, PYTHONPATH=REPOSITORY),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_absent_tensorrt_is_named():
    said = _refused_without(('tensorrt', 'tensorrt_rtx'))
    assert said.startswith('backend tensorrt needs TensorRT')
    assert said.count('\n') == 1 and 'tensorrt_rtx' in said


@needs_rtx
def test_absent_cuda_bindings_are_named():
    said = _refused_without(('tensorrt', 'cuda'))
    assert said.startswith('backend tensorrt needs the CUDA bindings: pip install cuda-python')
    assert said.count('\n') == 1


# Opening


@needs_rtx
@needs_cuda
@without_gpu
def test_opening_without_a_gpu_is_one_line(small):
    with pytest.raises(EngineError, match='^backend tensorrt needs an NVIDIA GPU; found none'):
        open_engine(small.model, 'tensorrt')


@needs_rtx
def test_opening_on_the_cpu_is_refused(small):
    with pytest.raises(EngineError, match="'cpu' was asked for: backend tensorrt runs on NVIDIA"):
        open_engine(small.model, 'tensorrt', 'cpu')


@needs_rtx
@needs_cuda
@without_gpu
def test_driver_that_goes_away_is_one_line(small, tmp_path, monkeypatch):
    """The plan is built for real, then CUDA refuses: an error, not a crash."""
    pytest.importorskip('onnx', reason='needs onnx, which plans are built from')
    monkeypatch.setattr(tensorrt_engine, 'find_gpu', lambda device: ADA)
    with pytest.raises(EngineError, match='^tensorrt_rtx .* did not start on cuda:0: cudaSetDev'):
        open_tensorrt(small, Cache(tmp_path))
    kinds = {p.name.partition('-')[0] for p in tmp_path.iterdir()}
    assert kinds == {'plan', 'reference'}


@needs_rtx
def test_what_is_not_built_is_known_before_anything_is_computed(small, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt_engine, 'find_gpu', lambda device: ADA)
    monkeypatch.setattr(tensorrt_engine, 'reference', lambda *_: pytest.fail('computed'))
    with pytest.raises(NotBuilt, match='plan of small in fp16 is not built'):
        open_tensorrt(replace(small, build='never', precision='auto'), Cache(tmp_path))


class Loads:
    """Stands in for the engine, which needs a GPU: loads or refuses the plans in turn."""

    name, device, spec = 'tensorrt', 'cuda:0', SPEC

    def __init__(self, *outcomes):
        self.outcomes, self.plans = list(outcomes), []

    def __call__(self, library, plan, spec, precision, *_):
        self.plans.append(plan)
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        self.precision = precision
        return self

    def infer(self, batch):
        return np.ones((1, 2, 32, 48), np.float32)

    def keep_kernels(self):
        pass


@pytest.fixture
def opened(small, tmp_path, monkeypatch):
    """Return a function that opens with stand-ins for the engine and the build."""
    builds, models = [], []

    def build(library, model, spec, precision, *_):
        builds.append(precision)
        models.append(model)
        return b'plan %d' % len(builds)

    def open_with(loads, **changes):
        expected = np.ones((1, 2, 32, 48), np.float32)
        monkeypatch.setattr('fcrn_ros.engine.check.WARM_UP_SECONDS', 0.0)
        monkeypatch.setattr('fcrn_ros.engine.tensorrt.plan.build', build)
        monkeypatch.setattr('fcrn_ros.engine.tensorrt.plan._export', lambda *_: b'')
        monkeypatch.setattr(tensorrt_engine, 'find_gpu', lambda device: ADA)
        monkeypatch.setattr(tensorrt_engine, 'reference', lambda *_: expected)
        monkeypatch.setattr(tensorrt_engine, 'TensorRtEngine', loads)
        return open_tensorrt(replace(small, **changes), Cache(tmp_path))

    open_with.builds, open_with.models = builds, models
    return open_with


@needs_rtx
def test_plan_that_does_not_load_is_built_again(opened, caplog):
    loads = Loads(UnloadablePlan('of another driver'), None)
    opened(loads)
    assert loads.plans == [b'plan 1', b'plan 2']
    assert 'of another driver: building it again' in caplog.text
    again = Loads(None)
    opened(again)
    assert again.plans == [b'plan 2'] and opened.builds == ['fp16', 'fp16']


@needs_rtx
def test_plan_is_built_again_once(opened):
    loads = Loads(*[UnloadablePlan('of another driver')] * 2)
    with pytest.raises(EngineError, match='of another driver'):
        opened(loads)
    assert len(loads.plans) == 2


@needs_rtx
def test_plan_that_does_not_load_for_another_reason_is_kept(opened):
    """A full memory says nothing against the plan."""
    with pytest.raises(EngineError, match='out of memory'):
        opened(Loads(EngineError('out of memory')))
    loads = Loads(None)
    opened(loads)
    assert loads.plans == [b'plan 1'] and opened.builds == ['fp16']


@needs_rtx
def test_plan_that_does_not_load_is_not_built_where_it_may_not_be(opened):
    opened(Loads(None))
    with pytest.raises(NotBuilt, match='plan of small in fp16 is not built'):
        opened(Loads(UnloadablePlan('of another driver')), build='never')


@needs_rtx
def test_auto_takes_fp32_where_the_network_does_not_bear_fp16(opened, monkeypatch, caplog):
    monkeypatch.setitem(tensorrt_engine.first_faithful.__globals__['TOLERANCE'], 'fp16', -1.0)
    engine = opened(Loads(None, None), precision='auto')
    assert engine.precision == 'fp32' and opened.builds == ['fp16', 'fp32']
    assert 'tensorrt fp16 on cuda:0 differs from the plain network' in caplog.text


@needs_rtx
def test_int8_is_quantised_for_this_library_and_measured_on_it(opened, monkeypatch):
    """Another calibration is another plan; the same one is the same."""
    asked = []

    def quantized(request, spec, cache, open_one, form, signed):
        asked.append((form, signed))
        open_one(b'float32', 'fp32')
        return b'int8 %d' % min(2, len(asked))

    monkeypatch.setattr(tensorrt_engine, 'quantized', quantized)
    for _ in range(3):
        assert opened(Loads(None, None), precision='int8').precision == 'int8'
    assert asked == [('shuffled', True)] * 3
    assert opened.models == [b'float32', b'int8 1', b'int8 2']
    assert opened.builds == ['fp32', 'int8', 'int8']


@pytest.mark.parametrize(
    ('reason', 'full'),
    [
        ('Requested amount of GPU memory (1048576 bytes) could not be allocated.', True),
        ('Error Code 2: OutOfMemory (no further information)', True),
        ('cudaMalloc: out of memory', True),
        ('Error Code 1: Serialization (plan.header.size == blobSize failed.)', False),
        ('The engine plan file is generated on an incompatible device', False),
    ],
)
def test_full_memory_is_told_from_an_unusable_plan(reason, full):
    assert bool(MEMORY_IS_FULL.search(reason)) is full

"""TensorRT plans in the cache: whose they are, when they are built, and by how many."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import SPEC, network_and_spec

from fcrn_ros import whole_file
from fcrn_ros.engine import EngineError, NotBuilt, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.int8.quantize import KIND, Quantized, int8_key
from fcrn_ros.engine.tensorrt import plan as tensorrt_plan
from fcrn_ros.engine.tensorrt.cuda_memory import Gpu
from fcrn_ros.engine.tensorrt.library import Target, find_target, load_library
from fcrn_ros.engine.tensorrt.plan import build_plan, load_plan, plan_key
from fcrn_ros.model.weights import load_spec, save_model

pytest.importorskip('onnx', reason='needs onnx, which plans are built from')
pytest.importorskip('tensorrt_rtx', reason='needs tensorrt_rtx, which builds plans without a GPU')
pytestmark = pytest.mark.usefixtures('one_thread')

REPOSITORY = Path(tensorrt_plan.__file__).parents[3]


@pytest.fixture(scope='module')
def library():
    return load_library('tensorrt_rtx')


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """Return a request for a small model on disk, in fp16: its plan has 5 MB."""
    network, spec = network_and_spec()
    path = save_model(network, spec, tmp_path_factory.mktemp('small'))
    return Request(str(path), precision='fp16')


@pytest.fixture(scope='module')
def plan(small, library, tmp_path_factory):
    """Return its plan."""
    return load_plan(small, 'fp16', library, Target(), Cache(tmp_path_factory.mktemp('plan')))


@pytest.fixture
def builds(monkeypatch, plan):
    """Return a list that grows by the precision of every build; each gives ``plan``."""
    built = []

    def count(library, model, spec, precision, *_):
        built.append(precision)
        return plan

    monkeypatch.setattr(tensorrt_plan, 'build', count)
    monkeypatch.setattr(tensorrt_plan, '_export', lambda request, precision: b'')
    return built


def _load(request, library, cache, target=None):
    return load_plan(request, request.precision, library, target or Target(), cache)


# The cache


def test_cached_plan_is_not_built_again(small, library, builds, tmp_path, plan):
    assert _load(small, library, Cache(tmp_path)) == plan
    assert _load(small, library, Cache(tmp_path)) == plan
    assert builds == ['fp16']


@pytest.mark.parametrize('tenths', range(10))
def test_truncated_plan_is_built_again(small, library, builds, tmp_path, plan, tenths):
    cache = Cache(tmp_path)
    _load(small, library, cache)
    path = cache.path('plan', plan_key(load_spec(small.model), 'fp16', library, Target()))
    content = path.read_bytes()
    path.write_bytes(content[: tenths * len(content) // 10])
    assert _load(small, library, cache) == plan
    assert builds == ['fp16', 'fp16'] and path.read_bytes() == content


def test_plan_with_one_wrong_bit_is_built_again(small, library, builds, tmp_path, plan):
    cache = Cache(tmp_path)
    _load(small, library, cache)
    path = cache.path('plan', plan_key(load_spec(small.model), 'fp16', library, Target()))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert _load(small, library, cache) == plan and len(builds) == 2


@pytest.mark.parametrize(
    'change',
    [
        {'library': {'version': '1.7.2.1'}},
        {'library': {'name': 'tensorrt'}},
        {'target': Target('NVIDIA GeForce RTX 4090', '8.9', 0)},
        {'target': Target('any', '7.5')},
        {'request': {'precision': 'fp32'}},
        {'package': '9.9.9'},
    ],
    ids=['version', 'flavour', 'gpu', 'capability', 'precision', 'package'],
)
def test_plan_of_something_else_is_not_taken(
    small, library, builds, tmp_path, monkeypatch, change
):
    cache = Cache(tmp_path)
    _load(small, library, cache)
    if 'package' in change:
        monkeypatch.setattr(tensorrt_plan, '__version__', change['package'])
    request = replace(small, **change.get('request', {}))
    other = replace(library, **change.get('library', {}))
    for _ in range(2):
        _load(request, other, cache, change.get('target'))
    assert builds == ['fp16', request.precision]


@pytest.mark.parametrize(
    'change',
    [
        {'sha256': '0' * 64},
        {'mean': (0.0, 116.28, 103.53)},
        {'std': (58.395, 57.12, 1.0)},
        {'input_size': (96, 64)},
        {'architecture': {'encoder': 'resnet18'}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_plan_belongs_to_the_weights_and_the_sidecar(library, change):
    key = plan_key(SPEC, 'fp16', library, Target())
    assert plan_key(replace(SPEC, **change), 'fp16', library, Target()) != key
    assert plan_key(replace(SPEC, licence='MIT'), 'fp16', library, Target()) == key


def test_index_of_a_gpu_is_no_part_of_the_key(library):
    """The same card in another slot runs the same plan."""
    targets = [Target('NVIDIA A10', '8.6', index) for index in (0, 3)]
    first, second = (plan_key(SPEC, 'fp16', library, target) for target in targets)
    assert first == second


def test_gpu_is_part_of_the_target_where_it_was_measured_on(library):
    """TensorRT for RTX measures nothing while it builds; Turing alone is apart."""
    other = replace(library, name='tensorrt')
    ada, turing = Gpu(1, 'RTX 4090', '8.9'), Gpu(0, 'T4', '7.5')
    assert find_target(library, ada) == Target('any', 'any', None)
    assert find_target(library, turing) == Target('any', '7.5', None)
    assert find_target(other, ada) == Target('RTX 4090', '8.9', 1)
    assert find_target(other, turing) == Target('T4', '7.5', 0)
    assert [str(find_target(x, turing)) for x in (library, other)] == [
        'any GPU of capability 7.5',
        'T4 of capability 7.5',
    ]


def test_what_may_not_be_built_is_not_built(small, library, builds, tmp_path, plan):
    never = replace(small, build='never')
    match = 'the tensorrt_rtx .* plan of small in fp16 is not built'
    with pytest.raises(NotBuilt, match=match):
        _load(never, library, Cache(tmp_path))
    assert builds == [] and list(tmp_path.iterdir()) == []
    _load(small, library, Cache(tmp_path))
    assert _load(never, library, Cache(tmp_path)) == plan


def test_plan_is_given_where_the_folder_cannot_be(small, library, builds, tmp_path, plan, caplog):
    """A cache folder below a file: nothing can be read, locked or written."""
    (tmp_path / 'file').write_text('')
    assert _load(small, library, Cache(tmp_path / 'file' / 'cache')) == plan
    assert [r.levelname for r in caplog.records] == ['WARNING']
    assert 'is not usable' in caplog.text


@pytest.mark.parametrize('place', ['fsync', 'replace', 'open'])
def test_plan_is_given_where_the_disk_is_full(
    small, library, builds, tmp_path, plan, caplog, monkeypatch, place
):
    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(whole_file.os, place, full)
    assert _load(small, library, Cache(tmp_path)) == plan
    assert [r.levelname for r in caplog.records] == ['WARNING']
    assert 'No space left on device' in caplog.text
    assert not list(tmp_path.glob('plan-*.part'))


def test_building_ahead_leaves_all_that_the_robot_needs(small, tmp_path, plan, caplog):
    """A second call finds the plan and the depth to compare it with, and makes nothing."""
    cache = Cache(tmp_path)
    assert len(build_plan(small, cache=cache)) == pytest.approx(len(plan), rel=1e-3)
    kinds = {p.name.partition('-')[0] for p in tmp_path.iterdir()}
    assert kinds == {'plan', 'reference'}
    code = """
for name in ('torch', 'onnx'):
    sys.modules[name] = None
import fcrn_ros.engine.tensorrt.engine
from fcrn_ros.engine import Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.tensorrt.plan import build_plan
build_plan(Request(sys.argv[1], precision='fp16', build='never'), cache=Cache(Path(sys.argv[2])))
print('torch', sys.modules['torch'])
"""
    process = _child(code, small.model, tmp_path)
    assert process.communicate(timeout=60)[0] == 'torch None\n'


def test_building_without_pytorch_says_what_it_needs(small, library, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'fcrn_ros.engine.onnx_export', None)
    with pytest.raises(EngineError, match='building a TensorRT plan needs PyTorch and onnx'):
        _load(small, library, Cache(tmp_path))


# What a plan is for


def _refusal(library, plan):
    """
    Return why a plan does not load here.

    Without a GPU none does; one that is whole gets as far as the driver.
    """
    library.logger.errors.clear()
    runtime = library.api.Runtime(library.logger)
    assert runtime.deserialize_cuda_engine(plan) is None
    return library.reason()


def test_whole_plan_gets_as_far_as_the_driver(library, plan):
    """A truncated one does not: TensorRT compares its length with its header."""
    if torch.cuda.is_available():
        pytest.skip('needs a machine without an NVIDIA GPU')
    whole, truncated = _refusal(library, plan), _refusal(library, plan[:-1])
    assert 'Serialization' not in whole and 'CUDA driver' in whole
    assert 'header.size == blobSize' in truncated


def test_turing_takes_a_plan_of_its_own(library, small, plan, tmp_path):
    other = load_plan(small, 'fp16', library, Target('any', '7.5'), Cache(tmp_path))
    assert other != plan


def test_library_that_builds_only_where_its_gpu_is_says_so(small, library, monkeypatch):
    other = replace(library, name='tensorrt', version='10.13')
    monkeypatch.setattr(tensorrt_plan, 'load_library', lambda flavour: other)
    with pytest.raises(EngineError, match='^tensorrt 10.13 builds only where its GPU is: .*none'):
        if torch.cuda.is_available():
            pytest.skip('needs a machine without an NVIDIA GPU')
        build_plan(small)


def test_int8_is_built_ahead_only_of_what_was_measured(small, builds, tmp_path, monkeypatch):
    """The cost of int8 is an engine's, which needs a GPU; the quantised model travels."""
    int8, cache = replace(small, precision='int8'), Cache(tmp_path)
    with pytest.raises(EngineError, match='is not built: what int8 costs is measured on the GPU'):
        build_plan(int8, cache=cache)
    for model in (b'calibrated', b'calibrated', b'calibrated anew'):
        packed = Quantized(model, 0.01, 'pictures').pack()
        cache.put(KIND, int8_key(load_spec(small.model), 'shuffled', True), packed)
        build_plan(int8, cache=cache)
    assert builds == ['int8', 'int8']


def test_unknown_capability_is_refused(small):
    expected = "'6.1' is not known; expected any .8.0 and later. or 7.5"
    with pytest.raises(EngineError, match=expected):
        build_plan(small, '6.1')


def test_absent_flavour_is_refused(small):
    with pytest.raises(EngineError, match="needs TensorRT.*No module named 'tensorrt_xyz'"):
        build_plan(small, flavour='tensorrt_xyz')


def test_what_progress_raises_ends_the_build(small, library, tmp_path):
    def cancel(what, share):
        if share > 0.6:
            raise TimeoutError('enough')

    with pytest.raises(TimeoutError, match='enough'):
        _load(replace(small, progress=cancel), library, Cache(tmp_path))
    assert [p for p in tmp_path.iterdir() if p.suffix != '.lock'] == []
    assert len(_load(small, library, Cache(tmp_path))) > 1e6


# Several processes

CHILD = """
import sys
import time
from pathlib import Path
"""
LOAD = """
from fcrn_ros.engine import Request
from fcrn_ros.engine.tensorrt import build as tensorrt_build
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.tensorrt.library import Target, load_library
from fcrn_ros.engine.tensorrt.plan import load_plan

model, folder, marker = sys.argv[1:]
serialize = tensorrt_build._serialize

def marked(*arguments):
    with open(marker, 'a') as file:
        file.write('built\\n')
    {body}
    return serialize(*arguments)

tensorrt_build._serialize = marked
library = load_library('tensorrt_rtx')
request = Request(model, precision='fp16')
plan = load_plan(request, 'fp16', library, Target(), Cache(Path(folder)))
print(len(plan))
"""


def _child(code, *arguments):
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    command = [sys.executable, '-c', CHILD + code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def _wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f'{path} did not appear'
        time.sleep(0.02)


def test_two_processes_build_once(small, tmp_path):
    cache, marker = tmp_path / 'cache', tmp_path / 'marker'
    code = LOAD.format(body='time.sleep(1)')
    children = [_child(code, small.model, cache, marker) for _ in range(2)]
    sizes = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0] and len(sizes) == 1
    assert marker.read_text() == 'built\n'


def test_killed_build_leaves_a_cache_that_works(small, library, builds, tmp_path, plan):
    """The kernel releases the lock of a process that was killed in the middle of a build."""
    cache, marker = tmp_path / 'cache', tmp_path / 'marker'
    child = _child(LOAD.format(body='time.sleep(600)'), small.model, cache, marker)
    _wait_for(marker)
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert [p.suffix for p in cache.iterdir()] == ['.lock']
    assert _load(small, library, Cache(cache)) == plan and builds == ['fp16']
    assert sorted(p.suffix for p in cache.iterdir()) == ['', '.lock']


def test_ctrl_c_ends_a_build(small, tmp_path):
    """TensorRT is in the middle of it, in a thread of its own."""
    code = """
import os, signal, threading
from fcrn_ros.engine import Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.tensorrt.plan import build_plan

said = []

def slowly(what, share):
    said.append(share)
    if len(said) == 30:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.005)

try:
    build_plan(Request(sys.argv[1], progress=slowly), cache=Cache(Path(sys.argv[2])))
except KeyboardInterrupt:
    print('interrupted', max(said) < 0.5)
"""
    output, errors = _child(code, small.model, tmp_path).communicate(timeout=120)
    assert output == 'interrupted True\n', errors
    assert not [p for p in tmp_path.iterdir() if p.suffix != '.lock']

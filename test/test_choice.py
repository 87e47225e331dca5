"""The choice of a backend: measured, remembered, and measured again when it has to be."""

import importlib.util
import logging
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcrn_ros.engine import EngineError, NotBuilt, Request, check, choice, open_engine
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import TOLERANCE, difference, example, plain_output
from fcrn_ros.engine.choice import candidates, measure, open_fastest, recall
from fcrn_ros.model.weights import ModelError, load_model, load_spec

pytestmark = pytest.mark.usefixtures('one_thread')
SLOW, FAST, MIDDLE = 0.04, 0.002, 0.012  # [s] that an engine takes for a frame


@pytest.fixture(autouse=True)
def short(monkeypatch, caplog):
    caplog.set_level(logging.INFO, choice.__name__)
    monkeypatch.setattr(choice, 'SECONDS', 0.05)
    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / 'fcrn_ros')


@pytest.fixture
def request_(tiny_model):
    return Request(str(tiny_model), 'cpu')


class Opener:
    """
    Opens engines that sleep.

    :param seconds: backend -> how long for a frame, or the error that opening it raises.
    """

    def __init__(self, spec, **seconds):
        self.spec, self.seconds, self.opened, self.frames = spec, seconds, [], 0

    def __call__(self, backend, request):
        self.opened.append((backend, request.precision))
        seconds = self.seconds[backend]
        if isinstance(seconds, Exception):
            raise seconds
        request.progress(f'building {backend}', 0.25)
        request.progress(f'building {backend}', 0.75)
        precision = 'bf16' if request.precision == 'auto' else request.precision
        return types.SimpleNamespace(
            name=backend,
            device='cpu',
            precision=precision,
            spec=self.spec,
            infer=self._infer(seconds),
        )

    def _infer(self, seconds):
        def infer(batch):
            assert np.array_equal(batch, example(self.spec))
            self.frames += 1
            time.sleep(seconds)

        return infer

    @property
    def names(self):
        return [backend for backend, _ in self.opened]


@pytest.fixture
def opener(tiny_model):
    """Return a function that makes an opener."""
    return lambda **seconds: Opener(load_spec(str(tiny_model)), **seconds)


@pytest.fixture(autouse=True)
def two_backends(monkeypatch):
    """Have OpenVINO and PyTorch fit, whatever is installed here."""
    monkeypatch.setattr(choice, 'candidates', lambda request: ['openvino', 'torch'])


def _warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# The fastest, remembered


@pytest.mark.parametrize(
    ('seconds', 'winner'),
    [
        ({'openvino': FAST, 'torch': SLOW}, 'openvino'),
        ({'openvino': SLOW, 'torch': FAST}, 'torch'),
    ],
)
def test_fastest_is_taken_and_remembered(request_, cache, opener, caplog, seconds, winner):
    """The first start opens both, the second the winner alone, in the precision it won with."""
    first, second = opener(**seconds), opener(**seconds)
    assert open_fastest(request_, cache, first).name == winner
    assert sorted(first.opened) == [('openvino', 'auto'), ('torch', 'auto')]
    assert f'backend auto takes {winner}: {winner} bf16 ' in caplog.text
    assert open_fastest(request_, cache, second).name == winner
    assert second.opened == [(winner, 'bf16')] and second.frames == 0
    assert _warnings(caplog) == []


def test_evidence_is_kept(request_, cache, opener):
    """In the order of speed, with the figures."""
    assert recall(request_, cache) is None
    open_fastest(request_, cache, opener(openvino=SLOW, torch=FAST))
    fast, slow = recall(request_, cache)
    assert (fast['backend'], slow['backend']) == ('torch', 'openvino')
    assert slow['precision'] == 'bf16' and slow['device'] == 'cpu'
    assert slow['median_ms'] > fast['median_ms'] >= 1e3 * FAST
    assert recall(replace(request_, threads=7), cache) is None


def test_measure_gives_the_fastest_first(request_, opener):
    seconds = {'openvino': MIDDLE, 'torch': FAST, 'tensorrt': SLOW}
    timed, refused = measure(request_, list(seconds), opener(**seconds))
    assert [engine.name for _, engine in timed] == ['torch', 'openvino', 'tensorrt']
    assert sorted(ms for ms, _ in timed) == [ms for ms, _ in timed] and refused == []


def test_slow_engine_is_timed_by_a_frame(request_, opener, monkeypatch):
    monkeypatch.setattr(choice, 'SECONDS', 0.0)
    timed, _ = measure(request_, ['torch'], opener(torch=FAST))
    assert timed[0][0] >= 1e3 * FAST


def test_single_candidate_is_not_timed(request_, cache, opener, monkeypatch):
    monkeypatch.setattr(choice, 'candidates', lambda request: ['torch'])
    only = opener(torch=SLOW)
    assert open_fastest(request_, cache, only).name == 'torch'
    assert only.opened == [('torch', 'auto')] and only.frames == 0
    assert not cache.folder.exists()


def test_cache_that_cannot_be_used_is_no_error(request_, opener, tmp_path):
    (tmp_path / 'file').touch()
    cache = Cache(tmp_path / 'file' / 'fcrn_ros')
    for _ in range(2):
        start = opener(openvino=FAST, torch=SLOW)
        assert open_fastest(request_, cache, start).name == 'openvino'
        assert len(start.opened) == 2


# Measured again


def test_winner_that_fails_is_left_and_all_are_timed_again(request_, cache, opener, caplog):
    open_fastest(request_, cache, opener(openvino=FAST, torch=SLOW))
    broken = opener(openvino=EngineError('no such kernel'), torch=SLOW)
    assert open_fastest(request_, cache, broken).name == 'torch'
    assert broken.names == ['openvino', 'openvino', 'torch']
    first, second = _warnings(caplog)
    assert first == 'openvino bf16 was the fastest but: no such kernel; timing again'
    assert second == 'backend auto leaves out openvino: no such kernel'


def test_refused_candidate_is_tried_at_every_start(request_, cache, opener, caplog):
    """What failed today, for want of memory perhaps, is tried again tomorrow."""
    for i in range(2):
        broken = opener(openvino=EngineError('out of memory'), torch=SLOW)
        assert open_fastest(request_, cache, broken).name == 'torch'
        assert broken.names == ['openvino', 'torch']
        assert _warnings(caplog) == ['backend auto leaves out openvino: out of memory'] * (i + 1)
    repaired = opener(openvino=FAST, torch=SLOW)
    assert open_fastest(request_, cache, repaired).name == 'openvino'
    assert open_fastest(request_, cache, repaired).name == 'openvino'
    assert repaired.names == ['openvino', 'torch', 'openvino']


@pytest.mark.parametrize(
    'change',
    [
        {'device': 'auto'},
        {'precision': 'fp32'},
        {'threads': 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_request_is_measured_by_itself(request_, cache, opener, change):
    open_fastest(request_, cache, opener(openvino=FAST, torch=SLOW))
    other = opener(openvino=SLOW, torch=FAST)
    assert open_fastest(replace(request_, **change), cache, other).name == 'torch'
    assert len(other.opened) == 2
    assert open_fastest(request_, cache, opener(openvino=FAST)).name == 'openvino'


@pytest.mark.parametrize('field', ['sha256', 'input_size'])
def test_other_model_is_measured_by_itself(request_, cache, opener, field, monkeypatch):
    open_fastest(request_, cache, opener(openvino=FAST, torch=SLOW))
    other = opener(openvino=SLOW, torch=FAST)
    value = {'sha256': '0' * 64, 'input_size': (96, 64)}[field]
    other.spec = replace(other.spec, **{field: value})
    monkeypatch.setattr(choice, 'load_spec', lambda model: other.spec)
    assert open_fastest(request_, cache, other).name == 'torch'


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('__version__', '99.0'),
        ('installed_version', lambda distribution: '99.0' if distribution == 'openvino' else ''),
        ('processor_name', lambda: 'another'),
        ('gpu_names', lambda: 'another'),
        ('half_of_the_cores', lambda: 77),
        ('candidates', lambda request: ['torch', 'openvino', 'tensorrt']),
    ],
    ids=['package', 'library', 'processor', 'gpu', 'cores', 'backends'],
)
def test_other_machine_is_measured_by_itself(request_, cache, opener, monkeypatch, name, value):
    open_fastest(request_, cache, opener(openvino=FAST, torch=SLOW))
    monkeypatch.setattr(choice, name, value)
    other = opener(openvino=SLOW, torch=FAST, tensorrt=SLOW)
    assert open_fastest(request_, cache, other).name == 'torch'
    assert len(other.opened) >= 2


def test_machine_is_described_in_words():
    assert choice.processor_name()
    assert isinstance(choice.gpu_names(), str)


# Nothing is built where that was not allowed


def test_unmeasured_machine_is_not_built_where_that_was_not_allowed(request_, cache, opener):
    never = replace(request_, build='never')
    untouched = opener()
    with pytest.raises(NotBuilt, match='openvino and torch have not been timed on this machine'):
        open_fastest(never, cache, untouched)
    assert untouched.opened == []


@pytest.mark.parametrize(
    'other', [FAST * 10, EngineError('broken for good')], ids=['slow', 'broken']
)
def test_measured_machine_opens_without_building(request_, cache, opener, other):
    """Even where a candidate had been refused: else a node would never leave its fallback."""
    open_fastest(request_, cache, opener(openvino=FAST, torch=other))
    second = opener(openvino=FAST)
    never = replace(request_, build='never')
    assert open_fastest(never, cache, second).name == 'openvino'
    assert second.opened == [('openvino', 'bf16')]


def test_winner_that_is_not_built_any_more_stays_the_winner(request_, cache, opener, caplog):
    """Its plan is gone, its speed is not."""
    open_fastest(request_, cache, opener(openvino=FAST, torch=SLOW))
    with pytest.raises(NotBuilt, match='no plan'):
        gone = opener(openvino=NotBuilt('no plan'))
        open_fastest(replace(request_, build='never'), cache, gone)
    assert _warnings(caplog) == []
    again = opener(openvino=FAST)
    assert open_fastest(request_, cache, again).name == 'openvino' and again.frames == 0


# Refusals


def test_refused_candidates_are_named(request_, opener):
    timed, refused = measure(
        request_, ['openvino', 'torch'], opener(openvino=EngineError('a reason'), torch=FAST)
    )
    assert [e.name for _, e in timed] == ['torch'] and refused == ['openvino: a reason']


def test_candidate_that_fails_while_it_is_timed_is_refused(request_, cache, opener, caplog):
    class Failing(Opener):
        def _infer(self, seconds):
            def infer(batch):
                if seconds == SLOW:
                    raise EngineError('inference failed')

            return infer

    failing = Failing(load_spec(request_.model), openvino=SLOW, torch=FAST)
    assert open_fastest(request_, cache, failing).name == 'torch'
    assert 'leaves out openvino: inference failed' in caplog.text


def test_all_refused_is_one_error_with_each_reason(request_, cache, opener):
    none = opener(openvino=EngineError('reason one'), torch=EngineError('reason two'))
    with pytest.raises(EngineError) as error:
        open_fastest(request_, cache, none)
    assert str(error.value) == 'no backend opens: openvino: reason one; torch: reason two'
    assert not list(cache.folder.glob('choice-*'))


def test_error_of_the_model_is_not_a_refusal(request_, cache, opener):
    with pytest.raises(ModelError, match='damaged'):
        open_fastest(request_, cache, opener(openvino=ModelError('damaged'), torch=FAST))


def test_progress_grows_from_0_to_1(request_, opener):
    """Each of three has a third, opening included; one that fails half-way gives its share up."""

    class Failing(Opener):
        def __call__(self, backend, request):
            engine = super().__call__(backend, request)
            request.progress('a step back', 0.1)
            if backend == 'torch':
                raise EngineError('half-way')
            return engine

    said = []
    seconds = {'tensorrt': FAST, 'torch': FAST, 'openvino': FAST}
    request_ = replace(request_, progress=lambda what, share: said.append((what, share)))
    measure(request_, list(seconds), Failing(load_spec(request_.model), **seconds))
    shares = [share for _, share in said]
    assert shares == sorted(shares) and (shares[0], shares[-1]) == (0, 1)
    assert said[1] == ('building tensorrt', pytest.approx(0.25 / 3))
    assert ('opening torch', pytest.approx(1 / 3)) in said
    assert ('opening openvino', pytest.approx(2 / 3)) in said


# Candidates


@pytest.mark.parametrize(
    ('device', 'gpu', 'precision', 'expected'),
    [
        ('cpu', True, 'auto', ['openvino', 'torch']),
        ('auto', False, 'auto', ['openvino', 'torch']),
        ('auto', True, 'auto', ['tensorrt', 'openvino', 'torch']),
        ('cuda', False, 'auto', ['tensorrt', 'torch']),
        ('cuda:1', True, 'fp16', ['tensorrt', 'torch']),
        ('cpu', False, 'int8', ['openvino']),
        ('auto', True, 'int8', ['tensorrt', 'openvino']),
        ('cuda', True, 'int8', ['tensorrt']),
    ],
)
def test_candidates_fit_the_request(monkeypatch, device, gpu, precision, expected):
    """PyTorch has no int8, OpenVINO no NVIDIA GPU, and both serve where TensorRT has none."""
    monkeypatch.setattr(importlib.util, 'find_spec', lambda module: object())
    monkeypatch.setattr(choice, 'has_nvidia_gpu', lambda: gpu)
    assert candidates(Request('', device, precision)) == expected


@pytest.mark.parametrize(
    ('installed', 'request_', 'expected'),
    [
        ({'torch'}, Request(), ['torch']),
        ({'openvino'}, Request(), ['openvino']),
        ({'openvino'}, Request('', 'cuda'), ['torch']),
        ({'tensorrt_rtx', 'torch'}, Request(), ['tensorrt', 'torch']),
        ({'tensorrt'}, Request('', 'cuda'), ['tensorrt']),
        ({'tensorrt'}, Request('', 'cpu'), ['torch']),
        (set(), Request(), ['torch']),
        ({'torch'}, Request('', 'cpu', 'int8'), ['openvino']),
        (set(), Request('', 'cuda', 'int8'), ['tensorrt']),
    ],
)
def test_candidates_are_installed(monkeypatch, installed, request_, expected):
    """Where nothing fits, one is named whose opening says what is missing."""
    found = {name: object() for name in installed}
    monkeypatch.setattr(importlib.util, 'find_spec', found.get)
    monkeypatch.setattr(choice, 'has_nvidia_gpu', lambda: True)
    assert candidates(request_) == expected


def test_missing_library_is_named(monkeypatch, tiny_model):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda module: None)
    monkeypatch.setattr(choice, 'candidates', candidates)
    monkeypatch.setitem(sys.modules, 'fcrn_ros.engine.openvino_engine', None)
    with pytest.raises(EngineError, match='backend openvino needs OpenVINO: pip install'):
        open_engine(str(tiny_model), 'auto', 'cpu', 'int8')


def test_gpu_is_seen_by_its_driver(monkeypatch):
    for path in ('/dev/nvidia0', '/dev/nvhost-gpu', '/dev/dxg'):
        monkeypatch.setattr(Path, 'exists', lambda self, path=path: str(self) == path)
        assert choice.has_nvidia_gpu()
    monkeypatch.setattr(Path, 'exists', lambda self: False)
    assert not choice.has_nvidia_gpu()


# On this machine


def test_auto_opens_the_network_on_this_machine(tiny_model, monkeypatch, caplog, tmp_path):
    """Whichever backends are installed here; twice: measured, then remembered."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(choice, 'candidates', candidates)
    network, spec = load_model(str(tiny_model))
    expected = plain_output(network, spec, example(spec))
    names = []
    for _ in range(2):
        engine = open_engine(str(tiny_model), 'auto')
        names.append((engine.name, engine.precision, engine.device))
        found = engine.infer(example(spec))
        assert difference(found, expected) <= TOLERANCE[engine.precision]
    if 'leaves out' not in caplog.text:
        assert names[0] == names[1]
        assert caplog.text.count('backend auto takes') == (len(candidates(Request())) > 1)

"""Which engine serves: while another is built, when building fails, when an engine fails."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from fcrn_ros.engine import EngineError, Request, check, choice, open_backend
from fcrn_ros.engine.supply import FAILURES, EngineSupply

pytest.importorskip('openvino', reason="needs OpenVINO: pip install 'fcrn_ros[openvino]'")
pytestmark = pytest.mark.usefixtures('one_thread')
LIMIT = 120.0  # [s], for a build in a process of its own


class Listener:
    """What a supply hands over and says."""

    def __init__(self):
        self.engines, self.warnings = [], []
        self.changed = threading.Event()

    def switch(self, engine):
        self.engines.append(engine)
        self.changed.set()

    def warn(self, message):
        self.warnings.append(message)
        self.changed.set()

    def wait(self):
        """Wait for the next switch or warning."""
        assert self.changed.wait(LIMIT)
        self.changed.clear()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Nothing is built when a test begins, and nobody warms up."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)
    monkeypatch.setattr(choice, 'SECONDS', 0.05)


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def supply(listener, tiny_model):
    """Return a function that makes a supply, closed in the end."""
    made = []

    def make(backend='auto', build='background', precision='auto'):
        request = Request(str(tiny_model), 'cpu', precision)
        made.append(EngineSupply(backend, request, build, listener.switch, listener.warn))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _about(engine):
    return engine.name, engine.precision, engine.device


def _wait_until_building(supply):
    end = time.monotonic() + LIMIT
    while not supply.building and time.monotonic() < end:
        time.sleep(0.01)
    assert supply.building


def test_block_waits_for_what_is_not_built(supply, listener):
    one = supply('auto', 'block')
    engine = one.open()
    assert engine.device == 'cpu' and not one.building
    assert not listener.warnings and not listener.engines


def test_named_engine_that_is_not_built_is_refused_where_building_is_not_allowed(supply):
    with pytest.raises(EngineError, match='run fcrn build, or let build be background'):
        supply('openvino', 'never', 'int8').open()


def test_auto_serves_with_pytorch_where_building_is_not_allowed(supply, listener):
    engine = supply('auto', 'never').open()
    assert engine.name == 'torch'
    (warning,) = listener.warnings
    assert 'have not been timed on this machine' in warning and 'serving with torch' in warning


def test_built_engine_replaces_pytorch(supply, listener):
    """Served at once, built in a process of its own, switched; the next start has it at once."""
    one = supply('openvino', 'background', 'int8')
    assert one.open().name == 'torch'
    (warning,) = listener.warnings
    assert 'serving with torch' in warning and 'meanwhile' in warning
    listener.changed.clear()
    _wait_until_building(one)
    listener.wait()
    assert listener.warnings == [warning]
    assert [_about(e) for e in listener.engines] == [('openvino', 'int8', 'cpu')]
    assert _about(supply('openvino', 'never', 'int8').open()) == ('openvino', 'int8', 'cpu')


def test_failed_build_is_said_once_and_pytorch_goes_on(supply, listener):
    """The builder is killed from outside, as the kernel does when memory ends."""
    one = supply('openvino', 'background', 'int8')
    one.open()
    listener.changed.clear()
    os.kill(one._builder._process.pid, signal.SIGKILL)
    listener.wait()
    assert not listener.engines and len(listener.warnings) == 2
    assert 'not to be had' in listener.warnings[1] and not one.building


def test_closing_ends_the_builder(supply, listener):
    one = supply('openvino', 'background', 'int8')
    one.open()
    process = one._builder._process
    one.close()
    assert process.returncode == -signal.SIGKILL
    assert len(listener.warnings) == 1 and not listener.engines and not one.building


def test_auto_takes_pytorch_after_failures_in_a_row(supply, listener):
    one = supply('auto', 'block')
    one.open()
    for _ in range(FAILURES + 2):
        one.failed(EngineError('out of memory'))
    assert [_about(e)[::2] for e in listener.engines] == [('torch', 'cpu')]
    (warning,) = listener.warnings
    assert 'out of memory; going on with torch' in warning


def test_failures_that_do_not_follow_each_other_change_nothing(supply, listener):
    one = supply('auto', 'block')
    one.open()
    for _ in range(3 * FAILURES):
        one.failed(EngineError('out of memory'))
        one.succeeded()
    assert not listener.engines and not listener.warnings


def test_named_backend_is_never_replaced(supply, listener):
    one = supply('torch', 'block')
    one.open()
    for _ in range(2 * FAILURES):
        one.failed(EngineError('out of memory'))
    assert not listener.engines and not listener.warnings


def test_pytorch_takes_its_own_precision_in_place_of_int8(supply, tiny_model):
    engine = supply('openvino', 'background', 'int8').open()
    plain = open_backend('torch', Request(str(tiny_model), 'cpu'))
    assert engine.precision == plain.precision

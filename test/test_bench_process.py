"""Measurements in processes of their own: answers, crashes, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fcrn_ros.bench.process import ask

CHILD = """
import os, signal, subprocess, sys, time
from fcrn_ros.bench.process import serve

def answer(question):
    what = question['what']
    if what == 'echo':
        print('a library that prints')
        os.system('echo so does its child')
        return {'got': question, 'session': os.getsid(0) == os.getpid()}
    if what == 'raise':
        raise ValueError('this is\\nwhy')
    if what == 'crash':
        print('about to crash', file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == 'exit':
        os._exit(3)
    grandchild = subprocess.Popen(['sleep', '600'])
    with open(question['pids'], 'w') as file:
        file.write(f'{os.getpid()} {grandchild.pid}\\n')
    time.sleep(600)

serve(answer)
"""
PARENT = """
import sys
from fcrn_ros.bench.process import ask
ask('bench_child', {'what': 'sleep', 'pids': sys.argv[1]})
"""
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def child(tmp_path, monkeypatch):
    (tmp_path / 'bench_child.py').write_text(CHILD)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join((str(tmp_path), str(ROOT))))


def test_the_answer_comes_through_what_libraries_print():
    question = {'what': 'echo', 'number': 1.5}
    assert ask('bench_child', question) == {'got': question, 'session': True}


@pytest.mark.parametrize(
    ('what', 'reason'),
    [
        ('raise', 'this is why'),
        ('crash', 'its process ended with signal SIGSEGV: about to crash'),
        ('exit', 'its process ended with status 3: it said nothing'),
    ],
)
def test_a_failure_is_an_answer_with_its_reason(what, reason):
    assert ask('bench_child', {'what': what}) == {'error': reason}


def test_a_module_that_is_not_there_is_a_reason():
    assert 'No module named' in ask('bench_no_such_module', {})['error']


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path):
    file = tmp_path / 'pids'
    answer = ask('bench_child', {'what': 'sleep', 'pids': str(file)}, seconds=3.0)
    assert answer == {'error': 'it took more than 3 s'}
    _require_gone(file)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_its_parent(tmp_path, number):
    """Ctrl-C, an end that runs no Python any more, and one that nobody can catch."""
    file = tmp_path / 'pids'
    parent = subprocess.Popen([sys.executable, '-c', PARENT, str(file)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(lambda: file.exists() and file.read_text().endswith('\n'))
        assert all(_runs(pid) for pid in _pids(file))
        parent.send_signal(number)
        assert parent.wait(20) != 0
    finally:
        parent.kill()
        parent.wait()
    _require_gone(file)


def _pids(file):
    return [int(pid) for pid in file.read_text().split()]


def _runs(pid):
    """Whether a process is there; a zombie that nobody has waited for yet is not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def _wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _require_gone(file):
    _wait_for(lambda: not any(_runs(pid) for pid in _pids(file)))

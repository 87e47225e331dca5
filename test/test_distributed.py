"""
Training in two processes, over gloo, gives the weights of training in one.

Batch statistics are held: where they are learned, processes that share a batch would need
SyncBatchNorm, which has no CPU form, so on CPUs each would keep its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import options, run_fcrn, write_model, write_pairs

ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = ('-m', 'torch.distributed.run', '--nproc-per-node', '2')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('distributed')
    write_pairs(folder / 'room')
    write_model(folder)
    return folder


@pytest.fixture(scope='module')
def alone(folder):
    """Return what one process has learned."""
    ended = run_fcrn(_arguments('alone'), folder)
    assert ended.status == 0, ended.err
    state, start = _state(folder, 'alone'), load_file(folder / 'tiny.safetensors')
    learned = {k: state[f'network.{k}'] for k in start}
    assert _largest_difference(start, learned) > 2e-3  # else it would say nothing
    return state


def _arguments(out, **changes):
    """Return the arguments of six steps, with a loss that is normalised over the whole batch."""
    given = {'steps': 6, 'check_every': 3, 'loss': 'berhu', 'rate': 0.002, **changes}
    return options('tiny.json', 'room', out=out, name='new', **given)


def _state(folder, out):
    return torch.load(folder / out / 'last.ckpt', weights_only=True)['state_dict']


def _run(folder, *command):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    for name in ('LOCAL_RANK', 'WORLD_SIZE', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _largest_difference(expected, found):
    assert expected.keys() == found.keys()
    return max((expected[k] - found[k]).abs().max().item() for k in expected)


@pytest.mark.parametrize('launcher', [(), TORCHRUN], ids=['fcrn', 'torchrun'])
def test_two_processes_learn_what_one_learns(folder, alone, launcher):
    """The batch of 4 is 2 + 2; only the first process prints and saves."""
    out = 'torchrun' if launcher else 'fcrn'
    arguments = _arguments(out, devices=2)
    ended = _run(folder, *launcher, '-m', 'fcrn_ros.cli', *arguments)
    assert ended.returncode == 0, ended.stderr
    assert _largest_difference(alone, _state(folder, out)) < 5e-5
    assert ended.stdout.count('model: ') == ended.stdout.count('absrel') == 1
    assert ended.stderr.count('Decoding') == 1
    assert sorted(p.name for p in (folder / out).iterdir()) == [
        'cache',
        'last.ckpt',
        'new.json',
        'new.safetensors',
        'run.json',
    ]

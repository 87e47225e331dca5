"""
Whether a training that is killed ends with the weights of one that is not.

    python benchmarks/kill.py --data SOURCE [--kills 10] [any option of fcrn train]

One run is left alone. Every other is killed with SIGKILL, it and its readers, at a random moment
after its plan was written, started again, and compared: what was on disk at the kill, and the
largest difference of a weight at the end, which has to be 0.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from fcrn_ros.training.train import PLAN

# one thread and no rounding that depends on it: the result is the same bit by bit
FIXED = ('--precision', '32-true', '--accelerator', 'cpu', '--logger', 'none', '--name', 'new')
SHORT = ('--steps', '12', '--check-every', '3', '--batch', '4')


def main() -> int:
    """Kill and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--data', required=True, help='a source of fcrn train')
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--seed', type=int, default=1)
    options, more = parser.parse_known_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, '-m', 'fcrn_ros.cli', 'train', options.data, *FIXED, *SHORT]
        command += ['--cache', str(folder / 'cache'), *more, '--out']
        _finish([*command, str(folder / 'first')])  # decodes, and is not timed
        whole = folder / 'whole'
        expected = _finish([*command, str(whole)])
        length = time.time() - (whole / PLAN).stat().st_mtime
        print(f'from its plan to its end a run takes {length:.1f} s', flush=True)
        worst = 0.0
        for number in range(options.kills):
            out = folder / str(number)
            moment = moments.uniform(0, length)
            print(f'{number + 1}: {_kill([*command, str(out)], moment, out)}', end='', flush=True)
            difference = _difference(expected, _finish([*command, str(out)]))
            print(f'; largest difference of a weight: {difference:g}', flush=True)
            worst = max(worst, difference)
            shutil.rmtree(out)
    return int(worst > 0)


def _start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command,
        env=environment,
        stdout=quiet,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(command: list[str]) -> dict[str, Tensor]:
    """Train to the end and return the weights."""
    process = _start(command)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said.strip().splitlines()[-1])
    return load_file(Path(command[-1]) / 'new.safetensors')


def _kill(command: list[str], moment: float, out: Path) -> str:
    """Start, kill so many seconds after the plan, and say what was on disk then."""
    process = _start(command)
    while process.poll() is None and not (out / PLAN).exists():
        time.sleep(0.01)
    try:
        process.communicate(timeout=moment)
        return f'ended before {moment:.1f} s'
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = out / 'last.ckpt'
    found = 'no checkpoint'
    if last.exists():
        found = f'the checkpoint of step {torch.load(last, weights_only=True)["global_step"]}'
    found += ' and half of the next' if list(out.glob('*.part')) else ''
    found += ', the model' if (out / 'new.json').exists() else ''
    return f'killed after {moment:.1f} s, on disk: {found}'


def _difference(expected: dict[str, Tensor], found: dict[str, Tensor]) -> float:
    assert expected.keys() == found.keys()
    return max((expected[k].float() - found[k].float()).abs().max().item() for k in expected)


if __name__ == '__main__':
    sys.exit(main())

"""Whole runs of ``fcrn train`` that take seconds: eight pairs of 64 x 48, a model of 5 MB."""

import os
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

STEMS = [f'{i:02}' for i in range(8)]
# a forked child has imported everything, may be killed, and is a process as any other
FORKED = get_context('forkserver')
FORKED.set_forkserver_preload(['fcrn_ros.training.verdict', 'fcrn_ros.training.sources.bags'])


def write_pairs(folder, stems=STEMS, seed=2):
    """Write colour and depth images of 64 x 48 and K.txt; depth follows brightness."""
    rng = np.random.default_rng(seed)
    for name in ('rgb', 'depth'):
        (folder / name).mkdir(parents=True)
    (folder / 'K.txt').write_text('50 0 31\n0 55 25\n0 0 1\n')
    for stem in stems:
        near = rng.uniform(1, 4)
        metres = near + np.linspace(0, 1.5, 64)[None] + np.linspace(0, 0.5, 48)[:, None]
        shade = (255 - 40 * metres).clip(0, 255).astype(np.uint8)
        depth = (1000 * metres).astype(np.uint16)
        depth[:5, :7] = 0
        assert cv2.imwrite(str(folder / 'rgb' / f'{stem}.png'), np.dstack([shade] * 3))
        assert cv2.imwrite(str(folder / 'depth' / f'{stem}.png'), depth)
    return folder


def write_model(folder, size=(32, 64)):
    """Write a random MobileNet v2 FCRN of width 16 with uncertainty, and return its sidecar."""
    from fcrn_ros.bench.random_model import settle
    from fcrn_ros.model.fcrn import Architecture, Fcrn
    from fcrn_ros.model.weights import ModelSpec, save_model

    torch.manual_seed(7)
    noise = np.random.default_rng(7).integers(0, 256, (8, *size, 3), np.uint8)
    network = settle(Fcrn(Architecture('mobilenet_v2', width=16, uncertainty=True)), noise)
    spec = ModelSpec(
        name='tiny',
        architecture={},
        input_size=size,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        camera={'fx': 50.0, 'fy': 36.6667, 'cx': 31.0, 'cy': 16.5},
        depth_range=(0.5, 10.0),
        licence='BSD-3-Clause',
    )
    return save_model(network, spec, folder)


def options(model, *sources, **changes):
    """Return the arguments of a run of 8 steps in stretches of 2, on one thread."""
    given = {
        'model': model,
        'accelerator': 'cpu',
        'precision': '32-true',
        'batch': 4,
        'steps': 8,
        'check_every': 2,
        'workers': 0,
        'logger': 'none',
        'anchor': 0,
        **changes,
    }
    named = [x for k, v in given.items() for x in (f'--{k.replace("_", "-")}', str(v))]
    return ['train', *map(str, sources), *named]


@dataclass
class Ended:
    """How a command ended; the status of a killed one is the signal's negative number."""

    status: int
    out: str
    err: str


def start_fcrn(arguments, folder, fault=None):
    """Start ``fcrn`` in a folder as a process of its own, after calling ``fault`` in it."""
    process = FORKED.Process(target=_command, args=(list(arguments), str(folder), fault))
    process.start()
    return process


def run_fcrn(arguments, folder, fault=None):
    """Run ``fcrn`` in a folder as a process of its own to its end."""
    process = start_fcrn(arguments, folder, fault)
    process.join()
    return Ended(process.exitcode, *(Path(folder, n).read_text() for n in ('stdout', 'stderr')))


def _command(arguments, folder, fault):
    os.chdir(folder)
    torch.set_num_threads(1)
    for name, number in (('stdout', 1), ('stderr', 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (open(n, 'w', buffering=1, closefd=False) for n in (1, 2))
    from fcrn_ros.cli import main

    if fault is not None:
        fault()
    sys.exit(main(arguments))

"""
How fast training is beside the bare step, and beside a plain loop over the naive network.

    python benchmarks/training_speed.py SOURCE [--steps 30]

Three loops over one source in one run, in turns, medians over the rounds, pictures a second:
`fcrn train` itself with reading, augmentation, moving average and logging; the bare step of the
same network (forward, backward, optimiser) on one batch that is always the same; and fp32 PyTorch
over unpool + 5x5 convolutions with every layer trained, which is what public ports run, also on
one batch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from fcrn_ros.bench.network import naive_form
from fcrn_ros.commands.arguments import intrinsics
from fcrn_ros.model.weights import load_model
from fcrn_ros.training import train as training
from fcrn_ros.training.dataset import Data
from fcrn_ros.training.fit import Machines
from fcrn_ros.training.module import DepthTraining
from fcrn_ros.training.objectives.losses import LOSSES
from fcrn_ros.training.objectives.reduction import LOCAL
from fcrn_ros.training.objectives.terms import depth_terms
from fcrn_ros.training.optimisers import build_optimiser
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.sources.openers import Options, Weighted, open_samples

WARM = 3  # steps that are not counted


class Clock(lightning.Callback):
    """Notes when every step ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def main() -> None:
    """Time the three loops, in turns."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    source = open_samples(options.source, Options(camera=options.camera))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        data = Data((Weighted(source),), 0.0, 0.0, cache)
        recipe = Recipe(steps=options.steps, check_every=options.steps).resolved(1, depth=True)
        loops: dict[str, Callable[[], float]] = {
            'fcrn train': lambda: _whole(data, recipe, options, cache / str(time.time_ns())),
            'bare step': lambda: _bare(recipe, options.steps),
            'naive fp32': lambda: _naive(recipe, max(4, options.steps // 4)),
        }
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(options.rounds):
            for name, loop in loops.items():
                rates[name].append(recipe.batch / loop())
    middle = {name: statistics.median(values) for name, values in rates.items()}
    middle['share of the bare step'] = middle['fcrn train'] / middle['bare step']
    middle['times the naive loop'] = middle['fcrn train'] / middle['naive fp32']
    print(json.dumps({k: round(v, 3) for k, v in middle.items()}, indent=2))


def _whole(data: Data, recipe: Recipe, options: argparse.Namespace, out: Path) -> float:
    """Return the median seconds of a step of a whole run."""
    clock, build = Clock(), training.build_trainer

    def watched(*arguments: Any) -> lightning.Trainer:
        trainer = build(*arguments)
        trainer.callbacks.append(clock)
        return trainer

    training.build_trainer = watched  # type: ignore[assignment]
    try:
        training.train(data, recipe, Machines(workers=options.workers), out, 'timed')
    finally:
        training.build_trainer = build
    counted = clock.times[WARM:]
    return (counted[-1] - counted[0]) / (len(counted) - 1)


def _bare(recipe: Recipe, steps: int) -> float:
    network, spec = load_model()
    module = DepthTraining(network, spec, recipe, steps)
    module.train()
    batch = _batch(recipe, spec.input_size, spec.output_size)
    optimiser = build_optimiser(module, recipe.optimiser, recipe.rate)

    def step() -> None:
        with torch.autocast('cpu', torch.bfloat16):
            raw = module.network.raw(module.normalise(batch['image'])).float()
            terms = depth_terms(raw, batch, recipe, LOCAL)
        _update(optimiser, torch.stack([w * t for w, t in terms.values()]).sum())

    return _seconds(step, steps)


def _naive(recipe: Recipe, steps: int) -> float:
    network, spec = load_model()
    network = naive_form(network).train()
    batch = _batch(recipe, spec.input_size, spec.output_size)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-6)
    image = batch['image'].permute(0, 3, 1, 2).float() / 255

    def step() -> None:
        _update(optimiser, LOSSES['berhu'](network(image)[:, 0], batch['depth']))

    return _seconds(step, steps)


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _seconds(step: Callable[[], None], steps: int) -> float:
    for _ in range(WARM):
        step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


def _batch(recipe: Recipe, rows: tuple[int, int], grid: tuple[int, int]) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        'image': torch.randint(0, 256, (recipe.batch, *rows, 3), dtype=torch.uint8),
        'depth': torch.rand(recipe.batch, *grid) * 5 + 0.5,
        'canonical': torch.ones(recipe.batch),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('source', type=Path)
    parser.add_argument('--camera', type=intrinsics)
    parser.add_argument('--steps', type=int, default=30)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--workers', type=int, default=1)
    return parser.parse_args()


if __name__ == '__main__':
    main()

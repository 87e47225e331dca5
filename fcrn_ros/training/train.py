"""From recorded data to a model on disk, measured against the model that it started from."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from fcrn_ros.model.weights import ModelSpec, load_spec, save_model
from fcrn_ros.training.average import blend
from fcrn_ros.training.calibration import calibrate
from fcrn_ros.training.data.augment import Ranges
from fcrn_ros.training.data.batches import (
    Positions,
    Views,
    plain_batches,
    reading_order,
    training_batches,
)
from fcrn_ros.training.data.partition import Portion
from fcrn_ros.training.data.parts import Part, part_of
from fcrn_ros.training.data.store import Store
from fcrn_ros.training.dataset import Data, tell
from fcrn_ros.training.fit import Machines, build_trainer, steps_of, time_steps
from fcrn_ros.training.module import DepthTraining, validate
from fcrn_ros.training.provenance import described
from fcrn_ros.training.recipe import FRESH, Recipe
from fcrn_ros.training.start import start
from fcrn_ros.whole_file import write_whole

PLAN = 'run.json'  # in the folder of the run: what it was asked for


@dataclass(frozen=True)
class Outcome:
    """
    A finished training.

    :param sidecar: of the new model.
    :param base: the model it started from; None for a fresh one.
    :param portions: the data, for the verdict.
    """

    sidecar: Path
    base: str | None
    portions: list[Portion]


def train(
    data: Data,
    recipe: Recipe,
    machines: Machines,
    out: Path,
    name: str,
    licence: str = '',
) -> Outcome | None:
    """
    Train, going on with an interrupted run of the same folder, and save the averaged weights.

    :param out: folder of the model, its checkpoints and logs.
    :param name: of the new model.
    :param licence: of the new weights; '' names those of the data and of the base.
    :return: None in the processes that only help another one.
    :raises ValueError: data, names or sizes do not fit, or the folder holds another run.
    :raises FloatingPointError: the loss is not finite; the last checkpoint is as it was.
    """
    _await_first(out / PLAN)
    lightning.seed_everything(recipe.seed, verbose=False)
    base = None if recipe.model == FRESH else load_spec(recipe.model)
    rows, columns = base.input_size if base is not None else recipe.input_size
    portions = data.portions(round(columns * recipe.zoom))
    tell(portions)
    parts = [part_of(portion, recipe.objective) for portion in portions]
    recipe = recipe.resolved(len(parts), all(part.depth for part in parts))
    network, spec = start(recipe, portions[0].store.camera(0))
    spec = replace(spec, name=name, licence=licence)
    run = _Run(recipe, machines, spec, portions, parts)
    module, trainer = run.fit(network, out)
    if not trainer.is_global_zero:
        return None
    sidecar = run.save(module, trainer, base, out)
    return Outcome(sidecar, None if base is None else recipe.model, portions)


def _await_first(plan: Path) -> None:
    """Wait, in all but one process of a machine, until that one has decoded and planned."""
    while int(os.environ.get('LOCAL_RANK', 0)) > 0 and not plan.exists():
        time.sleep(0.1)


class _Run:
    """One training: its batches, its length, its end."""

    def __init__(
        self,
        recipe: Recipe,
        machines: Machines,
        spec: ModelSpec,
        portions: list[Portion],
        parts: list[Part],
    ) -> None:
        self.recipe, self.machines, self.spec = recipe, machines, spec
        self.portions, self.parts = portions, parts
        watched = [
            Part(p.store, p.validation) for p in portions if has_depth(p.store, p.validation)
        ]
        self.watched = plain_batches(watched, spec, recipe.batch) if watched else None
        if self.watched is None and (recipe.patience or recipe.keep == 'best'):
            raise ValueError(
                'no validation sample has depth; expected some, for keep best or patience'
            )
        if recipe.minutes and machines.num_nodes > 1:
            raise ValueError('minutes are timed on one machine; expected steps or epochs')
        shares = machines.processes * recipe.accumulate
        if recipe.batch % shares:
            raise ValueError(
                f'batch {recipe.batch} cannot be shared by {machines.processes} processes in '
                f'{recipe.accumulate} parts; expected a multiple of {shares}'
            )
        self.share = recipe.batch // shares
        for part in parts:
            if part.depth and not has_depth(part.store, part.indices):
                raise ValueError(
                    f'{part.store.name}: {len(part.indices)} training samples and no pixel with '
                    'a depth; expected metres above 0'
                )
        self.told_poses = not all(part.posed for part in self.parts)
        self.begin = time.monotonic()

    def fit(self, network: Any, out: Path) -> tuple[DepthTraining, lightning.Trainer]:
        """Train to the end."""
        steps = self._planned(network, out)
        views = self._views(steps)
        module = DepthTraining(network, self.spec, self.recipe, steps, views.name, self.told_poses)
        trainer = build_trainer(self.recipe, self.machines, steps, out, self.watched is not None)
        positions = self._positions(trainer.global_rank)
        batches = training_batches(views, positions, self.machines.workers)
        last = out / 'last.ckpt'
        try:
            trainer.fit(module, batches, self.watched, ckpt_path=last if last.exists() else None)
        except SystemExit as err:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from err
        return module, trainer

    def _views(self, steps: int) -> Views:
        recipe = self.recipe
        sizes = [len(part.indices) for part in self.parts]
        weights = [part.weight for part in self.parts]
        ranges = Ranges(zoom=recipe.zoom, erase=recipe.erase)
        order = reading_order(sizes, weights, steps * recipe.batch, recipe.seed)
        return Views(self.parts, self.spec, order, ranges, recipe.seed)

    def _positions(self, rank: int) -> Positions:
        batches = self.recipe.check_every * self.recipe.accumulate
        return Positions(batches, self.share, rank, self.machines.processes)

    def _planned(self, network: Any, out: Path) -> int:
        """Return the steps of this run: those of its plan, or new ones, which are written down."""
        plan = {
            'recipe': json.loads(json.dumps(asdict(self.recipe))),
            'batch': [self.share, self.machines.processes],
            'data': [[p.store.folder.name, len(p.training)] for p in self.portions],
        }
        file = out / PLAN
        if file.exists():
            found = json.loads(file.read_text())
            steps = int(found.pop('steps'))
            if found != plan:
                raise ValueError(f'{out}: {_difference(found, plan)}; name another --out')
            return steps
        seconds = 1.0
        if self.recipe.minutes:
            module = DepthTraining(network, self.spec, self.recipe, 1)
            views = self._views(self.recipe.check_every)
            batches = training_batches(views, self._positions(0), 0)
            seconds = time_steps(module, batches, self.machines)
        readings = sum(len(p.training) for p in self.portions)
        steps = steps_of(self.recipe, readings, seconds)
        out.mkdir(parents=True, exist_ok=True)
        write_whole(file, (json.dumps(plan | {'steps': steps}, indent=2) + '\n').encode())
        return steps

    def save(self, module: DepthTraining, trainer: Any, base: ModelSpec | None, out: Path) -> Path:
        """Calibrate the uncertainty and write the model."""
        best = out / 'best.ckpt'
        if self.recipe.keep == 'best' and best.exists():
            module.load_state_dict(torch.load(best, weights_only=True)['state_dict'])
        network: Any = module.averaged.module
        if base is not None and self.recipe.blend:
            blend(network, start(self.recipe, base.network_camera)[0], self.recipe.blend)
        trained: dict[str, Any] = {
            'steps': trainer.global_step,
            'minutes': round((time.monotonic() - self.begin) / 60, 1),
        }
        if self.watched is not None:
            trained['validation at the output grid'] = validate(
                network, self.watched, module.normalise
            )
        if self.watched is not None and network.architecture.uncertainty:
            shift = calibrate(network, self.watched, module.normalise)
            trained['uncertainty'] = f'log(b) shifted by {shift:+.3f} on the validation samples'
        spec = described(self.spec, base, self.recipe, self.portions, trained)
        return save_model(network, spec, out)


def has_depth(store: Store, indices: Sequence[int]) -> bool:
    """Whether any of these samples has a pixel with a depth; reads up to the first one."""
    depths = (store[i].depth for i in indices)
    return any(depth is not None and bool(np.isfinite(depth).any()) for depth in depths)


def _difference(found: dict[str, Any], plan: dict[str, Any]) -> str:
    for name, value in plan['recipe'].items():
        if found.get('recipe', {}).get(name) != value:
            return f'holds a run with {name} {found.get("recipe", {}).get(name)!r}, not {value!r}'
    return 'holds a run on other data, or on another number of processes'

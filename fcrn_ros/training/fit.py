"""
How a training runs: Lightning's Trainer, its checkpoints, and what it reports.

A run is cut into stretches of ``check_every`` steps; each ends with a validation and a checkpoint.
A run that was killed goes on from its last checkpoint and reads what it would have read.
"""

from __future__ import annotations

import importlib
import logging
import math
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.strategies import DDPStrategy

from fcrn_ros.training.checkpoints import WholeCheckpoints
from fcrn_ros.training.data.batches import Batches
from fcrn_ros.training.module import DepthTraining
from fcrn_ros.training.pictures import ValidationPictures
from fcrn_ros.training.recipe import Recipe

LOGGERS = {
    'tensorboard': 'TensorBoardLogger',
    'csv': 'CSVLogger',
    'wandb': 'WandbLogger',
    'mlflow': 'MLFlowLogger',
    'comet': 'CometLogger',
}
CLIP = 5.0  # of the gradient's norm
TIMED_STEPS = 3
SHARE_OF_STEPS = 0.9  # of the minutes; the rest is for validations and checkpoints


@dataclass(frozen=True)
class Machines:
    """
    What a training runs on.

    :param accelerator: Lightning's: auto, cpu, gpu.
    :param devices: processes on each machine.
    :param num_nodes: machines; torchrun or the cluster starts the processes on the others.
    :param workers: processes that read samples, for each process that trains.
    :param logger: a key of ``LOGGERS``, or none.
    :raises ValueError: the logger is not known, or there is no process.
    """

    accelerator: str = 'auto'
    devices: int = 1
    num_nodes: int = 1
    workers: int = 1
    logger: str = 'tensorboard'

    def __post_init__(self) -> None:
        if self.logger != 'none' and self.logger not in LOGGERS:
            raise ValueError(
                f'logger {self.logger!r}; expected none or one of {", ".join(LOGGERS)}'
            )
        if self.processes < 1:
            raise ValueError(f'{self.devices} devices on {self.num_nodes} machines; expected some')

    @property
    def gpu(self) -> bool:
        """Return whether training runs on NVIDIA GPUs."""
        return self.accelerator != 'cpu' and torch.cuda.is_available()

    @property
    def processes(self) -> int:
        """Return how many processes train together."""
        return self.devices * self.num_nodes


def build_trainer(
    recipe: Recipe, machines: Machines, steps: int, out: Path, watched: bool
) -> lightning.Trainer:
    """
    Return the Trainer of a run.

    :param steps: in all, a multiple of ``recipe.check_every``.
    :param out: folder of checkpoints and logs.
    :param watched: whether there are validation samples with depth.
    :raises ModuleNotFoundError: the logger's own package is not installed.
    """
    _quieten()
    together = machines.processes > 1
    strategy: Any = 'auto'
    if together:
        strategy = DDPStrategy(process_group_backend='nccl' if machines.gpu else 'gloo')
    return lightning.Trainer(
        accelerator=machines.accelerator,
        devices=machines.devices,
        num_nodes=machines.num_nodes,
        strategy=strategy,
        sync_batchnorm=together and machines.gpu,
        max_epochs=steps // recipe.check_every,
        accumulate_grad_batches=recipe.accumulate,
        precision=recipe.precision,  # type: ignore[arg-type]
        default_root_dir=out,
        logger=_logger(machines.logger, out),
        callbacks=_callbacks(recipe, machines, out, watched),
        plugins=[WholeCheckpoints()],
        gradient_clip_val=CLIP,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _quieten() -> None:
    """Leave out Lightning's advertisements, and its advice on what is meant to be so."""
    for library in ('lightning.pytorch', 'lightning.fabric'):
        logging.getLogger(library).setLevel(logging.WARNING)
    for advice in (
        'Checkpoint directory .* exists',
        '.*is smaller than the logging interval',
        'Found .* module.s. in eval mode',
        'You defined a `validation_step` but have no',
        '.*does not have many workers',
        '.*isinstance.treespec, LeafSpec.*',
        'The `srun` command is available',
    ):
        warnings.filterwarnings('ignore', advice)


class _Patience(EarlyStopping):
    """Early stopping that stays stopped: a run that goes on after it has nothing left to do."""

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop where the run that wrote the checkpoint stopped."""
        trainer.should_stop = self.wait_count >= self.patience


def _callbacks(recipe: Recipe, machines: Machines, out: Path, watched: bool) -> list[Callback]:
    callbacks: list[Callback] = [RichProgressBar(leave=False)]
    if machines.logger != 'none':
        callbacks.append(LearningRateMonitor('step'))
    if watched:
        callbacks.append(ValidationPictures())
        if recipe.patience:
            callbacks.append(_Patience('val_absrel', patience=recipe.patience))
        if recipe.keep == 'best':
            callbacks.append(
                ModelCheckpoint(
                    out,
                    'best',
                    monitor='val_absrel',
                    save_weights_only=True,
                    enable_version_counter=False,
                )
            )
    # after the others, whose state is part of it
    callbacks.append(
        ModelCheckpoint(out, 'last', save_on_train_epoch_end=True, enable_version_counter=False)
    )
    return callbacks


def _logger(name: str, out: Path) -> Any:
    if name == 'none':
        return False
    kind = getattr(importlib.import_module('lightning.pytorch.loggers'), LOGGERS[name])
    return kind(save_dir=out)


def steps_of(recipe: Recipe, readings: int, seconds: float) -> int:
    """
    Return how many steps a recipe asks for, a multiple of ``check_every``.

    :param readings: training samples.
    :param seconds: of one step on this machine; used where the recipe gives minutes.
    """
    steps: float = recipe.steps
    if recipe.epochs:
        steps = recipe.epochs * readings / recipe.batch
    if recipe.minutes:
        steps = recipe.minutes * 60 * SHARE_OF_STEPS / seconds
    return recipe.check_every * max(1, round(steps / recipe.check_every))


def time_steps(module: DepthTraining, batches: Batches, machines: Machines) -> float:
    """
    Return the seconds of one step, forward and backward, where training will run.

    Weights and statistics are as before afterwards.
    """
    device = 'cuda' if machines.gpu else 'cpu'
    state = {k: v.clone() for k, v in module.state_dict().items()}
    module.to(device).train()
    times = []
    for _, batch in zip(range(TIMED_STEPS + 1), batches, strict=False):
        begin = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, module.recipe.precision != '32-true'):
            raw = module.network.raw(module.normalise(batch['image'].to(device)))
        raw.float().mean().backward()
        raw.sum().item()  # waits for a GPU
        times.append(time.perf_counter() - begin)
    module.cpu().zero_grad(set_to_none=True)
    module.load_state_dict(state)
    return math.fsum(times[1:]) / max(1, len(times) - 1) * module.recipe.accumulate

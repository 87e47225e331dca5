"""From a folder of pairs to a model on disk: the ``fcrn train`` entry point."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from fcrn_ros import __version__
from fcrn_ros.camera import Camera
from fcrn_ros.model.encoder import build_encoder
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.upsample import UnpoolConv
from fcrn_ros.model.weights import ModelSpec, load_model, save_model
from fcrn_ros.training.augment import MAX_ZOOM
from fcrn_ros.training.calibration import calibrate
from fcrn_ros.training.datasets import Samples, decode, find_pairs, read_image, split
from fcrn_ros.training.module import Batches, DepthTraining, Views, loader
from fcrn_ros.training.pretrained import (
    TENSORFLOW_INPUT,
    TORCHVISION_INPUT,
    load_folded,
    load_torchvision,
)
from fcrn_ros.training.recipe import Recipe

START_DEPTH = 2.5  # [m], the prediction before the first step


def train(recipe: Recipe) -> Path:
    """
    Train, continuing an interrupted run of the same output folder, and save the averaged weights.

    :return: the new model's sidecar.
    :raises ValueError: data, names or sizes do not fit.
    :raises FileNotFoundError: there are no pairs.
    """
    lightning.seed_everything(recipe.seed, verbose=False)
    pairs = find_pairs(recipe.images, recipe.depths)
    rest, _ = split(pairs, recipe.test)
    training, validation = split(rest, recipe.validation)
    if len(training) < recipe.batch:
        raise ValueError(
            f'{len(training)} training pairs; expected at least a batch of {recipe.batch}'
        )
    height, width = read_image(training[0].image).shape[:2]
    camera = Camera(width, height, *recipe.intrinsics)
    network, spec = start(recipe, camera)
    _freeze_phase_biases(network)
    cache = recipe.out / 'cache'
    size = min(width, round(spec.input_size[1] * 1.25))
    module = DepthTraining(network, spec, recipe.loss, recipe.rate)
    views = Views(decode(training, camera, size, cache), spec, True, recipe.seed)
    spec = replace(spec, depth_range=_depth_range(views.samples))
    held_out = None
    if validation:
        samples = decode(validation, camera, size, cache)
        held_out = loader(Views(samples, spec, False), recipe.batch, 0)
    _fit(recipe, module, loader(views, recipe.batch, recipe.workers), held_out)
    averaged: Any = module.averaged.module
    calibration = {}
    if held_out is not None:
        if averaged.architecture.uncertainty:
            shift = calibrate(averaged, held_out, module.normalise)
            calibration = {
                'uncertainty': f'log(b) shifted by {shift:+.3f} on the validation pairs'
            }
        module.trainer.validate(module, held_out, verbose=False)
    spec = _described(recipe, spec, len(training), len(validation), module.trainer)
    spec = replace(spec, provenance=spec.provenance | calibration)
    return save_model(averaged, spec, recipe.out)


def start(recipe: Recipe, camera: Camera) -> tuple[Fcrn, ModelSpec]:
    """Return the network to train and its spec: a model to fine-tune, or a fresh one."""
    if recipe.model:
        network, spec = load_model(recipe.model)
        return network, spec
    network = Fcrn(
        Architecture(recipe.encoder, recipe.block, width=recipe.width, uncertainty=True)
    )
    mean_std = TORCHVISION_INPUT
    encoder = build_encoder(recipe.encoder)
    if recipe.encoder_weights is None:
        load_torchvision(encoder, recipe.encoder)
    else:
        load_folded(encoder, recipe.encoder_weights)
        if recipe.encoder == 'mobilenet_v2':
            mean_std = TENSORFLOW_INPUT
    network.encoder = encoder
    nn.init.zeros_(network.predict.bias)  # type: ignore[arg-type]
    network.predict.bias.data[0] = START_DEPTH  # type: ignore[union-attr]
    rows, columns = recipe.input_size
    small = camera.resized(columns, rows)
    intrinsics = {k: round(getattr(small, k), 4) for k in ('fx', 'fy', 'cx', 'cy')}
    spec = ModelSpec(recipe.name, {}, recipe.input_size, *mean_std, intrinsics, (0.5, 10.0))
    return network, spec


def _depth_range(samples: Samples) -> tuple[float, float]:
    """Return the nearest and farthest z-depth [m] that training meets, zoom included."""
    known = samples.depths[samples.depths > 0] / 1000
    if not known.size:
        raise ValueError('the training pairs hold no depth; expected millimetres above 0')
    return round(float(known.min()) / MAX_ZOOM, 2), round(float(known.max()), 2)


def _freeze_phase_biases(network: Fcrn) -> None:
    """
    Hold the biases of interleaved convolutions where they are.

    The batch normalisation behind them makes them redundant, and while the four of them agree the
    block may run as one transposed convolution.
    """
    for module in network.modules():
        if isinstance(module, UnpoolConv):
            for phase in module.phases:
                phase.bias.requires_grad_(False)  # type: ignore[union-attr, operator]


def _fit(
    recipe: Recipe, module: DepthTraining, training: Batches, validation: Batches | None
) -> None:
    last = recipe.out / 'last.ckpt'
    trainer = lightning.Trainer(
        max_epochs=recipe.epochs,
        precision=recipe.precision,  # type: ignore[arg-type]
        default_root_dir=recipe.out,
        callbacks=[ModelCheckpoint(recipe.out, save_last=True)],
        gradient_clip_val=5.0,
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    checkpoint = last if last.exists() else None
    trainer.fit(module, training, validation, ckpt_path=checkpoint)
    if trainer.interrupted:
        raise KeyboardInterrupt


def _described(
    recipe: Recipe, spec: ModelSpec, trained: int, validated: int, trainer: Any
) -> ModelSpec:
    provenance = {
        'data': f'{trained} pairs of {recipe.images.parent.name}; {validated} for validation, '
        f'{len(recipe.test)} never read',
        'started_from': recipe.model
        or 'ImageNet encoder '
        + (recipe.encoder_weights.name if recipe.encoder_weights else 'of torchvision'),
        'recipe': f'{recipe.loss}, AdamW {recipe.rate:g}, one cycle, batch {recipe.batch}, '
        f'{trainer.current_epoch} epochs, {trainer.global_step} steps, {recipe.precision}, '
        f'averaged weights, frozen encoder statistics, seed {recipe.seed}',
        'versions': f'fcrn_ros {__version__}, torch {torch.__version__}',
        'commit': _commit(),
    }
    metrics = {
        k.removeprefix('val_'): round(float(v), 4)
        for k, v in trainer.callback_metrics.items()
        if k.startswith('val_')
    }
    return replace(
        spec,
        name=recipe.name,
        licence=recipe.licence,
        provenance=provenance,
        metrics={'validation at the output grid': metrics} if metrics else {},
    )


def _commit() -> str:
    try:
        result = subprocess.run(
            ['git', 'rev-parse', '--short', 'HEAD'],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return 'not a git checkout'
    return result.stdout.strip()

"""The network that training starts from."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from fcrn_ros.camera import Camera
from fcrn_ros.model.encoder import build_encoder
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.weights import ModelSpec, load_model
from fcrn_ros.training.pretrained import (
    TENSORFLOW_INPUT,
    TORCHVISION_INPUT,
    load_folded,
    load_torchvision,
)
from fcrn_ros.training.recipe import FRESH, Recipe

LOGGER = logging.getLogger(__name__)
START_DEPTH = 2.5  # [m], the prediction before the first step


def start(recipe: Recipe, camera: Camera) -> tuple[Fcrn, ModelSpec]:
    """
    Return the network to train and its spec: a model to fine-tune, or a fresh one.

    :param camera: of the first source; a fresh model takes it as its training camera.
    :raises ModelError: the model to fine-tune is absent or damaged.
    :raises ValueError: there are no weights for the encoder.
    """
    if recipe.model != FRESH:
        return load_model(recipe.model)
    network = Fcrn(
        Architecture(recipe.encoder, recipe.block, width=recipe.width, uncertainty=True)
    )
    mean_std = TORCHVISION_INPUT
    encoder = build_encoder(recipe.encoder)
    if not recipe.encoder_weights:
        load_torchvision(encoder, recipe.encoder)
    else:
        missing = load_folded(encoder, Path(recipe.encoder_weights))
        if missing:
            LOGGER.warning(
                '%s has no weights for %d convolutions, which start at random; the first is %s',
                recipe.encoder_weights,
                len(missing),
                missing[0],
            )
        if recipe.encoder == 'mobilenet_v2':
            mean_std = TENSORFLOW_INPUT
    network.encoder = encoder
    nn.init.zeros_(network.predict.bias)  # type: ignore[arg-type]
    network.predict.bias.data[0] = START_DEPTH  # type: ignore[union-attr]
    rows, columns = recipe.input_size
    small = camera.resized(columns, rows)
    intrinsics = {k: round(getattr(small, k), 4) for k in ('fx', 'fy', 'cx', 'cy')}
    return network, ModelSpec('', {}, recipe.input_size, *mean_std, intrinsics, (0.5, 10.0))

"""What a model's sidecar says of how it was made."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fcrn_ros import __version__
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.training.data.partition import Portion
from fcrn_ros.training.data.view import plain_view
from fcrn_ros.training.recipe import Recipe

LOOKED_AT = 500  # samples of each source, for the range of depth


def described(
    spec: ModelSpec,
    base: ModelSpec | None,
    recipe: Recipe,
    portions: Sequence[Portion],
    trained: dict[str, Any],
) -> ModelSpec:
    """
    Return the spec of a trained model: range, licence, provenance.

    :param spec: with its new name, and its licence where one was given.
    :param base: of the model that was fine-tuned; None for a fresh one.
    :param portions: the data.
    :param trained: what the run itself says: steps, minutes, ...
    """
    weights = recipe.encoder_weights or 'torchvision'
    started = f'ImageNet encoder {Path(weights).name}'
    if base is not None:
        started = f'{base.name}, sha256 {base.sha256[:16]}'
    provenance = {
        'data': [_data(portion) for portion in portions],
        'started_from': started,
        'recipe': _recipe(recipe),
        'run': trained,
        'versions': f'fcrn_ros {__version__}, torch {torch.__version__}',
        'commit': commit(),
    }
    if base is not None:
        provenance['base'] = base.provenance
    return replace(
        spec,
        depth_range=_depth_range(spec, base, portions),
        licence=spec.licence or _licence(base, portions),
        provenance=provenance,
        metrics={},
    )


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe with files by their names: folders are of one machine."""
    content = {k: v for k, v in asdict(recipe).items() if k not in ('steps', 'minutes')}
    return content | {k: Path(content[k]).name for k in ('model', 'encoder_weights')}


def _data(portion: Portion) -> dict[str, Any]:
    store = portion.store
    return {
        'name': store.name,
        'licence': store.licence or 'not stated',
        'training': len(portion.training),
        'validation': len(portion.validation),
        'test': len(portion.test),
        'weight': portion.weight,
        'report': store.report,
    }


def _licence(base: ModelSpec | None, portions: Sequence[Portion]) -> str:
    parts = [p.store.licence or f'as the data of {p.store.name}' for p in portions]
    parts += [base.licence] if base is not None and base.licence else []
    return '; '.join(dict.fromkeys(parts))


def _depth_range(
    spec: ModelSpec, base: ModelSpec | None, portions: Sequence[Portion]
) -> tuple[float, float]:
    """Return the nearest and farthest canonical depth [m] of training, and of the base's."""
    near, far = base.depth_range if base is not None else (np.inf, -np.inf)
    for portion in portions:
        for index in portion.training[:: -(-len(portion.training) // LOOKED_AT)]:
            sample = portion.store[index]
            if sample.depth is not None and np.isfinite(sample.depth).any():
                view = plain_view(sample.camera, spec.input_size)
                factor = view.canonical(spec.network_camera)
                near = min(near, factor * float(np.nanmin(sample.depth)))
                far = max(far, factor * float(np.nanmax(sample.depth)))
    if not near < far:
        return spec.depth_range
    return round(near, 2), round(far, 2)


def commit() -> str:
    """Return the commit of this code, short; or that there is none."""
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

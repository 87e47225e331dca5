"""``fcrn train``: from pairs to a model on disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from fcrn_ros.commands.arguments import add_pair_options, size, stems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn train``."""
    from fcrn_ros.training.recipe import Recipe

    add_pair_options(parser)
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--name', required=True, help='of the new model')
    parser.add_argument('--model', default='', help='a model to fine-tune')
    parser.add_argument('--test', type=Path, help='file of stems that are never read')
    parser.add_argument('--validation', type=Path, help='file of stems to validate on')
    parser.add_argument('--encoder-weights', type=Path, help='.npz; default: torchvision')
    parser.add_argument('--input-size', type=size, default=Recipe.input_size)
    for name in ('encoder', 'block', 'loss', 'precision', 'licence'):
        parser.add_argument(f'--{name}', default=getattr(Recipe, name))
    for name in ('width', 'epochs', 'batch', 'seed', 'workers'):
        parser.add_argument(f'--{name}', type=int, default=getattr(Recipe, name))
    parser.add_argument('--rate', type=float, default=Recipe.rate)


def run(options: argparse.Namespace) -> int:
    """Train a model on a folder of pairs."""
    from dataclasses import fields

    from fcrn_ros.training.recipe import Recipe
    from fcrn_ros.training.train import train as run

    given = vars(options) | {
        'depths': options.depth,
        'intrinsics': options.camera,
        'test': stems(options.test),
        'validation': stems(options.validation),
    }
    recipe = Recipe(**{f.name: given[f.name] for f in fields(Recipe)})
    print(run(recipe))
    return 0

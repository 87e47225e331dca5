"""``fcrn train``: from recordings to a better model."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcrn_ros.commands.arguments import add_source_options, size, source_options

if TYPE_CHECKING:
    from fcrn_ros.training.sources.openers import Weighted

TEST, VALIDATION = 0.2, 0.1  # of every source, its last samples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn train``."""
    _add_data(parser)
    parser.add_argument('--out', type=Path, help='folder of the run; default: train_out/NAME')
    parser.add_argument('--name', help='of the new model; default: after model and first source')
    parser.add_argument('--licence', default='', help="of the weights; default: the data's")
    parser.add_argument(
        '--build', action='store_true', help='go on to the engine for this machine'
    )
    parser.add_argument('--json', action='store_true', help='the verdict as JSON')
    _add_recipe(parser)
    _add_machines(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'source',
        nargs='*',
        help='bag, folder or file; PATH=WEIGHT says how often it is read beside the others',
    )
    add_source_options(parser)
    for name, share in (('test', TEST), ('validation', VALIDATION)):
        parser.add_argument(
            f'--{name}',
            type=_held,
            default=share,
            metavar='SHARE|FILE',
            help=f'the last share of every source, or a file of names; default: {share}',
        )
    parser.add_argument('--cache', type=Path, help='of decoded samples; default: OUT/cache')


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    from fcrn_ros.training.recipe import CHOICES, HELP, Recipe

    group = parser.add_argument_group('recipe')
    length = group.add_mutually_exclusive_group()
    for field in fields(Recipe):
        default = getattr(Recipe, field.name)
        about = f'{HELP[field.name]}; default: {default!r}'
        options: dict[str, Any] = {'default': default, 'help': about}
        if field.name in CHOICES:
            options['choices'] = CHOICES[field.name]
        options['type'] = size if isinstance(default, tuple) else type(default)
        where = length if field.name in ('steps', 'epochs', 'minutes') else group
        where.add_argument(f'--{field.name.replace("_", "-")}', **options)


def _add_machines(command: argparse.ArgumentParser) -> None:
    parser = command.add_argument_group('machines')
    parser.add_argument('--accelerator', default='auto', choices=('auto', 'cpu', 'gpu'))
    parser.add_argument('--devices', type=int, default=1, help='processes on each machine')
    parser.add_argument('--num-nodes', type=int, default=1, help='machines, started by torchrun')
    parser.add_argument('--workers', type=int, default=1, help='processes that read samples')
    parser.add_argument(
        '--logger', default='tensorboard', help='tensorboard, csv, wandb, mlflow, ... or none'
    )


def _held(text: str) -> float | tuple[str, ...]:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return tuple(Path(text).read_text().split())
    except OSError as err:
        raise argparse.ArgumentTypeError(
            f'{text!r} is neither a share from 0 to 1 nor a file of names ({err.strerror})'
        ) from None


def run(options: argparse.Namespace) -> int:
    """Train a model on recorded data, and measure it against the one it started from."""
    from fcrn_ros.training.dataset import Data
    from fcrn_ros.training.fit import Machines
    from fcrn_ros.training.recipe import Recipe
    from fcrn_ros.training.train import train
    from fcrn_ros.training.verdict import compare_models, report

    recipe = Recipe(**{f.name: getattr(options, f.name) for f in fields(Recipe)})
    machines = Machines(**{f.name: getattr(options, f.name) for f in fields(Machines)})
    sources = _sources(options)
    name = options.name or f'fcrn_{sources[0].source.name}'.replace('.', '_')
    out = options.out or Path('train_out') / name
    cache = options.cache or out / 'cache'
    data = Data(tuple(sources), options.test, options.validation, cache)
    with redirect_stdout(sys.stderr):  # progress is not the result
        outcome = train(data, recipe, machines, out, name, options.licence)
        if outcome is None:
            return 0
        comparisons = compare_models(outcome)
    report(comparisons, outcome.sidecar, options.json)
    if options.build:
        _build(outcome.sidecar)
    return 0


def _build(sidecar: Path) -> None:
    from fcrn_ros.engine import open_engine

    with redirect_stdout(sys.stderr):
        engine = open_engine(str(sidecar), build='block')
        print(f'{engine.name} is ready')


def _sources(options: argparse.Namespace) -> list[Weighted]:
    from fcrn_ros.training.sources.openers import Weighted, open_weighted
    from fcrn_ros.training.sources.pairs import PairsSource

    how = source_options(options, ('stereo',) if options.objective == 'stereo' else ())
    sources = [open_weighted(text, how) for text in options.source]
    if options.images or options.depth:
        if not (options.images and options.depth):
            raise ValueError('--images and --depth belong together; expected both')
        pairs = PairsSource(options.images, options.depth, options.camera, options.depth_unit)
        sources.insert(0, Weighted(pairs))
    if not sources:
        raise ValueError('nothing to train on; expected a SOURCE, or --images and --depth')
    return sources

"""``fcrn bench``: its arguments, and what becomes of the rows."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from fcrn_ros import bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn bench``."""
    parser.add_argument('--model', default='', help='a shipped model or a path')
    parser.add_argument('--naive', action='store_true', help='add ResNet-50 and its naive form')
    parser.add_argument(
        '--backends',
        action='store_true',
        help='compare the engines alone, without the stages around them and the node',
    )
    parser.add_argument(
        '--end-to-end',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='measure the node in its own process too, over DDS',
    )
    parser.add_argument(
        '--images', type=Path, metavar='DIR', help='compare depths on these; default: the clip'
    )
    parser.add_argument('--repeats', type=_positive, default=30, help='of a timing (default 30)')
    parser.add_argument('--batch', type=_positive, default=1, help='images at a time (default 1)')
    parser.add_argument('--plot', type=_png, metavar='FILE.png', help='draw the engines as bars')
    parser.add_argument('--json', action='store_true')


def run(options: argparse.Namespace) -> int:
    """Measure every engine and stage on this machine."""
    from fcrn_ros.bench.table import table

    if options.plot and find_spec('matplotlib') is None:
        raise ValueError("--plot needs matplotlib: pip install 'fcrn_ros[demo]'")
    plan = bench.Plan(
        options.model,
        options.naive,
        options.backends,
        options.end_to_end,
        options.repeats,
        options.batch,
        options.images,
    )
    rows = _measured(plan)
    if options.plot:
        from fcrn_ros.bench.plot import plot

        plot(rows, options.plot)
    print(json.dumps(rows, indent=2) if options.json else table(rows))
    return 0


def _measured(plan: bench.Plan) -> list[bench.Row]:
    from rich.console import Console

    with Console(stderr=True).status('starting') as status:
        return bench.measure(plan, status.update)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from 1 on')
    return int(text)


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != '.png' or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f'{text!r} is not a .png file in a folder that exists')
    return path

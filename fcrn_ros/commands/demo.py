"""``fcrn demo``: the whole system on the bundled clip, or on your own pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fcrn_ros.commands.arguments import add_engine_options, intrinsics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn demo``."""
    add_engine_options(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--bag', type=Path, help='a ROS 1 or ROS 2 bag')
    source.add_argument('--images', type=Path, help='a folder of images')
    source.add_argument('--video', type=Path, help='a video file')
    source.add_argument('--camera', type=int, help='number of a camera of this computer')
    parser.add_argument('--topic', default='', help='the colour topic of the bag')
    parser.add_argument(
        '--intrinsics',
        type=intrinsics,
        metavar='FX,FY,CX,CY',
        help='of images, video or camera; without it there is depth but no cloud',
    )
    parser.add_argument('--seconds', type=float, default=12.0, help='at most (default 12)')
    parser.add_argument('--out', type=Path, default=Path('demo_out'))


def run(options: argparse.Namespace) -> int:
    """Show the whole system on the bundled clip, or on your own pictures."""
    from fcrn_ros.demo.process import prepare_environment

    prepare_environment()
    from fcrn_ros.demo.run import run_demo
    from fcrn_ros.sources import open_source

    source = open_source(
        options.bag,
        options.images,
        options.video,
        options.camera,
        options.intrinsics,
        options.topic,
    )
    names = ('model', 'backend', 'device', 'precision')
    parameters = {n: getattr(options, n) for n in names if getattr(options, n)}
    summary = run_demo(source, options.out, options.seconds, parameters)
    if not summary['frames_out']:
        print(f'fcrn demo: no depth came; see {options.out / "node.log"}', file=sys.stderr)
        return 1
    return 0

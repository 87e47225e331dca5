"""Arguments that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcrn_ros.training.sources.openers import Options

TOPICS = ('image', 'camera_info', 'depth', 'depth_info', 'right', 'right_info', 'odometry')


def intrinsics(text: str) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy [px] of a text."""
    try:
        fx, fy, cx, cy = (float(x) for x in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not fx,fy,cx,cy: four numbers in pixels'
        ) from None
    return fx, fy, cx, cy


def size(text: str) -> tuple[int, int]:
    """Return (rows, columns) of a text."""
    try:
        rows, columns = (int(x) for x in text.split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not ROWSxCOLUMNS') from None
    return rows, columns


def stems(path: Path | None) -> tuple[str, ...]:
    """Return the words of a file; none where there is no file."""
    return tuple(path.read_text().split()) if path is not None else ()


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides on the engine."""
    parser.add_argument('--model', default='', help='a shipped model or a path')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='auto')


def add_picture_options(parser: argparse.ArgumentParser) -> Any:
    """Add where pictures come from; return the group of which one may be given."""
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
    return source


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what sources of samples do not tell by themselves."""
    parser.add_argument('--images', type=Path, help='folder of colour images, with --depth')
    parser.add_argument('--depth', type=Path, help='folder of their 16-bit PNGs in mm')
    parser.add_argument(
        '--camera', type=intrinsics, metavar='FX,FY,CX,CY', help='of images that come without'
    )
    parser.add_argument('--depth-unit', type=float, default=0.001, help='of depth PNGs [m]')
    parser.add_argument(
        '--tolerance', type=float, default=0.02, help='between stamps of a pair [s]'
    )
    for topic in TOPICS:
        option = f'--{topic.replace("_", "-")}-topic'
        parser.add_argument(option, default='', help='of a bag; default: found by its type')


def source_options(options: argparse.Namespace, need: tuple[str, ...] = ()) -> Options:
    """
    Return how to open sources.

    :param need: of depth, stereo and pose, what every sample of a bag has to have.
    """
    from fcrn_ros.training.sources.bags import BagOptions
    from fcrn_ros.training.sources.openers import Options

    topics = {name: getattr(options, f'{name}_topic') for name in TOPICS}
    bag = BagOptions(**topics, tolerance=options.tolerance, need=need)
    return Options(camera=options.camera, depth_unit=options.depth_unit, bag=bag)

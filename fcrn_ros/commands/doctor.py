"""``fcrn doctor``: what is amiss in an installation or a live graph."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn doctor``."""
    parser.add_argument('--image', default='/image', help='the image topic')
    parser.add_argument('--camera-info', default='/camera_info', help='its camera_info topic')
    parser.add_argument('--model', default='', help='a shipped model or a path')
    parser.add_argument('--seconds', type=float, default=3.0, help='how long to listen')
    parser.add_argument('--json', action='store_true')


def run(options: argparse.Namespace) -> int:
    """Check this installation and the live graph, and say what to do."""
    from fcrn_ros.doctor import run

    return run(
        image=options.image,
        camera_info=options.camera_info,
        model=options.model,
        seconds=options.seconds,
        as_json=options.json,
    )

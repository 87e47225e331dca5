"""``fcrn demo``: the whole system on the bundled clip, or on your own pictures."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fcrn_ros.commands.arguments import add_engine_options, add_picture_options
from fcrn_ros.commands.view import add_page_options, open_browser

if TYPE_CHECKING:
    from fcrn_ros.viewer.child import PageProcess


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn demo``."""
    add_engine_options(parser)
    add_picture_options(parser)
    parser.add_argument('--seconds', type=float, default=12.0, help='at most (default 12)')
    parser.add_argument('--out', type=Path, default=Path('demo_out'))
    parser.add_argument(
        '--view', action='store_true', help='show it live in the browser, and keep the page'
    )
    add_page_options(parser)


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
    if _is_clip(options):
        parameters |= _clip_parameters()
    with _page(options) if options.view else nullcontext() as page:
        summary = run_demo(source, options.out, options.seconds, parameters)
        if not summary['frames_out']:
            print(f'fcrn demo: no depth came; see {options.out / "node.log"}', file=sys.stderr)
            return 1
        if page is not None:
            _keep(page)
    return 0


def _is_clip(options: argparse.Namespace) -> bool:
    return not any((options.bag, options.images, options.video)) and options.camera is None


def _clip_parameters() -> dict[str, object]:
    """Return what the node is told of the bundled clip: its camera's height is known."""
    from fcrn_ros.sources import CLIP_MOUNTING

    return {
        'scale': 'ground',
        'camera_height': CLIP_MOUNTING.height,
        'camera_pitch': CLIP_MOUNTING.pitch,
        'camera_roll': CLIP_MOUNTING.roll,
    }


def _page(options: argparse.Namespace) -> PageProcess:
    """Start the page of the node that will run; it computes in a process of its own."""
    from fcrn_ros.demo.run import namespace
    from fcrn_ros.sources import CLIP_MOUNTING
    from fcrn_ros.viewer.child import PageProcess
    from fcrn_ros.viewer.server import require_rerun

    require_rerun()
    arguments = ['--namespace', namespace(), '--no-browser']
    arguments += ['--port', str(options.port), '--grpc-port', str(options.grpc_port)]
    if _is_clip(options):
        degrees = (math.degrees(a) for a in (CLIP_MOUNTING.pitch, CLIP_MOUNTING.roll))
        pitch, roll = map(str, degrees)
        arguments += ['--height', str(CLIP_MOUNTING.height), '--pitch', pitch, '--roll', roll]
    options.out.mkdir(parents=True, exist_ok=True)
    page = PageProcess(arguments, options.out / 'view.log')
    open_browser(page.url, options)
    return page


def _keep(page: PageProcess) -> None:
    from fcrn_ros.shell.signals import end_on_signals

    try:
        end_on_signals()
        print(f'the page stays at {page.url} until Ctrl-C', flush=True)
        page.wait()
    except KeyboardInterrupt:
        pass

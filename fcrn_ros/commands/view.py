"""``fcrn view``: a page in the browser, of pictures or of a running node."""

from __future__ import annotations

import argparse
import math
import os
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fcrn_ros.commands.arguments import add_engine_options, add_picture_options
from fcrn_ros.mounting import Mounting

if TYPE_CHECKING:
    from fcrn_ros.viewer.server import ViewerServer
    from fcrn_ros.viewer.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn view``."""
    add_engine_options(parser)
    source = add_picture_options(parser)
    source.add_argument('--namespace', help="of a running node's topics, for example /front")
    parser.add_argument(
        '--height', type=float, help='of the camera above the floor [m]: tells floor from obstacle'
    )
    parser.add_argument('--pitch', type=float, default=0.0, help='of it, downwards [deg]')
    parser.add_argument('--roll', type=float, default=0.0, help='of it, to the right [deg]')
    parser.add_argument(
        '--rate', type=positive, default=10.0, help='frames per second at most (default 10)'
    )
    add_page_options(parser)
    parser.add_argument('--seconds', type=positive, default=math.inf, help='end after so long')
    parser.add_argument(
        '--save', type=Path, metavar='FILE.rrd', help='write a recording too, to look at later'
    )


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Add what a page needs to know."""
    parser.add_argument('--port', type=int, default=9090, help='of the page; 0: a free one')
    parser.add_argument('--grpc-port', type=int, default=9876, help='of its data; 0: a free one')
    parser.add_argument('--no-browser', action='store_true', help='only print the address')


def run(options: argparse.Namespace) -> int:
    """Show camera, depth, points and obstacles in the browser, live."""
    from fcrn_ros.shell.signals import end_on_signals, was_interrupted
    from fcrn_ros.viewer.server import ViewerServer, require_rerun

    require_rerun()
    try:
        end_on_signals()
        show = _node if options.namespace is not None else _pictures(options)
        with ViewerServer(options.port, options.grpc_port) as server:
            open_browser(server.page.url, options)
            show(options, server)
    except KeyboardInterrupt:
        pass
    except RuntimeError:
        if not was_interrupted():
            raise
    return 0


def _pictures(options: argparse.Namespace) -> Callable[[argparse.Namespace, ViewerServer], None]:
    """Open source and engine, and return what shows them."""
    from fcrn_ros.pipeline import DepthPipeline
    from fcrn_ros.settings import Settings
    from fcrn_ros.sources import CLIP_MOUNTING, open_source

    chosen = options.bag, options.images, options.video, options.camera
    source = open_source(*chosen, options.intrinsics, options.topic)
    mounting = _mounting(options)
    if mounting is None and chosen == (None, None, None, None):
        mounting = CLIP_MOUNTING
    settings = Settings(scale='ground' if mounting is not None else 'focal')
    pipeline = DepthPipeline.open(
        options.model,
        options.backend,
        options.device,
        options.precision,
        settings.options(),
    )

    def show(options: argparse.Namespace, server: ViewerServer) -> None:
        from fcrn_ros.viewer.playback import play

        engine = pipeline.engine
        what = f'{source.name}, depth by {engine.spec.name} ({engine.name})'
        with _session(options, server, what, mounting) as session:
            play(source, pipeline, session, options.rate, settings)
            if session.going():
                print('these were all; the page stays until Ctrl-C', flush=True)
            session.wait()

    return show


def _node(options: argparse.Namespace, server: ViewerServer) -> None:
    from fcrn_ros.viewer.live import watch

    what = f'Live: the depth node in {options.namespace or "/"}'
    with _session(options, server, what, _mounting(options)) as session:
        watch(options.namespace, session, options.rate)


def _session(
    options: argparse.Namespace, server: ViewerServer, what: str, mounting: Mounting | None
) -> Session:
    from fcrn_ros.viewer.session import Session

    return Session(server, what, mounting, options.save, options.seconds)


def _mounting(options: argparse.Namespace) -> Mounting | None:
    if options.height is None:
        return None
    return Mounting(options.height, math.radians(options.pitch), math.radians(options.roll))


def positive(text: str) -> float:
    """Return the number above 0 of a text."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number > 0:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
    return number


def open_browser(url: str, options: argparse.Namespace) -> None:
    """Say where the page is, and open it where there is a screen for it."""
    print(f'open {url} in a browser; Ctrl-C ends', flush=True)
    # without a screen it would be a browser for terminals, and take this one
    screen = sys.platform != 'linux' or any(map(os.environ.get, ('DISPLAY', 'WAYLAND_DISPLAY')))
    if screen and not options.no_browser:
        webbrowser.open(url)

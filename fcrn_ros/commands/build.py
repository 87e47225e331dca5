"""``fcrn build``: make what an engine needs ahead of time, and say how far it is."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from fcrn_ros.engine import (
    BACKENDS,
    PRECISIONS,
    DepthEngine,
    EngineError,
    Progress,
    Request,
    open_engine,
)
from fcrn_ros.engine.cache import Cache


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn build``."""
    parser.add_argument('model', nargs='?', default='', help='a shipped model or a path')
    parser.add_argument('--backend', default='auto', choices=BACKENDS)
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--precision', default='auto', choices=PRECISIONS)
    parser.add_argument('--threads', type=int, default=0, help='as the node will have them')
    parser.add_argument(
        '--calibration',
        type=Path,
        metavar='PATH',
        help='pictures for int8: a folder, a video or a bag; default: the bundled clip',
    )
    parser.add_argument(
        '--capability',
        default='',
        choices=('any', '7.5'),
        help='a TensorRT plan for another machine: any is every GPU from Ampere on, 7.5 Turing',
    )
    parser.add_argument('--json', action='store_true', help='one JSON object a line')
    # end when standard input does: a node's pipe
    parser.add_argument('--follow-parent', action='store_true', help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Build an engine ahead of time, so that the node starts with it."""
    report = _report_as_json if options.json else _Bar()
    if options.follow_parent:
        _end_with_the_parent()
    if options.calibration is not None and options.precision != 'int8':
        raise EngineError(
            f'--calibration is for int8; expected --precision int8, found {options.precision}'
        )
    try:
        Cache().require_writable()
    except OSError as err:
        raise EngineError(f'nothing that is built can be kept: {err}') from err
    if options.capability:
        return _build_for_another_machine(options, report)
    engine = open_engine(
        options.model,
        options.backend,
        options.device,
        options.precision,
        options.threads,
        progress=report,
        calibration=options.calibration,
    )
    _say(engine, options.json)
    return 0


def _build_for_another_machine(options: argparse.Namespace, report: Progress) -> int:
    if options.backend != 'tensorrt':
        raise EngineError(
            f'--capability is for a TensorRT plan; expected --backend tensorrt, '
            f'found {options.backend}'
        )
    from fcrn_ros.engine.tensorrt.plan import build_plan

    request = Request(options.model, 'auto', options.precision, progress=report)
    plan = build_plan(request, options.capability)
    print(f'a plan of {len(plan) / 1e6:.1f} MB is in {Cache().folder}')
    return 0


def _say(engine: DepthEngine, as_json: bool) -> None:
    found = {
        'model': engine.spec.name,
        'backend': engine.name,
        'precision': engine.precision,
        'device': engine.device,
    }
    print(json.dumps(found) if as_json else ', '.join(f'{k} {v}' for k, v in found.items()))


def _report_as_json(what: str, share: float) -> None:
    print(json.dumps({'what': what, 'share': share}), flush=True)


class _Bar:
    """A progress bar in the terminal, from the first report on."""

    def __init__(self) -> None:
        from rich.progress import Progress

        self._progress = Progress(transient=True)
        self._task = self._progress.add_task('building', total=1.0)
        self._started = False

    def __call__(self, what: str, share: float) -> None:
        if not self._started:
            self._started = True
            self._progress.start()
        self._progress.update(self._task, description=what, completed=share)
        if share >= 1:
            self._progress.stop()
            self._started = False


def _end_with_the_parent() -> None:
    """End when standard input does: it is a pipe from the node that wants the engine."""

    def watch() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

"""``fcrn evaluate``: models against recorded depth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fcrn_ros.commands.arguments import add_source_options, source_options, stems

if TYPE_CHECKING:
    from fcrn_ros.training.data.samples import Sample, Source
    from fcrn_ros.training.evaluation.evaluate import Evaluation
    from fcrn_ros.training.sources.pairs import Pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn evaluate``."""
    parser.add_argument(
        'sources', nargs='*', type=Path, metavar='SOURCE', help='bag, dataset or folder'
    )
    add_source_options(parser)
    parser.add_argument(
        '--model', action='append', help='a shipped model or a path; several are compared'
    )
    for name in ('backend', 'device', 'precision'):
        parser.add_argument(f'--{name}', default='auto')
    parser.add_argument('--stems', type=Path, help='file of the samples to use; default: all')
    parser.add_argument('--scale', default='focal', choices=('focal', 'none', 'median'))
    parser.add_argument('--protocol', default='native', choices=('native', 'nyu', 'kitti'))
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--plots', type=Path, metavar='DIR', help='draw PNGs into a folder')
    parser.add_argument('--record', metavar='WHAT', help="write into a model's sidecar as WHAT")
    parser.set_defaults(wrong_usage=parser.error)


def run(options: argparse.Namespace) -> int:
    """Measure models against recorded depth."""
    _require_input(options)
    from fcrn_ros.model.weights import find_model
    from fcrn_ros.training.evaluation.comparison import record, report

    models = options.model or ['']
    sidecars = [find_model(model) for model in models]
    data = _opened(options)
    evaluations = _distinct([_evaluated(model, data, options) for model in models], models)
    report(evaluations, options.json)
    data.report()
    if options.plots:
        from fcrn_ros.training.evaluation.plots import draw

        draw(evaluations, options.plots)
    if options.record:
        for evaluation, sidecar in zip(evaluations, sidecars, strict=True):
            record(evaluation, sidecar, options.record)
    return 0


def _require_input(options: argparse.Namespace) -> None:
    folders = (options.images, options.depth)
    if options.sources and any(folders):
        options.wrong_usage('SOURCE is not allowed with --images or --depth')
    if not options.sources and None in (*folders, options.camera):
        options.wrong_usage('expected SOURCE, or all of --images, --depth and --camera')
    if options.plots and find_spec('matplotlib') is None:
        raise ValueError("--plots needs matplotlib: pip install 'fcrn_ros[train]'")


@dataclass(frozen=True)
class _Data:
    """
    What to measure with: pairs, or sources.

    :param intrinsics: fx, fy, cx, cy [px] of the pairs.
    :param names: of the sources' samples to use; none: all.
    """

    intrinsics: tuple[float, float, float, float]
    pairs: list[Pair] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    names: tuple[str, ...] | None = None

    def samples(self) -> Iterator[Sample]:
        """Yield the samples; :raises ValueError: a name has none."""
        from fcrn_ros.training.evaluation.evaluate import pair_samples

        if not self.sources:
            yield from pair_samples(self.pairs, self.intrinsics)
            return
        missing = set(self.names or ())
        for source in self.sources:
            for sample in source.samples():
                missing.discard(sample.name)
                if self.names is None or sample.name in self.names:
                    yield sample
        if missing:
            raise ValueError(f'{len(missing)} names have no sample; the first: {min(missing)}')

    def __len__(self) -> int:
        if self.names is not None:
            return len(self.names)
        return len(self.pairs) or sum(map(len, self.sources))

    def report(self) -> None:
        """Say on standard error what reading the sources found."""
        for source in self.sources:
            for line in source.report():
                print(f'{source.name}: {line}', file=sys.stderr)


def _opened(options: argparse.Namespace) -> _Data:
    if options.sources:
        from fcrn_ros.training.sources.openers import open_samples

        given = source_options(options, ('depth',))
        names = stems(options.stems) if options.stems else None
        sources = [open_samples(path, given) for path in options.sources]
        return _Data(options.camera, sources=sources, names=names)
    from fcrn_ros.training.sources.pairs import find_pairs, split

    pairs = find_pairs(options.images, options.depth)
    if options.stems:
        _, pairs = split(pairs, stems(options.stems))
    return _Data(options.camera, pairs)


def _evaluated(model: str, data: _Data, options: argparse.Namespace) -> Evaluation:
    from rich.console import Console
    from rich.progress import track

    from fcrn_ros.pipeline import DepthPipeline
    from fcrn_ros.training.evaluation.evaluate import evaluate
    from fcrn_ros.training.evaluation.protocols import PROTOCOLS

    pipeline = DepthPipeline.open(model, options.backend, options.device, options.precision)
    console = Console(stderr=True)
    title = f'Evaluating {pipeline.engine.spec.name}'
    samples = track(
        data.samples(),
        title,
        len(data) or None,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    return evaluate(pipeline, samples, PROTOCOLS[options.protocol], options.scale)


def _distinct(evaluations: list[Evaluation], models: list[str]) -> list[Evaluation]:
    """Return evaluations named as the models were given, where their own names are the same."""
    if len({e.model for e in evaluations}) == len(evaluations):
        return evaluations
    return [
        replace(e, model=model or e.model) for e, model in zip(evaluations, models, strict=True)
    ]

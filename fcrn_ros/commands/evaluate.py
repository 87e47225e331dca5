"""``fcrn evaluate``: a model against recorded depth."""

from __future__ import annotations

import argparse
from pathlib import Path

from fcrn_ros.commands.arguments import add_engine_options, add_pair_options, stems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn evaluate``."""
    add_engine_options(parser)
    add_pair_options(parser)
    parser.add_argument('--stems', type=Path, help='file of the stems to use; default: all')
    parser.add_argument('--scale', default='focal', choices=('focal', 'none'))
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--record', metavar='WHAT', help="write into the model's sidecar as WHAT")


def run(options: argparse.Namespace) -> int:
    """Measure a model on a folder of pairs."""
    from fcrn_ros.model.weights import find_model
    from fcrn_ros.pipeline import DepthPipeline, Options
    from fcrn_ros.training import evaluate as evaluation
    from fcrn_ros.training.datasets import find_pairs, split

    pairs = find_pairs(options.images, options.depth)
    if options.stems is not None:
        _, pairs = split(pairs, stems(options.stems))
    pipeline = DepthPipeline.open(
        options.model,
        options.backend,
        options.device,
        options.precision,
        Options(scale=options.scale),
    )
    result = evaluation.evaluate(pipeline, pairs, options.camera)
    evaluation.report(result, options.json)
    if options.record:
        evaluation.record(result, find_model(options.model), options.record)
    return 0

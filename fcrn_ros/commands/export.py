"""``fcrn export``: a model as an ONNX file, and how far it is from the network."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcrn_ros.engine.export_check import Errors, Exported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn export``."""
    parser.add_argument('model', nargs='?', default='', help='a shipped model or a path')
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='default: NAME.onnx or NAME_PRECISION.onnx'
    )
    parser.add_argument(
        '--precision',
        default='fp32',
        choices=('fp32', 'fp16', 'bf16'),
        help='of weights and activations (default fp32)',
    )
    parser.add_argument(
        '--form',
        default='auto',
        choices=('auto', 'transposed', 'shuffled'),
        help='of the up-sampling convolutions; auto takes the first that can hold the weights',
    )
    parser.add_argument(
        '--batch', type=int, default=0, help='images at a time; 0, the default, leaves it open'
    )
    parser.add_argument('--json', action='store_true')


def run(options: argparse.Namespace) -> int:
    """Write a model as ONNX, checked against PyTorch."""
    from fcrn_ros.engine.export_check import export_file

    done = export_file(options.model, options.out, options.precision, options.form, options.batch)
    print(json.dumps(asdict(done), indent=2, default=str) if options.json else _table(done))
    return 0


def _table(done: Exported) -> str:
    tensors = [
        f'{kind}\t{name}\t{shape}'
        for kind, shapes in (('input', done.inputs), ('output', done.outputs))
        for name, shape in shapes.items()
    ]
    file = f'{done.path}\topset {done.opset}\t{done.precision}\t{done.form}'
    return '\n'.join([file, *tensors, _comparison(done.errors)])


def _comparison(errors: Errors | None) -> str:
    if errors is None:
        return 'not compared with PyTorch: ONNX Runtime has no bf16 on a CPU; OpenVINO has'
    return (
        f'{errors.runtime} and PyTorch differ by at most {errors.max_m:.2g} m, on average '
        f'{errors.mean_m:.2g} m; median {errors.median_relative:.2g} of the depth'
    )

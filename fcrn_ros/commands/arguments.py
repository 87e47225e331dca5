"""Arguments that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
from pathlib import Path


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


def add_pair_options(parser: argparse.ArgumentParser) -> None:
    """Add a folder of pairs and its camera."""
    parser.add_argument('--images', type=Path, required=True, help='folder of colour images')
    parser.add_argument('--depth', type=Path, required=True, help='folder of 16-bit PNGs in mm')
    parser.add_argument('--camera', type=intrinsics, required=True, metavar='FX,FY,CX,CY')

"""``fcrn bench``: what each stage costs on this machine, as rows that programs read."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def measure(model: str, naive: bool, end_to_end: bool, repeats: int) -> list[Row]:
    """
    Measure every stage in one run, so that the ratios hold.

    :param model: a shipped model's name or a path; '' is the default.
    :param naive: add ResNet-50 at 228 x 304, naive and fused.
    :param end_to_end: add publishing, and the node in its own process, over DDS.
    :param repeats: of each timing.
    :return: rows with ``what``, ``model``, ``backend``, ``precision``, ``form``, ``batch``, ``ms``
    :return: rows with ``what``, ``model``, ``backend``, ``precision``, ``form``, ``batch``, ``ms``
    """
    from fcrn_ros.bench import network, stages

    rows = network.ceilings(repeats)
    peak = {row['precision']: row['tflops'] for row in rows}
    rows += network.model_rows(model, repeats, peak)
    if naive:
        rows += network.naive_rows(repeats, peak)
    rows += stages.stage_rows(model, repeats)
    if end_to_end and find_spec('rclpy') is None:
        print('no ROS 2 (rclpy): the node is not measured', file=sys.stderr)
    elif end_to_end:
        from fcrn_ros.bench.end_to_end import end_to_end_rows, publish_rows

        rows += publish_rows(repeats) + end_to_end_rows(model)
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a table for people."""
    result = Table()
    columns = ('what', 'model', 'precision', 'form', 'threads')
    figures = ('median ms', 'p95', 'images/s', 'of ceiling', 'gain')
    for column in columns:
        result.add_column(column)
    for column in figures:
        result.add_column(column, justify='right')
    for row in rows:
        ms = row['ms']
        result.add_row(
            row['what'],
            row['model'] or '',
            row['precision'] or '',
            row['form'] or '',
            str(row.get('threads', '')),
            f'{ms["median"]:.2f}',
            f'{ms["p95"]:.2f}',
            f'{row["images_per_s"]:.1f}' if row['images_per_s'] else '',
            f'{row["share_of_ceiling"]:.0%}' if row['share_of_ceiling'] else '',
            f'{row["gain"]:.1f}x' if 'gain' in row else '',
        )
    text = io.StringIO()
    Console(file=text, width=110).print(result)
    return text.getvalue()

"""The networks' rows as a bar plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fcrn_ros.bench.table import is_network, label

COLORS = {'torch': '#3b6fb6', 'openvino': '#2a9d74', 'tensorrt': '#d98324'}
FORM_COLORS = {'plain': '#9aa3ad', 'naive': '#5f6872'}
FAILED = '#b03030'
LONGEST = 72  # characters of a reason
Row = dict[str, Any]


def plot(rows: list[Row], path: Path) -> None:
    """
    Draw each network's engines: median ms, or images/s where batches are larger than one.

    :param rows: those of :func:`fcrn_ros.bench.measure`.
    :param path: of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    networks = [r for r in rows if is_network(r)]
    models = list(dict.fromkeys(r['model'] for r in networks))
    groups = [[r for r in networks if r['model'] == model] for model in models]
    sizes = [len(group) + 2 for group in groups]
    figure = Figure(figsize=(10, 0.36 * sum(sizes) + 0.4), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=sizes)[:, 0]
    for panel, group in zip(panels, groups, strict=True):
        _draw(panel, group)
    figure.savefig(path, dpi=140)


def _draw(panel: Any, rows: list[Row]) -> None:
    batch = max(r['batch'] for r in rows)
    values = [_value(row, batch) for row in rows]
    positions = range(len(rows))
    panel.barh(positions, values, color=[_color(row) for row in rows], height=0.72)
    for y, (row, value) in enumerate(zip(rows, values, strict=True)):
        color = FAILED if row['error'] else '#222222'
        panel.annotate(
            _note(row),
            (value, y),
            xytext=(5, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
            color=color,
        )
    panel.set_yticks(positions, [label(row) for row in rows], fontsize=9)
    panel.invert_yaxis()
    panel.margins(y=0.02)
    panel.set_xlim(0, 1.6 * (max(values) or 1.0))
    panel.set_xlabel('median ms of one image' if batch == 1 else f'images/s, batches of {batch}')
    panel.set_title(rows[0]['model'], loc='left', fontsize=11, fontweight='bold')
    panel.spines[['top', 'right']].set_visible(False)


def _value(row: Row, batch: int) -> float:
    return float((row['ms']['median'] if batch == 1 else row['images_per_s']) or 0.0)


def _color(row: Row) -> str:
    return FORM_COLORS.get(row['form']) or COLORS.get(row['backend'], FAILED)


def _short(value: float) -> str:
    return f'{value:.3g}' if value < 1000 else f'{value:.0f}'


def _note(row: Row) -> str:
    """Return the text at the end of a bar: its time, rate and error, or why there is none."""
    if row['error']:
        reason = row['error']
        return reason if len(reason) <= LONGEST else reason[:LONGEST].rsplit(' ', 1)[0] + ' ...'
    parts = [f'{_short(row["ms"]["median"])} ms', f'{_short(row["images_per_s"])}/s']
    if row['depth_error'] and row['form'] != 'plain':
        parts.append(f'error {row["depth_error"]["median"]:.2%}')
    if row.get('gain') and row['form'] != 'naive':
        parts.append(f'{row["gain"]:.1f}x')
    return '  '.join(parts)

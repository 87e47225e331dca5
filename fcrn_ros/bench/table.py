"""The rows as tables for people: one of each network, one of everything else."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fcrn_ros.bench.engines import AS_THE_NODE

WIDTH = 150  # at most; a table is as wide as its figures
Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def table(rows: list[Row]) -> str:
    """Return the rows as tables; what failed follows with its reason."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH)
    networks = [r for r in rows if is_network(r)]
    for model in dict.fromkeys(r['model'] for r in networks):
        mine = [r for r in networks if r['model'] == model]
        console.print(_table(_title(mine), NETWORK, mine))
    others = [r for r in rows if r not in networks]
    if others:
        console.print(_table('', OTHER, others))
    for row in rows:
        if row.get('error'):
            console.print(f'{label(row)}: {row["error"]}', markup=False, highlight=False)
    return text.getvalue()


def is_network(row: Row) -> bool:
    """Whether a row is of an engine, as opposed to a stage or a matrix product."""
    return 'depth_error' in row


def label(row: Row) -> str:
    """Return what a row is of, in words."""
    words = [row['backend'], row['precision'], _short_form(row)]
    node = ['(node)'] if row['what'] == AS_THE_NODE else []
    return ' '.join(filter(None, words + node)) or row['what']


def _short_form(row: Row) -> str:
    return row['form'] if row['form'] in ('plain', 'naive') else ''


def _title(rows: list[Row]) -> str:
    batch = max(r['batch'] for r in rows)
    title = rows[0]['model'] + (f', batches of {batch}' if batch > 1 else '')
    for row in rows:
        if row['what'] == AS_THE_NODE and not row['error']:
            how = 'measured now' if row['build_s'] is not None else 'known from before'
            title += f'; auto takes {row["backend"]} {row["precision"]} ({how})'
    return title


def _table(title: str, columns: tuple[Column, ...], rows: list[Row]) -> Table:
    """Return a table without the columns that nothing is known for."""
    result = Table(box=box.SIMPLE_HEAD, padding=(0, 0), title=title or None, title_justify='left')
    cells = [[show(row) for row in rows] for _, show in columns]
    told = [i for i, column in enumerate(cells) if any(column)]
    for i in told:
        name = columns[i][0]
        result.add_column(name, justify='left' if name in WORDS else 'right', no_wrap=True)
    for line in zip(*(cells[i] for i in told), strict=True):
        result.add_row(*line)
    return result


def _figure(form: str, *path: str, unit: str = '') -> Callable[[Row], str]:
    """Return what shows one figure of a row; '' where it is not known."""

    def show(row: Row) -> str:
        value: Any = row
        for name in path:
            value = (value or {}).get(name)
        return '' if value is None else format(value, form) + unit

    return show


def _engine(row: Row) -> str:
    return label(row) + (': failed' if row['error'] else '')


WORDS = ('what', 'model', 'backend', 'precision', 'form', 'engine')
TIMES: tuple[Column, ...] = (
    ('median ms', _figure('.2f', 'ms', 'median')),
    ('p95', _figure('.2f', 'ms', 'p95')),
    ('p99', _figure('.2f', 'ms', 'p99')),
    ('images/s', _figure('.1f', 'images_per_s')),
)
NETWORK: tuple[Column, ...] = (
    ('engine', _engine),
    ('threads', _figure('d', 'threads')),
    ('build s', _figure('.1f', 'build_s')),
    ('load s', _figure('.1f', 'load_s')),
    ('first ms', _figure('.1f', 'first_ms')),
    *TIMES,
    ('peak MiB', _figure('.0f', 'memory_mib', 'peak')),
    ('GPU MiB', _figure('.0f', 'memory_mib', 'gpu')),
    ('J/image', _figure('.3g', 'joules_per_image')),
    ('error', _figure('.2%', 'depth_error', 'median')),
    ('of ceiling', _figure('.0%', 'share_of_ceiling')),
    ('gain', _figure('.1f', 'gain', unit='x')),
)
OTHER: tuple[Column, ...] = (
    ('what', lambda row: row['what']),
    ('model', lambda row: row['model'] or ''),
    ('backend', lambda row: row['backend'] or ''),
    ('precision', lambda row: row['precision'] or ''),
    ('threads', _figure('d', 'threads')),
    *TIMES,
    ('TFLOP/s', _figure('.3f', 'tflops')),
)

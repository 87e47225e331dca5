"""Evaluations for people and programs: a table, a column per model; JSON; a model's sidecar."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcrn_ros.training.evaluation.evaluate import Evaluation
from fcrn_ros.training.evaluation.meter import SCALES
from fcrn_ros.training.evaluation.metrics import NAMES
from fcrn_ros.training.evaluation.sparsification import MEASURES

SHORT = ('absrel', 'rmse', 'delta1')  # where all measures would be too many
BEST = 'bold green'
UNITS = {'sqrel': ' [m]', 'rmse': ' [m]', 'mae': ' [m]'}
Cells = Sequence[float | None]
Rows = list[tuple[str, str, Cells]]


def compare(evaluations: Sequence[Evaluation], console: Console | None = None) -> None:
    """
    Print a table: a row per measure, a column per model, the best of each row marked.

    :param evaluations: at least one; of the same samples, or the columns say little.
    :param console: where to print; None: standard output.
    """
    console = console or Console()
    first = evaluations[0]
    model = f'{first.model}, ' if len(evaluations) == 1 else ''
    images = ' and '.join(map(str, dict.fromkeys(e.images for e in evaluations)))
    table = Table(title=escape(f'{model}{images} images, protocol {first.protocol}'))
    table.add_column('')
    for evaluation in evaluations:
        table.add_column(escape(evaluation.model), justify='right', overflow='fold')
    for title, rows in _sections(evaluations).items():
        table.add_row(f'[bold]{title}')
        for label, name, cells in rows:
            table.add_row(f'  {escape(label)}', *_texts(name, cells))
        table.add_section()
    console.print(table)
    for evaluation in evaluations:
        for line in _notes(evaluation, several=len(evaluations) > 1):
            console.print(line, highlight=False, soft_wrap=True, markup=False)


def _sections(evaluations: Sequence[Evaluation]) -> dict[str, Rows]:
    """Return title -> rows of (label, the measure's name, a number per evaluation)."""
    pooled: Rows = [(n + UNITS.get(n, ''), n, [e.pooled[n] for e in evaluations]) for n in NAMES]
    per_image: Rows = [
        (n + UNITS.get(n, ''), n, [e.per_image[n] for e in evaluations]) for n in NAMES
    ]
    scales: Rows = [
        (f'{name}, scale {scale}', name, [e.variants[scale]['pooled'][name] for e in evaluations])
        for scale in SCALES
        for name in ('absrel', 'delta1')
    ]
    return {
        'over all pixels': pooled,
        'mean over images': per_image,
        'absrel by depth (share of pixels)': list(_band_cells(evaluations)),
        'over all pixels, other scales': [
            row for row in scales if not row[0].endswith(f'scale {evaluations[0].scale}')
        ],
    }


def _band_cells(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, str, Cells]]:
    bands = sorted({row['from'] for e in evaluations for row in e.bands})
    for start in bands:
        rows = [next((r for r in e.bands if r['from'] == start), None) for e in evaluations]
        found = next(row for row in rows if row)
        label = f'{band_label(found)} m ({found["share"]:.0%})'
        yield label, 'absrel', [None if row is None else row['absrel'] for row in rows]


def band_label(row: dict[str, Any]) -> str:
    """Return '2-3' or '10+' for a band's row [m]."""
    end = f'-{row["to"]:g}' if row['to'] is not None else '+'
    return f'{row["from"]:g}{end}'


def _texts(name: str, cells: Cells) -> list[str]:
    numbers = [c for c in cells if c is not None]
    best = max(numbers) if name.startswith('delta') else min(numbers)
    digits = 2 if name == 'silog' else 3
    texts = ['-' if c is None else f'{c:.{digits}f}' for c in cells]
    if len(set(numbers)) == 1:
        return texts
    return [
        f'[{BEST}]{text}[/]' if cell == best else text
        for cell, text in zip(cells, texts, strict=True)
    ]


def _notes(evaluation: Evaluation, several: bool) -> Iterator[str]:
    prefix = f'{evaluation.model}: ' if several else ''
    for name, (low, high) in evaluation.intervals.items():
        yield f'{prefix}{name} 95 % interval over images: {low:.3f} to {high:.3f}'
    if evaluation.answered < 1:
        yield f'{prefix}{evaluation.answered:.2%} of the recorded pixels have a prediction'
    for reason, count in evaluation.skipped.items():
        yield f'{prefix}{count} samples {reason}: not measured'
    for row in evaluation.confidence:
        yield (
            f'{prefix}confidence from {row["from"]:.1f}: {row["share"]:.1%} of the pixels; '
            f'predicted {row["predicted"]:.2f}, right within 25 %: {row["right"]:.2f}'
        )
    if evaluation.sparsification:
        found = (
            f'{name} {evaluation.sparsification[name]["ause"]:.3f} '
            f'(blind {evaluation.sparsification[name]["blind"]:.3f})'
            for name in MEASURES
        )
        yield f'{prefix}confidence finds the errors, AUSE: {", ".join(found)}'


def report(evaluations: Sequence[Evaluation], as_json: bool) -> None:
    """Print evaluations as a table or as JSON: one as an object, several as a list of them."""
    if not as_json:
        compare(evaluations)
        return
    contents = [e.as_dict() for e in evaluations]
    print(json.dumps(contents[0] if len(contents) == 1 else contents, indent=2))


def record(evaluation: Evaluation, sidecar: Path, what: str) -> None:
    """Write an evaluation into a model's sidecar, under the name of what it was measured on."""
    content = json.loads(sidecar.read_text())
    content['metrics'][what] = _short(evaluation)
    sidecar.write_text(json.dumps(content, indent=2) + '\n')


def _short(evaluation: Evaluation) -> dict[str, Any]:
    """Return what a sidecar keeps: the chosen scale whole, bands, other scales, AUSE in short."""
    content = evaluation.as_dict()
    for name in ('model', 'best', 'worst'):
        del content[name]
    content['bands'] = [
        {k: row[k] for k in ('from', 'to', 'share', *SHORT)} for row in content['bands']
    ]
    content['variants'] = {
        scale: {k: measured['pooled'][k] for k in SHORT}
        for scale, measured in content['variants'].items()
        if scale != evaluation.scale
    }
    content['sparsification'] = {
        name: {k: found[k] for k in ('ause', 'blind')}
        for name, found in content['sparsification'].items()
        if name in MEASURES
    }
    return content

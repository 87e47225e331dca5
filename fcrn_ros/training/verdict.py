"""Whether the new model is better: both models on the samples that training has not read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.data.partition import Portion
from fcrn_ros.training.evaluation.comparison import record
from fcrn_ros.training.evaluation.evaluate import Evaluation, evaluate
from fcrn_ros.training.train import Outcome, has_depth

SHOWN = ('absrel', 'rmse', 'delta1')


@dataclass(frozen=True)
class Comparison:
    """
    One source's test samples, before and after.

    :param name: of the source, and how many samples.
    :param before: of the model that training started from; None for a fresh one.
    :param after: of the new model.
    """

    name: str
    before: Evaluation | None
    after: Evaluation


def compare_models(outcome: Outcome) -> list[Comparison]:
    """
    Measure on every source's test samples that have depth, and note it in the new sidecar.

    The samples are those of the store: at most as wide as training needs them.

    :return: one for each source; none where no test sample has depth.
    """
    measured = [p for p in outcome.portions if has_depth(p.store, p.test)]
    before = _evaluations(outcome.base, measured) if outcome.base is not None else []
    after = _evaluations(str(outcome.sidecar), measured)
    comparisons = []
    for number, portion in enumerate(measured):
        name = f'{portion.store.name}, {len(portion.test)} held-out samples'
        record(after[number], outcome.sidecar, name)
        comparisons.append(Comparison(name, before[number] if before else None, after[number]))
    return comparisons


def _evaluations(model: str, portions: list[Portion]) -> list[Evaluation]:
    pipeline = DepthPipeline.open(model, 'torch', options=Options())
    return [evaluate(pipeline, (p.store[i] for i in p.test)) for p in portions]


def report(comparisons: list[Comparison], sidecar: Path, as_json: bool) -> None:
    """Print the comparison, as a table or as JSON."""
    if as_json:
        content = [
            {
                'samples': c.name,
                'before': c.before.as_dict() if c.before else None,
                'after': c.after.as_dict(),
            }
            for c in comparisons
        ]
        print(json.dumps({'model': str(sidecar), 'measured': content}, indent=2))
        return
    console = Console()
    for comparison in comparisons:
        console.print(_table(comparison))
    if not comparisons:
        console.print('nothing was held out with recorded depth, so nothing was measured')
    console.print(f'model: {sidecar.with_suffix(".safetensors")}', soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    table = Table(title=comparison.name)
    for column in ('', 'before', 'after', 'change'):
        table.add_column(column, justify='right' if column else 'left')
    for name in SHOWN:
        after = comparison.after.pooled[name]
        if comparison.before is None:
            table.add_row(name, '', f'{after:.3f}', '')
            continue
        before = comparison.before.pooled[name]
        change = f'{after / before - 1:+.0%}' if before else ''
        table.add_row(name, f'{before:.3f}', f'{after:.3f}', change)
    return table

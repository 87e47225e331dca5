"""Evaluations as pictures: error by range, best and worst frames, confidence against truth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcrn_ros.training.evaluation.comparison import band_label
from fcrn_ros.training.evaluation.evaluate import Evaluation
from fcrn_ros.training.evaluation.shots import Shot

# Okabe and Ito 2008: told apart by colour-blind people too
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
GREY = '#b8bec6'
ERROR = 0.5  # relative error drawn as the strongest red or blue
NO_DEPTH = '#3a3a3a'


def draw(evaluations: Sequence[Evaluation], folder: Path) -> list[Path]:
    """
    Draw evaluations of the same samples into a folder.

    :param evaluations: at least one.
    :param folder: is made where it is absent.
    :return: ``range.png``; ``confidence.png`` where a model has confidence; ``frames_MODEL.png``
        for each model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [draw_range(evaluations, folder / 'range.png')]
    if any(e.confidence for e in evaluations):
        paths.append(draw_confidence(evaluations, folder / 'confidence.png'))
    for evaluation in evaluations:
        name = re.sub(r'[^\w.-]+', '_', evaluation.model).strip('_')
        paths.append(draw_frames(evaluation, folder / f'frames_{name}.png'))
    return paths


def draw_range(evaluations: Sequence[Evaluation], path: Path) -> Path:
    """Draw absrel over bands of recorded depth, a line per model, above the share of pixels."""
    figure = _figure(8, 5.4)
    error, share = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bands = {row['from']: row for e in evaluations for row in e.bands}
    starts = sorted(bands)
    for evaluation, color in _colored(evaluations):
        points = [(starts.index(r['from']), 100 * r['absrel']) for r in evaluation.bands]
        label = f'{evaluation.model}, {100 * evaluation.pooled["absrel"]:.1f} % over all'
        error.plot(*zip(*points, strict=True), 'o-', color=color, linewidth=2, label=label)
    shares = [100 * bands[start]['share'] for start in starts]
    bars = share.bar(range(len(starts)), shares, color=GREY, width=0.6)
    share.bar_label(bars, fmt='%.0f %%', fontsize=9, padding=2)
    share.margins(y=0.3)
    share.set_xticks(range(len(starts)), [band_label(bands[start]) for start in starts])
    share.set(xlabel='recorded depth [m]', ylabel='pixels [%]')
    error.set(ylabel='absrel [%]', ylim=(0, None))
    first = evaluations[0]
    error.set_title(
        f'Error by range: {first.images} images, protocol {first.protocol}, scale {first.scale}',
        loc='left',
    )
    error.legend(frameon=False)
    for axis in (error, share):
        _plain(axis)
    return _saved(figure, path)


def draw_confidence(evaluations: Sequence[Evaluation], path: Path) -> Path:
    """Draw how often a depth is right and its error over its confidence, and sparsification."""
    figure = _figure(15, 4.6)
    right, error, left = figure.subplots(1, 3)
    right.plot((0, 1), (0, 1), '--', color='0.6', linewidth=1, label='as promised')
    for evaluation, color in _colored(evaluations):
        rows = evaluation.confidence
        x = [row['predicted'] for row in rows]
        sizes = [20 + 300 * row['share'] for row in rows]
        for axis, name, factor in ((right, 'right', 1), (error, 'absrel', 100)):
            y = [factor * row[name] for row in rows]
            axis.plot(x, y, '-', color=color, linewidth=2, label=evaluation.model)
            axis.scatter(x, y, s=sizes, color=color, alpha=0.8, linewidths=0)
    right.set(xlim=(0, 1), ylim=(0, 1), ylabel='share right within 25 %', aspect='equal')
    right.set_title('Is the confidence true?', loc='left')
    error.set(xlim=(0, 1), ylim=(0, None), ylabel='absrel [%]')
    error.set_title('Does it find the errors?', loc='left')
    right.legend(frameon=False, loc='upper left')
    for axis in (right, error):
        axis.set_xlabel('confidence; areas as the share of pixels')
        _plain(axis)
    _draw_sparsification(left, evaluations)
    return _saved(figure, path)


def _draw_sparsification(axis: Any, evaluations: Sequence[Evaluation]) -> None:
    """Draw what error is left when the least confident pixels are removed, beside the oracle."""
    for evaluation, color in _colored(evaluations):
        if not evaluation.sparsification:
            continue
        removed = [100 * share for share in evaluation.sparsification['removed']]
        found = evaluation.sparsification['absrel']
        label = f'{evaluation.model}, AUSE {found["ause"]:.2f}'
        axis.plot(removed, found['curve'], color=color, linewidth=2, label=label)
        axis.plot(removed, found['oracle'], '--', color=color, linewidth=1)
    axis.set(xlim=(0, 100), ylim=(0, None), ylabel='absrel of the rest, as a share of that of all')
    axis.set(xlabel='least confident pixels removed [%]; dashed: the largest errors removed')
    axis.set_title('What remains without the doubtful?', loc='left')
    if axis.lines:
        axis.legend(frameon=False)
    _plain(axis)


def draw_frames(evaluation: Evaluation, path: Path) -> Path:
    """Draw the best and worst frames, one a row: colour, recorded, predicted, relative error."""
    shots = [*evaluation.best, *evaluation.worst]
    heights = [3.0 * s.recorded.shape[0] / s.recorded.shape[1] + 0.3 for s in shots]
    figure = _figure(13.2, sum(heights) + 0.8)
    panels = figure.subplots(len(shots), 4, squeeze=False, height_ratios=heights)
    for row, shot in zip(panels, shots, strict=True):
        depth, error = _draw_shot(row, shot)
        figure.colorbar(depth, ax=row[2], label='z-depth [m]', fraction=0.04, pad=0.02)
        figure.colorbar(
            error, ax=row[3], label='too far [%]', fraction=0.04, pad=0.02, extend='both'
        )
        rank = 'best' if shot in evaluation.best else 'worst'
        row[0].set_title(f'{rank}: {shot.name}', loc='left', fontsize=10, wrap=True)
        row[3].set_title(f'absrel {100 * shot.absrel:.1f} %', loc='left', fontsize=10)
        for axis, title in ((row[1], 'recorded'), (row[2], 'predicted')):
            axis.set_title(title, loc='left', fontsize=10)
    figure.suptitle(
        f'{evaluation.model}: best and worst of {evaluation.images} images, '
        f'scale {evaluation.scale}',
        x=0.01,
        ha='left',
        fontweight='bold',
    )
    return _saved(figure, path)


def _draw_shot(row: Sequence[Any], shot: Shot) -> tuple[Any, Any]:
    """Draw one frame into four panels; return the images of depth and error."""
    finite = np.where(np.isfinite(shot.predicted), shot.predicted, np.nan)
    seen = shot.recorded if np.isfinite(shot.recorded).any() else finite  # sparse, and shrunk
    low, high = np.nanpercentile(seen, (1, 99))
    limits = {'cmap': 'turbo_r', 'vmin': low, 'vmax': max(high, low + 0.1)}
    row[0].imshow(shot.image)
    row[1].imshow(shot.recorded, **limits)
    depth = row[2].imshow(finite, **limits)
    error = row[3].imshow(100 * shot.error, cmap='RdBu_r', vmin=-100 * ERROR, vmax=100 * ERROR)
    for axis in row:
        axis.set_facecolor(NO_DEPTH)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    return depth, error


def _colored(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, str]]:
    return [(e, COLORS[i % len(COLORS)]) for i, e in enumerate(evaluations)]


def _figure(width: float, height: float) -> Any:
    """Return a figure of a size [inch] that draws with Agg, whatever the user's backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def _plain(axis: Any) -> None:
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(axis='y', alpha=0.25)


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path

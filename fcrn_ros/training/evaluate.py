"""``fcrn evaluate``: a model against a folder of pairs, in metres, at the images' own size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fcrn_ros.camera import Camera
from fcrn_ros.pipeline import DepthPipeline, Options
from fcrn_ros.training.datasets import Pair, load_pair, read_image
from fcrn_ros.training.metrics import NAMES, image_sums, pooled_and_per_image

MAX_DEPTH = 80.0  # [m], so that the model's own range decides


@dataclass(frozen=True)
class Evaluation:
    """
    The measures of one model on some pairs.

    :param model: its name.
    :param images: how many.
    :param pooled: over all pixels.
    :param per_image: mean over images.
    :param confidence: per band of confidence: share of pixels, and share right within 25 %.
    """

    model: str
    images: int
    pooled: dict[str, float]
    per_image: dict[str, float]
    confidence: list[dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return everything, numbers to four digits."""
        return {
            'model': self.model,
            'images': self.images,
            'pooled': {k: round(v, 4) for k, v in self.pooled.items()},
            'per_image': {k: round(v, 4) for k, v in self.per_image.items()},
            'confidence': self.confidence,
        }


def evaluate(
    pipeline: DepthPipeline,
    pairs: Sequence[Pair],
    intrinsics: tuple[float, float, float, float],
) -> Evaluation:
    """
    Measure a model as the node runs it, depth resized to the images' size.

    :param pipeline: its engine is used; its options are replaced.
    :param pairs: images and 16-bit depth in millimetres.
    :param intrinsics: fx, fy, cx, cy [px] of all images.
    :raises ValueError: there are no pairs, a file is unreadable, or sizes differ.
    """
    if not pairs:
        raise ValueError('no pairs; expected at least one')
    scale = pipeline.options.scale
    pipeline.options = Options('camera', scale, min_range=0.0, max_range=MAX_DEPTH)
    height, width = read_image(pairs[0].image).shape[:2]
    camera = Camera(width, height, *intrinsics)
    sums, confidences = [], []
    for pair in track(pairs, 'Evaluating', transient=True):
        image, truth = load_pair(pair, camera)
        frame = pipeline(image, camera)
        sums.append(image_sums(frame.depth, truth))
        if frame.confidence is not None:
            confidences.append(_right(frame.depth, truth, frame.confidence))
    pooled, per_image = pooled_and_per_image(sums)
    return Evaluation(
        pipeline.engine.spec.name, len(pairs), pooled, per_image, _bands(confidences)
    )


def _right(
    depth: NDArray[np.float32], truth: NDArray[np.float32], confidence: NDArray[np.float32]
) -> NDArray[np.float32]:
    known = np.isfinite(depth) & np.isfinite(truth) & (depth > 0)
    right = np.abs(depth - truth)[known] <= 0.25 * depth[known]
    return np.stack((confidence[known], right.astype(np.float32)), -1)[::7]


def _bands(confidences: list[NDArray[np.float32]], count: int = 5) -> list[dict[str, float]]:
    if not confidences:
        return []
    confidence, right = np.concatenate(confidences).T
    band = np.minimum((confidence * count).astype(int), count - 1)
    rows = []
    for index in range(count):
        inside = band == index
        if inside.any():
            rows.append(
                {
                    'from': index / count,
                    'share': round(float(inside.mean()), 4),
                    'predicted': round(float(confidence[inside].mean()), 4),
                    'right': round(float(right[inside].mean()), 4),
                }
            )
    return rows


def report(evaluation: Evaluation, as_json: bool) -> None:
    """Print an evaluation, as a table or as JSON."""
    if as_json:
        print(json.dumps(evaluation.as_dict(), indent=2))
        return
    console = Console()
    table = Table(title=f'{evaluation.model}, {evaluation.images} images')
    for column in ('', *NAMES):
        table.add_column(column)
    for name, values in (('pooled', evaluation.pooled), ('per image', evaluation.per_image)):
        table.add_row(name, *(f'{values[k]:.3f}' for k in NAMES))
    console.print(table)
    for row in evaluation.confidence:
        console.print(
            f'confidence from {row["from"]:.1f}: {row["share"]:.1%} of the pixels; predicted '
            f'{row["predicted"]:.2f}, right within 25 %: {row["right"]:.2f}'
        )


def record(evaluation: Evaluation, sidecar: Path, what: str) -> None:
    """Write an evaluation into a model's sidecar, under the name of what it was measured on."""
    content = json.loads(sidecar.read_text())
    content['metrics'][what] = evaluation.as_dict()
    del content['metrics'][what]['model']
    sidecar.write_text(json.dumps(content, indent=2) + '\n')

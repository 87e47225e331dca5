"""
A model against recorded depth, as the node runs it: every measure, in one pass over the samples.

The network runs once a picture; what differs by a factor on its depth is measured beside it, and
is called a scale: ``focal`` is corrected by the focal length, ``none`` is as the network says it,
and ``median`` has each picture's median brought to the recorded one (Zhou et al. 2017), which
cancels any other factor. Pictures are streamed: sums stay, and small copies of a few frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fcrn_ros.camera import Camera
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.evaluation.meter import SCALES, Meter
from fcrn_ros.training.evaluation.metrics import (
    band_rows,
    confidence_rows,
    intervals,
    pooled_and_per_image,
)
from fcrn_ros.training.evaluation.protocols import NATIVE, Protocol
from fcrn_ros.training.evaluation.shots import Shot
from fcrn_ros.training.evaluation.sparsification import sparsification
from fcrn_ros.training.sources.pairs import Pair, load_pair, read_image

Measures = dict[str, float]
Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """
    The measures of one model on some samples.

    :param model: its name.
    :param images: how many were measured.
    :param variants: per scale, ``pooled`` over all pixels and ``per_image`` as mean over images.
    :param scale: the one of ``SCALES`` that everything below is measured in.
    :param bands: per band of recorded depth [m]: share of pixels, and every measure, pooled.
    :param confidence: per band of confidence: share of pixels, the confidence, the share right
        within 25 %, and absrel; empty where the model has no confidence.
    :param intervals: 95 % confidence intervals of pooled measures.
    :param protocol: the name of the one followed.
    :param answered: share of the pixels with recorded depth that the model gave a depth for.
    :param skipped: samples that were not measured, by reason.
    :param best: the frames with the smallest absrel, ascending.
    :param worst: those with the largest, descending; none that is in ``best``.
    :param sparsification: the error of what remains when the least confident pixels are removed;
        empty where the model has no confidence.
    """

    model: str
    images: int
    variants: dict[str, dict[str, Measures]]
    scale: str
    bands: list[Row]
    confidence: list[Row]
    intervals: dict[str, tuple[float, float]]
    protocol: str
    answered: float
    skipped: dict[str, int]
    best: tuple[Shot, ...] = ()
    worst: tuple[Shot, ...] = ()
    sparsification: Row = field(default_factory=dict)

    @property
    def pooled(self) -> Measures:
        """The measures over all pixels."""
        return self.variants[self.scale]['pooled']

    @property
    def per_image(self) -> Measures:
        """The measures' mean over images."""
        return self.variants[self.scale]['per_image']

    def as_dict(self) -> dict[str, Any]:
        """Return everything but pictures, numbers to four digits."""
        content = {
            'model': self.model,
            'protocol': self.protocol,
            'scale': self.scale,
            'images': self.images,
            'skipped': self.skipped,
            'answered': self.answered,
            'pooled': self.pooled,
            'per_image': self.per_image,
            'intervals': self.intervals,
            'bands': self.bands,
            'variants': self.variants,
            'confidence': self.confidence,
            'sparsification': self.sparsification,
        }
        for name in ('best', 'worst'):
            content[name] = [{'name': s.name, 'absrel': s.absrel} for s in getattr(self, name)]
        rounded: dict[str, Any] = _rounded(content)
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def evaluate(
    pipeline: DepthPipeline,
    samples: Iterable[Sample],
    protocol: Protocol = NATIVE,
    scale: str = '',
) -> Evaluation:
    """
    Measure a model as the node runs it, depth resized to the pictures' size.

    :param pipeline: its engine is used; its options do not matter but for the scale.
    :param samples: those without depth are counted and left out.
    :param protocol: which pixels count.
    :param scale: one of ``SCALES``; '' is the pipeline's own.
    :raises ValueError: no sample can be measured, one does not fit its camera or the protocol, or
        the scale is not known.
    """
    chosen = scale or pipeline.options.scale
    if chosen not in SCALES:
        raise ValueError(f'scale is {chosen!r}; expected one of {", ".join(SCALES)}')
    meter = Meter(protocol, chosen)
    runner = DepthPipeline(pipeline.engine, Options('camera', 'focal', 0.0, math.inf))
    for sample in samples:
        meter.add(sample, runner)
    return _evaluation(pipeline.engine.spec.name, meter)


def _evaluation(model: str, meter: Meter) -> Evaluation:
    if not meter.images:
        reasons = ', '.join(f'{n} {reason}' for reason, n in meter.skipped.items())
        found = f'no sample to measure with: {reasons}' if reasons else 'no samples'
        raise ValueError(f'{found}; expected at least one with recorded depth')
    sums = np.stack(meter.images, 1)  # (scales, images, 11)
    variants = {}
    for name, each in zip(SCALES, sums, strict=True):
        pooled, per_image = pooled_and_per_image(list(each))
        variants[name] = {'pooled': pooled, 'per_image': per_image}
    chosen = sums[SCALES.index(meter.scale)]
    return Evaluation(
        model,
        len(meter.images),
        variants,
        meter.scale,
        band_rows(meter.bands),
        confidence_rows(meter.confidence),
        intervals(list(chosen)),
        meter.protocol.name,
        meter.predicted / meter.recorded,
        dict(meter.skipped),
        *meter.album.sides(),
        sparsification(meter.rankings),
    )


def pair_samples(
    pairs: Sequence[Pair], intrinsics: tuple[float, float, float, float]
) -> Iterator[Sample]:
    """
    Yield the samples of a folder of pairs, all of one camera.

    :param pairs: the first one's picture gives the size.
    :param intrinsics: fx, fy, cx, cy [px].
    :raises ValueError: there are no pairs, a file is unreadable, or sizes differ.
    """
    if not pairs:
        raise ValueError('no pairs; expected at least one')
    height, width = read_image(pairs[0].image).shape[:2]
    camera = Camera(width, height, *intrinsics)
    for pair in pairs:
        image, depth = load_pair(pair, camera)
        yield Sample(pair.stem, image, camera, depth)

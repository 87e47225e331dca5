"""
What an evaluation sums up, sample by sample: one run of the network, every scale of its depth.

Pictures are streamed: sums stay, and small copies of a few frames.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.depth_frame import RIGHT_WITHIN
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.evaluation.metrics import (
    BANDS,
    CONFIDENCES,
    SUMS,
    band_sums,
    confidence_sums,
    summarise,
)
from fcrn_ros.training.evaluation.protocols import Protocol
from fcrn_ros.training.evaluation.shots import Album, Shot
from fcrn_ros.training.evaluation.sparsification import RANKINGS, ranking_sums

SCALES = ('focal', 'none', 'median')


class Meter:
    """
    Sums over samples.

    :param protocol: which pixels count.
    :param scale: the one of ``SCALES`` for bands, confidence and frames.
    :ivar images: (3, 11) sums per measured sample: ``SCALES``, then as ``image_sums``.
    :ivar bands: (B, 11) sums over all samples.
    :ivar confidence: (5, 4) sums over all samples.
    :ivar rankings: (2, 2, 2, 4096) sums over all samples, of the pixels ranked by confidence.
    :ivar skipped: samples that were not measured, by reason.
    :ivar recorded: pixels whose recorded depth counts.
    :ivar predicted: those of them that have a predicted depth.
    """

    def __init__(self, protocol: Protocol, scale: str) -> None:
        self.protocol = protocol
        self.scale = scale
        self.images: list[NDArray[np.float64]] = []
        self.bands = np.zeros((len(BANDS) - 1, SUMS))
        self.confidence = np.zeros((CONFIDENCES, 4))
        self.rankings = np.zeros(RANKINGS)
        self.skipped: Counter[str] = Counter()
        self.recorded = self.predicted = 0
        self.album = Album()

    def add(self, sample: Sample, pipeline: DepthPipeline) -> None:
        """
        Measure one sample.

        :param pipeline: gives depth at the picture's size, corrected by the focal length, of any
            range.
        :raises ValueError: the sample does not fit its camera or the protocol.
        """
        if sample.depth is None:
            self.skipped['without depth'] += 1
            return
        target = _target(sample, self.protocol)
        known = np.isfinite(target)
        if not known.any():
            self.skipped['without a depth that counts'] += 1
            return
        frame = pipeline(sample.image, sample.camera)
        depth, truth = frame.depth[known], target[known]
        factors = _factors(depth, truth, frame.scale.factor)
        sums = [band_sums(self.protocol.limited(depth * f), truth) for f in factors]
        chosen = SCALES.index(self.scale)
        self.recorded += len(truth)
        self.predicted += int(np.isfinite(depth).sum())
        if not sums[chosen][:, 0].any():
            self.skipped['without a predicted depth'] += 1
            return
        self.images.append(np.stack([s.sum(0) for s in sums]))
        self.bands += sums[chosen]
        if frame.confidence is not None:
            judged = depth * factors[chosen], truth, frame.confidence[known]
            self.confidence += confidence_sums(*judged, RIGHT_WITHIN)
            self.rankings += ranking_sums(*judged)
        absrel = summarise(self.images[-1][chosen])['absrel']
        if self.album.wants(absrel):
            predicted = self.protocol.limited(frame.depth * factors[chosen])
            self.album.add(Shot(sample.name, absrel, sample.image, target, predicted))


def _target(sample: Sample, protocol: Protocol) -> NDArray[np.float32]:
    """Return the depth that counts; :raises ValueError: it does not fit, naming the sample."""
    assert sample.depth is not None
    camera = sample.camera
    if sample.depth.shape != (camera.height, camera.width):
        height, width = sample.depth.shape
        raise ValueError(
            f'{sample.name}: depth is {width}x{height}; expected {camera.width}x{camera.height}, '
            'the size of the camera'
        )
    try:
        return protocol.target(sample.depth)
    except ValueError as err:
        raise ValueError(f'{sample.name}: {err}') from err


def _factors(
    depth: NDArray[np.float32], truth: NDArray[np.float32], focal: float
) -> tuple[np.float32, np.float32, np.float32]:
    """
    Return what makes each of ``SCALES`` of depth that is corrected by the focal length.

    :param depth: (N,) float32, z-depth [m]; NaN where there is none.
    :param truth: (N,) float32, z-depth [m].
    :param focal: the factor that depth already has.
    """
    valid = np.isfinite(depth)
    median = np.median(truth[valid]) / np.median(depth[valid]) if valid.any() else 1.0
    return np.float32(1), np.float32(1 / focal), np.float32(median)

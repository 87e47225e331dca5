"""
The error measures of the field, over all pixels, over images, and by range.

d is the prediction, g the recorded depth, both z-depth [m]. From Eigen et al. 2014: absrel = mean
|d - g| / g, sqrel = mean (d - g)^2 / g [m], rmse [m], rmse_log, log10 = mean |log10 d - log10 g|,
delta_k = the share of pixels with max(d / g, g / d) < 1.25^k. mae = mean |d - g| [m]. silog = 100
times the standard deviation of ln d - ln g, as the KITTI depth benchmark has it (Uhrig et al.
2017): what remains of rmse_log when a factor on all depths is free. Published numbers mix the
pooled and the per-image mean; where the images have equally many valid pixels, the pooled rmse is
never the smaller one.
Worked number: d = 2, g = 1.6 gives absrel 0.25, and delta1 0, since 2 / 1.6 = 1.25 is not below
1.25.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMES = (
    'absrel',
    'sqrel',
    'rmse',
    'rmse_log',
    'log10',
    'delta1',
    'delta2',
    'delta3',
    'mae',
    'silog',
)
SUMS = 1 + len(NAMES)  # the pixels, then one sum for each measure
BANDS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)  # [m], the edges; a band has its lower one
CONFIDENCES = 5  # bands of confidence
RESAMPLES = 1000


def image_sums(
    prediction: NDArray[np.float32], target: NDArray[np.float32]
) -> NDArray[np.float64]:
    """
    Return what one image adds to every measure: sums, so that any number of images can be pooled.

    :param prediction: (H, W), z-depth [m]; not finite or not positive where there is none.
    :param target: (H, W), z-depth [m]; likewise.
    :return: (11,) float64: the number of pixels that both have, then the sum over them of each of
        ``NAMES``; of squared errors for the two rmse, of ln d - ln g for silog.
    :raises ValueError: the shapes differ.
    """
    sums: NDArray[np.float64] = band_sums(prediction, target).sum(0)
    return sums


def band_sums(
    prediction: NDArray[np.float32],
    target: NDArray[np.float32],
    edges: Sequence[float] = BANDS,
) -> NDArray[np.float64]:
    """
    Return the sums of :func:`image_sums` apart for bands of the recorded depth.

    :param prediction: any shape, z-depth [m]; not finite or not positive where there is none.
    :param target: the same shape; likewise.
    :param edges: B + 1, ascending [m]; every recorded depth lies between the first and the last.
    :return: (B, 11) float64.
    :raises ValueError: the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f'prediction is {prediction.shape}, target {target.shape}; expected one shape'
        )
    with np.errstate(invalid='ignore'):
        mask = np.isfinite(prediction) & np.isfinite(target) & (prediction > 0) & (target > 0)
    d, g = prediction[mask].astype(np.float64), target[mask].astype(np.float64)
    error, log_error, ratio = d - g, np.log(d) - np.log(g), np.maximum(d / g, g / d)
    terms = [np.ones_like(d), np.abs(error) / g, error**2 / g, error**2, log_error**2]
    terms += [np.abs(log_error) / np.log(10)]
    terms += [ratio < 1.25**k for k in (1, 2, 3)]
    terms += [np.abs(error), log_error]
    band = np.searchsorted(edges, g, side='right') - 1
    return np.stack([np.bincount(band, term, len(edges) - 1) for term in terms], -1)


def summarise(sums: NDArray[np.float64]) -> dict[str, float]:
    """Return the measures of (11,) sums; NaN where there is no pixel."""
    if not sums[0]:
        return dict.fromkeys(NAMES, math.nan)
    means = dict(zip(NAMES, map(float, sums[1:] / sums[0]), strict=True))
    variance = means['rmse_log'] - means['silog'] ** 2
    means['silog'] = 100 * math.sqrt(max(variance, 0.0))
    for name in ('rmse', 'rmse_log'):
        means[name] = math.sqrt(means[name])
    return means


def pooled_and_per_image(
    images: Sequence[NDArray[np.float64]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the measures over all pixels, and their mean over the images with a valid one."""
    filled = [sums for sums in images if sums[0]]
    if not filled:
        return summarise(np.zeros(SUMS)), summarise(np.zeros(SUMS))
    each = [summarise(sums) for sums in filled]
    mean = {name: float(np.mean([e[name] for e in each])) for name in NAMES}
    return summarise(np.sum(filled, 0)), mean


def intervals(
    images: Sequence[NDArray[np.float64]],
    names: Sequence[str] = ('absrel', 'delta1'),
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """
    Return 95 % confidence intervals of pooled measures, by the bootstrap over images (Efron 1979).

    Images count as independent; neighbouring frames of a video are not, and their interval is too
    narrow.

    :param images: (11,) sums each, with at least one pixel.
    :param names: of ``NAMES``.
    """
    sums, random = np.stack(images), np.random.default_rng(seed)
    draws = (random.integers(len(sums), size=len(sums)) for _ in range(RESAMPLES))
    found = [summarise(sums[draw].sum(0)) for draw in draws]
    low, high = np.percentile([[f[name] for name in names] for f in found], (2.5, 97.5), axis=0)
    return {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}


def band_rows(
    bands: NDArray[np.float64], edges: Sequence[float] = BANDS
) -> list[dict[str, float | None]]:
    """
    Return the measures of each band that has pixels.

    :param bands: (B, 11) sums.
    :param edges: B + 1 [m].
    :return: ``from`` and ``to`` [m], ``to`` None without a bound; ``share`` of the pixels; each of
        ``NAMES``.
    """
    total = bands[:, 0].sum()
    return [
        {
            'from': low,
            'to': high if math.isfinite(high) else None,
            'share': float(sums[0] / total),
            **summarise(sums),
        }
        for low, high, sums in zip(edges[:-1], edges[1:], bands, strict=True)
        if sums[0]
    ]


def confidence_sums(
    prediction: NDArray[np.float32],
    target: NDArray[np.float32],
    confidence: NDArray[np.float32],
    within: float,
) -> NDArray[np.float64]:
    """
    Return what pixels add to the bands of confidence.

    :param prediction: any shape, z-depth [m]; not finite or not positive where there is none.
    :param target: the same shape, z-depth [m], everywhere known.
    :param confidence: the same shape, 0..1: the estimated probability of being right.
    :param within: a depth is right when the truth lies within this share of it.
    :return: (5, 4) float64 per band: pixels, and sums of confidence, right ones, |d - g| / g.
    """
    known = np.isfinite(prediction) & (prediction > 0)
    d, g, c = (a[known].astype(np.float64) for a in (prediction, target, confidence))
    error = np.abs(d - g)
    band = np.minimum((c * CONFIDENCES).astype(int), CONFIDENCES - 1)
    terms = [np.ones_like(c), c, error <= within * d, error / g]
    return np.stack([np.bincount(band, term, CONFIDENCES) for term in terms], -1)


def confidence_rows(sums: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return, per band of confidence that has pixels, what was promised and what is so."""
    total = sums[:, 0].sum()
    return [
        {
            'from': index / CONFIDENCES,
            'share': float(count / total),
            'predicted': float(confidence / count),
            'right': float(right / count),
            'absrel': float(error / count),
        }
        for index, (count, confidence, right, error) in enumerate(sums)
        if count
    ]

"""
The error measures of the field (Eigen et al. 2014), over all pixels and over images.

d is the prediction, g the recorded depth, both z-depth [m]: absrel = mean |d - g| / g, sqrel =
mean (d - g)^2 / g [m], rmse [m], rmse_log, log10 = mean |log10 d - log10 g|, delta_k = the share
of pixels with max(d / g, g / d) < 1.25^k. Published numbers mix the pooled and the per-image mean;
where the images have equally many valid pixels, the pooled rmse is never the smaller one.
Worked number: d = 2, g = 1.6 gives absrel 0.25, and delta1 0, since 2 / 1.6 = 1.25 is not below
1.25.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMES = ('absrel', 'sqrel', 'rmse', 'rmse_log', 'log10', 'delta1', 'delta2', 'delta3')


def pixel_terms(
    prediction: NDArray[np.float32], target: NDArray[np.float32]
) -> NDArray[np.float64]:
    """
    Return each valid pixel's contribution to every measure.

    :param prediction: (H, W), z-depth [m]; not finite or not positive where there is none.
    :param target: (H, W), z-depth [m]; likewise.
    :return: (N, 8) float64 in the order of ``NAMES``; rmse columns are squared errors.
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
    columns = [np.abs(error) / g, error**2 / g, error**2, log_error**2]
    columns += [np.abs(log_error) / np.log(10)]
    columns += [(ratio < 1.25**k).astype(np.float64) for k in (1, 2, 3)]
    return np.stack(columns, -1)


def summarise(terms: NDArray[np.float64]) -> dict[str, float]:
    """Return the measures of (N, 8) terms; NaN where N is 0."""
    if not len(terms):
        return dict.fromkeys(NAMES, float('nan'))
    means = terms.mean(0)
    means[2:4] = np.sqrt(means[2:4])
    return dict(zip(NAMES, map(float, means), strict=True))


def pooled_and_per_image(
    images: Sequence[NDArray[np.float64]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the measures over all pixels, and their mean over the images with a valid one."""
    filled = [terms for terms in images if len(terms)]
    if not filled:
        return summarise(np.empty((0, 8))), summarise(np.empty((0, 8)))
    each = [summarise(terms) for terms in filled]
    mean = {name: float(np.mean([e[name] for e in each])) for name in NAMES}
    return summarise(np.concatenate(filled)), mean

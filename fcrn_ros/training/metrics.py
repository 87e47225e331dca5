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


def image_sums(
    prediction: NDArray[np.float32], target: NDArray[np.float32]
) -> NDArray[np.float64]:
    """
    Return what one image adds to every measure: sums, so that any number of images can be pooled.

    :param prediction: (H, W), z-depth [m]; not finite or not positive where there is none.
    :param target: (H, W), z-depth [m]; likewise.
    :return: (9,) float64: the number of pixels that both have, then the sum over them of each of
        ``NAMES``; of squared errors for the two rmse.
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
    terms = [np.abs(error) / g, error**2 / g, error**2, log_error**2]
    terms += [np.abs(log_error) / np.log(10)]
    terms += [ratio < 1.25**k for k in (1, 2, 3)]
    return np.array([len(d), *(term.sum() for term in terms)], np.float64)


def summarise(sums: NDArray[np.float64]) -> dict[str, float]:
    """Return the measures of (9,) sums; NaN where there is no pixel."""
    if not sums[0]:
        return dict.fromkeys(NAMES, float('nan'))
    means = sums[1:] / sums[0]
    means[2:4] = np.sqrt(means[2:4])
    return dict(zip(NAMES, map(float, means), strict=True))


def pooled_and_per_image(
    images: Sequence[NDArray[np.float64]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the measures over all pixels, and their mean over the images with a valid one."""
    filled = [sums for sums in images if sums[0]]
    if not filled:
        return summarise(np.zeros(9)), summarise(np.zeros(9))
    each = [summarise(sums) for sums in filled]
    mean = {name: float(np.mean([e[name] for e in each])) for name in NAMES}
    return summarise(np.sum(filled, 0)), mean

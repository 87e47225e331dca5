"""
Does confidence find the errors? Sparsification curves and their area (Ilg et al. 2018).

Remove the least confident pixels and measure the rest: the error falls as fast as confidence knows
where it is. Removing the pixels of the largest error gives the oracle, which no confidence beats;
a confidence that says nothing leaves the error where it was. Curves are shares of the error of all
pixels, so that they start at 1. AUSE is the mean of curve minus oracle over the shares removed: 0
is perfect, and ``blind`` is what saying nothing would get.

Pixels of all images are ranked together, as one threshold on confidence ranks them. They are
streamed: of a ranking stay the sums of fine bins, inside of which its order counts as random.

Worked number: errors 4, 2, 1, 1 m, removed in the order 2, 4, 1, 1. At 0, 1 / 4, 1 / 2 the mean
errors left are 2, 2, 1, as shares 1, 1, 1 / 2; the oracle's are 1, 2 / 3, 1 / 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REMOVED = np.linspace(0, 1, 50, endpoint=False)  # shares of the pixels
MEASURES = ('absrel', 'rmse')
BINS = 4096
# of the oracle's ranking; log-spaced, beyond them is the first or the last bin
SMALLEST, LARGEST = 1e-4, 1e3
RANKINGS = (len(MEASURES), 2, 2, BINS)  # the shape of the sums


def ranking_sums(
    prediction: NDArray[np.float32], target: NDArray[np.float32], confidence: NDArray[np.float32]
) -> NDArray[np.float64]:
    """
    Return what pixels add to the rankings: sums, so that any number of images can be pooled.

    :param prediction: any shape, z-depth [m]; not finite or not positive where there is none.
    :param target: the same shape, z-depth [m], everywhere known.
    :param confidence: the same shape, 0..1.
    :return: (2, 2, 2, 4096) float64: ``MEASURES``; ranked by confidence, by error; pixels, error;
        per bin, what is removed first in front. The error is |d - g| / g, or (d - g)^2 [m^2].
    """
    known = np.isfinite(prediction) & (prediction > 0)
    d, g, c = (a[known].astype(np.float64) for a in (prediction, target, confidence))
    doubt = np.clip(((1 - c) * BINS).astype(int), 0, BINS - 1)
    error = np.abs(d - g)
    return np.stack(
        [
            [_bins(doubt, e), _bins(_error_bins(size), e)]
            for size, e in ((error / g, error / g), (error, error**2))
        ]
    )


def _error_bins(error: NDArray[np.float64]) -> NDArray[np.int_]:
    share = np.log(np.maximum(error, SMALLEST) / SMALLEST) / np.log(LARGEST / SMALLEST)
    return np.minimum((share * BINS).astype(int), BINS - 1)


def _bins(rank: NDArray[np.int_], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels and summed error per bin, the highest rank in front: (2, 4096)."""
    sums = [np.bincount(rank, weights, BINS) for weights in (None, error)]
    return np.stack(sums)[:, ::-1].astype(np.float64)


def sparsification(sums: NDArray[np.float64]) -> dict[str, Any]:
    """
    Return the curves of pooled sums, and how much of the errors confidence finds.

    :param sums: (2, 2, 2, 4096), of :func:`ranking_sums`.
    :return: ``removed``: shares of the pixels; for each of ``MEASURES`` the ``curve`` and the
        ``oracle`` over them, as shares of the error of all, ``ause``, and ``blind``: the AUSE of a
        confidence that says nothing. Empty without a pixel or without an error.
    """
    if not sums[..., 1, :].sum(-1).all():
        return {}
    found: dict[str, Any] = {'removed': REMOVED.tolist()}
    for name, rankings in zip(MEASURES, sums, strict=True):
        curve, oracle = (_curve(r, root=name == 'rmse') for r in rankings)
        found[name] = {
            'ause': float((curve - oracle).mean()),
            'blind': float((1 - oracle).mean()),
            'curve': curve.tolist(),
            'oracle': oracle.tolist(),
        }
    return found


def _curve(ranking: NDArray[np.float64], root: bool) -> NDArray[np.float64]:
    """
    Return the error of what remains after each of ``REMOVED``, as a share of the error of all.

    :param ranking: (2, 4096): pixels, summed error; what is removed first in front.
    :param root: of the mean error, as in rmse.
    """
    pixels, error = np.concatenate((np.zeros((2, 1)), ranking.cumsum(-1)), -1)
    left = error[-1] - np.interp(REMOVED * pixels[-1], pixels, error)
    share = np.maximum(left, 0) / (1 - REMOVED) / error[-1]
    curve: NDArray[np.float64] = np.sqrt(share) if root else share
    return curve

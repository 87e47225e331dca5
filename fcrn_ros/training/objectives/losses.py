"""
Losses on depth in metres, over the valid pixels of the whole batch.

``prediction`` and ``target`` are (B, h, w) float32, z-depth [m]; a target pixel is valid where it
is positive and finite. What either holds at another pixel has no influence. A loss is a scalar, 0
for a batch without a valid pixel. ``reduce`` gives the counts and maxima of all processes that
share the batch (:mod:`fcrn_ros.training.objectives.reduction`).

A prediction may be 0 or less, and is pulled up from there. That is of use only below the network's
last ReLU: behind it a dead pixel is exactly 0 and passes no gradient on.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from fcrn_ros.training.objectives.reduction import LOCAL, Reduction, mean

NEAREST = 0.05  # [m], below which the logarithm goes on as a straight line
SCALES = 4  # of the gradient term; Li & Snavely 2018
INVARIANCE = 0.85  # of the mean log error; Lee et al. 2019


class DepthLoss(Protocol):
    """What every loss on depth looks like."""

    def __call__(
        self, prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL
    ) -> Tensor: ...


def valid_pixels(target: Tensor) -> Tensor:
    """Return the (B, h, w) bool mask of pixels with a depth."""
    return (target > 0) & torch.isfinite(target)


def log_depth(depth: Tensor) -> Tensor:
    """
    Return log(depth), below ``NEAREST`` by its tangent: defined everywhere, its slope at most 20.

    Worked numbers: log 2 = 0.693147 at 2 m; log 0.05 - 1 = -3.995732 at 0 m.
    """
    bounded = depth.clamp(min=NEAREST)
    return bounded.log() + (depth - bounded) / NEAREST


def berhu(prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL) -> Tensor:
    """
    Return the mean reverse Huber loss.

    |d| where |d| <= c, else (d^2 + c^2) / (2c), with c = 0.2 max |d| over the valid pixels of the
    batch. Source: Laina et al. 2016, equations 1 and 2. Worked number: d = 1, 5 m gives c = 1 and
    (1 + (25 + 1) / 2) / 2 = 7 m.
    """
    depth, truth, mask = _paired(prediction, target)
    error = (depth - truth).abs()
    c = (0.2 * reduce.max(error.amax())).clamp(min=1e-6)
    return mean(
        torch.where(error <= c, error, (error**2 + c**2) / (2 * c)).sum(), mask.sum(), reduce
    )


def l1(prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL) -> Tensor:
    """Return the mean absolute error [m]. Worked number: d = 1, -3 m gives 2 m."""
    depth, truth, mask = _paired(prediction, target)
    return mean((depth - truth).abs().sum(), mask.sum(), reduce)


def l2(prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL) -> Tensor:
    """Return the mean squared error [m^2]. Worked number: d = 1, -3 m gives 5 m^2."""
    depth, truth, mask = _paired(prediction, target)
    return mean((depth - truth).square().sum(), mask.sum(), reduce)


def log_l1(prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL) -> Tensor:
    """
    Return the mean |log d - log g|.

    Worked number: twice and half of the truth each cost log 2 = 0.693147, their mean as much.
    """
    depth, truth, mask = _paired(prediction, target)
    return mean((log_depth(depth) - log_depth(truth)).abs().sum(), mask.sum(), reduce)


def silog(
    prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL, invariance: float = INVARIANCE
) -> Tensor:
    """
    Return the scale-invariant log error of each image, in the mean of those with a valid pixel.

    With e = log d - log g it is sqrt(mean(e^2) - lambda mean(e)^2): the root of Eigen et al. 2014,
    equation 4, as Lee et al. 2019 take it (arXiv 1907.10326, without their factor 10). The root
    keeps the loss in units of log depth, like the gradient term beside it, and its gradient as
    large at an image that fits badly as at one that fits well: below ``NEAREST``, where e grows
    in proportion to the prediction, the square's would have no bound. A pixel is pulled towards
    lambda mean(e): of several dead pixels in one image, the lowest rises first.

    Worked number: e = log 4, 0 has the mean log 2 and the mean square 2 (log 2)^2, so that
    lambda = 0.85 gives sqrt(1.15) log 2 = 0.743318, and lambda = 1 gives log 2.

    :param invariance: lambda, 0 to 1; 1 forgives any scale of an image's prediction.
    """
    depth, truth, mask = _paired(prediction, target)
    error = log_depth(depth) - log_depth(truth)
    pixels = mask.sum((1, 2))
    number = pixels.clamp(min=1)
    offset = error.sum((1, 2)) / number
    spread = ((error - offset[:, None, None]) * mask).square().sum((1, 2)) / number
    images = _root(spread + (1 - invariance) * offset**2)
    return mean(images.sum(), (pixels > 0).sum(), reduce)


def gradient_term(prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL) -> Tensor:
    """
    Return the multi-scale gradient matching term, which keeps edges and smooth surfaces.

    With e = log d - log g, at every first, second, fourth and eighth pixel: the sum of |e - e'|
    over neighbours that are both valid, right and below, divided by the number of valid pixels
    there; the sum of these. Source: Li & Snavely 2018 (arXiv 1804.00607), section 4.2, who add
    half of it to their other loss.

    Worked number: e = 0, 0.3 over 0.1, 0.1 has |0.3| + |0| to the right and |0.1| + |-0.2| below:
    0.6 / 4 = 0.15, and no neighbours at the other scales.
    """
    depth, truth, mask = _paired(prediction, target)
    error = log_depth(depth) - log_depth(truth)
    steps = [2**scale for scale in range(SCALES)]
    totals = torch.stack([_differences(error[:, ::s, ::s], mask[:, ::s, ::s]) for s in steps])
    counts = torch.stack([mask[:, ::s, ::s].sum() for s in steps])
    return mean(totals, counts, reduce).sum()


def laplace_scale(
    log_scale: Tensor, prediction: Tensor, target: Tensor, reduce: Reduction = LOCAL
) -> Tensor:
    """
    Return the negative log-likelihood of the relative error under a Laplace distribution.

    The depth gets no gradient from it: |d - g| / d is taken as data, and only its scale b is
    fitted. Worked number: d = 2 m, g = 1 m and b = 0.5 give 0.5 / 0.5 + log 0.5 = 0.306853.

    :param log_scale: (B, h, w), log(b).
    """
    depth, truth, mask = _paired(prediction.detach().clamp(min=0.1), target)
    error = (depth - truth).abs() / depth
    log_b = torch.where(mask, log_scale, 0.0)
    return mean((error * torch.exp(-log_b) + log_b).sum(), mask.sum(), reduce)


def _paired(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return both with 1 m, an error of 0, at the pixels that are not valid, and the mask."""
    mask = valid_pixels(target)
    return torch.where(mask, prediction, 1.0), torch.where(mask, target, 1.0), mask


def _differences(error: Tensor, mask: Tensor) -> Tensor:
    """Return the sum of absolute differences between valid neighbours, right and below."""
    right = (error[:, :, 1:] - error[:, :, :-1]).abs() * (mask[:, :, 1:] & mask[:, :, :-1])
    below = (error[:, 1:] - error[:, :-1]).abs() * (mask[:, 1:] & mask[:, :-1])
    return right.sum() + below.sum()


def _root(square: Tensor) -> Tensor:
    """Return the square root, with a gradient of 0 at 0."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


LOSSES: dict[str, DepthLoss] = {
    'berhu': berhu,
    'l1': l1,
    'l2': l2,
    'silog': silog,
    'log_l1': log_l1,
}

"""
Losses on depth in metres, over the valid pixels.

``prediction`` and ``target`` are (B, h, w) float32, z-depth [m]; a target pixel is valid where it
is positive and finite. Every loss of a batch without a valid pixel is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor


def valid_pixels(target: Tensor) -> Tensor:
    """Return the (B, h, w) bool mask of pixels with a depth."""
    return (target > 0) & torch.isfinite(target)


def berhu(prediction: Tensor, target: Tensor) -> Tensor:
    """
    Return the mean reverse Huber loss.

    |d| where |d| <= c, else (d^2 + c^2) / (2c), with c = 0.2 max |d| over the valid pixels of the
    batch. Source: Laina et al. 2016, equations 1 and 2. Worked number: d = 1, 5 m gives c = 1 and
    (1 + (25 + 1) / 2) / 2 = 7 m.
    """
    mask = valid_pixels(target)
    if not mask.any():
        return prediction.sum() * 0
    error = (prediction - target)[mask].abs()
    c = (0.2 * error.max()).detach().clamp(min=1e-6)
    return torch.where(error <= c, error, (error**2 + c**2) / (2 * c)).mean()


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error [m]."""
    mask = valid_pixels(target)
    return (prediction - target)[mask].abs().mean() if mask.any() else prediction.sum() * 0


def l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error [m^2]."""
    mask = valid_pixels(target)
    return ((prediction - target)[mask] ** 2).mean() if mask.any() else prediction.sum() * 0


def laplace_scale(log_scale: Tensor, prediction: Tensor, target: Tensor) -> Tensor:
    """
    Return the negative log-likelihood of the relative error under a Laplace distribution.

    The depth gets no gradient from it: |d - g| / d is taken as data, and only its scale b is
    fitted.

    :param log_scale: (B, h, w), log(b).
    """
    mask = valid_pixels(target)
    if not mask.any():
        return log_scale.sum() * 0
    depth = prediction.detach().clamp(min=0.1)
    error = ((depth - target).abs() / depth)[mask]
    return (error * torch.exp(-log_scale[mask]) + log_scale[mask]).mean()


LOSSES = {'berhu': berhu, 'l1': l1, 'l2': l2}

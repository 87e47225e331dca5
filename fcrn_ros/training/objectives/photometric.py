"""
How unlike a picture and its synthesis are, pixel by pixel.

Difference: 0.85 (1 - SSIM) / 2, held in 0..1, plus 0.15 L1 (Godard et al. 2017, equation 1), with
SSIM of 3 x 3 windows and pictures in 0..1. Of several sources the best counts at every pixel, for
what one hides another shows, and the sources as they are, not warped, compete too: what looks the
same without any warp stands still with the camera, or has no texture, and teaches no depth (Godard
et al. 2019, equations 4 and 5).
Worked number: a grey 0.4 against a grey 0.5 has no variance, so SSIM = (2 * 0.2 + C1) / (0.16 +
0.25 + C1) = 0.4001 / 0.4101 = 0.97562, and the difference is 0.85 * 0.01219 + 0.15 * 0.1 =
0.02536.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SSIM_SHARE = 0.85
C1, C2 = 0.01**2, 0.03**2


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """
    Return the structural similarity of 3 x 3 windows (Wang et al. 2004).

    :param a: (N, C, H, W) float32 in 0..1, H and W at least 2.
    :param b: the same.
    :return: (N, C, H, W) float32, 1 where the windows agree.
    """
    a, b = (F.pad(x, (1, 1, 1, 1), mode='reflect') for x in (a, b))
    mean_a, mean_b, aa, bb, ab = (F.avg_pool2d(x, 3, 1) for x in (a, b, a * a, b * b, a * b))
    variances = aa - mean_a**2 + bb - mean_b**2
    covariance = ab - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return likeness / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))


def difference(target: Tensor, others: Tensor) -> Tensor:
    """
    Return how unlike pictures are.

    :param target: (B, 3, H, W) float32 in 0..1.
    :param others: (B, S, 3, H, W) float32 in 0..1.
    :return: (B, S, H, W) float32.
    """
    a, b = target[:, None].expand_as(others).flatten(0, 1), others.flatten(0, 1)
    structure = ((1 - ssim(a, b)) / 2).clamp(0, 1).mean(1)
    colour = (a - b).abs().mean(1)
    error = SSIM_SHARE * structure + (1 - SSIM_SHARE) * colour
    return error.unflatten(0, others.shape[:2])


def whole_windows(seen: Tensor) -> Tensor:
    """Return where all of a pixel's 3 x 3 window is seen; (B, S, H, W) bool, as is the result."""
    return F.max_pool2d((~seen).float(), 3, 1, 1) == 0


@dataclass(frozen=True)
class Residual:
    """
    What is left unexplained of the target pictures.

    :param error: (B, H, W) float32; 0 where not ``counted``.
    :param counted: (B, H, W) bool, some source sees the pixel.
    :param moving: (B, H, W) bool, the warp explains the pixel better than no warp; the others give
        the depth no gradient.
    """

    error: Tensor
    counted: Tensor
    moving: Tensor

    def mean(self) -> Tensor:
        """Return the mean error of the counted pixels; zero, with a gradient, where none is."""
        return self.error.sum() / self.counted.sum().clamp(min=1)


def least_error(warped: Tensor, seen: Tensor, still: Tensor | None = None) -> Residual:
    """
    Take the best source at every pixel.

    :param warped: (B, S, H, W) float32, differences of the warped sources.
    :param seen: (B, S, H, W) bool, where they count.
    :param still: (B, S, H, W) float32, differences of the sources as they are, infinite where
        there is no source; None does without.
    """
    best = warped.masked_fill(~seen, torch.inf).amin(1)
    counted = seen.any(1)
    moving = counted
    if still is not None:
        unmoved = still.amin(1)
        moving = counted & (best < unmoved)
        best = torch.where(moving, best, unmoved)
    return Residual(torch.where(counted, best, 0.0), counted, moving)

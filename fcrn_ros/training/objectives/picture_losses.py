"""
What teaches depth without recorded depth: other pictures of the same scene.

Pictures are float32 in 0..1; depth is z-depth [m] on the network's output grid, h x w, which
covers the whole H x W picture; unknown depth (zero, NaN, infinite) teaches nothing. Every
loss of a batch in which nothing counts is zero and has a gradient. Where the camera's motion is
known in metres, so is the depth: seen from 0.1 m aside, only the right depth shifts a pixel by
fx * 0.1 / depth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fcrn_ros.training.objectives.photometric import (
    Residual,
    difference,
    least_error,
    whole_windows,
)
from fcrn_ros.training.objectives.synthesis import enlarged, known_depth, read_at, source_pixels

SMOOTHNESS_WEIGHT = 1e-3  # Godard et al. 2019
ANCHOR_WIDTH = 0.1  # log-ratio above which the anchor's pull grows no more


def video_residual(
    target: Tensor,
    depth: Tensor,
    intrinsics: Tensor,
    sources: Tensor,
    source_T_target: Tensor,
    known: Tensor,
    visible: Tensor | None = None,
    automask: bool = True,
) -> Residual:
    """
    Explain target pictures by pictures of other moments, given depth and motion.

    :param target: (B, 3, H, W) float32.
    :param depth: (B, h, w) float32 [m].
    :param intrinsics: (B, 4) float32, fx, fy, cx, cy of all H x W pictures [px].
    :param sources: (B, S, 3, H, W) float32.
    :param source_T_target: (B, S, 4, 4) float32 [m].
    :param known: (B, S) bool, which sources are there; the others may hold anything.
    :param visible: (B, H, W) bool, where target and sources alike are picture and not the border
        that a warp left; None: everywhere.
    :param automask: let the sources compete as they are; see ``photometric``.
    """
    rows, columns = target.shape[-2:]
    unmoved = torch.eye(4, device=target.device).expand_as(source_T_target)
    poses = torch.where(known[:, :, None, None], source_T_target, unmoved)
    large, has_depth = enlarged(depth, (rows, columns))
    pixels, seen = source_pixels(large, intrinsics, poses)
    seen = seen & has_depth[:, None] & known[:, :, None, None]
    if visible is not None:
        there = visible[:, None, None].expand(-1, sources.shape[1], -1, -1, -1)
        whole = read_at(there.to(depth.dtype), pixels.detach())[:, :, 0] > 0.999
        seen = seen & visible[:, None] & whole
    warped = difference(target, read_at(sources, pixels))
    still = None
    if automask:
        still = difference(target, sources).masked_fill(~known[:, :, None, None], torch.inf)
    return least_error(warped, whole_windows(seen), still)


def video_loss(
    target: Tensor,
    depth: Tensor,
    intrinsics: Tensor,
    sources: Tensor,
    source_T_target: Tensor,
    known: Tensor,
    visible: Tensor | None = None,
    automask: bool = True,
) -> Tensor:
    """Return the mean of :func:`video_residual`, whose parameters these are."""
    return video_residual(
        target, depth, intrinsics, sources, source_T_target, known, visible, automask
    ).mean()


def right_T_left(baseline: Tensor) -> Tensor:
    """
    Return the pose of a rectified pair, which is a translation.

    :param baseline: (B,) float32, the right camera's place along the left one's x [m], or (B, 3),
        its place in all three: the negative in a mirrored view, turned in a turned one.
    :return: (B, 4, 4) float32.
    """
    place = F.pad(baseline[:, None], (0, 2)) if baseline.ndim == 1 else baseline
    pose = torch.eye(4, device=place.device, dtype=place.dtype).repeat(len(place), 1, 1)
    pose[:, :3, 3] = -place
    return pose


def stereo_loss(
    left: Tensor,
    right: Tensor,
    depth_left: Tensor,
    depth_right: Tensor | None,
    intrinsics: Tensor,
    baseline: Tensor,
    visible: Tensor | None = None,
    automask: bool = False,
) -> Tensor:
    """
    Return how badly the two pictures of rectified pairs explain each other.

    The right picture is read at u - fx * baseline / depth. With depth of both pictures each
    explains the other, and their disparities have to agree (Godard et al. 2017, sections 3.1-3).

    :param left: (B, 3, H, W) float32.
    :param right: the same.
    :param depth_left: (B, h, w) float32 [m].
    :param depth_right: the same, of the right picture; None: the right picture has none.
    :param intrinsics: (B, 4) float32, fx, fy, cx, cy of both [px].
    :param baseline: (B,) or (B, 3) float32 [m], see :func:`right_T_left`; 0: no pair, not counted.
    :param visible: as in :func:`video_residual`.
    :param automask: as in :func:`video_residual`.
    """
    pose = right_T_left(baseline)
    known = (pose[:, None, :3, 3] != 0).any(-1)
    options = (known, visible, automask)
    loss = video_loss(left, depth_left, intrinsics, right[:, None], pose[:, None], *options)
    if depth_right is None:
        return loss
    back = right_T_left(pose[:, :3, 3])
    loss = loss + video_loss(
        right, depth_right, intrinsics, left[:, None], back[:, None], *options
    )
    size = left.shape[-2:]
    return (
        loss
        + _disagreement(depth_left, depth_right, intrinsics, pose, size)
        + _disagreement(depth_right, depth_left, intrinsics, back, size)
    )


def _disagreement(
    depth: Tensor, other: Tensor, intrinsics: Tensor, pose: Tensor, size: torch.Size
) -> Tensor:
    """Return the mean difference of two disparities, in widths (Godard et al. 2017, eq. 4)."""
    (mine, known), (theirs, theirs_known) = (
        enlarged(d, (size[0], size[1])) for d in (depth, other)
    )
    pixels, seen = source_pixels(mine, intrinsics, pose[:, None])
    maps = torch.stack((1 / theirs, theirs_known.to(theirs.dtype)), 1)
    read = read_at(maps, pixels[:, 0])
    baseline = pose[:, :3, 3].norm(dim=1)
    counted = seen[:, 0] & known & (read[:, 1] > 0.999) & (baseline > 0)[:, None, None]
    factor = (intrinsics[:, 0] * baseline / size[1])[:, None, None]
    error = torch.where(counted, factor * (1 / mine - read[:, 0]).abs(), 0.0)
    return error.sum() / counted.sum().clamp(min=1)


def smoothness(depth: Tensor, picture: Tensor) -> Tensor:
    """
    Return how much inverse depth changes where the picture does not.

    |d/dx q| exp(-|d/dx I|), the same along y, and q = inverse depth over its mean, so that no
    scale is preferred (Godard et al. 2019, equation 3). To be weighted by ``SMOOTHNESS_WEIGHT``.

    :param depth: (B, h, w) float32 [m].
    :param picture: (B, 3, H, W) float32; averaged down to h x w.
    """
    known = known_depth(depth)
    inverse = torch.where(known, 1 / depth.masked_fill(~known, 1.0), 0.0)
    mean = inverse.sum((1, 2), keepdim=True) / known.sum((1, 2), keepdim=True).clamp(min=1)
    q = inverse / mean.clamp(min=1e-9)
    small = F.adaptive_avg_pool2d(picture, (depth.shape[1], depth.shape[2]))
    total = depth.new_zeros(())
    for axis in (1, 2):
        edge = small.diff(dim=axis + 1).abs().mean(1)
        length = known.shape[axis] - 1
        counted = known.narrow(axis, 1, length) & known.narrow(axis, 0, length)
        step = torch.where(counted, q.diff(dim=axis).abs() * torch.exp(-edge), 0.0)
        total = total + step.sum() / counted.sum().clamp(min=1)
    return total


def anchor(
    depth: Tensor,
    start: Tensor,
    confidence: Tensor | None = None,
    free_scale: bool = False,
) -> Tensor:
    """
    Return how far depth has moved from what the starting model said.

    With r = log(depth / start), the mean of sqrt(r^2 + w^2) - w (Charbonnier et al. 1994), w =
    0.1: a square for small changes, |r| for large ones. Worked number: twice the depth, r = 0.693,
    costs sqrt(0.4805 + 0.01) - 0.1 = 0.6003.

    :param depth: (B, h, w) float32 [m].
    :param start: (B, h, w) float32 [m], the starting model's; gets no gradient.
    :param confidence: (B, h, w) float32 weights, not negative; None: all alike.
    :param free_scale: take each picture's mean of r away first: its shape is held, and its scale
        is free to follow metric motion.
    """
    counted = known_depth(depth) & known_depth(start)
    weight = counted.to(depth.dtype)
    if confidence is not None:
        weight = weight * confidence
    ratio = depth.masked_fill(~counted, 1.0) / start.detach().masked_fill(~counted, 1.0)
    r = ratio.log()
    if free_scale:
        total = weight.sum((1, 2), keepdim=True).clamp(min=1e-9)
        r = r - (weight * r).sum((1, 2), keepdim=True) / total
    cost = (r**2 + ANCHOR_WIDTH**2).sqrt() - ANCHOR_WIDTH
    return (weight * cost).sum() / weight.sum().clamp(min=1e-9)

"""
View synthesis: what a target picture would look like, put together from another picture.

A target pixel p with z-depth D is seen in the source at p' ~ K source_T_target D K^-1 p (Zhou et
al. 2017, equation 2); the source is read there, between its pixels. Everything is differentiable
in depth and pose, and computed in float32 under autocast too: no product here is a matrix product.

Convention: optical frame (x right, y down, z forward), metres, pixels (u, v) with the centre of
the top-left pixel at (0, 0), so a picture reaches from -0.5 to W - 0.5. Every sampling is
therefore ``align_corners=False``, whose coordinate of pixel u is (2 u + 1) / W - 1; with ``True``
it would be 2 u / (W - 1) - 1, and a mix of the two misses by up to half a pixel. A depth map of
h x w covers the whole H x W picture.
Worked number: fx = 200 px, cx = 130 px, the source camera 0.1 m to the right. A point 2 m away at
u = 150 px lies at x = 20 * 2 / 200 = 0.2 m, in the source at 0.1 m: u = 200 * 0.1 / 2 + 130 =
140 px, and 150 - 200 * 0.1 / 2 = 140.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NEAREST, FARTHEST = 0.01, 1e4  # [m]; depth outside is no depth, whatever a network or file says


def known_depth(depth: Tensor) -> Tensor:
    """Return the bool mask of depths between ``NEAREST`` and ``FARTHEST``, of any shape."""
    return (depth > NEAREST) & (depth < FARTHEST)


def enlarged(depth: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """
    Bring depth to the size of the pictures, bilinearly.

    :param depth: (B, h, w) float32, z-depth [m]; see :func:`known_depth`.
    :param size: rows and columns of the pictures.
    :return: (B, H, W) float32 [m], some positive number where unknown, and (B, H, W) bool: known,
        which needs every depth that has a share in the pixel.
    """
    known = known_depth(depth)
    maps = torch.stack((depth.masked_fill(~known, 1.0), known.to(depth.dtype)), 1)
    large = F.interpolate(maps, size, mode='bilinear', align_corners=False)
    return large[:, 0], large[:, 1] > 0.999


def pixel_rays(intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
    """
    Return the direction of every pixel, scaled to z = 1.

    :param intrinsics: (B, 4) float32, fx, fy, cx, cy [px].
    :param size: rows and columns.
    :return: (B, 3, H, W) float32 in the optical frame.
    """
    rows, columns = size
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    u = torch.arange(columns, device=intrinsics.device, dtype=intrinsics.dtype)
    v = torch.arange(rows, device=intrinsics.device, dtype=intrinsics.dtype)[:, None]
    x = ((u - cx) / fx).expand(-1, rows, -1)
    y = ((v - cy) / fy).expand(-1, -1, columns)
    return torch.stack((x, y, torch.ones_like(x)), 1)


def source_pixels(
    depth: Tensor, intrinsics: Tensor, source_T_target: Tensor
) -> tuple[Tensor, Tensor]:
    """
    Return where the sources see what the target's pixels show.

    :param depth: (B, H, W) float32, z-depth of the target's pixels [m], positive.
    :param intrinsics: (B, 4) float32, fx, fy, cx, cy of target and sources [px].
    :param source_T_target: (B, S, 4, 4) float32, translation [m].
    :return: (B, S, H, W, 2) float32 (u, v) [px], and (B, S, H, W) bool: in front of the source
        camera and inside its picture.
    """
    rows, columns = depth.shape[-2:]
    rays = pixel_rays(intrinsics, (rows, columns))[:, None, None]
    turned = (source_T_target[:, :, :3, :3, None, None] * rays).sum(3)
    points = depth[:, None, None] * turned + source_T_target[:, :, :3, 3, None, None]
    x, y, z = points.unbind(2)
    ahead = z > NEAREST
    z = z.masked_fill(~ahead, 1.0)
    fx, fy, cx, cy = intrinsics[:, :, None, None, None].unbind(1)
    u, v = fx * (x / z) + cx, fy * (y / z) + cy
    inside = (u >= -0.5) & (u <= columns - 0.5) & (v >= -0.5) & (v <= rows - 0.5)
    return torch.stack((u, v), -1), ahead & inside


def read_at(picture: Tensor, pixels: Tensor) -> Tensor:
    """
    Read a picture between its pixels, bilinearly; beyond its edge the edge goes on.

    :param picture: (..., C, H, W) float32.
    :param pixels: (..., H', W', 2) float32, (u, v) [px].
    :return: (..., C, H', W') float32.
    """
    lead, (rows, columns) = picture.shape[:-3], picture.shape[-2:]
    size = torch.tensor((columns, rows), device=pixels.device, dtype=pixels.dtype)
    grid = ((2 * pixels + 1) / size - 1).flatten(0, -4)
    read = F.grid_sample(
        picture.reshape(-1, *picture.shape[-3:]), grid, padding_mode='border', align_corners=False
    )
    return read.unflatten(0, lead)

"""Depth as colours, for people."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

COLORMAPS = {
    'turbo': cv2.COLORMAP_TURBO,
    'viridis': cv2.COLORMAP_VIRIDIS,
    'magma': cv2.COLORMAP_MAGMA,
    'gray': None,
}


def colored_depth(
    depth: NDArray[np.float32], near: float, far: float, colormap: str = 'turbo'
) -> NDArray[np.uint8]:
    """
    Colour a depth image on a fixed range, so that a colour keeps its meaning from frame to frame.

    Equal steps of inverse depth are equal steps of colour. NaN is black, +Inf has the colour of
    ``far``.

    :param depth: (H, W) float32, z-depth [m].
    :param near: drawn at the warm or bright end [m].
    :param far: drawn at the other end [m].
    :param colormap: a key of ``COLORMAPS``.
    :return: (H, W, 3) uint8 RGB.
    """
    near = max(near, 0.1)
    with np.errstate(invalid='ignore', divide='ignore'):
        share = (1 / depth - 1 / far) / (1 / near - 1 / far)
    invalid = np.isnan(depth)
    level = (255 * np.clip(np.nan_to_num(share, nan=0), 0, 1)).astype(np.uint8)
    code = COLORMAPS[colormap]
    if code is None:
        color = np.repeat(level[..., None], 3, -1)
    else:
        color = np.ascontiguousarray(cv2.applyColorMap(level, code)[..., ::-1])
    color[invalid] = 0
    return color

"""
From a depth frame to an organised point cloud with colour.

Points lie in the optical frame (x right, y down, z forward), metres, one per pixel of the depth
image. Nav2 and RViz skip points that are NaN: whatever is not trusted is NaN in x, y and z.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.space.edges import flying_pixels


def trusted_depth(
    frame: DepthFrame, min_confidence: float = 0.0, edge_filter: float = 0.0
) -> NDArray[np.float32]:
    """
    Return a frame's depth without what is not trusted.

    :param min_confidence: pixels below it become NaN; 0 keeps all. It has no effect on a frame
        without confidence.
    :param edge_filter: strength of ``flying_pixels``, which become NaN; 0 keeps all.
    :return: (h, w) float32, z-depth [m]; +Inf stays where it is trusted; NaN also where another
        view of the same image sees better.
    """
    bad = np.zeros(frame.depth.shape, bool) if frame.own is None else ~frame.own
    if min_confidence > 0 and frame.confidence is not None:
        bad |= frame.confidence < min_confidence
    if edge_filter > 0:
        whole = frame.depth if frame.unmasked is None else frame.unmasked
        bad |= flying_pixels(whole, edge_filter, frame.enlarged)
    return np.where(bad, np.float32(np.nan), frame.depth)


def colored_points(
    frame: DepthFrame, depth: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """
    Return x, y, z and colour of every pixel, as PointCloud2 stores them.

    :param frame: with a known camera.
    :param depth: (h, w) float32 in place of the frame's own, as ``trusted_depth`` returns it.
    :return: (h, w, 4) float32: x, y, z [m] in the image's optical frame and the bits of
        0x00RRGGBB; x, y and z are NaN where depth is not finite.
    :raises ValueError: the camera is not known.
    """
    camera = frame.require_camera()
    depth = frame.depth if depth is None else depth
    known = np.where(np.isfinite(depth), depth, np.float32(np.nan))
    points = np.empty((*depth.shape, 4), np.float32)
    points[..., :3] = frame.turned(camera.unproject(known))
    packed = np.zeros((*depth.shape, 4), np.uint8)  # little-endian: blue, green, red, 0
    cv2.mixChannels([frame.color], [packed], [0, 2, 1, 1, 2, 0])
    points.view(np.uint32)[..., 3] = packed.view(np.uint32)[..., 0]
    return points

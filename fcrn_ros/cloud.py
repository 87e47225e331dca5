"""
From a depth frame to an organised point cloud with colour.

Points lie in the optical frame (x right, y down, z forward), metres, one per pixel of the depth
image. Nav2 and RViz skip points that are NaN: whatever is not trusted is NaN in x, y and z.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.pipeline import DepthFrame


def colored_points(frame: DepthFrame, min_confidence: float = 0.0) -> NDArray[np.float32]:
    """
    Return x, y, z and colour of every pixel, as PointCloud2 stores them.

    :param frame: with a known camera.
    :param min_confidence: pixels below it become NaN; 0 keeps all. It has no effect on a frame
        without confidence.
    :return: (h, w, 4) float32: x, y, z [m] and the bits of 0x00RRGGBB; NaN where there is no
        point.
    :raises ValueError: the camera is not known.
    """
    height, width = frame.depth.shape
    points = np.empty((height, width, 4), np.float32)
    frame.points(min_confidence, out=points[..., :3])
    packed = np.zeros((height, width, 4), np.uint8)  # little-endian: blue, green, red, 0
    cv2.mixChannels([frame.color], [packed], [0, 2, 1, 1, 2, 0])
    points.view(np.uint32)[..., 3] = packed.view(np.uint32)[..., 0]
    return points

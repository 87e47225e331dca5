"""Exact depth of a level floor with upright boxes on it, by intersecting every pixel's ray."""

import numpy as np

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting

CAMERA = Camera(80, 60, 74.0, 70.0, 37.5, 31.0)  # fx != fy, off the centre; 57 x 46 degrees
MOUNTING = Mounting(0.6, pitch=0.15, roll=0.03)
BOX = (2.0, 0.2, 0.0, 2.4, 0.7, 0.5)  # from (x, y, z) to (x, y, z) in the floor frame [m]


def exact_depth(mounting=MOUNTING, boxes=(BOX,), camera=CAMERA, floor=True, limit=50.0):
    """Return (h, w) float32, z-depth [m]; +Inf where a ray meets nothing up to a limit."""
    rays = camera.rays().astype(float) @ mounting.floor_R_optical.T
    centre = mounting.floor_T_optical[:3, 3]
    depth = np.full(rays.shape[:2], np.inf)
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        if floor:
            depth = np.where(rays[..., 2] < -1e-9, -centre[2] / rays[..., 2], np.inf)
        for box in boxes:
            sides = [(np.array(side) - centre) / rays for side in (box[:3], box[3:])]
            enters = np.minimum(*sides).max(-1)
            leaves = np.maximum(*sides).min(-1)
            depth = np.where((0 < enters) & (enters < leaves), np.minimum(depth, enters), depth)
    return np.where(depth <= limit, depth, np.inf).astype(np.float32)


def points_of(depth, camera=CAMERA):
    """Return (h, w, 4) float32 points with the pixel's number as colour; NaN where it has none."""
    points = np.zeros((*depth.shape, 4), np.float32)
    points.view(np.uint32)[..., 3] = np.arange(depth.size).reshape(depth.shape)
    camera.unproject(np.where(np.isfinite(depth), depth, np.float32(np.nan)), points[..., :3])
    return points


def floor_points(points, mounting=MOUNTING):
    """Return (..., 3) float64 points in the floor frame."""
    t = mounting.floor_T_optical
    return points[..., :3] @ t[:3, :3].T + t[:3, 3]

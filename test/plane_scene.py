"""
A textured plane, rendered by intersecting every pixel's ray with it: views without approximation.

The texture is a function of the place in the world, so every camera sees the same of it.
"""

import numpy as np

from fcrn_ros.camera import Camera

CAMERA = Camera(64, 48, 60.0, 52.0, 29.0, 25.5)  # fx != fy, off the centre
NORMAL, DISTANCE = np.array([0.2, -0.1, 1.0]), 2.0  # NORMAL . X = DISTANCE, in the world [m]
# waves per channel: direction and wave number [radians/m], phase
WAVES = {
    0: [((7.0, 2, 1), 0.1), ((-3, 8, 0), 1.3)],
    1: [((5.0, -6, 2), 2.1), ((9, 1, -1), 0.4)],
    2: [((2.0, 9, 1), 0.9), ((-8, -4, 0), 2.6)],
}


def pose(translation=(0.0, 0, 0), axis_angle=(0.0, 0, 0)):
    """Return world_T_camera."""
    import cv2

    result = np.eye(4)
    result[:3, :3] = cv2.Rodrigues(np.array(axis_angle, float))[0]
    result[:3, 3] = translation
    return result


def render(world_T_camera, camera=CAMERA):
    """Return the (H, W, 3) float64 picture in 0..1 and the (H, W) z-depth [m]."""
    rays = camera.rays().astype(float) @ world_T_camera[:3, :3].T
    centre = world_T_camera[:3, 3]
    depth = (DISTANCE - NORMAL @ centre) / (rays @ NORMAL)
    points = centre + depth[..., None] * rays
    channels = [
        0.5 + sum(0.24 * np.sin(points @ np.array(k) + phase) for k, phase in waves)
        for waves in WAVES.values()
    ]
    return np.stack(channels, -1), depth


def tensors(*poses, camera=CAMERA):
    """
    Return target, sources, source_T_target, intrinsics and depth of one group, batched.

    :param poses: world_T_camera of the target and of the sources.
    """
    import torch

    views = [render(p, camera) for p in poses]
    pictures = [torch.tensor(v[0]).permute(2, 0, 1).float() for v in views]
    moved = [torch.tensor(np.linalg.inv(p) @ poses[0]).float() for p in poses[1:]]
    intrinsics = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    depth = torch.tensor(views[0][1]).float()[None]
    return (
        pictures[0][None],
        torch.stack(pictures[1:])[None],
        torch.stack(moved)[None],
        intrinsics,
        depth,
    )

"""
Single frames of the recorded videos, as samples 256 px wide.

The kitchen's file has the focal length of the depth camera, 585 px; its colour camera's is about
525, and its depth is not registered to it: the centre agrees, the border is off by a tenth.
"""

import cv2
import numpy as np

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample

KITCHEN = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)


def kitchen(folder, index):
    stem = folder / 'kitchen_video' / f'frame-{index:06d}'
    pose = np.loadtxt(f'{stem}.pose.txt')
    paths = f'{stem}.color.jpg', f'{stem}.depth.png'
    return _sample(f'kitchen{index}', paths, KITCHEN, pose, index / 30)


def headset(folder, index):
    folder = folder / 'headset_video'
    k = np.loadtxt(folder / 'K.txt')
    pose = np.loadtxt(folder / 'poses.txt')[index].reshape(4, 4)
    stem = sorted((folder / 'rgb').iterdir())[index].stem
    paths = next(folder.glob(f'rgb/{stem}.*')), folder / 'depth' / f'{stem}.png'
    camera = Camera(540, 360, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    return _sample(f'headset{index}', paths, camera, pose, index / 5)


def _sample(name, paths, camera, pose, time):
    image = cv2.cvtColor(cv2.imread(str(paths[0])), cv2.COLOR_BGR2RGB)
    raw = cv2.imread(str(paths[1]), cv2.IMREAD_UNCHANGED)
    depth = np.where((raw == 0) | (raw == 65535), np.nan, raw / 1000).astype(np.float32)
    return Sample(name, image, camera, depth, time, name[:7], pose).resized(256)


def tensors(target, sources):
    """Return target, sources, source_T_target, intrinsics and depth of one group, batched."""
    import torch

    pictures = [torch.from_numpy(s.image).permute(2, 0, 1) / 255 for s in (target, *sources)]
    moved = [np.linalg.inv(s.world_T_camera) @ target.world_T_camera for s in sources]
    camera = target.camera
    return (
        pictures[0][None],
        torch.stack(pictures[1:])[None],
        torch.tensor(np.array(moved)).float()[None],
        torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]).float(),
        torch.from_numpy(target.depth)[None],
    )

"""
The camera's motion between pictures, told by a small network where nothing recorded it.

It learns together with the depth, from view synthesis alone (Zhou et al. 2017). Depth and
translation then share one unknown scale: what holds it to metres is the anchor to a model that
knows metres. Convention: source_T_target takes points of the target's optical frame to the
source's; rotation by axis-angle (right-hand rule) [radians]. Worked number: axis-angle (0, 0, pi /
2) takes (1, 0, 0) to (0, 1, 0), which is a quarter turn clockwise as seen in the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOTION_UNIT = 0.01  # [radians and metres] of the last layer's 1, so that training starts near rest
CHANNELS = (16, 32, 64, 128, 256, 256)


def matrix_from_motion(motion: Tensor) -> Tensor:
    """
    Return the rigid transform of axis-angle and translation.

    Rodrigues: R = cos(t) I + sin(t) / t [w]x + (1 - cos(t)) / t^2 w w^T, with t = |w|; written
    with sinc it is smooth at no rotation.

    :param motion: (..., 6) float32, axis-angle [radians] and translation [m].
    :return: (..., 4, 4) float32.
    """
    w, translation = motion[..., :3], motion[..., 3:]
    angle = torch.linalg.vector_norm(w, dim=-1)[..., None, None]
    x, y, z = w.unbind(-1)
    nothing = torch.zeros_like(x)
    cross = torch.stack((nothing, -z, y, z, nothing, -x, -y, x, nothing), -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=motion.dtype, device=motion.device)
    sine, half = torch.sinc(angle / torch.pi), torch.sinc(angle / (2 * torch.pi))
    outer = w[..., :, None] * w[..., None, :]
    rotation = angle.cos() * eye + sine * cross + half**2 / 2 * outer
    top = torch.cat((rotation, translation[..., None]), -1)
    last = torch.tensor((0.0, 0, 0, 1), dtype=motion.dtype, device=motion.device)
    return torch.cat((top, last.expand_as(top[..., :1, :])), -2)


class PoseNetwork(nn.Module):
    """Six strided convolutions over two pictures, averaged over the image; without statistics."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 6
        for i, after in enumerate(CHANNELS):
            size = (7, 5)[i] if i < 2 else 3
            layers += [nn.Conv2d(before, after, size, 2, size // 2), nn.ReLU(inplace=True)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 6, 1))

    def forward(self, target: Tensor, sources: Tensor) -> Tensor:
        """
        Tell the motion from the target to each source.

        :param target: (B, 3, H, W) float32 in 0..1.
        :param sources: (B, S, 3, H, W) float32 in 0..1.
        :return: (B, S, 4, 4) float32, source_T_target, translation in the depth's unit.
        """
        pairs = torch.cat((target[:, None].expand_as(sources), sources), 2).flatten(0, 1)
        motion = self.layers((pairs - 0.5) / 0.25).float().mean((2, 3))
        return matrix_from_motion(MOTION_UNIT * motion).unflatten(0, sources.shape[:2])

"""
The FCRN network: an encoder, a 1x1 bottleneck, four up-sampling blocks and a 3x3 prediction.

Laina, Rupprecht, Belagiannis, Tombari, Navab: Deeper Depth Prediction with Fully Convolutional
Residual Networks, 3DV 2016 (arXiv 1606.00373).

(B, 3, H, W) normalised RGB -> (B, 1 or 2, 16 ceil(H / 32), 16 ceil(W / 32)). Channel 0 is z-depth
[m] at the training camera's focal length, never negative. Channel 1, where the architecture has
``uncertainty``, is log(b), b being the scale of a Laplace distribution of the relative depth
error. Worked numbers: at 228 x 304, ResNet-50 with up-projection gives 128 x 160 and has
63,572,737 parameters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fcrn_ros.model.encoder import ENCODERS, build_encoder
from fcrn_ros.model.upsample import ALIGNMENTS, BLOCKS

LOG_SCALE_LIMIT = 5.0  # |log b| is held below this: b between 0.7 % and 148 x


@dataclass(frozen=True)
class Architecture:
    """
    What fixes the network's modules and their shapes.

    :param encoder: a key of ``ENCODERS``.
    :param block: a key of ``BLOCKS``.
    :param alignment: ``top_left`` (the released weights) or ``bottom_right`` (textbook unpool +
        5x5).
    :param width: channels after the bottleneck; each block halves them. 0: half of the encoder's.
    :param uncertainty: predict log(b) in a second channel.
    :param bn_eps: epsilon of every batch normalisation (1e-4 in the released weights).
    :raises ValueError: a name is not known, or the width cannot be halved four times.
    """

    encoder: str = 'resnet50'
    block: str = 'upproj'
    alignment: str = 'bottom_right'
    width: int = 0
    uncertainty: bool = False
    bn_eps: float = 1e-5

    def __post_init__(self) -> None:
        choices: dict[str, Collection[str]] = {
            'encoder': ENCODERS,
            'block': BLOCKS,
            'alignment': ALIGNMENTS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f'{name} {getattr(self, name)!r} is not known; '
                    f'expected one of {", ".join(known)}'
                )
        if self.width < 0 or self.width % 16:
            raise ValueError(f'width is {self.width}; expected 0 or a positive multiple of 16')


RELEASED = Architecture('resnet50_v1', 'upproj', 'top_left', bn_eps=1e-4)


class Fcrn(nn.Module):
    """
    FCRN in its plain form: the form that trains, and the reference for every faster one.

    :param architecture: which encoder, block and alignment.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = build_encoder(architecture.encoder)
        width = architecture.width or self.encoder.channels // 2
        self.reduce = nn.Conv2d(self.encoder.channels, width, 1)
        self.reduce_bn = nn.BatchNorm2d(width)
        block = BLOCKS[architecture.block]
        self.blocks = nn.ModuleList(
            block(width >> i, width >> (i + 1), architecture.alignment) for i in range(4)
        )
        self.predict = nn.Conv2d(width >> 4, 2 if architecture.uncertainty else 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = architecture.bn_eps

    def forward(self, x: Tensor) -> Tensor:
        return activate(self.raw(x))

    def raw(self, x: Tensor) -> Tensor:
        """Return the last convolution's output; training wants its gradient below zero too."""
        x = self.reduce_bn(self.reduce(self.encoder(x)))
        for block in self.blocks:
            x = block(x)
        output: Tensor = self.predict(x)
        return output


def activate(raw: Tensor) -> Tensor:
    """
    Bound the prediction: depth by ReLU, log(b) by a scaled tanh.

    :param raw: (B, 1 or 2, h, w), the last convolution's output.
    :return: the same shape.
    """
    depth = F.relu(raw[:, :1])
    if raw.shape[1] == 1:
        return depth
    log_scale = LOG_SCALE_LIMIT * torch.tanh(raw[:, 1:] / LOG_SCALE_LIMIT)
    return torch.cat((depth, log_scale), 1)

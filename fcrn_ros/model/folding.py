"""Batch normalisation folded into the convolution before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fcrn_ros.model.fused_conv import FusedConv


def scale_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return a normalisation as (C,) float64 scale and shift: y = scale x + shift."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the float32 weight and bias of a convolution and the normalisation behind it."""
    scale, shift = scale_shift(norm)
    bias = shift if conv.bias is None else conv.bias.double() * scale + shift
    weight = conv.weight.double() * scale[:, None, None, None]
    return weight.float(), bias.float()


def fold(conv: nn.Module, norm: nn.Module, activation: str = 'none') -> FusedConv:
    """Return a convolution and the batch normalisation behind it as one."""
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    weight, bias = folded(conv, norm)
    padding = (int(conv.padding[0]), int(conv.padding[1]))
    return FusedConv(weight, bias, conv.stride[0], padding, conv.groups, activation)

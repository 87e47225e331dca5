"""
The unpooled convolution for inference, its batch normalisation folded in, in equivalent forms.

    transposed    one transposed convolution, 5x5 (bottom_right) or 6x6 with empty taps (top_left)
    interleaved   the four phases, written to every second row and column
    shuffled      one 3x3 convolution with the four phases as channels, then pixel shuffle

A transposed convolution's output 2 m + r takes the kernel's tap r + 2 - 2 d from input m + d.
Phase r = 0 reads d = -1, 0, 1: taps 4, 2, 0. Phase r = 1 reads d = 0, 1 (bottom_right: taps 3, 1)
or d = -1, 0 (top_left: taps 5, 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fcrn_ros.model.folding import folded
from fcrn_ros.model.fused_conv import FusedConv
from fcrn_ros.model.upsample import PHASE_KERNELS, PHASE_OFFSETS, UnpoolConv

FORMS = ('transposed', 'interleaved', 'shuffled')
Phase = tuple[Tensor, Tensor]


class Transposed(FusedConv):
    """Four phases as one transposed convolution."""

    def __init__(self, phases: Sequence[Phase], alignment: str, activation: str) -> None:
        taps = {3: (4, 2, 0), 2: (5, 3) if alignment == 'top_left' else (3, 1)}
        size = 6 if alignment == 'top_left' else 5
        outputs, inputs = phases[0][0].shape[:2]
        kernel = phases[0][0].new_zeros(inputs, outputs, size, size)
        for (weight, _), (kh, kw) in zip(phases, PHASE_KERNELS, strict=True):
            for i, row in enumerate(taps[kh]):
                for j, column in enumerate(taps[kw]):
                    kernel[:, :, row, column] = weight[:, :, i, j].T
        super().__init__(kernel, phases[0][1], 2, (2, 2), 1, activation, size % 2)


class Interleaved(nn.Module):
    """Four convolutions, each writing every second row and column."""

    def __init__(self, phases: Sequence[Phase], alignment: str, activation: str) -> None:
        super().__init__()
        self.convs = nn.ModuleList(FusedConv(w, b, 1, (1, 1), 1, activation) for w, b in phases)
        # an even kernel padded by one on both sides gives a row too many: the last for top_left
        self.first = 0 if alignment == 'top_left' else 1
        self.outputs = len(phases[0][1])

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        y = x.new_empty(batch, 2 * height, 2 * width, self.outputs).permute(0, 3, 1, 2)
        for conv, (row, column) in zip(self.convs, PHASE_OFFSETS, strict=True):
            top, left = row * self.first, column * self.first
            part = conv(x)[:, :, top : top + height, left : left + width]
            y[:, :, row::2, column::2] = part
        return y


class Shuffled(nn.Module):
    """One 3x3 convolution with four times the channels, then pixel shuffle."""

    def __init__(self, phases: Sequence[Phase], alignment: str, activation: str) -> None:
        super().__init__()
        outputs, inputs = phases[0][0].shape[:2]
        kernel = phases[0][0].new_zeros(2, 2, outputs, inputs, 3, 3)
        bias = phases[0][0].new_zeros(2, 2, outputs)
        for (weight, b), (row, column) in zip(phases, PHASE_OFFSETS, strict=True):
            kh, kw = weight.shape[2:]
            top = 0 if alignment == 'top_left' else 3 - kh
            left = 0 if alignment == 'top_left' else 3 - kw
            kernel[row, column, :, :, top : top + kh, left : left + kw] = weight
            bias[row, column] = b
        self.conv = FusedConv(
            kernel.flatten(0, 2), bias.flatten(), padding=(1, 1), activation=activation
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        y = self.conv(x).permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, -1)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, -1)
        return y.permute(0, 3, 1, 2)


def fuse_unpool(up: UnpoolConv, norm: nn.BatchNorm2d, activation: str, form: str) -> nn.Module:
    """
    Return an unpooled convolution and its batch normalisation in one of ``FORMS``.

    :raises ValueError: the form is not known, or cannot hold four different biases.
    """
    phases = [folded(conv, norm) for conv in up.phases]  # type: ignore[arg-type]
    if form == 'transposed':
        if any(not torch.allclose(b, phases[0][1], atol=1e-6) for _, b in phases):
            raise ValueError('the four phases have different biases: no transposed form')
        return Transposed(phases, up.alignment, activation)
    if form == 'interleaved':
        return Interleaved(phases, up.alignment, activation)
    if form == 'shuffled':
        return Shuffled(phases, up.alignment, activation)
    raise ValueError(f'form {form!r} is not one of {", ".join(FORMS)}')

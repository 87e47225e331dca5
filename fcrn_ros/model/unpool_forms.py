"""
The up-sampling convolutions for inference, batch normalisation folded in, in equivalent forms.

    transposed    one transposed convolution, 5x5 (bottom_right) or 6x6 with empty taps (top_left)
    interleaved   the four phases, written to every second row and column
    shuffled      one 3x3 convolution with the four phases as channels, then pixel shuffle

A transposed convolution of 2x2 or 3x3 has the first and the last form; shuffled, the 2x2 is one
1x1 convolution with as many weights, and the 3x3 has empty taps.

A transposed convolution's output 2 m + r takes the kernel's tap r + 2 - 2 d from input m + d.
Phase r = 0 reads d = -1, 0, 1: taps 4, 2, 0. Phase r = 1 reads d = 0, 1 (bottom_right: taps 3, 1)
or d = -1, 0 (top_left: taps 5, 3). With a padding of p in place of 2 it is tap r + p - 2 d: of a
2x2 (p = 0) tap r at d = 0; of a 3x3 (p = 1) tap 1 at d = 0 for r = 0, taps 2, 0 at d = 0, 1 for
r = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fcrn_ros.model.folding import folded, scale_shift
from fcrn_ros.model.fused_conv import FusedConv
from fcrn_ros.model.upsample import PHASE_KERNELS, PHASE_OFFSETS, Deconv, UnpoolConv

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
    """
    One convolution with four times the channels, then pixel shuffle.

    :param kernel: (2, 2, outputs, inputs, k, k), of each phase (row, column); k is odd.
    :param bias: (2, 2, outputs).
    """

    def __init__(self, kernel: Tensor, bias: Tensor, activation: str) -> None:
        super().__init__()
        margin = kernel.shape[-1] // 2
        self.conv = FusedConv(
            kernel.flatten(0, 2),
            bias.flatten(),
            padding=(margin, margin),
            activation=activation,
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
        return Shuffled(*_by_phase(phases, up.alignment), activation)
    raise ValueError(f'form {form!r} is not one of {", ".join(FORMS)}')


def _by_phase(phases: Sequence[Phase], alignment: str) -> Phase:
    """Return the phases' kernels as 3x3, and their biases, as :class:`Shuffled` takes them."""
    outputs, inputs = phases[0][0].shape[:2]
    kernel = phases[0][0].new_zeros(2, 2, outputs, inputs, 3, 3)
    bias = phases[0][0].new_zeros(2, 2, outputs)
    for (weight, b), (row, column) in zip(phases, PHASE_OFFSETS, strict=True):
        kh, kw = weight.shape[2:]
        top = 0 if alignment == 'top_left' else 3 - kh
        left = 0 if alignment == 'top_left' else 3 - kw
        kernel[row, column, :, :, top : top + kh, left : left + kw] = weight
        bias[row, column] = b
    return kernel, bias


def fuse_deconv(block: Deconv, form: str) -> nn.Module:
    """
    Return a transposed convolution, its batch normalisation and ReLU in one of its two forms.

    :raises ValueError: the form is not one of them.
    """
    assert block.up.bias is not None
    scale, shift = scale_shift(block.bn)
    weight = (block.up.weight.double() * scale[None, :, None, None]).float()
    bias = (block.up.bias.double() * scale + shift).float()
    pad = int(block.up.padding[0])
    if form == 'transposed':
        return FusedConv(weight, bias, 2, (pad, pad), 1, 'relu', output_padding=pad)
    if form == 'shuffled':
        return Shuffled(_taps_by_phase(weight, pad), bias.repeat(2, 2, 1), 'relu')
    raise ValueError(f'form {form!r} of a transposed convolution; expected transposed or shuffled')


def _taps_by_phase(weight: Tensor, pad: int) -> Tensor:
    """Return a transposed convolution's taps as the kernel that :class:`Shuffled` takes."""
    inputs, outputs = weight.shape[:2]
    kernel = weight.new_zeros(2, 2, outputs, inputs, 2 * pad + 1, 2 * pad + 1)
    # phase -> (the tap, where it lies in the kernel) of each input row or column that it reads
    places = {0: [(pad, pad)], 1: [(pad + 1, pad)] + [(0, 2)] * pad}
    for row, column in PHASE_OFFSETS:
        for tap_row, i in places[row]:
            for tap_column, j in places[column]:
                kernel[row, column, :, :, i, j] = weight[:, :, tap_row, tap_column].T
    return kernel

"""
The up-sampling blocks of the decoder, in their plain form: each doubles height and width.

An "unpool + 5x5 convolution" writes zeros between the pixels of its input and convolves. Only a
quarter of the taps ever meets a pixel, so the released network runs four smaller convolutions A,
B, C, D (3x3, 2x3, 3x2, 2x2), one for each phase of the output, and interleaves them:

    Y[0::2, 0::2] = A    Y[1::2, 0::2] = B    Y[0::2, 1::2] = C    Y[1::2, 1::2] = D

Two alignments exist, and they are different operators. ``top_left`` pads the even-sized kernels at
the top and left, as the released TensorFlow and MATLAB weights need; ``bottom_right`` pads them at
the bottom and right, which equals the textbook "unpool, then 5x5 with padding 2".

A transposed convolution of stride 2 stamps its kernel onto every second row and column of its
output. With a 2x2 kernel the stamps touch: each output pixel has one tap. With a 3x3 kernel they
overlap by one row and one column: an output pixel has one, two or four taps. Neither alignment
applies.

Source: Laina et al. 2016 (arXiv 1606.00373), section 3.2 and table 1, which compares these four.
Worked numbers: from C to C / 2 channels the kernels hold 2 C^2 weights in deconv2, 4.5 C^2 in
deconv3, 12.5 C^2 in upconv and 27.25 C^2 in upproj.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ALIGNMENTS = ('top_left', 'bottom_right')
# kernel height and width of A, B, C, D, in the order of the output phases (row, column)
PHASE_KERNELS = ((3, 3), (2, 3), (3, 2), (2, 2))
PHASE_OFFSETS = ((0, 0), (1, 0), (0, 1), (1, 1))


class UnpoolConv(nn.Module):
    """
    Unpool and 5x5 convolution as four interleaved convolutions.

    (B, inputs, H, W) -> (B, outputs, 2H, 2W).

    :param alignment: ``top_left`` or ``bottom_right``.
    :raises ValueError: the alignment is not known.
    """

    def __init__(self, inputs: int, outputs: int, alignment: str) -> None:
        super().__init__()
        if alignment not in ALIGNMENTS:
            raise ValueError(f'alignment {alignment!r} is not one of {", ".join(ALIGNMENTS)}')
        self.alignment = alignment
        self.phases = nn.ModuleList(nn.Conv2d(inputs, outputs, k) for k in PHASE_KERNELS)
        for phase in self.phases:
            nn.init.zeros_(phase.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        top = self.alignment == 'top_left'
        parts = []
        for phase, (kh, kw) in zip(self.phases, PHASE_KERNELS, strict=True):
            rows = (1, 1) if kh == 3 else ((1, 0) if top else (0, 1))
            columns = (1, 1) if kw == 3 else ((1, 0) if top else (0, 1))
            parts.append(phase(F.pad(x, (*columns, *rows))))
        a, b, c, d = parts
        grid = torch.stack((torch.stack((a, c), -1), torch.stack((b, d), -1)), -3)
        return grid.reshape(batch, -1, 2 * height, 2 * width)


class UpProj(nn.Module):
    """Up-projection: two unpooled convolutions of the same input, one refined by a 3x3, summed."""

    def __init__(self, inputs: int, outputs: int, alignment: str) -> None:
        super().__init__()
        self.up1 = UnpoolConv(inputs, outputs, alignment)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn = nn.BatchNorm2d(outputs)
        self.up2 = UnpoolConv(inputs, outputs, alignment)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        refined = self.bn(self.conv(F.relu(self.bn1(self.up1(x)))))
        return F.relu(refined + self.bn2(self.up2(x)))


class UpConv(nn.Module):
    """Up-convolution: unpool, 5x5, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, alignment: str) -> None:
        super().__init__()
        self.up = UnpoolConv(inputs, outputs, alignment)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.up(x)))


class Deconv(nn.Module):
    """
    Transposed convolution with stride 2, batch normalisation, ReLU.

    :param alignment: is not used; it is there because every block has one.
    :param kernel: 2 (no padding) or 3 (padding 1, and an output row and column more).
    """

    def __init__(self, inputs: int, outputs: int, alignment: str, kernel: int) -> None:
        super().__init__()
        pad = kernel - 2
        self.up = nn.ConvTranspose2d(inputs, outputs, kernel, 2, pad, output_padding=pad)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.up(x)))


Block = UpProj | UpConv | Deconv
# (input channels, output channels, alignment) -> block
BLOCKS: dict[str, Callable[[int, int, str], Block]] = {
    'upproj': UpProj,
    'upconv': UpConv,
    'deconv2': partial(Deconv, kernel=2),
    'deconv3': partial(Deconv, kernel=3),
}

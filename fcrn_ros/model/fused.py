"""
The network's form for inference: normalisation folded, sums and activations inside convolutions.

It takes the camera's bytes, (B, H, W, 3) uint8 RGB, and equals the plain form to float tolerance.
Each unpooled convolution runs in whichever of its equivalent forms is the fastest on the machine.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fcrn_ros.model.encoder import (
    BasicBlock,
    Bottleneck,
    InvertedResidual,
    MobileNetV2,
    ResNet,
)
from fcrn_ros.model.fcrn import Fcrn, activate
from fcrn_ros.model.folding import fold
from fcrn_ros.model.fused_conv import FusedConv
from fcrn_ros.model.unpool_forms import FORMS, fuse_deconv, fuse_unpool
from fcrn_ros.model.upsample import Deconv, UpConv, UpProj

# First blocks of an encoder that stay in float32. MobileNetV2's first depthwise layer has weights
# of so wide a range that bfloat16 there costs more than in all the other layers together.
FLOAT32_BLOCKS = {'mobilenet_v2': 2}


class Residual(nn.Module):
    """Convolutions in a row; the last adds the block's input, or its shortcut's output."""

    def __init__(self, body: Sequence[FusedConv], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.body = nn.ModuleList(body)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.body[:-1]:  # type: ignore[union-attr]
            y = conv(y)
        other = self.shortcut(x) if self.shortcut is not None else None
        out: Tensor = self.body[-1](y, other)
        return out


def _resnet_block(block: nn.Module) -> Residual:
    assert isinstance(block, BasicBlock | Bottleneck)
    body = [fold(block.conv1, block.bn1, 'relu'), fold(block.conv2, block.bn2, 'relu')]
    if isinstance(block, Bottleneck):
        body.append(fold(block.conv3, block.bn3, 'relu'))
    down = block.downsample
    shortcut = fold(down[0], down[1]) if isinstance(down, nn.Sequential) else nn.Identity()
    return Residual(body, shortcut)


def _conv_norm_act(layers: nn.Module) -> FusedConv:
    return fold(layers[0], layers[1], 'relu6')  # type: ignore[index]


def _inverted_residual(block: InvertedResidual) -> Residual:
    *activated, project, norm = block.conv
    body = [_conv_norm_act(m) for m in activated] + [fold(project, norm)]
    return Residual(body, nn.Identity() if block.residual else None)


def fuse_encoder(encoder: ResNet | MobileNetV2) -> nn.Sequential:
    """Return an encoder as a sequence of fused blocks."""
    if isinstance(encoder, ResNet):
        stem = [fold(encoder.conv1, encoder.bn1, 'relu'), encoder.pool]
        return nn.Sequential(*stem, *[_resnet_block(b) for s in encoder.stages() for b in s])
    layers: list[nn.Module] = []
    for module in encoder.features:
        if isinstance(module, InvertedResidual):
            layers.append(_inverted_residual(module))
        else:
            layers.append(_conv_norm_act(module))
    return nn.Sequential(*layers)


class FusedUpProj(nn.Module):
    """Up-projection; the second branch enters the 3x3 convolution's sum."""

    def __init__(self, block: UpProj, form: str) -> None:
        super().__init__()
        self.up1 = fuse_unpool(block.up1, block.bn1, 'relu', form)
        self.up2 = fuse_unpool(block.up2, block.bn2, 'none', form)
        self.conv = fold(block.conv, block.bn, 'relu')

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.up1(x), self.up2(x))
        return y


def fuse_block(block: nn.Module, form: str) -> nn.Module:
    """Return an up-sampling block in its fused form."""
    if isinstance(block, UpProj):
        return FusedUpProj(block, form)
    if isinstance(block, UpConv):
        return fuse_unpool(block.up, block.bn, 'relu', form)
    assert isinstance(block, Deconv)
    return fuse_deconv(block, form)


class FusedFcrn(nn.Module):
    """
    The network for inference.

    :param network: the plain form, in evaluation mode.
    :param mean: per channel, in 0..255.
    :param std: per channel, in 0..255.
    :param dtype: of everything but ``FLOAT32_BLOCKS`` and the last convolution, which are float32:
        in bfloat16 a depth of 3 m would come in steps of 16 mm.
    """

    factor: Tensor
    shift: Tensor

    def __init__(
        self, network: Fcrn, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.dtype, self.forms = dtype, ['']
        self.register_buffer('factor', 1 / torch.tensor(std).view(1, 3, 1, 1))
        self.register_buffer('shift', -(torch.tensor(mean) / torch.tensor(std)).view(1, 3, 1, 1))
        encoder = fuse_encoder(network.encoder)
        exact = FLOAT32_BLOCKS.get(network.architecture.encoder, 0)
        self.stem, self.encoder = encoder[:exact].float(), encoder[exact:].to(dtype)
        self.reduce = fold(network.reduce, network.reduce_bn).to(dtype)
        self.blocks = nn.ModuleList()
        head = network.predict
        assert head.bias is not None
        self.predict = FusedConv(head.weight.float(), head.bias.float(), padding=(1, 1))

    def features(self, batch: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB -> the decoder's input, (B, C, H / 32, W / 32)."""
        x = batch.permute(0, 3, 1, 2).float() * self.factor + self.shift
        y: Tensor = self.reduce(self.encoder(self.stem(x).to(self.dtype)))
        return y

    def forward(self, batch: Tensor) -> Tensor:
        x = self.features(batch)
        for block in self.blocks:
            x = block(x)
        return activate(self.predict(x.float()))


@torch.inference_mode()
def fuse(
    network: Fcrn,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
    form: str = 'auto',
    example: Tensor | None = None,
) -> FusedFcrn:
    """
    Return the inference form of a network, on the example's device.

    :param form: one of ``FORMS``, or ``auto``: each block's forms are timed on the example.
    :param example: (B, H, W, 3) uint8; its device and shape are those that will run.
    :raises ValueError: ``auto`` without an example, or a form that the blocks do not
        have or that cannot hold the weights.
    """
    if form == 'auto' and example is None:
        raise ValueError('form is auto; expected an example batch to time the forms on')
    fused = FusedFcrn(network.eval(), mean, std, dtype)
    if example is not None:
        fused = fused.to(example.device)
        x = fused.features(example)
    fused.forms.clear()
    for block in network.blocks:
        if form == 'auto':
            chosen, candidate = _fastest(block, x, dtype)
            x = candidate(x)
        else:
            chosen, candidate = form, fuse_block(block, form).to(dtype)
            candidate = candidate.to(fused.factor.device)
        fused.blocks.append(candidate)
        fused.forms.append(chosen)
    return fused


def _fastest(block: nn.Module, x: Tensor, dtype: torch.dtype) -> tuple[str, nn.Module]:
    timed = []
    for form in FORMS:
        try:
            candidate = fuse_block(block, form).to(dtype).to(x.device)
        except ValueError:
            continue
        timed.append((_milliseconds(candidate, x), form, candidate))
    _, form, module = min(timed, key=lambda entry: entry[0])
    return form, module


def _milliseconds(call: Callable[[Tensor], Tensor], x: Tensor, repeats: int = 5) -> float:
    """Time a call; on CUDA as a graph, as it will run: there, launching kernels costs nothing."""
    run: Callable[[], object] = functools.partial(call, x)
    run()
    if x.is_cuda:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(x.device)
        with contextlib.suppress(RuntimeError):  # what cannot be captured is timed as it is
            with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
                run()
            run = graph.replay
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:])

"""
The encoders: ResNet (v1 and v1.5) and MobileNetV2 without their classifiers.

Each maps (B, 3, H, W) to (B, C, ceil(H / 32), ceil(W / 32)). Parameter names are torchvision's, so
that its ImageNet weights load unchanged; the modules are ours, so that inference needs no
torchvision.

ResNet: He et al. 2016. ``v1`` puts a bottleneck's stride in its first 1x1 convolution, as the
paper and the released FCRN weights do; ``v1.5`` puts it in the 3x3, as torchvision does.
MobileNetV2: Sandler et al. 2018, width 1.0.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a bias-free convolution that pads by (kernel - 1) // 2 on every side."""
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, v1: bool) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (ResNet-50)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, v1: bool) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = conv(inputs, width, 1, stride if v1 else 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, 1 if v1 else stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class SamePool(nn.Module):
    """
    Max-pooling 3x3, stride 2, with TensorFlow's SAME padding.

    An even size is padded by one at the bottom or right, an odd size by one on both sides.
    """

    def forward(self, x: Tensor) -> Tensor:
        top, left = x.shape[-2] % 2, x.shape[-1] % 2
        padded = F.pad(x, (left, 1, top, 1), value=float('-inf'))
        return F.max_pool2d(padded, 3, 2)


class ResNet(nn.Module):
    """
    ResNet up to its last residual stage.

    :param block: ``BasicBlock`` or ``Bottleneck``.
    :param depths: blocks per stage.
    :param v1: stride in the first 1x1 of a bottleneck, a bias in the stem, TensorFlow SAME
        pooling.
    """

    def __init__(
        self, block: type[BasicBlock | Bottleneck], depths: tuple[int, ...], v1: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=v1)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = SamePool() if v1 else nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, depth in enumerate(depths):
            width = 64 * 2**stage
            blocks: list[nn.Module] = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(inputs, width, stride, v1))
                inputs = width * block.expansion
            self.add_module(f'layer{stage + 1}', nn.Sequential(*blocks))
        self.channels = inputs

    def stages(self) -> list[nn.Sequential]:
        """Return the residual stages in order."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]  # type: ignore[list-item]

    def early(self) -> list[nn.Module]:
        """Return the layers down to a quarter of the input's size."""
        return [self.conv1, self.bn1, self.layer1]  # type: ignore[list-item]

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for stage in self.stages():
            x = stage(x)
        return x


class ConvNormAct(nn.Sequential):
    """Convolution, batch normalisation, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs), nn.ReLU6()
        )


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand 1x1, depthwise 3x3, project 1x1 without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = [] if expand == 1 else [ConvNormAct(inputs, hidden, 1)]
        layers.append(ConvNormAct(hidden, hidden, 3, stride, groups=hidden))
        layers += [conv(hidden, outputs, 1), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 1.0 up to its last 1x1 convolution (1280 channels)."""

    # expansion, output channels, repeats, stride of the first (Sandler et al. 2018, table 2)
    STAGES = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    channels = 1280

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormAct(3, 32, 3, 2)]
        inputs = 32
        for expand, outputs, repeats, stride in self.STAGES:
            for index in range(repeats):
                block = InvertedResidual(inputs, outputs, stride if index == 0 else 1, expand)
                layers.append(block)
                inputs = outputs
        layers.append(ConvNormAct(inputs, self.channels, 1))
        self.features = nn.Sequential(*layers)

    def early(self) -> list[nn.Module]:
        """Return the layers down to a quarter of the input's size."""
        return list(self.features[:4])

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.features(x)
        return features


ENCODERS: dict[str, Callable[[], ResNet | MobileNetV2]] = {
    'resnet18': lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    'resnet34': lambda: ResNet(BasicBlock, (3, 4, 6, 3)),
    'resnet50': lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    'resnet50_v1': lambda: ResNet(Bottleneck, (3, 4, 6, 3), v1=True),
    'mobilenet_v2': MobileNetV2,
}


def build_encoder(name: str) -> ResNet | MobileNetV2:
    """
    Return an encoder with random weights.

    :param name: one of ``ENCODERS``.
    :raises ValueError: the name is not known.
    """
    if name not in ENCODERS:
        raise ValueError(f'encoder {name!r} is not known; expected one of {", ".join(ENCODERS)}')
    return ENCODERS[name]()

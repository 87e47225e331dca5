"""
A ResNet-50 with random weights that sees: the network of the paper, where no trained one is given.

Plain random layers turn every picture into the same depth, and nothing could be compared. Here
the normalisations have the statistics of pictures, and the depth is 2.5 m with a deviation of
0.25 m over them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fcrn_ros.model.encoder import BasicBlock, Bottleneck, InvertedResidual
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.weights import ModelSpec, save_model

NAME = 'resnet50_random'
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's ImageNet, times 255
DEPTH, DEVIATION = 2.5, 0.25  # [m]
DAMPING = 0.25  # of residual branches, as training damps them: else rounding errors grow
SPEC = ModelSpec(
    name=NAME,
    architecture={},
    input_size=(228, 304),  # Laina et al. 2016
    mean=MEAN,
    std=STD,
    camera={'fx': 246.0, 'fy': 246.0, 'cx': 151.5, 'cy': 113.5},
    depth_range=(0.5, 10.0),
)


def save_random_model(folder: Path, pictures: NDArray[np.uint8]) -> Path:
    """
    Write the model to disk.

    :param pictures: (B, 228, 304, 3) uint8 RGB, that it learns its statistics from.
    :return: the sidecar's path.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = settle(Fcrn(Architecture('resnet50')), pictures)
    return save_model(network, SPEC, folder)


@torch.no_grad()
def settle(network: Fcrn, pictures: NDArray[np.uint8]) -> Fcrn:
    """Give a random network the statistics of pictures, and its head a spread of depths."""
    x = torch.from_numpy((pictures - np.array(MEAN, np.float32)) / np.array(STD, np.float32))
    x = x.permute(0, 3, 1, 2)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.uniform_(0.6, 1.4)
        norm.bias.uniform_(-0.2, 0.6)
    for module in network.modules():
        last = _last_norm(module)
        if last is not None:
            last.weight.mul_(DAMPING)
    network.train()(x)
    for norm in norms:
        norm.momentum = 0.1
    network.eval()
    _scale_head(network, x)
    return network


def _last_norm(module: nn.Module) -> nn.BatchNorm2d | None:
    """Return the normalisation that ends a residual branch."""
    found: object = None
    if isinstance(module, InvertedResidual) and module.residual:
        found = module.conv[-1]
    elif isinstance(module, BasicBlock):
        found = module.bn2
    elif isinstance(module, Bottleneck):
        found = module.bn3
    return found if isinstance(found, nn.BatchNorm2d) else None


def _scale_head(network: Fcrn, x: Tensor) -> None:
    seen: list[Tensor] = []
    hook = network.predict.register_forward_hook(lambda *call: seen.append(call[-1]))
    network(x)
    hook.remove()
    head = network.predict
    assert head.bias is not None
    gain = DEVIATION / seen[0].std((0, 2, 3))
    head.weight.mul_(gain.view(-1, 1, 1, 1))
    head.bias.copy_((head.bias - seen[0].mean((0, 2, 3))) * gain)
    head.bias[0] += DEPTH

"""
Encoders with ImageNet weights: torchvision's, or arrays with folded batch normalisation.

Folded arrays (.npz) hold each convolution's weight and bias with its batch normalisation already
inside. The bias goes into the batch normalisation that follows, which is otherwise the identity.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from fcrn_ros.model.encoder import MobileNetV2, ResNet

# The input that each set of weights was trained with: mean and deviation per channel in 0..255
TORCHVISION_INPUT = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
TENSORFLOW_INPUT = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TORCHVISION_NAMES = {
    'resnet18': 'ResNet18_Weights',
    'resnet34': 'ResNet34_Weights',
    'resnet50': 'ResNet50_Weights',
    'mobilenet_v2': 'MobileNet_V2_Weights',
}


def load_torchvision(encoder: nn.Module, name: str) -> None:
    """
    Load torchvision's ImageNet weights, downloaded on first use.

    :raises ValueError: torchvision has none for this encoder.
    """
    if name not in TORCHVISION_NAMES:
        raise ValueError(f'torchvision has no weights for {name}; give --encoder-weights FILE.npz')
    import torchvision

    weights = getattr(torchvision.models, TORCHVISION_NAMES[name]).DEFAULT
    encoder.load_state_dict(weights.get_state_dict(progress=True), strict=False)


def load_folded(encoder: ResNet | MobileNetV2, path: Path) -> list[str]:
    """
    Load folded arrays into an encoder.

    :param path: .npz with ``NAME.weight`` and ``NAME.bias``: torchvision's names, or numbered in
        the order of the network's convolutions.
    :return: the convolutions that the file does not have, which stay as they were.
    :raises ValueError: an array has another shape than its convolution, or none fits.
    """
    arrays = np.load(path, allow_pickle=False)
    names = {key.rsplit('.', 1)[0] for key in arrays.files}
    pairs = conv_norm_pairs(encoder)
    numbered = sorted(n for n in names if n[0].isdigit())
    sources = dict(zip([n for n, _, _ in pairs], numbered, strict=False)) if numbered else {}
    missing = []
    for name, conv, norm in pairs:
        source = sources.get(name, name)
        if source not in names:
            missing.append(name)
            continue
        _load_pair(conv, norm, arrays[f'{source}.weight'], arrays[f'{source}.bias'], name)
    if len(missing) == len(pairs):
        raise ValueError(f'{path}: none of its {len(names)} arrays fits the encoder')
    return missing


def _load_pair(
    conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: np.ndarray, bias: np.ndarray, name: str
) -> None:
    if weight.shape != tuple(conv.weight.shape):
        raise ValueError(f'{name}: array is {weight.shape}; expected {tuple(conv.weight.shape)}')
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(weight))
        if conv.bias is not None:
            conv.bias.zero_()
        norm.weight.fill_(1)
        norm.bias.copy_(torch.from_numpy(bias))
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]


def conv_norm_pairs(encoder: nn.Module) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d]]:
    """Return every convolution, by name, with the batch normalisation that follows it."""
    modules = list(encoder.named_modules())
    convs = [(n, m) for n, m in modules if isinstance(m, nn.Conv2d)]
    norms = [m for _, m in modules if isinstance(m, nn.BatchNorm2d)]
    return [(n, c, b) for (n, c), b in zip(convs, norms, strict=True)]

"""What of a network stays as it is in training."""

from __future__ import annotations

from torch import nn

from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.upsample import UnpoolConv

LAYERS = ('none', 'early', 'encoder')
STATISTICS = ('none', 'encoder', 'all')


def freeze_layers(network: Fcrn, layers: str) -> None:
    """
    Hold weights where they are.

    The biases of interleaved convolutions are always held: the batch normalisation behind them
    makes them redundant, and while the four of them agree the block may run as one transposed
    convolution.

    :param layers: ``early`` holds the encoder down to a quarter of the input's size, whose edges
        and textures a few hundred pictures will not improve, and which costs most of a step;
        ``encoder`` holds all of it.
    """
    for module in network.modules():
        if isinstance(module, UnpoolConv):
            for phase in module.phases:
                phase.bias.requires_grad_(False)  # type: ignore[union-attr, operator]
    held: dict[str, list[nn.Module]] = {
        'none': [],
        'early': network.encoder.early(),
        'encoder': [network.encoder],
    }
    for module in held[layers]:
        module.requires_grad_(False)


def sleep_statistics(network: Fcrn, statistics: str) -> None:
    """
    Put batch normalisations into the mode that uses their statistics and does not change them.

    To be called whenever the network was put into the mode of training.

    :param statistics: which ones: ``none``, those of the ``encoder``, or ``all``.
    """
    part: nn.Module | None = {'none': None, 'encoder': network.encoder, 'all': network}[statistics]
    for module in part.modules() if part is not None else ():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()

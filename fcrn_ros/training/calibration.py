"""The uncertainty's scale, fitted on pictures that the network was not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.training.data.batches import Batch, canonical_depth
from fcrn_ros.training.objectives.losses import valid_pixels

ROUNDS = 3  # the bound on log(b) bends the shift a little


@torch.inference_mode()
def calibrate(
    network: Fcrn, batches: Iterable[Batch], normalise: Callable[[Tensor], Tensor]
) -> float:
    """
    Shift the predicted log(b) by one number, so that the errors of these pictures fit it best.

    A network is surer of the pictures it was trained on than of others. The likelihood of
    a Laplace distribution is greatest for k b with k = mean(error / b); log k goes into the last
    bias.

    :param network: with uncertainty; changed in place.
    :param batches: with image, depth and canonical, read several times.
    :param normalise: makes the network's input of images.
    :return: the shift of log(b) in all; 0 where no picture has a depth.
    """
    network.eval()
    total = 0.0
    for _ in range(ROUNDS):
        ratios = [
            _ratio(network(normalise(batch['image'])), canonical_depth(batch)) for batch in batches
        ]
        found = torch.cat(ratios)
        if not found.numel():
            return 0.0
        shift = math.log(found.mean().item())
        assert network.predict.bias is not None
        network.predict.bias[1] += shift
        total += shift
    return total


def _ratio(output: Tensor, target: Tensor) -> Tensor:
    mask = valid_pixels(target)
    depth = output[:, 0].float().clamp(min=0.1)
    error = (depth - target).abs() / depth
    return (error * torch.exp(-output[:, 1].float()))[mask]

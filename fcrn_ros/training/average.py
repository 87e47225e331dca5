"""Averages of weights: over the steps of a training, and with the model that it started from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

DECAY = 0.998  # per step


def averaged(network: nn.Module) -> AveragedModel:
    """
    Return a copy of a network that follows it: call ``update_parameters`` after every step.

    At first it forgets faster, by (1 + n) / (10 + n) after n steps.
    """
    average = AveragedModel(network, multi_avg_fn=_follow, use_buffers=True)  # type: ignore[arg-type]
    return average.requires_grad_(False)


@torch.no_grad()
def _follow(averages: list[Tensor], currents: list[Tensor], count: Tensor | int) -> None:
    if not averages[0].is_floating_point():  # counters
        torch._foreach_copy_(averages, currents)
        return
    decay = min(DECAY, (1 + float(count)) / (10 + float(count)))
    torch._foreach_lerp_(averages, currents, 1 - decay)


@torch.no_grad()
def blend(network: nn.Module, start: nn.Module, share: float) -> None:
    """
    Move a fine-tuned network a share of the way back to where it started, in place.

    Between the two, what was learned anew is mostly there and what was known before is mostly kept
    (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903).

    :param network: fine-tuned from ``start``, with the statistics of that.
    :param share: of the start's weights, 0 to 1.
    """
    before = start.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name].to(value.device), share)

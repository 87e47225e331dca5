"""The moving average of the weights, which is what is validated and kept."""

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

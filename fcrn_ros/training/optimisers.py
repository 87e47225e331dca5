"""The presets of optimiser and schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

DECAYS = {'adamw': 5e-2, 'sgd': 5e-4}  # of weights
MOMENTUM = 0.9  # of sgd; Laina et al. 2016
ENCODER_RATE = 0.1  # of the decoder's
WARM_UP = 0.05  # share of the steps
ENCODER = 'network.encoder.'
LEAST = 0.01  # of the rate, at the end


def build_optimiser(module: nn.Module, preset: str, rate: float) -> torch.optim.Optimizer:
    """
    Return the optimiser of a preset.

    The encoder, which comes with learned weights, moves more slowly; biases and normalisations do
    not decay.

    :param module: what has the weights; the encoder's are in ``ENCODER``.
    :param preset: a key of ``DECAYS``.
    :param rate: of the decoder.
    """
    groups = []
    for part, factor in (('encoder', ENCODER_RATE), ('', 1.0)):
        named = [
            (name, p)
            for name, p in module.named_parameters()
            if p.requires_grad and name.startswith(ENCODER) == (part == 'encoder')
        ]
        for thin in (False, True):
            chosen = [p for _, p in named if (p.ndim < 2) == thin]
            if chosen:
                decay = 0.0 if thin else DECAYS[preset]
                settings = {'lr': rate * factor, 'weight_decay': decay}
                groups.append({'params': chosen, **settings})
    if preset == 'sgd':
        return torch.optim.SGD(groups, momentum=MOMENTUM)
    return torch.optim.AdamW(groups)


def build_schedule(optimiser: torch.optim.Optimizer, steps: int) -> Any:
    """Return the schedule: a linear warm-up, then a cosine down to ``LEAST`` of the rate."""
    warm = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, steps - warm))
        return LEAST + (1 - LEAST) * (1 + math.cos(math.pi * progress)) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)

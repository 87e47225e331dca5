"""The fitted shift of log(b) against a network whose errors are known."""

import math

import pytest
import torch
from torch import nn

from fcrn_ros.training.calibration import calibrate


class Known(nn.Module):
    """Answers 2 m everywhere, and the log(b) of its bias."""

    def __init__(self, log_scale):
        super().__init__()
        self.predict = nn.Conv2d(3, 2, 1)
        nn.init.zeros_(self.predict.weight)
        self.predict.bias = nn.Parameter(torch.tensor([2.0, log_scale]))

    def forward(self, x):
        return self.predict(x)


@pytest.mark.parametrize('start', [-3.0, 0.0, 1.0])
def test_scale_becomes_the_mean_relative_error(start):
    """Truths 1.5, 2.5, 3 m: |2 - g| / 2 = 0.25, 0.25, 0.5, in the mean 1 / 3; 0 is none."""
    target = torch.tensor([[[1.5, 2.5], [3.0, 0.0]]])
    images = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    network = Known(start)
    shift = calibrate(network, [(images, target)], lambda x: x.permute(0, 3, 1, 2).float())
    assert network.predict.bias[1].item() == pytest.approx(math.log(1 / 3), abs=1e-5)
    assert shift == pytest.approx(math.log(1 / 3) - start, abs=1e-5)
    assert network.predict.bias[0].item() == 2.0

"""The fitted shift of log(b) against a network whose errors are known."""

import math

import pytest
import torch
from torch import nn

from fcrn_ros.training.calibration import calibrate

pytestmark = pytest.mark.usefixtures('one_thread')


class Known(nn.Module):
    """Answers 2 m everywhere, and the log(b) of its bias."""

    def __init__(self, log_scale):
        super().__init__()
        self.predict = nn.Conv2d(3, 2, 1)
        nn.init.zeros_(self.predict.weight)
        self.predict.bias = nn.Parameter(torch.tensor([2.0, log_scale]))

    def forward(self, x):
        return self.predict(x)


def _batch(depth, canonical=(1.0,)):
    depth = torch.tensor(depth)
    image = torch.zeros(*depth.shape, 3, dtype=torch.uint8)
    return {'image': image, 'depth': depth, 'canonical': torch.tensor(canonical)}


def _normalise(images):
    return images.permute(0, 3, 1, 2).float()


@pytest.mark.parametrize('start', [-3.0, 0.0, 1.0])
def test_scale_becomes_the_mean_relative_error(start):
    """Truths 1.5, 2.5, 3 m: |2 - g| / 2 = 0.25, 0.25, 0.5, in the mean 1 / 3; 0 is none."""
    network = Known(start)
    shift = calibrate(network, [_batch([[[1.5, 2.5], [3.0, 0.0]]])], _normalise)
    assert network.predict.bias[1].item() == pytest.approx(math.log(1 / 3), abs=1e-5)
    assert shift == pytest.approx(math.log(1 / 3) - start, abs=1e-5)
    assert network.predict.bias[0].item() == 2.0


def test_errors_are_those_of_canonical_depth_over_all_batches():
    """
    4 m seen with canonical 0.75 is to be 3 m, 2 m with 0.5 is to be 1 m: errors 0.5 and 0.5.

    Another batch: 1 m with 2 is 2 m, no error, twice: the mean of the four pixels is 0.25.
    """
    batches = [_batch([[[4.0]], [[2.0]]], (0.75, 0.5)), _batch([[[1.0, 1.0]]], (2.0,))]
    network = Known(0.0)
    calibrate(network, batches, _normalise)
    assert network.predict.bias[1].item() == pytest.approx(math.log(0.25), abs=1e-5)


def test_pictures_without_depth_change_nothing():
    network = Known(-1.0)
    assert calibrate(network, [_batch([[[0.0, 0.0]]])], _normalise) == 0.0
    assert network.predict.bias.tolist() == [2.0, -1.0]


def test_the_network_is_left_in_evaluation():
    network = Known(0.0).train()
    calibrate(network, [_batch([[[1.5]]])], _normalise)
    assert not network.training

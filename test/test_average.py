"""The moving average by hand, and the way back to a starting model."""

import copy

import pytest
import torch
from torch import nn

from fcrn_ros.training.average import averaged, blend

pytestmark = pytest.mark.usefixtures('one_thread')


def _network(value=0.0):
    """Return a convolution of one weight and its batch normalisation."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    _set(network, value)
    return network


def _set(network, value):
    with torch.no_grad():
        network[0].weight.fill_(value)
        network[1].running_mean.fill_(10 * value)
        network[1].num_batches_tracked.fill_(int(value))


def test_average_of_three_steps_by_hand():
    """
    Weights 1, 2, 4: the first is taken over; then 2 / 11 of it stays, then 3 / 12.

    2 / 11 * 1 + 9 / 11 * 2 = 20 / 11; 3 / 12 * 20 / 11 + 9 / 12 * 4 = 38 / 11.
    """
    network = _network(7.0)
    average = averaged(network)
    found = []
    for value in (1, 2, 4):
        _set(network, value)
        average.update_parameters(network)
        found.append(average.module[0].weight.item())
    assert found == pytest.approx([1, 20 / 11, 38 / 11])
    assert average.module[1].running_mean.item() == pytest.approx(380 / 11)
    assert average.n_averaged.item() == 3


def test_it_forgets_two_of_a_thousand_in_the_long_run():
    """After n = 10000 steps (1 + n) / (10 + n) is 0.9991, above 0.998: 0.998 * 5 + 0.002 * 6."""
    network = _network(5.0)
    average = averaged(network)
    average.n_averaged.fill_(10_000)
    _set(network, 6)
    average.update_parameters(network)
    assert average.module[0].weight.item() == pytest.approx(5.002)


def test_counters_are_copied():
    network = _network()
    average = averaged(network)
    for value in (3, 8):
        _set(network, value)
        average.update_parameters(network)
    counter = average.module[1].num_batches_tracked
    assert counter.item() == 8 and counter.dtype == torch.int64


def test_before_the_first_step_it_is_the_network():
    network = _network(3.0)
    x = torch.tensor([[[[2.0]]]])
    average = averaged(network.eval())
    assert torch.equal(average(x), network(x))


def test_it_learns_nothing_itself_and_leaves_the_network_alone():
    network = _network(3.0)
    average = averaged(network)
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in network.parameters())
    network(torch.randn(2, 1, 3, 4)).square().sum().backward()
    assert network[0].weight.grad is not None and average.module[0].weight.grad is None
    before = copy.deepcopy(network.state_dict())
    average.update_parameters(network)
    average.update_parameters(network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_blend_by_hand():
    """A quarter of the way back from 5 to 1: 4; of the mean from 50 to 10: 40; counters stay."""
    network, start = _network(5.0), _network(1.0)
    blend(network, start, 0.25)
    assert network[0].weight.item() == pytest.approx(4)
    assert network[1].running_mean.item() == pytest.approx(40)
    assert network[1].num_batches_tracked.item() == 5
    assert start[0].weight.item() == 1


@pytest.mark.parametrize(('share', 'expected'), [(0.0, 5.0), (1.0, 1.0)])
def test_blend_goes_from_the_one_to_the_other(share, expected):
    network = _network(5.0)
    blend(network, _network(1.0), share)
    assert network[0].weight.item() == expected

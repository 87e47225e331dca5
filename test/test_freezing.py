"""Which weights get a gradient, and which statistics move."""

import pytest
import torch
from small_models import network_and_spec
from torch import nn

from fcrn_ros.training.freezing import LAYERS, STATISTICS, freeze_layers, sleep_statistics
from fcrn_ros.training.recipe import CHOICES

pytestmark = pytest.mark.usefixtures('one_thread')

# encoder -> the names of its layers down to a quarter of the input
EARLY = {
    'mobilenet_v2': [f'encoder.features.{i}.' for i in range(4)],
    'resnet18': ['encoder.conv1.', 'encoder.bn1.', 'encoder.layer1.'],
}


def _learning(network):
    """Return the names of parameters that a backward pass reaches."""
    x = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    network.train()
    network.raw(x).square().mean().backward()
    return {name for name, p in network.named_parameters() if p.grad is not None}


def _names(network):
    return {name for name, _ in network.named_parameters()}


def _phase_biases(network):
    return {n for n in _names(network) if '.phases.' in n and n.endswith('.bias')}


@pytest.mark.parametrize('encoder', EARLY)
@pytest.mark.parametrize('layers', LAYERS)
def test_held_layers_get_no_gradient_and_all_others_do(encoder, layers):
    network, _ = network_and_spec(encoder)
    freeze_layers(network, layers)
    prefixes = {'none': (), 'early': tuple(EARLY[encoder]), 'encoder': ('encoder.',)}[layers]
    held = {n for n in _names(network) if n.startswith(prefixes)} if prefixes else set()
    assert bool(held) == (layers != 'none')
    expected = _names(network) - held - _phase_biases(network)
    assert _learning(network) == expected
    moved = [p.grad.abs().max() > 0 for n, p in network.named_parameters() if n in expected]
    assert torch.stack(moved).float().mean() > 0.9  # biases before a normalisation have none


@pytest.mark.parametrize(('block', 'count'), [('upproj', 32), ('upconv', 16), ('deconv2', 0)])
def test_biases_of_interleaved_convolutions_are_always_held(block, count):
    """Four blocks with two interleaved convolutions (one in upconv) of four phases each."""
    network, _ = network_and_spec(block=block)
    freeze_layers(network, 'none')
    assert len(_phase_biases(network)) == count
    assert _learning(network) == _names(network) - _phase_biases(network)


@pytest.mark.parametrize('encoder', EARLY)
def test_early_layers_end_at_a_quarter_of_the_input(encoder):
    """64 x 96: the last of them gives 16 x 24, the layer behind it 8 x 12."""
    network, _ = network_and_spec(encoder)
    sizes = []
    last = network.encoder.early()[-1]
    behind = network.encoder.features[4] if encoder == 'mobilenet_v2' else network.encoder.layer2
    for module in (last, behind):
        module.register_forward_hook(lambda m, i, output: sizes.append(tuple(output.shape[-2:])))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 64, 96))
    assert sizes == [(16, 24), (8, 12)]


def _moving(network):
    """Return the names of batch normalisations whose statistics a forward pass changes."""
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    before = {n: (m.running_mean.clone(), m.running_var.clone()) for n, m in norms.items()}
    with torch.no_grad():
        network(torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(1)))
    return {n for n, m in norms.items() if not torch.equal(m.running_var, before[n][1])}


@pytest.mark.parametrize('encoder', EARLY)
@pytest.mark.parametrize('statistics', STATISTICS)
def test_held_statistics_do_not_move_and_the_others_do(encoder, statistics):
    network, _ = network_and_spec(encoder)
    network.train()
    sleep_statistics(network, statistics)
    norms = {n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    inside = {n for n in norms if n.startswith('encoder.')}
    expected = {'none': norms, 'encoder': norms - inside, 'all': set()}[statistics]
    assert _moving(network) == expected


def test_sleeping_statistics_are_used():
    """With all asleep, what one picture gives does not depend on its company."""
    network, _ = network_and_spec('resnet18')
    x = torch.randn(3, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    network.train()
    sleep_statistics(network, 'all')
    with torch.no_grad():
        alone, together = network.raw(x[:1]), network.raw(x)[:1]
        sleeping = network.eval().raw(x[:1])
        awake = network.train().raw(x)[:1]
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert torch.equal(alone, sleeping)
    assert (awake - alone).abs().max() > 1e-2


def test_statistics_asleep_still_let_their_weights_learn():
    network, _ = network_and_spec('resnet18')
    freeze_layers(network, 'none')
    network.train()
    sleep_statistics(network, 'all')
    network.raw(torch.randn(2, 3, 32, 64)).square().mean().backward()
    assert network.encoder.bn1.weight.grad.abs().max() > 0


def test_the_recipe_offers_what_there_is():
    assert CHOICES['freeze'] == LAYERS
    assert CHOICES['freeze_statistics'] == ('auto', *STATISTICS)

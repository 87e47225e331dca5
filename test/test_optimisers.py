"""Rates, decays and schedules by hand, and which weights an optimiser has."""

import pytest
import torch
from small_models import network_and_spec
from torch import nn

from fcrn_ros.training.average import averaged
from fcrn_ros.training.freezing import freeze_layers
from fcrn_ros.training.optimisers import build_optimiser, build_schedule

pytestmark = pytest.mark.usefixtures('one_thread')


class Training(nn.Module):
    """What has the weights: a network, its average, and a second network that learns."""

    def __init__(self, layers='none'):
        super().__init__()
        self.network = network_and_spec('resnet18')[0]
        self.averaged = averaged(self.network)
        self.pose_network = nn.Conv2d(6, 6, 1)
        freeze_layers(self.network, layers)


def _settings(module, optimiser):
    """Return rate and decay of every parameter by its name."""
    names = {p: n for n, p in module.named_parameters()}
    pairs = [(names[p], g) for g in optimiser.param_groups for p in g['params']]
    assert len(pairs) == len(dict(pairs)), 'none is in two groups'
    return {name: (group['lr'], group['weight_decay']) for name, group in pairs}


@pytest.mark.parametrize(
    ('preset', 'kind', 'decay'), [('adamw', 'AdamW', 5e-2), ('sgd', 'SGD', 5e-4)]
)
def test_the_encoder_moves_at_a_tenth_and_thin_parameters_do_not_decay(preset, kind, decay):
    module = Training()
    optimiser = build_optimiser(module, preset, 0.02)
    found = _settings(module, optimiser)
    assert type(optimiser).__name__ == kind
    expected = {
        'network.encoder.conv1.weight': (0.002, decay),
        'network.encoder.layer2.0.conv1.weight': (0.002, decay),
        'network.encoder.bn1.weight': (0.002, 0.0),
        'network.encoder.bn1.bias': (0.002, 0.0),
        'network.reduce.weight': (0.02, decay),
        'network.reduce.bias': (0.02, 0.0),
        'network.blocks.3.up2.phases.1.weight': (0.02, decay),
        'network.blocks.3.bn2.weight': (0.02, 0.0),
        'network.predict.bias': (0.02, 0.0),
        'pose_network.weight': (0.02, decay),
        'pose_network.bias': (0.02, 0.0),
    }
    for name, (rate, share) in expected.items():
        assert found[name] == pytest.approx((rate, share)), name
    parameters = dict(module.named_parameters())
    for name, (rate, share) in found.items():
        assert rate == pytest.approx(0.002 if 'encoder' in name else 0.02)
        assert (share == 0) == (parameters[name].ndim < 2), name


def test_sgd_has_the_papers_momentum():
    optimiser = build_optimiser(Training(), 'sgd', 0.1)
    assert {group['momentum'] for group in optimiser.param_groups} == {0.9}


@pytest.mark.parametrize('layers', ['none', 'early', 'encoder'])
def test_frozen_and_averaged_weights_are_absent_and_all_others_there(layers):
    module = Training(layers)
    found = _settings(module, build_optimiser(module, 'adamw', 1e-3))
    learning = {n for n, p in module.named_parameters() if p.requires_grad}
    assert set(found) == learning
    assert not any(name.startswith('averaged.') for name in found)
    assert not any('.phases.' in name and name.endswith('.bias') for name in found)
    early = {name for name in found if name.startswith('network.encoder.layer1.')}
    late = {name for name in found if name.startswith('network.encoder.layer4.')}
    assert bool(early) == (layers == 'none') and bool(late) == (layers != 'encoder')


def test_a_step_moves_the_network_and_not_its_average():
    module = Training('early')
    before = {n: p.clone() for n, p in module.named_parameters()}
    optimiser = build_optimiser(module, 'adamw', 1e-3)
    module.network.train()
    module.network.raw(torch.randn(2, 3, 32, 64)).square().mean().backward()
    optimiser.step()
    moved = {n for n, p in module.named_parameters() if not torch.equal(p, before[n])}
    assert 'network.predict.weight' in moved and 'network.encoder.layer4.0.conv1.weight' in moved
    assert not any(n.startswith(('averaged.', 'network.encoder.layer1.')) for n in moved)


def _rates(steps, upto):
    """Return the rate of steps 0, 1, ... of a schedule whose full rate is 1 and 0.1."""
    weights = [torch.nn.Parameter(torch.zeros(2, 2)) for _ in range(2)]
    groups = [{'params': [w], 'lr': r} for w, r in zip(weights, (1.0, 0.1), strict=True)]
    optimiser = torch.optim.SGD(groups)
    schedule = build_schedule(optimiser, steps)
    rates = []
    for _ in range(upto):
        rates.append([group['lr'] for group in optimiser.param_groups])
        optimiser.step()
        schedule.step()
    return rates


def test_schedule_by_hand():
    """
    40 steps: 5 % of them, 2, warm up, by halves; then a cosine over 38 down to 1 %.

    Half way, at step 2 + 19, it is 0.01 + 0.99 / 2 = 0.505; at the end, step 40, 0.01; beyond it
    stays there. Step 39 is (1 + cos(37 pi / 38)) / 2 = 0.001707 from it: 0.01169.
    """
    rates = _rates(40, 45)
    assert [full for full, _ in rates[:3]] == pytest.approx([0.5, 1, 1])
    assert rates[21] == pytest.approx([0.505, 0.0505])
    assert rates[39][0] == pytest.approx(0.01169, abs=1e-5)
    assert [full for full, _ in rates[40:]] == pytest.approx([0.01] * 5)
    falling = [full for full, _ in rates[2:41]]
    assert falling == sorted(falling, reverse=True)
    assert all(tenth == pytest.approx(full / 10) for full, tenth in rates)


def test_warm_up_of_a_hundred_steps_by_hand():
    """5 steps: 0.2, 0.4, 0.6, 0.8, 1, and the cosine begins at 1."""
    rates = [full for full, _ in _rates(100, 6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_a_run_of_one_step_has_the_full_rate():
    assert _rates(1, 1)[0] == pytest.approx([1, 0.1])

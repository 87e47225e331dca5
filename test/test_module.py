"""One step of training: what it logs, refuses and averages."""

import math
from types import SimpleNamespace

import pytest
import torch
from small_runs import write_model
from torch import nn

from fcrn_ros.model.weights import load_model
from fcrn_ros.training.module import DepthTraining, depth_errors, validate
from fcrn_ros.training.objectives.reduction import LOCAL
from fcrn_ros.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp('model')))


@pytest.fixture
def training(model):
    """Return a function from changes of the recipe to the module, whose readings have names."""

    def made(steps=10, **changes):
        network, spec = load_model(model)
        recipe = Recipe(**{'anchor': 0.0, 'rate': 0.01, **changes})
        return DepthTraining(network, spec, recipe, steps, 'abcdefgh'.__getitem__)

    return made


def test_input_is_normalised_as_the_model_wants_it(training):
    """(123.675 + 58.395 - 123.675) / 58.395 = 1 in red; the mean in green; black in blue."""
    image = torch.tensor([123.675 + 58.395, 116.28, 0]).expand(1, 2, 3, 3)
    found = training().normalise(image)
    assert found.shape == (1, 3, 2, 3)
    assert found[0, :, 1, 2].tolist() == pytest.approx([1, 0, -103.53 / 57.375])


# What stops a run


class Other:
    """Another process takes part, and its loss is this."""

    processes = 2

    def __init__(self, loss):
        self.loss = loss

    def sum(self, tensor):
        return tensor + self.loss


BATCH = {'position': torch.tensor([1, 4, 7])}


@pytest.mark.parametrize('loss', [math.nan, math.inf])
def test_loss_that_is_not_finite_names_the_samples(training, loss):
    message = f'the loss is {loss} at step 0; the batch was b, e, h'
    with pytest.raises(FloatingPointError, match=message):
        training()._require_finite(torch.tensor(loss), BATCH, LOCAL)


def test_loss_of_another_process_stops_this_one_too(training):
    module = training()
    module._require_finite(torch.tensor(1.0), BATCH, Other(2.0))
    with pytest.raises(FloatingPointError, match='the loss of another process is not finite at'):
        module._require_finite(torch.tensor(1.0), BATCH, Other(math.nan))


def test_checkpoint_of_weights_that_are_not_finite_is_refused(training):
    module = training()
    module.on_save_checkpoint({})
    module.network.predict.bias.data[1] = math.inf
    with pytest.raises(FloatingPointError, match='network.predict.bias is not finite after step'):
        module.on_save_checkpoint({})


# What is averaged and what sleeps


def test_average_follows_the_optimiser_and_not_the_parts_of_a_batch(training, monkeypatch):
    """Four parts, two steps."""
    module = training()
    counts = []
    for step in (0, 1, 1, 2):
        monkeypatch.setattr(DepthTraining, 'global_step', step)
        module.on_train_batch_end()
        counts.append(int(module.averaged.n_averaged))
    assert counts == [0, 1, 1, 2]


@pytest.mark.parametrize('statistics, awake', [('none', True), ('all', False)])
def test_training_mode_leaves_held_statistics_and_the_average_asleep(training, statistics, awake):
    module = training(freeze_statistics=statistics)
    module.train()
    norms = [m for m in module.network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {awake}
    assert module.network.training and not module.averaged.training


def test_only_what_is_not_held_is_optimised(training):
    """The average is a copy, and the biases of phases are held."""
    module = training(freeze='encoder')
    settings = module.configure_optimizers()
    assert settings['lr_scheduler']['interval'] == 'step'
    found = {id(p) for group in settings['optimizer'].param_groups for p in group['params']}
    names = {n for n, p in module.named_parameters() if id(p) in found}
    assert 'network.predict.bias' in names
    assert not any(n.startswith(('averaged', 'network.encoder')) for n in names)
    assert not any('phases' in n and n.endswith('bias') for n in names)


def test_only_motion_that_nothing_recorded_needs_a_second_network(model):
    network, spec = load_model(model)
    told = DepthTraining(network, spec, Recipe(anchor=0.0), 10, str, True)
    assert any(n.startswith('pose_network.') for n, _ in told.named_parameters())
    settings = told.configure_optimizers()['optimizer'].param_groups
    count = sum(len(group['params']) for group in settings)
    without = DepthTraining(network, spec, Recipe(anchor=0.0), 10).configure_optimizers()
    fewer = sum(len(group['params']) for group in without['optimizer'].param_groups)
    assert count - fewer == 2 * 7  # weights and biases of its layers


# Validation


def _batch(depth, canonical):
    depth = torch.tensor(depth)
    image = torch.zeros(*depth.shape, 3, dtype=torch.uint8)
    return {'image': image, 'depth': depth, 'canonical': torch.tensor(canonical)}


def test_errors_are_those_of_canonical_depth():
    """
    Recorded 1, 2, 0 m at a factor of 2 are 2, 4 m and none; predicted 3, 4, 9 m.

    absrel: (0.5 + 0) / 2; 3 / 2 > 1.25, 4 / 4 is not.
    """
    found = depth_errors(torch.tensor([[[[3.0, 4, 9]]]]), _batch([[[1.0, 2, 0]]], [2.0]))
    assert {k: v.item() for k, v in found.items()} == {'absrel': 0.25, 'delta1': 0.5}


def test_batch_without_depth_has_no_errors():
    assert depth_errors(torch.ones(1, 1, 1, 2), _batch([[[0.0, 0]]], [1.0])) == {}


def test_validation_is_the_mean_over_pictures():
    """
    The network says 2 m. Two pictures of 1 m: absrel 1; one of 2.5 m: 0.2; one without depth.

    (2 * 1 + 0.2) / 3 = 0.7333; delta1: 0, 0 and 1, as 2.5 / 2 = 1.25 is not below 1.25: 0.
    """
    network = nn.Conv2d(3, 1, 1)
    nn.init.zeros_(network.weight)
    nn.init.constant_(network.bias, 2.0)
    batches = [
        _batch([[[1.0]], [[1.0]]], [1.0, 1.0]),
        _batch([[[2.5]]], [1.0]),
        _batch([[[0.0]]], [1.0]),
    ]
    found = validate(network, batches, lambda images: images.permute(0, 3, 1, 2).float())
    assert found == {'absrel': 0.7333, 'delta1': 0.0}


@pytest.mark.parametrize('told, cost', [(True, 0.6003), (False, 0.0)])
def test_anchor_holds_the_scale_where_told_motion_would_lose_it(model, told, cost):
    """Twice the start's depth: sqrt(log(2)^2 + 0.01) - 0.1, and nothing with a free scale."""
    network, spec = load_model(model)
    start = DepthTraining(network, spec, Recipe(anchor=0.1), 10, str, told).start
    inputs = torch.randn(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        depth = network.eval()(inputs)[:, 0]
    assert start.term(2 * depth, inputs, 1.0)['anchor'][1].item() == pytest.approx(cost, abs=1e-4)


def test_without_an_anchor_there_is_no_second_copy(training):
    assert training().start is None


def test_the_step_gives_its_losses_the_whole_batch(training, monkeypatch):
    """With one process there is nobody to ask; the trainer says how many there are."""
    module = training(gradient=0.0)
    logged = {}
    module._trainer = SimpleNamespace(world_size=1)
    monkeypatch.setattr(DepthTraining, 'log_dict', lambda self, v: logged.update(v))
    monkeypatch.setattr(DepthTraining, 'log', lambda self, k, v, **_: logged.update({k: v}))
    generator = torch.Generator().manual_seed(1)
    batch = {
        'image': torch.randint(0, 256, (2, 32, 64, 3), generator=generator, dtype=torch.uint8),
        'depth': torch.full((2, 16, 32), 2.0),
        'canonical': torch.tensor([1.0, 1.5]),
        'position': torch.tensor([0, 1]),
    }
    loss = module.training_step(batch, 0)
    assert set(logged) == {'log_l1', 'scale', 'loss'}
    expected = logged['log_l1'] + 0.1 * logged['scale']
    assert loss.item() == pytest.approx(expected.item()) == pytest.approx(logged['loss'].item())

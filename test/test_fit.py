"""The Trainer of a run: its length, its callbacks, loggers, and the time of a step."""

import csv
import math
from importlib.util import find_spec

import pytest
import torch
from small_runs import write_model, write_pairs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fcrn_ros.model.weights import load_model
from fcrn_ros.training.dataset import Data
from fcrn_ros.training.fit import LOGGERS, Machines, build_trainer, steps_of, time_steps
from fcrn_ros.training.module import DepthTraining
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.sources.openers import Weighted, open_samples
from fcrn_ros.training.train import train

pytestmark = [
    pytest.mark.usefixtures('one_thread'),
    pytest.mark.filterwarnings('ignore'),  # Lightning's advice on workers and loggers
]

MEAN = 'network.reduce_bn.running_mean'


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('pairs') / 'room')


@pytest.mark.parametrize(
    'length, steps',
    [
        ({'steps': 2000}, 2000),
        ({'steps': 2049}, 2000),
        ({'steps': 2051}, 2100),
        ({'steps': 3}, 100),
        ({'epochs': 10.0}, 600),  # 10 * 960 / 16
        ({'epochs': 0.5}, 100),  # 30
        ({'minutes': 20.0}, 2200),  # 20 * 60 s * 0.9 / 0.5 s = 2160
    ],
)
def test_length_is_a_multiple_of_the_stretch(length, steps):
    assert steps_of(Recipe(**length), 960, 0.5) == steps


def test_trainer_runs_a_stretch_as_an_epoch(tmp_path):
    recipe = Recipe(accumulate=2, check_every=25, precision='32-true')
    trainer = build_trainer(recipe, Machines('cpu', logger='none'), 200, tmp_path, True)
    assert trainer.max_epochs == 8 and trainer.accumulate_grad_batches == 2
    assert trainer.precision == '32-true' and trainer.gradient_clip_val == 5
    assert trainer.loggers == []


@pytest.mark.parametrize(
    'changes, watched, names',
    [
        ({'keep': 'best', 'patience': 3}, True, ['_Patience', 'best', 'last']),
        ({'keep': 'best'}, True, ['best', 'last']),
        ({'patience': 3}, True, ['_Patience', 'last']),
        ({}, True, ['last']),
        ({}, False, ['last']),
    ],
)
def test_last_checkpoint_comes_after_whatever_it_holds_the_state_of(
    tmp_path, changes, watched, names
):
    recipe = Recipe(precision='32-true', **changes)
    machines = Machines('cpu', logger='none')
    callbacks = build_trainer(recipe, machines, 100, tmp_path, watched).callbacks
    found = [getattr(c, 'filename', None) or type(c).__name__ for c in callbacks]
    assert [name for name in found if name in ('_Patience', 'best', 'last')] == names


def test_processes_are_those_of_all_machines():
    assert Machines(devices=4, num_nodes=3).processes == 12


def test_unknown_logger_is_refused():
    with pytest.raises(ValueError, match="logger 'paper'; expected none or one of tensorboard, c"):
        Machines('cpu', logger='paper')


def test_no_process_is_refused():
    with pytest.raises(ValueError, match='0 devices on 2 machines; expected some'):
        Machines(devices=0, num_nodes=2)


@pytest.mark.parametrize('logger', sorted(set(LOGGERS) - {'tensorboard', 'csv'}))
def test_logger_that_is_not_installed_is_named(tmp_path, logger):
    if find_spec(logger if logger != 'comet' else 'comet_ml'):
        pytest.skip(f'needs a machine without {logger}')
    with pytest.raises(ModuleNotFoundError, match=logger):
        build_trainer(Recipe(), Machines('cpu', logger=logger), 100, tmp_path, False)


def _train(room, model, out, logger):
    recipe = Recipe(
        model=str(model),
        batch=4,
        steps=20,
        check_every=10,
        precision='32-true',
        rate=1e-3,
    )
    data = Data((Weighted(open_samples(room)),), 0.0, ('00', '07'), out / 'cache')
    train(data, recipe, Machines('cpu', workers=0, logger=logger), out, 'small')


def test_csv_has_every_term_and_the_validation(room, model, tmp_path):
    """Logged at every tenth of 20 steps; the rate of the head, 1e-3, ends as 1 % of it."""
    _train(room, model, tmp_path, 'csv')
    (file,) = tmp_path.rglob('metrics.csv')
    rows = list(csv.DictReader(file.open()))
    for name in ('loss', 'log_l1', 'gradient', 'scale', 'val_absrel', 'val_delta1'):
        values = [float(row[name]) for row in rows if row[name]]
        assert len(values) == 2 and all(map(math.isfinite, values)), name
    rates = [float(row['lr-AdamW/pg3']) for row in rows if row.get('lr-AdamW/pg3')]
    assert max(rates) <= 1e-3 and rates[-1] < 0.2 * max(rates)


def test_tensorboard_has_pictures_of_the_validation(room, model, tmp_path):
    """Two samples, four pictures each of 32 x 16."""
    _train(room, model, tmp_path, 'tensorboard')
    (folder,) = {file.parent for file in tmp_path.rglob('events.*')}
    log = EventAccumulator(str(folder), {'images': 0, 'scalars': 0})
    log.Reload()
    assert {'loss', 'val_absrel'} <= set(log.Tags()['scalars'])
    (name,) = log.Tags()['images']
    images = log.Images(name)
    assert [image.step for image in images] == [10, 20]
    assert (images[0].width, images[0].height) == (4 * 32, 2 * 16)


def test_timing_leaves_weights_and_statistics_as_they_were(model):
    """Statistics are awake here, so timing does change them, and has to put them back."""
    network, spec = load_model(str(model))
    recipe = Recipe(precision='32-true', freeze_statistics='none', accumulate=3)
    module = DepthTraining(network, spec, recipe, 1)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    changed = []

    def batches():
        for _ in range(4):
            yield {'image': torch.randint(0, 256, (2, 32, 64, 3), dtype=torch.uint8)}
            changed.append(not torch.equal(network.reduce_bn.running_mean, before[MEAN]))

    seconds = time_steps(module, batches(), Machines('cpu'))
    assert seconds > 0 and all(changed)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())

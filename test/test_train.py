"""
Runs of training in this process: eight pairs of 64 x 48, or pictures of a plane; a few steps.

What comes out is what was asked for; how runs end that are killed is in ``test_faults``.
"""

import json
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import torch
from plane_scene import CAMERA, pose, render
from safetensors.torch import load_file
from small_runs import STEMS, write_model, write_pairs
from torch import nn

from fcrn_ros.camera import Camera
from fcrn_ros.model.weights import ModelError, load_model
from fcrn_ros.training import module as module_
from fcrn_ros.training import start as start_
from fcrn_ros.training import train as train_
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.data.store import Store
from fcrn_ros.training.dataset import Data
from fcrn_ros.training.fit import Machines
from fcrn_ros.training.module import DepthTraining
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.sources.openers import Weighted, open_samples
from fcrn_ros.training.start import START_DEPTH, start
from fcrn_ros.training.train import train

pytestmark = [
    pytest.mark.usefixtures('one_thread', 'encoder'),
    pytest.mark.filterwarnings('ignore'),  # Lightning's advice on workers and loggers
]
FIRST = Camera(64, 48, 50.0, 55.0, 31.0, 25.0)  # of the pairs
CPU = Machines('cpu', workers=0, logger='none')
STEP = 0.1  # [m], by which the camera moves between the pictures of the plane


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    """Return a folder of eight pairs."""
    return write_pairs(tmp_path_factory.mktemp('pairs') / 'room')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Return the sidecar of a random model with input 32 x 64."""
    return write_model(tmp_path_factory.mktemp('model'))


def _random_encoder(encoder, name):
    """Stand in for the download: weights and statistics that no initialisation gives."""
    torch.manual_seed(11)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.5, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.fixture(scope='module')
def encoder():
    """Give a fresh model random encoder weights in place of torchvision's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start_, 'load_torchvision', _random_encoder)
        yield


@pytest.fixture
def plain(monkeypatch):
    """Show every sample in its plain view: all pixels of full depth count."""
    monkeypatch.setattr(train_, 'Ranges', lambda **_: None)


def _trained(folder, source, out='run', test=(), validation=(), licence='', **changes):
    data = Data((Weighted(source),), test, validation, folder / 'cache')
    return train(data, _recipe(**changes), CPU, folder / out, 'small', licence)


@pytest.fixture
def run(room, model, tmp_path):
    """
    Return a function that trains the model on the pairs; it takes changes of everything.

    It returns the outcome; the same ``out`` is the same run.
    """

    def trained(source=None, **changes):
        source = source or open_samples(room)
        return _trained(tmp_path, source, **{'model': str(model), **changes})

    return trained


@pytest.fixture(scope='module')
def fresh(room, encoder, one_thread, tmp_path_factory):
    """Return the outcome of two steps of a fresh model; five pairs of training, two watched."""
    given = {'test': ('07',), 'validation': ('00', '06'), 'licence': 'CC-BY-4.0', 'seed': 5}
    folder = tmp_path_factory.mktemp('fresh')
    return _trained(folder, open_samples(room), check_every=1, **given, **FRESH)


def _recipe(**changes):
    given = {'batch': 4, 'steps': 2, 'check_every': 2, 'anchor': 0.0}
    return Recipe(**{'precision': '32-true', 'blend': 0.0, **given, **changes})


FRESH = {'model': 'fresh', 'width': 16, 'input_size': (32, 64)}


def _weights(outcome):
    return load_file(outcome.sidecar.with_suffix('.safetensors'))


def _largest_difference(one, other, without=()):
    names = one.keys() - set(without)
    return max((one[k].float() - other[k].float()).abs().max().item() for k in names)


def _statistics(network):
    """Return the running statistics as they are stored: float16."""
    return {k: v.half() for k, v in network.state_dict().items() if 'running_' in k}


def _provenance(outcome):
    return json.loads(outcome.sidecar.read_text())['provenance']


# A fresh model


def test_a_run_gives_a_model_that_loads(fresh):
    """
    64 x 48 -> 64 x 32 (width x height): fx 50, fy 55 * 2 / 3 = 36.6667.

    cx 31, cy (25 + 0.5) * 2 / 3 - 0.5 = 16.5.
    """
    network, spec = load_model(str(fresh.sidecar))
    assert fresh.sidecar.name == 'small.json' and spec.name == 'small'
    assert fresh.base is None
    assert spec.architecture['encoder'] == 'mobilenet_v2' and spec.has_uncertainty
    assert spec.input_size == (32, 64) and spec.output_size == (16, 32)
    assert spec.camera == {'fx': 50.0, 'fy': 36.6667, 'cx': 31.0, 'cy': 16.5}
    assert spec.licence == 'CC-BY-4.0'
    with torch.inference_mode():
        output = network(torch.zeros(1, 3, 32, 64))
    assert output.shape == (1, 2, 16, 32) and torch.isfinite(output).all()


def test_sidecar_says_where_the_weights_come_from(fresh):
    made = _provenance(fresh)
    (data,) = made['data']
    assert data['name'] == 'room' and data['licence'] == 'not stated'
    assert (data['training'], data['validation'], data['test']) == (5, 2, 1)
    assert data['report'][0] == 'pairs of colour and depth: 8 samples'
    assert made['started_from'] == 'ImageNet encoder torchvision'
    assert made['recipe']['seed'] == 5 and made['recipe']['rate'] == 1e-3
    assert made['run']['steps'] == 2
    measured = made['run']['validation at the output grid']
    assert set(measured) == {'absrel', 'delta1'}
    assert all(np.isfinite(v) for v in measured.values())
    assert f'torch {torch.__version__}' in made['versions'] and made['commit']


def test_encoder_statistics_of_a_fresh_model_stay_those_of_its_pre_training(fresh):
    """
    Lightning does not call train() itself, and calling it would wake every normalisation.

    The encoder's stay asleep, the decoder's must learn.
    """
    torch.manual_seed(5)
    before, _ = start(_recipe(**FRESH), FIRST)
    after, _ = load_model(str(fresh.sidecar))
    expected, found = _statistics(before.encoder), _statistics(after.encoder)
    assert len(expected) == 2 * 52
    assert all(torch.equal(found[k], v) for k, v in expected.items())
    assert before.reduce_bn.running_mean.abs().max() == 0
    assert after.reduce_bn.running_mean.abs().max() > 1e-3


def test_phase_biases_stay_equal(fresh):
    """While they agree, every block may run as one transposed convolution."""
    network, _ = load_model(str(fresh.sidecar))
    biases = [p.bias for b in network.blocks for up in (b.up1, b.up2) for p in up.phases]
    assert len(biases) == 4 * 2 * 4
    assert all(not b.any() for b in biases)


def test_encoder_sleeps_and_decoder_is_awake_in_every_step(run, monkeypatch):
    modes, step = [], DepthTraining.training_step

    def watched(self, batch, index):
        norms = [m for m in self.network.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
        awake = sum(m.training for m in norms)
        average = any(m.training for m in self.averaged.modules())
        modes.append((awake, self.network.reduce_bn.training, average))
        return step(self, batch, index)

    monkeypatch.setattr(DepthTraining, 'training_step', watched)
    run(validation=('00', '01', '02', '03'), check_every=1, **FRESH)
    assert modes == [(0, True, False)] * 2  # one step per stretch, a validation between them


def test_first_prediction_is_a_depth_of_a_room():
    network, spec = start(_recipe(**FRESH), FIRST)
    assert network.predict.bias.tolist() == [START_DEPTH, 0.0]
    assert spec.mean == (123.675, 116.28, 103.53)


def test_real_encoder_weights_bring_their_normalisation(data_folder):
    file = data_folder / 'encoders' / 'mobilenet_v2_imagenet.npz'
    network, spec = start(_recipe(encoder_weights=str(file), **FRESH), FIRST)
    assert spec.mean == spec.std == (127.5, 127.5, 127.5)
    arrays = np.load(file)
    first = min(k for k in arrays.files if k.endswith('.weight'))
    found = network.encoder.features[0][0].weight.detach().numpy()
    assert np.array_equal(found, arrays[first])


# A model to fine-tune


def test_fine_tuning_keeps_input_camera_and_normalisation(run, model):
    _, before = load_model(str(model))
    outcome = run()
    _, spec = load_model(str(outcome.sidecar))
    assert spec.name == 'small' and outcome.base == str(model)
    assert (spec.input_size, spec.camera) == (before.input_size, before.camera)
    assert (spec.mean, spec.std) == (before.mean, before.std)
    assert spec.architecture == before.architecture
    made = _provenance(outcome)
    assert made['started_from'] == f'tiny, sha256 {before.sha256[:16]}'
    assert made['recipe']['rate'] == pytest.approx(2e-4)  # a fifth
    assert spec.licence == 'as the data of room; BSD-3-Clause'


def test_fine_tuning_holds_all_statistics_and_the_early_layers(run, model):
    before, after = load_model(str(model))[0], load_model(str(run(rate=0.01).sidecar))[0]
    expected, found = _statistics(before), _statistics(after)
    assert all(torch.equal(found[k], v) for k, v in expected.items())
    for one, other in zip(before.encoder.early(), after.encoder.early(), strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    for name in ('predict.weight', 'blocks.0.up1.phases.3.weight', 'encoder.features.18.0.weight'):
        assert not torch.equal(before.get_parameter(name), after.get_parameter(name)), name


def test_recorded_depth_lowers_the_loss_on_it(run, plain, losses):
    """All pairs in every step: the loss is of the same pixels from the first step to the last."""
    run(steps=10, check_every=10, batch=8, rate=0.004)
    assert losses[-1]['log_l1'] < 0.95 * losses[0]['log_l1']
    assert set(losses[0]) == {'log_l1', 'gradient', 'scale'}


def test_blend_goes_its_share_back_to_the_start(run, model):
    """0.25 of the start and 0.75 of what was learned; float16 rounds by up to 2^-11."""
    learned, blended = _weights(run(rate=0.01)), _weights(run(out='other', rate=0.01, blend=0.25))
    before = load_file(model.with_suffix('.safetensors'))
    floats = [k for k, v in before.items() if v.is_floating_point()]
    expected = {k: 0.75 * learned[k].float() + 0.25 * before[k].float() for k in floats}
    assert max((learned[k] - before[k]).abs().max() for k in floats) > 0.01
    for name in floats:
        assert torch.allclose(blended[name].float(), expected[name], rtol=2e-3, atol=1e-3), name


def test_blend_is_what_validation_measures(run, model):
    """All of the start: the metrics in the sidecar are the start's, whatever was learned."""
    validation = ('00', '01')
    whole = run(rate=0.02, blend=1.0, validation=validation)
    still = run(out='still', rate=1e-9, blend=0.0, validation=validation)
    one, other = (_provenance(o)['run']['validation at the output grid'] for o in (whole, still))
    assert one['absrel'] == pytest.approx(other['absrel'], abs=2e-4)


# Length


@pytest.mark.parametrize(
    'length, steps',
    [
        ({'steps': 3, 'check_every': 2}, 4),  # 1.5 stretches, rounded to even
        ({'steps': 1, 'check_every': 2}, 2),  # at least one stretch
        ({'epochs': 1.5, 'check_every': 1}, 3),  # 1.5 * 8 / 4
        ({'minutes': 0.1, 'check_every': 2}, 4),  # 6 s * 0.9 / 1.2 s = 4.5: 2.25 stretches
    ],
)
def test_length_is_in_whole_stretches(run, monkeypatch, length, steps):
    monkeypatch.setattr(train_, 'time_steps', lambda *_: 1.2)
    assert _provenance(run(**length))['run']['steps'] == steps


def test_the_best_validation_is_kept_over_a_restart(run, monkeypatch):
    """Scores 0.5, 0.2, restart, 0.4, 0.3: the weights after the second stretch are the best."""
    scores, kept = iter((0.5, 0.2, 0.4, 0.3, 0.2)), []

    def scripted(output, batch):
        return {'absrel': torch.tensor(next(scores)), 'delta1': torch.tensor(0.5)}

    step, begin = DepthTraining.validation_step, DepthTraining.on_train_epoch_start

    def watched(self, batch, index):
        kept.append(self.averaged.module.predict.weight.detach().clone())
        step(self, batch, index)

    def stopped(self):
        begin(self)
        if self.current_epoch == 2 and len(kept) == 2 and not stops:
            stops.append(1)
            raise RuntimeError('stopped')

    stops = []
    monkeypatch.setattr(module_, 'depth_errors', scripted)
    monkeypatch.setattr(DepthTraining, 'validation_step', watched)
    monkeypatch.setattr(DepthTraining, 'on_train_epoch_start', stopped)
    options = {
        'steps': 4,
        'check_every': 1,
        'keep': 'best',
        'validation': ('00', '01'),
        'rate': 0.01,
    }
    with pytest.raises(RuntimeError, match='stopped'):
        run(**options)
    found = _weights(run(**options))['predict.weight']
    assert len(kept) == 4
    equal = [torch.equal(found, weights.half()) for weights in kept]
    assert equal == [False, True, False, False]


def test_patience_ends_a_run_and_a_restart_does_not_go_on(run, monkeypatch):
    """0.5, 0.2, 0.4, 0.3: two stretches in a row without a better one; the fifth never comes."""
    scores = iter((0.5, 0.2, 0.4, 0.3, 0.7, 0.1, 0.1, 0.1))

    def scripted(output, batch):
        return {'absrel': torch.tensor(next(scores))}

    monkeypatch.setattr(module_, 'depth_errors', scripted)
    options = {'steps': 9, 'check_every': 1, 'patience': 2, 'validation': ('00', '01')}
    assert _provenance(run(**options))['run']['steps'] == 4
    assert _provenance(run(**options))['run']['steps'] == 4


def test_a_finished_run_is_not_repeated(run, monkeypatch):
    first = _weights(run())
    monkeypatch.setattr(DepthTraining, 'training_step', lambda *_: 1 / 0)
    assert _largest_difference(first, _weights(run())) == 0


def test_two_parts_of_a_batch_teach_what_the_batch_teaches(run, tmp_path, plain, model):
    """Statistics are held, and all pixels have depth: both halves weigh the same."""
    source = Plane(4, depth=True)
    options = {'steps': 3, 'check_every': 3, 'rate': 0.01}
    one = _weights(run(source, **options))
    two = _weights(run(source, out='parts', accumulate=2, **options))
    before = load_file(model.with_suffix('.safetensors'))
    assert _largest_difference(one, before) > 0.01
    state = [torch.load(tmp_path / n / 'last.ckpt')['state_dict'] for n in ('run', 'parts')]
    assert _largest_difference(*state) < 1e-5
    assert _largest_difference(one, two) < 2e-3  # float16


# What is held out


@pytest.mark.parametrize('held', [('00', '03'), 0.25])
def test_held_out_samples_are_never_read(run, monkeypatch, held):
    read, real = set(), Store.__getitem__

    def watched(self, index):
        read.add(self.entries[index]['name'])
        return real(self, index)

    monkeypatch.setattr(Store, '__getitem__', watched)
    run(test=held, steps=4, check_every=4)
    names = {'06', '07'} if held == 0.25 else set(held)
    assert read == set(STEMS) - names


def test_validation_samples_are_watched_and_not_learned(run, monkeypatch):
    learned, watched = set(), []
    step, validation = DepthTraining.training_step, DepthTraining.validation_step

    def training_step(self, batch, index):
        learned.update(self.name_of(int(p)) for p in batch['position'])
        return step(self, batch, index)

    def validation_step(self, batch, index):
        watched.append(len(batch['image']))
        return validation(self, batch, index)

    monkeypatch.setattr(DepthTraining, 'training_step', training_step)
    monkeypatch.setattr(DepthTraining, 'validation_step', validation_step)
    run(validation=('00', '06'))
    assert learned == {f'room {s}' for s in STEMS} - {'room 00', 'room 06'}
    assert watched == [2]


# Other teachers than recorded depth


@dataclass
class Plane:
    """
    Pictures of a plane by a camera that moves to the right, as a source.

    :param count: of pictures.
    :param depth: with recorded depth; posed: with poses; right: with a second camera's picture.
    """

    count: int = 6
    depth: bool = False
    posed: bool = False
    right: bool = False
    name: str = 'plane'
    licence: str = 'CC0'
    lines: list = field(default_factory=list)

    def signature(self):
        return repr(self)

    def samples(self):
        for i in range(self.count):
            at = pose((STEP * i, 0, 0))
            image, metres = _picture(at)
            right = _picture(pose((STEP * (i + 1), 0, 0)))[0] if self.right else None
            yield Sample(
                f'{i}',
                image,
                CAMERA,
                metres if self.depth else None,
                i / 10,
                'walk',
                at if self.posed else None,
                right,
                STEP if self.right else 0.0,
            )

    def report(self):
        return self.lines

    def __len__(self):
        return self.count


def _picture(world_T_camera):
    image, depth = render(world_T_camera)
    return (255 * image.clip(0, 1)).astype(np.uint8), depth.astype(np.float32)


@pytest.fixture
def losses(monkeypatch):
    """Return the values of every term, step by step, as training logs them."""
    logged, real = [], DepthTraining.log_dict

    def watched(self, values, *rest, **more):
        if not any(name.startswith('val_') for name in values):
            logged.append({k: float(v) for k, v in values.items()})
        real(self, values, *rest, **more)

    monkeypatch.setattr(DepthTraining, 'log_dict', watched)
    return logged


def _error(sidecar):
    """Return absrel on the plane's first picture."""
    network, spec = load_model(str(sidecar))
    image, depth = _picture(pose())
    rows, columns = spec.input_size
    shown = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    x = (torch.from_numpy(shown).float() - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    with torch.inference_mode():
        found = network.eval()(x.permute(2, 0, 1)[None])[0, 0].numpy()
    size = found.shape[::-1]
    fx = CAMERA.fx * columns / CAMERA.width
    found = found * fx / spec.camera['fx']
    truth = cv2.resize(depth, size, interpolation=cv2.INTER_AREA)
    return float(np.mean(np.abs(found - truth) / truth))


@pytest.mark.parametrize(
    'source, objective, term',
    [
        (Plane(4, posed=True), 'video', 'video'),
        (Plane(4, right=True), 'auto', 'stereo'),
    ],
    ids=['posed', 'stereo'],
)
def test_known_motion_teaches_depth_in_metres(run, plain, losses, model, source, objective, term):
    outcome = run(source, objective=objective, steps=16, check_every=16, rate=0.004)
    terms = [step[term] for step in losses]
    assert terms[-1] < 0.9 * terms[0]
    assert _error(outcome.sidecar) < 0.9 * _error(model)


def test_a_second_network_tells_motion_that_nothing_recorded(run, plain, losses, tmp_path):
    outcome = run(Plane(4), objective='video', anchor=0.1, steps=12, check_every=12, rate=0.001)
    assert losses[-1]['video'] < 0.8 * losses[0]['video']
    assert set(losses[0]) >= {'video', 'smoothness', 'anchor'}
    state = torch.load(tmp_path / 'run' / 'last.ckpt')['state_dict']
    assert any(k.startswith('pose_network.') for k in state)
    assert not any('pose' in k for k in _weights(outcome))


def test_anchor_holds_the_prediction_where_it_was(run, losses):
    """Both runs see the same; the anchored one ends nearer to where it began."""
    options = {'steps': 10, 'check_every': 10, 'rate': 0.002}
    for weight in (1e-9, 10.0):
        run(out=f'{weight}', anchor=weight, **options)
    free, held = losses[9]['anchor'], losses[19]['anchor']
    assert losses[0]['anchor'] == losses[10]['anchor'] == 0
    assert held < 0.8 * free


# Refusals


def test_another_recipe_in_the_same_folder_is_refused(run):
    run()
    with pytest.raises(ValueError, match='run: holds a run with rate 0.0002, not 0.01; name an'):
        run(rate=0.01)
    with pytest.raises(ValueError, match='run: holds a run on other data'):
        run(test=('00',))


def test_batch_that_cannot_be_shared_is_refused(run):
    with pytest.raises(ValueError, match='batch 4 cannot be shared by 1 processes in 3 parts; ex'):
        run(accumulate=3)


@pytest.mark.parametrize('change', [{'patience': 1}, {'keep': 'best'}])
def test_choice_by_validation_needs_validation(run, change):
    with pytest.raises(ValueError, match='no validation sample has depth; expected some, for'):
        run(**change)


def test_absent_model_is_refused(run):
    with pytest.raises(ModelError, match="model 'nothing' was not found"):
        run(model='nothing')


def test_unknown_name_is_refused(run):
    with pytest.raises(ValueError, match='1 names of test are of no sample; the first: 77'):
        run(test=('77',))


def test_nothing_to_train_on_is_refused(run):
    with pytest.raises(ValueError, match='room: nothing is left to train on of 8 samples; 4 are'):
        run(test=tuple(STEMS[:4]), validation=tuple(STEMS[4:]))


def test_source_without_what_the_objective_needs_is_refused(run):
    with pytest.raises(ValueError, match='plane: .* have no right picture; there is: video'):
        run(Plane(posed=True), objective='stereo')
    with pytest.raises(ValueError, match='plane: .* have no recorded depth; there is: nothing'):
        run(Plane(2))


def test_depth_that_is_zero_everywhere_is_refused(run, tmp_path):
    folder = write_pairs(tmp_path / 'dark')
    for path in (folder / 'depth').iterdir():
        cv2.imwrite(str(path), np.zeros((48, 64), np.uint16))
    with pytest.raises(ValueError, match='dark: 8 training samples and no pixel with a depth; e'):
        run(open_samples(folder))

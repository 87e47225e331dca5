"""
A run of training from folders to a model on disk; eight pairs of 64 x 48, one or two epochs.

Whether a network learns is not tested here, but that what comes out is what was asked for.
"""

import json
import logging

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fcrn_ros.camera import Camera
from fcrn_ros.model.weights import ModelError, load_model
from fcrn_ros.training import train as training
from fcrn_ros.training.module import DepthTraining
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.train import START_DEPTH, train

pytestmark = [
    pytest.mark.usefixtures('one_thread', 'quiet', 'encoder'),
    pytest.mark.filterwarnings('ignore'),  # Lightning's advice on workers and loggers
]

STEMS = [f'{i:02}' for i in range(8)]
INTRINSICS = (50.0, 55.0, 31.0, 25.0)


@pytest.fixture
def quiet():
    """Keep Lightning's banner out of the tests' output."""
    logger = logging.getLogger('lightning.pytorch')
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def _random_encoder(encoder, name):
    """Stand in for the download: weights and statistics that no initialisation gives."""
    torch.manual_seed(11)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.5, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.fixture
def encoder(monkeypatch):
    """Give a fresh model random encoder weights in place of torchvision's."""
    monkeypatch.setattr(training, 'load_torchvision', _random_encoder)


@pytest.fixture
def recipe(tmp_path):
    """Return a function that makes a recipe on eight pairs; depth follows brightness."""
    rng = np.random.default_rng(2)
    images, depths = tmp_path / 'room' / 'rgb', tmp_path / 'room' / 'depth'
    for folder in (images, depths):
        folder.mkdir(parents=True)
    for stem in STEMS:
        near = rng.integers(1, 4)
        metres = near + np.linspace(0, 1.5, 64)[None] + np.linspace(0, 0.5, 48)[:, None]
        shade = (255 - 40 * metres).clip(0, 255).astype(np.uint8)
        depth = (1000 * metres).astype(np.uint16)
        depth[:5, :7] = 0
        assert cv2.imwrite(str(images / f'{stem}.png'), np.repeat(shade[..., None], 3, -1))
        assert cv2.imwrite(str(depths / f'{stem}.png'), depth)
    given = {'width': 16, 'input_size': (32, 64), 'epochs': 1, 'batch': 4, 'workers': 0}

    def make(**changes):
        options = {'precision': '32-true', **given, **changes}
        return Recipe(images, depths, INTRINSICS, tmp_path / 'run', 'small', **options)

    return make


def _statistics(network):
    """Return the running statistics of the encoder as they are stored: float16."""
    state = network.encoder.state_dict()
    return {k: v.half() for k, v in state.items() if 'running_' in k}


def test_a_run_gives_a_model_that_loads(recipe):
    """
    64 x 48 -> 64 x 32 (width x height): fx 50, fy 55 * 2 / 3 = 36.6667.

    cx 31, cy (25 + 0.5) * 2 / 3 - 0.5 = 16.5.
    """
    sidecar = train(recipe(test=('07',), validation=('00', '06'), licence='CC-BY-4.0'))
    network, spec = load_model(str(sidecar))
    assert sidecar.name == 'small.json' and spec.name == 'small'
    assert spec.architecture['encoder'] == 'mobilenet_v2' and spec.has_uncertainty
    assert spec.input_size == (32, 64) and spec.output_size == (16, 32)
    assert spec.camera == {'fx': 50.0, 'fy': 36.6667, 'cx': 31.0, 'cy': 16.5}
    assert spec.network_camera == Camera(64, 32, 50.0, 36.6667, 31.0, 16.5)
    assert spec.licence == 'CC-BY-4.0'
    with torch.inference_mode():
        output = network(torch.zeros(1, 3, 32, 64))
    assert output.shape == (1, 2, 16, 32) and torch.isfinite(output).all()


def test_sidecar_says_where_the_weights_come_from(recipe):
    spec = load_model(str(train(recipe(test=('07',), validation=('00', '06'), seed=5))))[1]
    assert spec.provenance['data'] == '5 pairs of room; 2 for validation, 1 never read'
    assert spec.provenance['started_from'] == 'ImageNet encoder of torchvision'
    made = spec.provenance['recipe']
    assert made.startswith('berhu, AdamW 0.001, one cycle, batch 4, 1 epochs, 1 steps, 32-true')
    assert made.endswith('seed 5')
    assert f'torch {torch.__version__}' in spec.provenance['versions']
    assert spec.provenance['commit']
    measured = spec.metrics['validation at the output grid']
    assert set(measured) == {'absrel', 'delta1', 'scale_loss'}
    assert all(np.isfinite(v) for v in measured.values())


def test_encoder_statistics_stay_those_of_its_pre_training(recipe):
    """
    Lightning does not call train() itself, and calling it would wake every normalisation.

    The encoder's stay asleep, the decoder's must learn.
    """
    before, _ = training.start(recipe(), Camera(64, 48, *INTRINSICS))
    after, _ = load_model(str(train(recipe(epochs=2))))
    expected, found = _statistics(before), _statistics(after)
    assert len(expected) == 2 * 52
    assert all(torch.equal(found[k].half(), v) for k, v in expected.items())
    assert before.reduce_bn.running_mean.abs().max() == 0
    assert after.reduce_bn.running_mean.abs().max() > 1e-3
    assert after.blocks[3].bn.num_batches_tracked == 4


def test_encoder_sleeps_and_decoder_is_awake_in_every_step(recipe, monkeypatch):
    modes, step = [], DepthTraining.training_step

    def watched(self, batch, index):
        norms = [m for m in self.network.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
        awake = sum(m.training for m in norms)
        modes.append((awake, self.network.reduce_bn.training, self.network.blocks[0].bn1.training))
        return step(self, batch, index)

    monkeypatch.setattr(DepthTraining, 'training_step', watched)
    train(recipe(validation=('00', '01', '02', '03'), epochs=2))
    assert modes == [(0, True, True)] * 2  # one step per epoch, a validation between them


def test_phase_biases_stay_equal(recipe):
    """While they agree, every block may run as one transposed convolution."""
    network, _ = load_model(str(train(recipe())))
    biases = [p.bias for b in network.blocks for up in (b.up1, b.up2) for p in up.phases]
    assert len(biases) == 4 * 2 * 4
    assert all(not b.any() for b in biases)


def test_first_prediction_is_a_depth_of_a_room(recipe):
    network, spec = training.start(recipe(), Camera(64, 48, *INTRINSICS))
    assert network.predict.bias.tolist() == [START_DEPTH, 0.0]
    assert spec.mean == (123.675, 116.28, 103.53)


def test_weights_change(recipe):
    before, _ = training.start(recipe(), Camera(64, 48, *INTRINSICS))
    after, _ = load_model(str(train(recipe(epochs=2))))
    for name in ('encoder.features.0.0.weight', 'predict.weight', 'blocks.0.up1.phases.3.weight'):
        assert not torch.allclose(before.get_parameter(name), after.get_parameter(name), atol=1e-5)


@pytest.mark.parametrize('held', [('00', '01'), ('03', '07')])
def test_held_out_pairs_are_never_read(recipe, held):
    """Their files are emptied: reading one would be an error. The first pair is one of them."""
    made = recipe(test=held)
    for stem in held:
        (made.images / f'{stem}.png').write_bytes(b'')
        (made.depths / f'{stem}.png').write_bytes(b'')
    spec = load_model(str(train(made)))[1]
    assert spec.provenance['data'] == '6 pairs of room; 0 for validation, 2 never read'
    assert spec.metrics == {}


def test_interrupted_run_goes_on_where_it_stopped(recipe, monkeypatch):
    """Two epochs of two steps; the first attempt ends as the second epoch begins."""
    epochs, begin = [], DepthTraining.on_train_epoch_start

    class Stopped(Exception):
        pass

    def watched(self):
        begin(self)
        epochs.append(self.current_epoch)
        if epochs == [0, 1]:
            raise Stopped

    monkeypatch.setattr(DepthTraining, 'on_train_epoch_start', watched)
    made = recipe(epochs=2)
    with pytest.raises(Stopped):
        train(made)
    assert (made.out / 'last.ckpt').is_file() and not (made.out / 'small.json').exists()
    spec = load_model(str(train(made)))[1]
    assert epochs == [0, 1, 1]
    assert ' 2 epochs, 4 steps,' in spec.provenance['recipe']
    assert not list(made.out.glob('last-v*.ckpt'))


def test_model_may_be_fine_tuned(recipe, tiny_model):
    """Its input, camera and normalisation stay; the encoder's weights are not loaded anew."""
    made = recipe(model=str(tiny_model), input_size=(32, 64))
    _, before = load_model(str(tiny_model))
    network, spec = load_model(str(train(made)))
    assert spec.name == 'small' and spec.input_size == before.input_size == (64, 96)
    assert (spec.camera, spec.mean, spec.std) == (before.camera, before.mean, before.std)
    assert spec.architecture == before.architecture
    assert spec.provenance['started_from'] == str(tiny_model)


def test_real_encoder_weights_bring_their_normalisation(recipe, data_folder):
    file = data_folder / 'encoders' / 'mobilenet_v2_imagenet.npz'
    made = recipe(encoder_weights=file)
    network, spec = training.start(made, Camera(64, 48, *INTRINSICS))
    assert spec.mean == spec.std == (127.5, 127.5, 127.5)
    arrays = np.load(file)
    first = min(k for k in arrays.files if k.endswith('.weight'))
    found = network.encoder.features[0][0].weight.detach().numpy()
    assert np.array_equal(found, arrays[first])


def test_fewer_pairs_than_a_batch_are_refused(recipe):
    with pytest.raises(ValueError, match='3 training pairs; expected at least a batch of 4'):
        train(recipe(test=tuple(STEMS[:3]), validation=tuple(STEMS[3:5])))


def test_held_out_stem_without_a_pair_is_refused(recipe):
    with pytest.raises(ValueError, match='1 held-out stems have no pair; the first: 77'):
        train(recipe(test=('77',)))


def test_absent_model_is_refused(recipe):
    with pytest.raises(ModelError, match="model 'nothing' was not found"):
        train(recipe(model='nothing'))


def test_image_of_another_size_is_refused(recipe):
    made = recipe()
    assert cv2.imwrite(str(made.images / '05.png'), np.zeros((64, 48, 3), np.uint8))
    with pytest.raises(ValueError, match='05.png: 48x64; expected 64x48, the size of the camera'):
        train(made)


def test_sidecar_is_json_that_people_can_read(recipe):
    text = train(recipe()).read_text()
    assert json.loads(text)['sha256'] and '\n  "input_size": [\n' in text


def test_pairs_without_any_depth_are_refused(recipe):
    made = recipe()
    for path in made.depths.iterdir():
        cv2.imwrite(str(path), np.zeros((48, 64), np.uint16))
    with pytest.raises(ValueError, match='training pairs hold no depth; expected millimetres'):
        train(made)

"""A fresh network and its spec, and a model to go on with."""

import pytest
import torch
from torch import nn

from fcrn_ros.camera import Camera
from fcrn_ros.model.weights import ModelError, load_model
from fcrn_ros.training import start as starting
from fcrn_ros.training.pretrained import TENSORFLOW_INPUT, TORCHVISION_INPUT
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.start import START_DEPTH, start

pytestmark = pytest.mark.usefixtures('one_thread')

CAMERA = Camera(64, 48, 50.0, 55.0, 31.0, 25.0)
SMALL = {'model': 'fresh', 'width': 16, 'input_size': (32, 64)}


@pytest.fixture
def download(monkeypatch):
    """Stand in for torchvision's weights: 0.5 in every convolution, and their names."""
    asked = []

    def load(encoder, name):
        asked.append(name)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.constant_(module.weight, 0.5)

    monkeypatch.setattr(starting, 'load_torchvision', load)
    return asked


def test_a_fresh_model_is_what_the_recipe_says(download):
    network, spec = start(Recipe(**SMALL, encoder='resnet18', block='upconv'), CAMERA)
    architecture = network.architecture
    assert (architecture.encoder, architecture.block) == ('resnet18', 'upconv')
    assert architecture.width == 16 and architecture.uncertainty
    assert spec.input_size == (32, 64) and spec.output_size == (16, 32)
    assert spec.depth_range == (0.5, 10.0) and spec.licence == ''


def test_its_encoder_has_torchvisions_weights_and_input(download):
    network, spec = start(Recipe(**SMALL, encoder='resnet18'), CAMERA)
    assert download == ['resnet18']
    assert (network.encoder.conv1.weight == 0.5).all()
    assert (network.reduce.weight != 0.5).all()
    assert (spec.mean, spec.std) == TORCHVISION_INPUT


def test_its_training_camera_is_that_of_the_first_source(download):
    """64 x 48 -> 64 x 32: fy 55 * 2 / 3 = 36.6667, cy (25 + 0.5) * 2 / 3 - 0.5 = 16.5."""
    _, spec = start(Recipe(**SMALL), CAMERA)
    assert spec.camera == {'fx': 50.0, 'fy': 36.6667, 'cx': 31.0, 'cy': 16.5}
    assert spec.network_camera == Camera(64, 32, 50.0, 36.6667, 31.0, 16.5)


def test_it_says_a_rooms_depth_before_the_first_step(download):
    """With nothing from the last layer's weights it says its biases: 2.5 m, log(b) = 0."""
    network, _ = start(Recipe(**SMALL), CAMERA)
    assert network.predict.bias.tolist() == [START_DEPTH, 0.0] == [2.5, 0.0]
    nn.init.zeros_(network.predict.weight)
    with torch.inference_mode():
        output = network.eval()(torch.randn(1, 3, 32, 64))
    assert (output[:, 0] == 2.5).all() and (output[:, 1] == 0).all()


def test_an_encoder_from_a_file_brings_its_input(data_folder):
    """The recorded MobileNetV2 was trained by TensorFlow on -1..1."""
    file = data_folder / 'encoders' / 'mobilenet_v2_imagenet.npz'
    network, spec = start(Recipe(**SMALL, encoder_weights=str(file)), CAMERA)
    assert (spec.mean, spec.std) == TENSORFLOW_INPUT
    norm = network.encoder.features[0][1]
    assert (norm.weight == 1).all() and (norm.running_mean == 0).all()


def test_an_encoder_without_torchvisions_weights_is_an_error():
    with pytest.raises(ValueError, match='torchvision has no weights for resnet50_v1; give'):
        start(Recipe(**SMALL, encoder='resnet50_v1'), CAMERA)


def test_an_encoder_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.npz'):
        start(Recipe(**SMALL, encoder_weights=str(tmp_path / 'none.npz')), CAMERA)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'encoder': 'vgg'}, "^encoder 'vgg' is not known; expected one of "),
        ({'block': 'bilinear'}, "^block 'bilinear' is not known; expected one of "),
        ({'width': 24}, '^width is 24; expected 0 or a positive multiple of 16$'),
    ],
)
def test_an_architecture_that_is_not_there_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        start(Recipe(**{**SMALL, **changes}), CAMERA)


def test_a_model_to_fine_tune_is_loaded_with_its_own_spec(tiny_model):
    """The recipe's architecture and the source's camera have no say."""
    recipe = Recipe(model=str(tiny_model), encoder='mobilenet_v2', input_size=(32, 64))
    network, spec = start(recipe, CAMERA)
    expected, expected_spec = load_model(str(tiny_model))
    assert spec == expected_spec and spec.name == 'tiny' and spec.input_size == (64, 96)
    state = network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in expected.state_dict().items())


def test_a_model_that_is_not_there_is_an_error():
    with pytest.raises(ModelError, match="model 'no_such' was not found"):
        start(Recipe(model='no_such'), CAMERA)

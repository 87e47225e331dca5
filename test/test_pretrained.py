"""Encoders with ImageNet weights: folded arrays and torchvision's."""

import numpy as np
import pytest
import torch

from fcrn_ros.model.encoder import BasicBlock, ResNet, build_encoder
from fcrn_ros.training.pretrained import (
    TENSORFLOW_INPUT,
    TORCHVISION_INPUT,
    conv_norm_pairs,
    load_folded,
    load_torchvision,
)
from fcrn_ros.training.sources.pairs import find_pairs, read_image

pytestmark = pytest.mark.usefixtures('one_thread')

MISSING_IN_RESNET18 = ['layer4.0.conv1', 'layer4.0.conv2', 'layer4.1.conv1', 'layer4.1.conv2']


def _random_encoder(name, seed=0):
    """Return an encoder whose normalisations are not the identity."""
    torch.manual_seed(seed)
    small_v1 = name == 'small v1'
    encoder = ResNet(BasicBlock, (1, 1, 1, 1), v1=True) if small_v1 else build_encoder(name)
    encoder.eval()
    with torch.no_grad():
        for _, _, norm in conv_norm_pairs(encoder):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.2)
    return encoder


def _folded(encoder, numbered=False):
    """Fold each normalisation into its convolution: w' = w s, b' = beta + (b - mean) s."""
    arrays = {}
    for index, (name, conv, norm) in enumerate(conv_norm_pairs(encoder)):
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = conv.bias if conv.bias is not None else 0
        name = f'{index:02d}.CONV_2D' if numbered else name
        arrays[f'{name}.weight'] = (conv.weight * scale.reshape(-1, 1, 1, 1)).detach().numpy()
        arrays[f'{name}.bias'] = (norm.bias + (bias - norm.running_mean) * scale).detach().numpy()
    return arrays


def _save(path, arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ('name', 'numbered'), [('resnet18', False), ('mobilenet_v2', True), ('small v1', False)]
)
def test_folded_encoder_gives_the_features_of_the_unfolded(tmp_path, name, numbered):
    original = _random_encoder(name)
    path = _save(tmp_path / 'folded.npz', _folded(original, numbered))
    loaded = _random_encoder(name, seed=1)
    assert load_folded(loaded, path) == []
    x = torch.randn(1, 3, 40, 70)
    with torch.inference_mode():
        expected, found = original(x), loaded(x)
    assert expected.std() > 1e-2
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_classifier_at_the_end_of_numbered_arrays_is_ignored(tmp_path):
    arrays = _folded(_random_encoder('mobilenet_v2'), numbered=True)
    arrays['52.CONV_2D.weight'] = np.zeros((1000, 1280, 1, 1), np.float32)
    arrays['52.CONV_2D.bias'] = np.zeros(1000, np.float32)
    assert load_folded(build_encoder('mobilenet_v2'), _save(tmp_path / 'a.npz', arrays)) == []


def test_missing_convolutions_are_named_and_stay_as_they_were(tmp_path):
    arrays = _folded(_random_encoder('resnet18'))
    del arrays['layer1.0.conv2.weight'], arrays['layer1.0.conv2.bias']
    path = _save(tmp_path / 'a.npz', arrays)
    encoder = _random_encoder('resnet18', seed=1)
    before = encoder.layer1[0].conv2.weight.clone(), encoder.layer1[0].bn2.running_var.clone()
    assert load_folded(encoder, path) == ['layer1.0.conv2']
    assert torch.equal(encoder.layer1[0].conv2.weight, before[0])
    assert torch.equal(encoder.layer1[0].bn2.running_var, before[1])


def test_arrays_of_another_encoder_are_an_error(tmp_path):
    path = _save(tmp_path / 'a.npz', {'other.weight': np.zeros(1), 'other.bias': np.zeros(1)})
    with pytest.raises(ValueError, match='a.npz: none of its 1 arrays fits the encoder'):
        load_folded(build_encoder('resnet18'), path)


def test_array_of_another_shape_is_an_error(tmp_path):
    arrays = {'conv1.weight': np.zeros((64, 3, 3, 3), np.float32), 'conv1.bias': np.zeros(64)}
    path = _save(tmp_path / 'a.npz', arrays)
    with pytest.raises(
        ValueError, match=r'conv1: array is \(64, 3, 3, 3\); expected \(64, 3, 7, 7'
    ):
        load_folded(build_encoder('resnet18'), path)


def test_pickled_arrays_are_an_error(tmp_path):
    arrays = {'conv1.weight': np.array([{}], object), 'conv1.bias': np.zeros(1)}
    path = _save(tmp_path / 'a.npz', arrays)
    with pytest.raises(ValueError, match='allow_pickle=False'):
        load_folded(build_encoder('resnet18'), path)


@pytest.mark.parametrize('name', ['resnet18', 'resnet34', 'resnet50', 'mobilenet_v2'])
def test_pairs_join_each_convolution_with_the_norm_behind_it(name):
    with torch.device('meta'):
        encoder = build_encoder(name)
    for conv_name, conv, norm in conv_norm_pairs(encoder):
        assert conv.out_channels == norm.num_features
        siblings = dict(encoder.named_modules())
        stem, _, last = conv_name.rpartition('.')
        behind = last.replace('conv', 'bn') if last.startswith('conv') else str(int(last) + 1)
        assert siblings[f'{stem}.{behind}'.lstrip('.')] is norm


def test_torchvision_weights_load_completely(monkeypatch):
    """The download is replaced by a random network of torchvision's; nothing is fetched."""
    models = pytest.importorskip('torchvision.models', reason='needs torchvision')
    state = models.resnet18(weights=None).state_dict()
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', lambda *_, **__: state)
    encoder = build_encoder('resnet18')
    load_torchvision(encoder, 'resnet18')
    assert all(torch.equal(tensor, state[name]) for name, tensor in encoder.state_dict().items())


def test_encoder_unknown_to_torchvision_is_an_error():
    with pytest.raises(ValueError, match='torchvision has no weights for resnet50_v1; give --enc'):
        load_torchvision(build_encoder('mobilenet_v2'), 'resnet50_v1')


# The files of ../shared/data


def _load(data_folder, name, file):
    encoder = build_encoder(name).eval()
    missing = load_folded(encoder, data_folder / 'encoders' / file)
    return encoder, missing, np.load(data_folder / 'encoders' / file)


@pytest.fixture(scope='module')
def mobilenet(data_folder):
    """Return (encoder, missing convolutions, arrays) of the MobileNetV2."""
    return _load(data_folder, 'mobilenet_v2', 'mobilenet_v2_imagenet.npz')


@pytest.fixture(scope='module')
def resnet18(data_folder):
    """Return (encoder, missing convolutions, arrays) of the ResNet-18."""
    return _load(data_folder, 'resnet18', 'resnet18_imagenet_layers1to3.npz')


def test_recorded_mobilenet_loads_completely(mobilenet):
    encoder, missing, arrays = mobilenet
    assert missing == []
    first, last = encoder.features[0][0], encoder.features[18][0]
    np.testing.assert_array_equal(first.weight.detach(), arrays['00.CONV_2D.weight'])
    np.testing.assert_array_equal(last.weight.detach(), arrays['51.CONV_2D.weight'])


def test_recorded_resnet18_lacks_the_3x3_of_its_last_stage(resnet18):
    assert resnet18[1] == MISSING_IN_RESNET18


@pytest.mark.parametrize('name', ['mobilenet', 'resnet18'])
def test_loaded_norms_add_their_bias_and_nothing_else(request, name):
    """With weight 1, mean 0 and variance 1 - eps, sqrt(variance + eps) is 1 in float32."""
    encoder, missing, arrays = request.getfixturevalue(name)
    loaded = [p for p in conv_norm_pairs(encoder) if p[0] not in missing]
    assert len(loaded) == len(arrays.files) // 2 - (name == 'mobilenet')  # less its classifier
    for _, _, norm in loaded:
        x = torch.randn(1, norm.num_features, 2, 3)
        expected = x + norm.bias.reshape(1, -1, 1, 1)
        torch.testing.assert_close(norm(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ('name', 'mean_std'), [('mobilenet', TENSORFLOW_INPUT), ('resnet18', TORCHVISION_INPUT)]
)
def test_recorded_encoder_sees_a_real_image(request, data_folder, name, mean_std):
    encoder, _, _ = request.getfixturevalue(name)
    folder = data_folder / 'nyu_v2_train'
    image = read_image(find_pairs(folder / 'rgb', folder / 'depth')[0].image)[::4, ::4]
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in mean_std)
    x = (torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None] - mean) / std
    with torch.inference_mode():
        features = encoder(x)[0]
    assert features.shape == (encoder.channels, 4, 5)
    assert torch.isfinite(features).all()
    assert (features.flatten(1).std(1) > 1e-3).float().mean() > 0.2, 'channels vary over the image'

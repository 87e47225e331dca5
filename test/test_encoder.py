"""The encoders against torchvision, and the pool against TensorFlow's rule."""

import numpy as np
import pytest
import reference
import torch

from fcrn_ros.model.encoder import (
    ENCODERS,
    BasicBlock,
    Bottleneck,
    MobileNetV2,
    SamePool,
    build_encoder,
)

pytestmark = pytest.mark.usefixtures('one_thread')


def _randomise_norms(module):
    """Give every normalisation statistics and an affine part that are not the identity."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.copy_(0.2 * torch.randn(norm.num_features, generator=generator))
                norm.running_var.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
                norm.weight.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
                norm.bias.copy_(0.2 * torch.randn(norm.num_features, generator=generator))


def _torchvision_features(model, x):
    if hasattr(model, 'features'):
        return model.features(x)
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


@pytest.mark.parametrize('name', ['resnet18', 'resnet34', 'resnet50', 'mobilenet_v2'])
def test_encoder_equals_torchvision(name):
    torchvision = pytest.importorskip('torchvision', reason='needs torchvision to compare with')
    torch.manual_seed(2)
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    _randomise_norms(theirs)
    classifier = ('fc.', 'classifier.')
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith(classifier)}
    ours = build_encoder(name).eval()
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 45, 70)
    with torch.inference_mode():
        expected = _torchvision_features(theirs, x)
        found = ours(x)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize('name', ENCODERS)
@pytest.mark.parametrize(
    ('height', 'width', 'rows', 'columns'),
    [(228, 304, 8, 10), (192, 256, 6, 8), (33, 65, 2, 3), (64, 31, 2, 1)],
)
def test_encoder_reduces_by_32_rounded_up(name, height, width, rows, columns):
    """228 / 32 = 7.1 -> 8, 304 / 32 = 9.5 -> 10; 33 / 32 -> 2, 65 / 32 -> 3."""
    with torch.device('meta'):
        encoder = build_encoder(name).eval()
        features = encoder(torch.empty(1, 3, height, width))
    assert features.shape == (1, encoder.channels, rows, columns)


def test_channels_are_those_of_the_papers():
    with torch.device('meta'):
        channels = {name: build_encoder(name).channels for name in ENCODERS}
    assert channels == {
        'resnet18': 512,
        'resnet34': 512,
        'resnet50': 2048,
        'resnet50_v1': 2048,
        'mobilenet_v2': 1280,
    }


def _strides(encoder):
    return [
        (block.conv1.stride[0], block.conv2.stride[0], block.downsample[0].stride[0])
        for block in (encoder.layer2[0], encoder.layer3[0], encoder.layer4[0])
    ]


def test_resnet50_v1_strides_in_its_first_1x1():
    with torch.device('meta'):
        encoder = build_encoder('resnet50_v1')
    assert encoder.layer2[0].conv1.kernel_size == (1, 1)
    assert _strides(encoder) == [(2, 1, 2)] * 3


def test_resnet50_strides_in_its_3x3():
    with torch.device('meta'):
        encoder = build_encoder('resnet50')
    assert encoder.layer2[0].conv2.kernel_size == (3, 3)
    assert _strides(encoder) == [(1, 2, 2)] * 3


def test_only_resnet50_v1_has_a_stem_bias_and_the_same_pool():
    with torch.device('meta'):
        stems = {n: build_encoder(n) for n in ENCODERS if n.startswith('resnet')}
    assert [n for n, e in stems.items() if e.conv1.bias is not None] == ['resnet50_v1']
    assert [n for n, e in stems.items() if isinstance(e.pool, SamePool)] == ['resnet50_v1']


def test_same_pool_of_an_even_size_pads_at_the_end():
    """
    TF SAME, n = 4: out 2, padding (2 - 1) * 2 + 3 - 4 = 1, all of it behind.

    Windows of [1, 2, 9, 3]: (1, 2, 9) -> 9, (9, 3, pad) -> 9; a pad in front would give 2 and 9.
    """
    x = torch.tensor([1.0, 2.0, 9.0, 3.0]).reshape(1, 1, 1, 4).expand(1, 1, 2, 4)
    assert SamePool()(x).tolist() == [[[[9.0, 9.0]]]]


def test_same_pool_of_an_odd_size_pads_on_both_sides():
    """
    TF SAME, n = 5: out 3, padding (3 - 1) * 2 + 3 - 5 = 2, one on each side.

    Windows of [1, 2, 9, 3, 4]: (pad, 1, 2) -> 2, (2, 9, 3) -> 9, (3, 4, pad) -> 4.
    """
    x = torch.tensor([1.0, 2.0, 9.0, 3.0, 4.0]).reshape(1, 1, 1, 5)
    assert SamePool()(x).tolist() == [[[[2.0, 9.0, 4.0]]]]


def test_same_pool_pads_with_nothing_rather_than_zero():
    """One negative pixel stays negative: a zero pad would win."""
    assert SamePool()(torch.full((1, 1, 1, 1), -2.0)).item() == -2.0


@pytest.mark.parametrize(('height', 'width'), [(6, 9), (7, 4), (5, 5), (1, 2)])
def test_same_pool_equals_the_reference(height, width):
    x = np.random.default_rng(0).normal(size=(height, width, 3)) - 3
    found = SamePool()(torch.from_numpy(x.transpose(2, 0, 1))[None])[0].numpy()
    np.testing.assert_array_equal(found.transpose(1, 2, 0), reference.same_pool(x))


def test_basic_block_adds_its_input():
    """With a zero second normalisation the block is ReLU(x)."""
    block = BasicBlock(4, 4, 1, False).eval()
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.randn(1, 4, 3, 5)
    torch.testing.assert_close(block(x), torch.relu(x))


def test_bottleneck_adds_its_input():
    block = Bottleneck(16, 4, 1, True).eval()
    torch.nn.init.zeros_(block.bn3.weight)
    x = torch.randn(1, 16, 3, 5)
    torch.testing.assert_close(block(x), torch.relu(x))


def test_mobilenet_has_52_convolutions():
    """1 stem, 2 in the first block, 3 in each of the other 16, 1 at the end: 1 + 2 + 48 + 1."""
    with torch.device('meta'):
        convs = [m for m in MobileNetV2().modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convs) == 52


def test_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="encoder 'vgg16' is not known; expected one of resnet18"):
        build_encoder('vgg16')

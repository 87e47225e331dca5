"""The FCRN network: sizes, parameters, and its values against an independent reference."""

import numpy as np
import pytest
import reference
import torch

from fcrn_ros.model.encoder import ENCODERS
from fcrn_ros.model.fcrn import LOG_SCALE_LIMIT, RELEASED, Architecture, Fcrn, activate
from fcrn_ros.model.upsample import BLOCKS

pytestmark = pytest.mark.usefixtures('one_thread')

BOTTLENECK = {
    'branch2a': ('conv1', 'bn1'),
    'branch2b': ('conv2', 'bn2'),
    'branch2c': ('conv3', 'bn3'),
}


@pytest.fixture(scope='module')
def released_layers():
    return reference.random_release(7)


@pytest.fixture(scope='module')
def released(released_layers):
    """Return Fcrn(RELEASED) with the random layers."""
    with torch.device('meta'):
        network = Fcrn(RELEASED)
    state = {k: torch.from_numpy(v) for k, v in _state(released_layers).items()}
    missing, surplus = network.load_state_dict(state, strict=False, assign=True)
    assert not surplus
    assert all(name.endswith('num_batches_tracked') for name in missing)
    return network.eval()


def _state(layers):
    """Name the released layers as the network names them, kernels HWIO -> OIHW."""
    state = {}

    def put(conv, norm, source, source_norm):
        state[f'{conv}.weight'] = layers[source]['weights'].transpose(3, 2, 0, 1).copy()
        if 'biases' in layers[source]:
            state[f'{conv}.bias'] = layers[source]['biases']
        if norm:
            names = {'weight': 'scale', 'bias': 'offset', 'running_mean': 'mean'}
            for ours, theirs in {**names, 'running_var': 'variance'}.items():
                state[f'{norm}.{ours}'] = layers[source_norm][theirs]

    put('encoder.conv1', 'encoder.bn1', 'conv1', 'bn_conv1')
    for stage, (_, blocks) in reference.STAGES.items():
        for index, letter in enumerate(blocks):
            ours, theirs = f'encoder.layer{stage - 1}.{index}', f'{stage}{letter}'
            for branch, (conv, norm) in BOTTLENECK.items():
                source = f'{theirs}_{branch}'
                put(f'{ours}.{conv}', f'{ours}.{norm}', f'res{source}', f'bn{source}')
            if letter == 'a':
                conv, norm = f'{ours}.downsample.0', f'{ours}.downsample.1'
                put(conv, norm, f'res{theirs}_branch1', f'bn{theirs}_branch1')
    put('reduce', 'reduce_bn', 'layer1', 'layer1_BN')
    for index, scale in enumerate(reference.UP):
        ours, theirs = f'blocks.{index}', f'layer{scale}'
        for branch in (1, 2):
            for phase, letter in enumerate('ABCD'):
                source = f'{theirs}_br{branch}_Conv{letter}'
                norm = f'{ours}.bn{branch}'
                put(f'{ours}.up{branch}.phases.{phase}', norm, source, f'{theirs}_br{branch}_BN')
        put(f'{ours}.conv', f'{ours}.bn', f'{theirs}_Conv', f'{theirs}_BN')
    put('predict', '', 'ConvPred', '')
    return state


def _image(height, width):
    return np.random.default_rng(3).uniform(0, 255, (height, width, 3)).astype(np.float32)


def _run(network, image):
    with torch.inference_mode():
        return network(torch.from_numpy(image).permute(2, 0, 1)[None])[0, 0].numpy()


def _architectures():
    return [(encoder, block) for encoder in ENCODERS for block in BLOCKS]


def test_reference_has_the_tensors_of_the_release(released_layers):
    """Expect 394 tensors and 63,633,665 floats = 63,572,737 parameters + 60,928 statistics."""
    arrays = [a for layer in released_layers.values() for a in layer.values()]
    assert len(arrays) == 394
    assert sum(a.size for a in arrays) == 63_633_665 == 63_572_737 + 60_928


@pytest.mark.parametrize(('height', 'width'), [(36, 76), (34, 70)])
def test_released_network_equals_the_reference(released, released_layers, height, width):
    """
    Run an even and an odd pool1 input, and odd features further up.

    36 x 76: 18 x 38, pool 9 x 19, 5 x 10, 3 x 5, 2 x 3, output 32 x 48.
    34 x 70: 17 x 35, pool 9 x 18, 5 x 9, 3 x 5, 2 x 3, output 32 x 48.
    """
    image = _image(height, width)
    expected = reference.fcrn(released_layers, image.astype(np.float64))
    assert expected.shape == (32, 48)
    share = (expected > 0).mean()
    assert 0.1 < share < 0.9, 'the final ReLU shall act on some pixels, not on all'
    depth = _run(released, image)
    assert np.abs(depth - expected).max() < 1e-4 * expected.max()


def test_other_alignment_gives_another_depth(released, released_layers):
    image = _image(36, 76)
    expected = _run(released, image)
    unpools = [m for m in released.modules() if hasattr(m, 'alignment')]
    assert len(unpools) == 8
    try:
        for module in unpools:
            module.alignment = 'bottom_right'
        changed = _run(released, image)
    finally:
        for module in unpools:
            module.alignment = 'top_left'
    assert np.abs(changed - expected).max() > 0.1 * expected.max()


def _parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_released_network_has_the_published_parameters():
    """
    Count encoder 23,508,096, layer1 + BN 2,100,224, decoder 37,963,840, prediction 577.

    layer1: 2048 * 1024 + 1024 and 2 * 1024 for its BN = 2,100,224. Prediction: 9 * 64 + 1 = 577.
    """
    with torch.device('meta'):
        network = Fcrn(RELEASED)
    assert _parameters(network.encoder) == 23_508_096
    assert _parameters(network.reduce) + _parameters(network.reduce_bn) == 2_100_224
    assert _parameters(network.blocks) == 37_963_840
    assert _parameters(network.predict) == 577
    assert _parameters(network) == 63_572_737
    assert sum(b.numel() for n, b in network.named_buffers() if '.running_' in n) == 60_928


def test_released_network_has_the_epsilon_of_the_release():
    with torch.device('meta'):
        norms = [m for m in Fcrn(RELEASED).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 66
    assert {m.eps for m in norms} == {1e-4}


@pytest.mark.parametrize(('encoder', 'block'), _architectures())
def test_every_network_turns_228x304_into_128x160(encoder, block):
    """228 / 32 = 7.1 -> 8, 304 / 32 = 9.5 -> 10; times 16: 128 x 160."""
    with torch.device('meta'):
        network = Fcrn(Architecture(encoder, block)).eval()
        assert network(torch.empty(2, 3, 228, 304)).shape == (2, 1, 128, 160)


def test_width_is_halved_by_every_block():
    """Width 48 gives 24, 12, 6, 3 channels; with uncertainty the prediction has 2."""
    with torch.device('meta'):
        network = Fcrn(Architecture('resnet18', width=48, uncertainty=True))
    assert network.reduce.weight.shape == (48, 512, 1, 1)
    assert [b.bn.num_features for b in network.blocks] == [24, 12, 6, 3]
    assert network.predict.weight.shape == (2, 3, 3, 3)


def test_depth_is_never_negative_and_has_no_upper_bound():
    raw = torch.tensor([-3.0, 0.0, 2.5, 80.0]).reshape(1, 1, 2, 2)
    assert activate(raw).flatten().tolist() == [0.0, 0.0, 2.5, 80.0]


def test_log_scale_is_bounded_and_nearly_the_identity_at_zero():
    """5 tanh(0.1 / 5) = 0.09999; 5 tanh(1e6 / 5) = 5; channel 1 is not clipped at 0."""
    raw = torch.tensor([[-1.0, 0.1], [4.0, 1e6], [2.0, -1e6]]).T.reshape(1, 2, 3, 1)
    depth, scale = activate(raw)[0, :, :, 0]
    assert depth.tolist() == [0.0, 4.0, 2.0]
    assert scale[0] == pytest.approx(0.1, abs=2e-5)
    assert scale[1:].tolist() == [LOG_SCALE_LIMIT, -LOG_SCALE_LIMIT]


def test_uncertainty_is_a_second_channel():
    torch.manual_seed(0)
    network = Fcrn(Architecture('mobilenet_v2', width=16, uncertainty=True)).eval()
    with torch.inference_mode():
        output = network(torch.randn(2, 3, 40, 70))
    assert output.shape == (2, 2, 32, 48)
    assert (output[:, 0] >= 0).all()
    assert (output[:, 1].abs() <= LOG_SCALE_LIMIT).all()


@pytest.mark.parametrize(
    ('name', 'value'),
    [('encoder', 'resnet101'), ('block', 'bilinear'), ('alignment', 'centre'), ('encoder', '')],
)
def test_unknown_names_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} '{value}' is not known; expected one of "):
        Architecture(**{name: value})


@pytest.mark.parametrize('width', [-16, 8, 100])
def test_width_that_cannot_be_halved_four_times_is_refused(width):
    with pytest.raises(ValueError, match=f'width is {width}; expected 0 or a positive multiple'):
        Architecture(width=width)

"""The up-sampling blocks against loops over taps."""

import numpy as np
import pytest
import reference
import torch

from fcrn_ros.model.upsample import ALIGNMENTS, BLOCKS, UnpoolConv, UpConv, UpProj


def _randomise(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                value = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(value.abs() + 0.2 if name.endswith('running_var') else value)
    return module.double().eval()


def _run(module, x):
    with torch.inference_mode():
        return module(torch.from_numpy(x.transpose(2, 0, 1))[None])[0].numpy().transpose(1, 2, 0)


def _layers(module, names):
    """Name a module's convolutions and normalisations as the reference does."""
    layers = {}
    for ours, theirs in names.items():
        part = module.get_submodule(ours)
        if isinstance(part, UnpoolConv):
            convs = zip('ABCD', part.phases, strict=True)
            layers.update({f'{theirs}_Conv{x}': _conv(phase) for x, phase in convs})
        elif isinstance(part, torch.nn.BatchNorm2d):
            arrays = (part.weight, part.bias, part.running_mean, part.running_var)
            keys = ('scale', 'offset', 'mean', 'variance')
            layers[theirs] = {k: a.detach().numpy() for k, a in zip(keys, arrays, strict=True)}
        else:
            layers[theirs] = _conv(part)
    return layers


def _conv(conv):
    weights = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
    return {'weights': weights, 'biases': conv.bias.detach().numpy()}


def _assembled(layers, prefix):
    """Return the 5x5 kernel whose every second tap in each direction is A, B, C or D."""
    inputs, outputs = layers[f'{prefix}_ConvA']['weights'].shape[2:]
    kernel = np.zeros((5, 5, inputs, outputs))
    for letter, (_, _, (row, column)) in reference.PHASES.items():
        kernel[row::2, column::2] = layers[f'{prefix}_Conv{letter}']['weights']
    return kernel


def _textbook(x, layers, prefix):
    return reference.convolve(
        reference.unpool(x),
        _assembled(layers, prefix),
        layers[f'{prefix}_ConvA']['biases'],
        padding=(2, 2, 2, 2),
    )


def _share_bias(unpool):
    """Give the four phases one bias, as a single 5x5 has."""
    with torch.no_grad():
        for phase in unpool.phases:
            phase.bias.copy_(unpool.phases[0].bias)


X = np.random.default_rng(5).normal(size=(3, 5, 4))


@pytest.mark.parametrize(
    ('alignment', 'expected'),
    [('top_left', [[15, 34], [25, 44]]), ('bottom_right', [[15, 33], [22, 41]])],
)
def test_one_pixel_meets_one_tap_of_each_kernel(alignment, expected):
    """
    Feed a single pixel of value 1: the pad decides which tap it meets.

    Taps are numbered row by row: A 11..19, B 21..26 (2x3), C 31..36 (3x2), D 41..44 (2x2). Padded
    at the top and left, the pixel lies under the last row of B (its centre column: 25), the last
    column of C (its centre row: 34) and the last corner of D (44); at the bottom and right under
    the first: 22, 33 and 41. Always under the centre of A: 15.
    """
    module = UnpoolConv(1, 1, alignment)
    with torch.no_grad():
        for number, phase in enumerate(module.phases, 1):
            taps = torch.arange(phase.weight.numel()) + 10.0 * number + 1
            phase.weight.copy_(taps.reshape(phase.weight.shape))
    output = _run(module.double(), np.ones((1, 1, 1)))
    assert output[..., 0].tolist() == expected


def test_top_left_equals_the_interleaved_reference():
    module = _randomise(UnpoolConv(4, 3, 'top_left'))
    expected = reference.interleave(X, _interleaved(module), 'up')
    assert expected.shape == (6, 10, 3)
    np.testing.assert_allclose(_run(module, X), expected, atol=1e-12)


def _interleaved(module):
    return {f'up_Conv{x}': _conv(p) for x, p in zip('ABCD', module.phases, strict=True)}


def test_bottom_right_equals_unpool_and_5x5():
    module = _randomise(UnpoolConv(4, 3, 'bottom_right'))
    _share_bias(module)
    expected = _textbook(X, _interleaved(module), 'up')
    np.testing.assert_allclose(_run(module, X), expected, atol=1e-12)


def test_alignments_are_different_operators():
    modules = [_randomise(UnpoolConv(4, 3, alignment)) for alignment in ALIGNMENTS]
    a, b = (_run(module, X) for module in modules)
    np.testing.assert_allclose(a[0::2, 0::2], b[0::2, 0::2], atol=1e-12)  # A pads alike
    assert np.abs(a - b).max() > 1


def test_up_projection_equals_the_reference():
    module = _randomise(UpProj(4, 3, 'top_left'))
    for norm in (module.bn1, module.bn, module.bn2):
        norm.eps = reference.EPSILON
    expected = reference.up_project(X, _layers(module, UPPROJ), 'layer')
    assert (expected == 0).any() and (expected > 0).any()
    np.testing.assert_allclose(_run(module, X), expected, atol=1e-11)


UPPROJ = {
    'up1': 'layer_br1',
    'bn1': 'layer_br1_BN',
    'conv': 'layer_Conv',
    'bn': 'layer_BN',
    'up2': 'layer_br2',
    'bn2': 'layer_br2_BN',
}


def test_bottom_right_up_projection_equals_unpool_and_5x5():
    module = _randomise(UpProj(4, 3, 'bottom_right'))
    _share_bias(module.up1)
    _share_bias(module.up2)
    layers = _layers(module, UPPROJ)

    def norm(x, name):
        return reference.normalise(x, layers[name], 1e-5)

    first = reference.relu(norm(_textbook(X, layers, 'layer_br1'), 'layer_br1_BN'))
    first = norm(reference.convolve(first, **_keywords(layers['layer_Conv'])), 'layer_BN')
    second = norm(_textbook(X, layers, 'layer_br2'), 'layer_br2_BN')
    np.testing.assert_allclose(_run(module, X), reference.relu(first + second), atol=1e-11)


def _keywords(layer):
    return {'kernel': layer['weights'], 'bias': layer['biases']}


def test_bottom_right_up_convolution_equals_unpool_and_5x5():
    module = _randomise(UpConv(4, 3, 'bottom_right'))
    _share_bias(module.up)
    layers = _layers(module, {'up': 'layer', 'bn': 'layer_BN'})
    expected = reference.normalise(_textbook(X, layers, 'layer'), layers['layer_BN'], 1e-5)
    np.testing.assert_allclose(_run(module, X), reference.relu(expected), atol=1e-11)


def test_deconvolution_2x2_stamps_its_whole_kernel_beside_the_next():
    """
    No padding, no overlap: pixels 1, 10 of a row and kernel 1, 2 / 3, 4.

    1 gives 1, 2 / 3, 4 and 10 gives 10, 20 / 30, 40 to its right. The bias 5 is added, then all is
    divided by sqrt(1 + 1e-5).
    """
    module = BLOCKS['deconv2'](1, 1, 'top_left').eval()
    with torch.no_grad():
        module.up.weight.copy_(torch.arange(1.0, 5).reshape(1, 1, 2, 2))
        module.up.bias.fill_(5)
    output = _run(module.double(), np.array([[[1.0], [10.0]]]))[..., 0]
    expected = np.array([[6, 7, 15, 25], [8, 9, 35, 45]]) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(output, expected, rtol=1e-6)


def test_deconvolution_3x3_of_one_pixel_shows_its_kernel():
    """
    A transposed convolution stamps its kernel; padding 1 cuts the first row and column off.

    Kernel 1..9 row by row: the 2 x 2 output of one pixel of value 1 is 5, 6 / 8, 9. The
    normalisation is the identity but for epsilon: 1 / sqrt(1 + 1e-5).
    """
    module = BLOCKS['deconv3'](1, 1, 'top_left').eval()
    with torch.no_grad():
        module.up.weight.copy_(torch.arange(1.0, 10).reshape(1, 1, 3, 3))
        module.up.bias.zero_()
    output = _run(module.double(), np.ones((1, 1, 1)))[..., 0]
    np.testing.assert_allclose(output, np.array([[5, 6], [8, 9]]) / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_deconvolution_3x3_adds_where_its_stamps_overlap():
    """
    Pixels 1, 10 in a row, kernel 1..9; the middle column of the overlap has two taps.

    Row 0 has kernel row 2 (4, 5, 6): 5, then 6 + 10 * 4 = 46, then 50, then 60. Row 1 has kernel
    row 3 (7, 8, 9): 8, 9 + 70 = 79, 80, 90.
    """
    module = BLOCKS['deconv3'](1, 1, 'top_left').eval()
    with torch.no_grad():
        module.up.weight.copy_(torch.arange(1.0, 10).reshape(1, 1, 3, 3))
        module.up.bias.zero_()
    output = _run(module.double(), np.array([[[1.0], [10.0]]]))[..., 0]
    expected = np.array([[5, 46, 50, 60], [8, 79, 80, 90]]) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(output, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ('name', 'expected'), [('deconv2', 54), ('deconv3', 114), ('upconv', 312), ('upproj', 666)]
)
def test_blocks_have_their_parameters(name, expected):
    """
    From 6 to 2 channels: 12 weights a tap; 2 biases a convolution, 4 numbers a normalisation.

    deconv2: 4 * 12 + 2 + 4 = 54. deconv3: 9 * 12 + 2 + 4 = 114. upconv has 9 + 6 + 6 + 4 = 25 taps
    in four phases: 25 * 12 + 4 * 2 + 4 = 312. upproj: twice that, and 9 * 2 * 2 + 2 + 4 = 42.
    """
    assert sum(p.numel() for p in BLOCKS[name](6, 2, 'top_left').parameters()) == expected


@pytest.mark.parametrize('name', BLOCKS)
@pytest.mark.parametrize('alignment', ALIGNMENTS)
def test_blocks_double_height_and_width(name, alignment):
    module = BLOCKS[name](6, 2, alignment).eval()
    output = module(torch.randn(2, 6, 3, 5))
    assert output.shape == (2, 2, 6, 10)
    assert output.dtype == torch.float32
    assert (output >= 0).all()


def test_phase_biases_start_at_zero():
    assert all((phase.bias == 0).all() for phase in UnpoolConv(4, 3, 'top_left').phases)


def test_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="alignment 'middle' is not one of top_left, bottom"):
        UnpoolConv(4, 3, 'middle')

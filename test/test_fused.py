"""
The inference form against the plain one: same weights, same picture, same numbers.

The plain form is the reference; its own operators are tested against NumPy and against "unpool,
then 5x5" in test_upsample.py and test_fcrn.py.
"""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fcrn_ros.model import fused, fused_conv
from fcrn_ros.model.encoder import ENCODERS
from fcrn_ros.model.fcrn import Architecture
from fcrn_ros.model.folding import fold
from fcrn_ros.model.fused import FusedFcrn, fuse, fuse_block
from fcrn_ros.model.fused_conv import ACTIVATIONS, FusedConv, onednn_available
from fcrn_ros.model.unpool_forms import FORMS, Shuffled, Transposed, fuse_unpool
from fcrn_ros.model.upsample import ALIGNMENTS, BLOCKS, UnpoolConv, UpConv, UpProj

pytestmark = pytest.mark.usefixtures('one_thread')

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
WIDTH = 16
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}


def _pictures(batch=2, height=64, width=96, seed=3):
    """Return (B, H, W, 3) uint8 noise; both pictures and all colours differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, height, width, 3), generator=generator).byte()


def _normalised(pictures):
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    return (pictures.permute(0, 3, 1, 2).float() - mean) / std


@torch.inference_mode()
def _plain(network, pictures):
    return network(_normalised(pictures))


@torch.inference_mode()
def _run(module, *inputs):
    return module(*inputs)


def _relative(found, expected):
    """Return, per channel, the largest difference over the largest expected value."""
    difference = (found - expected).abs().amax((0, 2, 3))
    return (difference / expected.abs().amax((0, 2, 3))).max().item()


def _median_relative(found, expected):
    """Return the median relative difference of depth."""
    difference = (found - expected)[:, 0].abs() / expected[:, 0].clamp(min=0.1)
    return difference.median().item()


def _random_biases(blocks, seed=1):
    """Give every phase of every unpooled convolution biases of its own."""
    torch.manual_seed(seed)
    for module in blocks.modules():
        if isinstance(module, UnpoolConv):
            for phase in module.phases:
                nn.init.normal_(phase.bias, 0, 0.3)


class Remembered(nn.Module):
    """An encoder that answers with what it said of the pictures, or of the first two of them."""

    def __init__(self, encoder, pictures):
        super().__init__()
        self.channels = encoder.channels
        self.said = _run(encoder, _normalised(pictures))

    def forward(self, x):
        return self.said[: len(x)].clone()


@pytest.fixture(scope='module', params=list(ENCODERS))
def body(request, random_network, pictures):
    """
    Return (network, folded encoder per type) of each encoder.

    Folding and packing an encoder costs far more than a decoder of width 16, so it is done once;
    every decoder is put behind the same pictures.
    """
    network = random_network(Architecture(request.param, width=WIDTH, uncertainty=True))
    folded = {dtype: fused.fuse_encoder(network.encoder).to(dtype) for dtype in DTYPES.values()}
    network.encoder = Remembered(network.encoder, pictures)
    return network, folded


def _set_decoder(network, block, alignment):
    torch.manual_seed(5)
    network.blocks = nn.ModuleList(
        BLOCKS[block](WIDTH >> i, WIDTH >> (i + 1), alignment) for i in range(4)
    )


@pytest.mark.parametrize('alignment', ALIGNMENTS)
@pytest.mark.parametrize('block', list(BLOCKS))
def test_every_form_equals_the_plain_network(
    body, block, alignment, settle, pictures, monkeypatch
):
    """
    Every encoder x block x alignment x form, in float32 and bfloat16, batch 2.

    A wrong tap or phase changes depth by about 5 % and more in the median; see below.
    """
    network, folded = body
    _set_decoder(network, block, alignment)
    settle(network, pictures)
    expected = _plain(network, pictures[:2])
    assert expected.shape == (2, 2, 32, 48)
    assert expected[:, 0].std() > 0.1 and expected[:, 0].median() > 1
    forms = [f for f in FORMS if f != 'interleaved' or not block.startswith('deconv')]
    for (precision, dtype), form in itertools.product(DTYPES.items(), forms):
        monkeypatch.setattr(fused, 'fuse_encoder', lambda _, dtype=dtype: folded[dtype])
        found = _run(fuse(network, MEAN, STD, dtype, form), pictures[:2])
        assert found.shape == expected.shape and found.dtype == torch.float32
        if precision == 'fp32':
            assert _relative(found, expected) < 1e-4, (precision, form)
        else:
            assert _median_relative(found, expected) < 2e-2, (precision, form)


@pytest.fixture(scope='module')
def network(random_network):
    """Return the smallest network, its decoder aligned as in the released weights."""
    return random_network(Architecture('mobilenet_v2', 'upproj', 'top_left', width=WIDTH))


@pytest.mark.parametrize('precision', DTYPES)
def test_alignments_are_told_apart(random_network, pictures, precision):
    """The wrong alignment is no rounding error: a parity test must see it."""
    right, wrong = (
        random_network(Architecture('mobilenet_v2', 'upconv', a, width=WIDTH)) for a in ALIGNMENTS
    )
    wrong.load_state_dict(right.state_dict())
    expected = _plain(right, pictures[:2])
    found = _run(fuse(wrong, MEAN, STD, DTYPES[precision], 'interleaved'), pictures[:2])
    assert _median_relative(found, expected) > 4e-2


def test_batch_gives_what_its_pictures_give_alone(network):
    module = fuse(network, MEAN, STD, form='shuffled')
    both = _run(module, _pictures())
    for i in range(2):
        alone = _run(module, _pictures()[i : i + 1])
        assert _relative(both[i : i + 1], alone) < 1e-5
    assert not torch.allclose(both[0], both[1], atol=1e-2)


@pytest.mark.parametrize('form', FORMS)
def test_another_shape_packs_the_weights_again(network, form):
    """Weights packed for one shape are wrong or slow for another; back and forth must hold."""
    module = fuse(network, MEAN, STD, form=form)
    for batch, height, width in ((1, 64, 96), (2, 64, 96), (1, 96, 64), (1, 40, 70), (1, 64, 96)):
        pictures = _pictures(batch, height, width)
        assert _relative(_run(module, pictures), _plain(network, pictures)) < 1e-4


def test_packed_weights_are_kept_while_the_shape_stays(monkeypatch):
    conv = FusedConv(torch.randn(4, 3, 3, 3), torch.zeros(4), padding=(1, 1))
    shapes = []
    monkeypatch.setattr(conv, '_pack', lambda shape: shapes.append(shape) or len(shapes))
    packs = [conv._packed_for(s) for s in ((1, 3, 8, 9), (1, 3, 8, 9), (2, 3, 8, 9))]
    assert packs == [1, 1, 2]
    assert shapes == [(1, 3, 8, 9), (2, 3, 8, 9)]


def test_last_convolution_is_float32_in_bfloat16(network):
    """In bfloat16 a depth of 3 m would come in steps of 16 mm; the output is finer."""
    module = fuse(network, MEAN, STD, torch.bfloat16, 'shuffled')
    assert module.predict.weight.dtype == module.predict.bias.dtype == torch.float32
    assert module.reduce.weight.dtype == torch.bfloat16
    depth = _run(module, _pictures())
    assert depth.dtype == torch.float32
    assert (depth.bfloat16().float() != depth).float().mean() > 0.9


def test_pixels_are_normalised_by_the_networks_mean_and_deviation(network):
    """
    Twice the deviation and another mean undo a change of the pixels: (2 p + 10 - m') / 2 s.

    m' = 2 m + 10 gives (p - m) / s again, here with p below 120, so that 2 p + 10 fits a byte.
    """
    dark = _pictures() % 120
    right = _run(fuse(network, MEAN, STD, form='shuffled'), dark)
    mean, std = [2 * m + 10 for m in MEAN], [2 * s for s in STD]
    found = _run(fuse(network, mean, std, form='shuffled'), 2 * dark + 10)
    assert _relative(found, right) < 1e-4
    assert _relative(_run(fuse(network, MEAN, STD, form='shuffled'), 2 * dark + 10), right) > 1e-2


def test_log_scale_is_bounded_as_in_the_plain_form(random_network):
    network = random_network(Architecture('mobilenet_v2', width=WIDTH, uncertainty=True))
    with torch.no_grad():
        network.predict.weight[1] *= 100
    found = _run(fuse(network, MEAN, STD, form='shuffled'), _pictures())[:, 1]
    assert found.abs().max() <= 5
    assert found.min() < -4.9 and found.max() > 4.9


# Forms


def _biased(network, random_network):
    architecture = network.architecture
    copy = random_network(architecture)
    _random_biases(copy.blocks)
    return copy


def test_biased_phases_have_no_transposed_form(network, random_network):
    """A transposed convolution has one bias for all four phases."""
    copy = _biased(network, random_network)
    with pytest.raises(ValueError, match='different biases: no transposed form'):
        fuse(copy, MEAN, STD, form='transposed')


@pytest.mark.parametrize('form', ['interleaved', 'shuffled'])
@pytest.mark.parametrize('alignment', ALIGNMENTS)
def test_biased_phases_hold_in_the_other_forms(random_network, alignment, form):
    network = random_network(Architecture('mobilenet_v2', 'upproj', alignment, width=WIDTH))
    _random_biases(network.blocks)
    found = _run(fuse(network, MEAN, STD, form=form), _pictures())
    assert _relative(found, _plain(network, _pictures())) < 1e-4


def _transposed_wins(monkeypatch):
    """Make ``auto`` find every transposed form the fastest; timing itself is not tested."""

    def milliseconds(module, x):
        held = any(isinstance(m, Transposed) for m in module.modules())
        return 1.0 if held else 2.0

    monkeypatch.setattr(fused, '_milliseconds', milliseconds)


def test_auto_takes_the_fastest_form(network, monkeypatch):
    _transposed_wins(monkeypatch)
    module = fuse(network, MEAN, STD, example=_pictures())
    assert module.forms == ['transposed'] * 4
    assert _relative(_run(module, _pictures()), _plain(network, _pictures())) < 1e-4


def test_auto_leaves_out_the_form_that_cannot_hold_the_weights(
    network, random_network, monkeypatch
):
    _transposed_wins(monkeypatch)
    copy = _biased(network, random_network)
    module = fuse(copy, MEAN, STD, example=_pictures())
    assert len(module.forms) == 4
    assert set(module.forms) <= {'interleaved', 'shuffled'}
    assert _relative(_run(module, _pictures()), _plain(copy, _pictures())) < 1e-4


def test_auto_measures_for_real(network):
    module = fuse(network, MEAN, STD, example=_pictures(1))
    assert len(module.forms) == len(module.blocks) == 4
    assert set(module.forms) <= set(FORMS)
    assert _relative(_run(module, _pictures()), _plain(network, _pictures())) < 1e-4


def test_auto_needs_an_example(network):
    with pytest.raises(ValueError, match='form is auto; expected an example batch'):
        fuse(network, MEAN, STD)


def test_unknown_form_is_refused(network):
    with pytest.raises(ValueError, match="form 'winograd' is not one of transposed, interleaved"):
        fuse(network, MEAN, STD, form='winograd')


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('alignment', ALIGNMENTS)
def test_one_pixel_reaches_where_it_shall(alignment, form):
    """
    A single phase kernel tap, by hand.

    Input 3 x 4, one pixel lit at (1, 2). Kernel B (2x3, row phase 1, column phase 0) holds 7 at
    its tap (0, 1), all else is 0. Padded at the top (top_left), output row m of B reads input row
    m - 1 with tap 0: m = 2; at the bottom, it reads row m: m = 1. Column: tap 1 of 3 reads its
    own column, 2. Interleaved that is row 2 m + 1, column 2 * 2.
    """
    up, norm = UnpoolConv(1, 1, alignment), nn.BatchNorm2d(1, eps=0.0).eval()
    with torch.no_grad():
        for phase in up.phases:
            phase.weight.zero_()
        up.phases[1].weight[0, 0, 0, 1] = 7
        lit = torch.zeros(1, 1, 3, 4)
        lit[0, 0, 1, 2] = 1
        found = _run(fuse_unpool(up, norm, 'none', form), lit)
    expected = torch.zeros(1, 1, 6, 8)
    expected[0, 0, 5 if alignment == 'top_left' else 3, 4] = 7
    assert torch.equal(found, expected)


@pytest.mark.parametrize('form', ['transposed', 'shuffled'])
@pytest.mark.parametrize(
    ('block', 'expected'),
    [
        ('deconv2', [[6, 7, 15, 25], [8, 9, 35, 45]]),
        ('deconv3', [[10, 51, 55, 65], [13, 84, 85, 95]]),
    ],
)
def test_forms_of_a_transposed_convolution_by_hand(block, expected, form):
    """
    Pixels 1, 10 in a row; the kernel counts 1, 2, ... row by row; the bias is 5.

    2x2: 1 * (1, 2 / 3, 4) beside 10 * (1, 2 / 3, 4). 3x3: of kernel rows 2 and 3, columns 2 and 3
    of 1, and column 1 of 10 added to the latter: 5, 6 + 40, 50, 60 and 8, 9 + 70, 80, 90.
    """
    module = BLOCKS[block](1, 1, 'top_left').eval()
    module.bn.eps = 0.0
    with torch.no_grad():
        weight = module.up.weight
        weight.copy_(torch.arange(1.0, weight.numel() + 1).reshape(weight.shape))
        module.up.bias.fill_(5)
    found = _run(fuse_block(module, form), torch.tensor([[[[1.0, 10.0]]]]))
    assert found[0, 0].tolist() == expected


def test_shuffled_2x2_has_as_many_weights_and_3x3_four_times_as_many():
    """8 * 4 * 4 = 128 in both forms; 8 * 4 * 9 = 288 become 4 * 4 * 8 * 9 = 1152."""
    sizes = {
        block: fuse_block(BLOCKS[block](8, 4, 'top_left').eval(), 'shuffled').conv.weight.numel()
        for block in ('deconv2', 'deconv3')
    }
    assert sizes == {'deconv2': 128, 'deconv3': 1152}


def test_auto_times_both_forms_of_a_transposed_convolution(random_network, monkeypatch):
    network = random_network(Architecture('mobilenet_v2', 'deconv2', width=WIDTH))
    timed = []
    monkeypatch.setattr(fused, '_milliseconds', lambda module, x: timed.append(module) or 1.0)
    module = fuse(network, MEAN, STD, example=_pictures())
    assert [type(m) for m in timed] == [FusedConv, Shuffled] * 4
    assert module.forms == ['transposed'] * 4
    assert _relative(_run(module, _pictures()), _plain(network, _pictures())) < 1e-4


@pytest.mark.parametrize('block', ['deconv2', 'deconv3'])
def test_form_that_a_transposed_convolution_has_not_is_refused(block):
    with pytest.raises(ValueError, match="form 'interleaved' of a transposed convolution; expec"):
        fuse_block(BLOCKS[block](8, 4, 'top_left').eval(), 'interleaved')


@pytest.mark.parametrize('block', [UpProj, UpConv])
def test_blocks_leave_their_input_alone(block):
    torch.manual_seed(2)
    plain, x = block(8, 4, 'bottom_right').eval(), torch.randn(1, 8, 5, 6)
    before = x.clone()
    found = _run(fuse_block(plain, 'interleaved'), x)
    assert torch.equal(x, before)
    assert torch.allclose(found, _run(plain, x), atol=1e-5)


def test_fusing_leaves_the_network_alone(network):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    module = fuse(network, MEAN, STD, torch.bfloat16, 'transposed')
    assert isinstance(module, FusedFcrn)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


# One convolution


def test_fold_by_hand():
    """
    Scale = weight / sqrt(var + eps) = 6 / sqrt(8.5 + 0.5) = 2; shift = 1 - 3 * 2 = -5.

    Weight 5 -> 10; bias 4 -> 4 * 2 - 5 = 3. Input 0.5: 10 * 0.5 + 3 = 8, cut to 6 by ReLU6;
    input -1: -7, cut to 0.
    """
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.5)
    with torch.no_grad():
        conv.weight.fill_(5)
        conv.bias.fill_(4)
        norm.weight.fill_(6)
        norm.bias.fill_(1)
        norm.running_mean.fill_(3)
        norm.running_var.fill_(8.5)
    x = torch.tensor([[[[0.5, -1.0, 0.0]]]])
    assert _run(fold(conv, norm), x).flatten().tolist() == pytest.approx([8, -7, 3])
    assert _run(fold(conv, norm, 'relu'), x).flatten().tolist() == pytest.approx([8, 0, 3])
    assert _run(fold(conv, norm, 'relu6'), x).flatten().tolist() == pytest.approx([6, 0, 3])


GEOMETRIES = {
    'same': ((6, 4, 3, 3), {'padding': (1, 1)}),
    'asymmetric': ((6, 4, 2, 3), {'padding': (0, 1)}),
    'strided': ((6, 4, 3, 3), {'stride': 2, 'padding': (1, 1)}),
    'depthwise': ((4, 1, 3, 3), {'padding': (1, 1), 'groups': 4}),
}


def _ordinary(conv, x, residual):
    y = F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, 1, conv.groups)
    y = y if residual is None else y + residual
    limits = {'none': (None, None), 'relu': (0, None), 'relu6': (0, 6)}[conv.activation]
    return y if limits == (None, None) else y.clamp(*limits)


# no network of ours sums before ReLU6, and oneDNN refuses it
ROADS = [
    (activation, summed, onednn)
    for activation, summed, onednn in itertools.product(ACTIVATIONS, (False, True), (False, True))
    if not (activation == 'relu6' and summed and onednn)
]


@pytest.mark.parametrize(('activation', 'summed', 'onednn'), ROADS)
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_convolution_on_both_roads(geometry, activation, summed, onednn, monkeypatch):
    """The CPU's oneDNN call, and the ordinary functions that every other device takes."""
    if onednn and not onednn_available():
        pytest.skip('needs a PyTorch with oneDNN')
    monkeypatch.setattr(fused_conv, 'onednn_available', lambda: onednn)
    torch.manual_seed(4)
    shape, options = GEOMETRIES[geometry]
    weight, bias = torch.randn(shape), torch.randn(shape[0]) * 3
    conv = FusedConv(weight, bias, activation=activation, **options)
    x = torch.randn(2, 4, 7, 10)
    bare = F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, 1, conv.groups)
    residual = torch.randn_like(bare) * 3 if summed else None
    kept = None if residual is None else residual.clone()
    found = _run(conv, x, residual)
    assert torch.allclose(found, _ordinary(conv, x, residual), atol=1e-5)
    assert residual is None or torch.equal(residual, kept)


@pytest.mark.parametrize('onednn', [True, False], ids=['onednn', 'ordinary'])
def test_transposed_convolution_on_both_roads(onednn, monkeypatch):
    if onednn and not onednn_available():
        pytest.skip('needs a PyTorch with oneDNN')
    monkeypatch.setattr(fused_conv, 'onednn_available', lambda: onednn)
    torch.manual_seed(4)
    conv = FusedConv(
        torch.randn(4, 6, 5, 5), torch.randn(6), 2, (2, 2), 1, 'relu', output_padding=1
    )
    x = torch.randn(2, 4, 5, 7)
    expected = F.conv_transpose2d(x, conv.weight, conv.bias, 2, 2, 1).relu()
    found = _run(conv, x)
    assert found.shape == (2, 6, 10, 14)
    assert torch.allclose(found, expected, atol=1e-5)

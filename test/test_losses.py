"""The losses by hand, at their edges and in their gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.training.objectives.losses import (
    LOSSES,
    berhu,
    gradient_term,
    l1,
    l2,
    laplace_scale,
    log_depth,
    log_l1,
    silog,
    valid_pixels,
)

pytestmark = pytest.mark.usefixtures('one_thread')
TERMS = {
    **LOSSES,
    'gradient_term': gradient_term,
    'laplace_scale': lambda d, g: laplace_scale(d / 4, d, g),
}
LOG2 = math.log(2)


def _maps(*values):
    """Return (1, 1, N) float32."""
    return torch.tensor([[values]], dtype=torch.float32)


def test_valid_pixels_are_positive_and_finite():
    target = _maps(2.0, 0.0, -1.0, math.nan, math.inf, 0.01)
    assert valid_pixels(target).flatten().tolist() == [True, False, False, False, False, True]


def test_berhu_of_one_and_five():
    """c = 0.2 * 5 = 1: 1 is in the linear part, 5 gives (25 + 1) / 2 = 13; the mean is 7."""
    assert berhu(_maps(3.0, 7.0), _maps(2.0, 2.0)).item() == pytest.approx(7)


def test_berhu_takes_c_from_the_absolute_error():
    """The largest error is -5, c = 1 as before; from the signed maximum, 1, c would be 0.2."""
    assert berhu(_maps(3.0, 2.0), _maps(2.0, 7.0)).item() == pytest.approx(7)


def test_berhu_takes_c_over_the_whole_batch():
    """Errors 1 and 5 in two images: c = 1, 7 again; alone, 1 would give (1 + 0.04) / 0.4 = 2.6."""
    prediction, target = torch.tensor([[[3.0]], [[7.0]]]), torch.tensor([[[2.0]], [[2.0]]])
    assert berhu(prediction, target).item() == pytest.approx(7)


def test_berhu_takes_c_over_valid_pixels_alone():
    """The error of 100 has no target: c stays 1."""
    assert berhu(_maps(3.0, 7.0, 100.0), _maps(2.0, 2.0, 0.0)).item() == pytest.approx(7)


@pytest.mark.parametrize('step', [-1e-3, 1e-3])
def test_berhu_is_continuous_at_c(step):
    """
    Beside an error of 5, c = 1: an error of 1 -+ 0.001 costs 1 -+ 0.001 and (1.001^2 + 1) / 2.

    (1.002001 + 1) / 2 = 1.0010005; both differ from 1 by the step, to 1e-6.
    """
    loss = berhu(_maps(3.0 + step, 7.0), _maps(2.0, 2.0)).item()
    assert 2 * loss - 13 == pytest.approx(1 + step, abs=1e-5)


def test_berhu_has_slope_one_below_c_and_error_over_c_above():
    """Gradient of the mean of two: 1 / 2 and (5 / 1) / 2; c is taken as a constant."""
    prediction = _maps(3.0, 7.0).requires_grad_()
    berhu(prediction, _maps(2.0, 2.0)).backward()
    assert prediction.grad.flatten().tolist() == pytest.approx([0.5, 2.5])


def test_berhu_of_a_perfect_prediction_is_zero_with_a_finite_gradient():
    prediction = _maps(2.0, 3.0).requires_grad_()
    loss = berhu(prediction, _maps(2.0, 3.0))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad.flatten().tolist() == [0, 0]


def test_l1_and_l2_by_hand():
    """Errors 1 and -3: l1 = 2, l2 = (1 + 9) / 2 = 5."""
    prediction, target = _maps(3.0, 1.0, 50.0), _maps(2.0, 4.0, math.nan)
    assert l1(prediction, target).item() == pytest.approx(2)
    assert l2(prediction, target).item() == pytest.approx(5)


def test_log_depth_goes_on_as_its_tangent():
    """log 2; log 0.05 = -2.995732; at 0.025, 0 and -1 m by slope 20: half, 1 and 21 below that."""
    found = log_depth(_maps(2.0, 0.05, 0.025, 0.0, -1.0)).flatten().tolist()
    expected = [0.693147, -2.995732, -3.495732, -3.995732, -23.995732]
    assert found == pytest.approx(expected, abs=1e-5)


def test_log_depth_has_slope_one_over_depth_and_20_below():
    depth = _maps(2.0, 0.5, 0.05, 0.01, 0.0, -3.0).requires_grad_()
    log_depth(depth).sum().backward()
    assert depth.grad.flatten().tolist() == pytest.approx([0.5, 2, 20, 20, 20, 20])


def test_log_l1_by_hand():
    """Twice the truth and a quarter of it: (log 2 + 2 log 2) / 2 = 1.5 log 2."""
    found = log_l1(_maps(4.0, 0.5, 9.0), _maps(2.0, 2.0, 0.0))
    assert found.item() == pytest.approx(1.5 * LOG2)


def test_log_l1_pulls_a_dead_pixel_up():
    """At 0 and -2 m the slope is -20, shared among two pixels."""
    prediction = _maps(0.0, -2.0).requires_grad_()
    log_l1(prediction, _maps(2.0, 2.0)).backward()
    assert prediction.grad.flatten().tolist() == pytest.approx([-10, -10])


@pytest.mark.parametrize(
    ('invariance', 'expected'), [(0.0, math.sqrt(2)), (0.85, math.sqrt(1.15)), (1.0, 1.0)]
)
def test_silog_by_hand(invariance, expected):
    """Errors log 4 and 0: mean log 2, mean square 2 (log 2)^2; sqrt(2 - lambda) log 2."""
    prediction, target = _maps(8.0, 3.0, 50.0), _maps(2.0, 3.0, math.nan)
    loss = silog(prediction, target, invariance=invariance)
    assert loss.item() == pytest.approx(expected * LOG2)


def test_silog_is_the_mean_over_images_with_a_valid_pixel():
    """
    Image 1 as above, image 2 twice the truth in one pixel, image 3 without a pixel; lambda 0.85.

    sqrt(1.15) log 2 and sqrt(0.15) log 2, whatever their numbers of pixels: (1.072381 + 0.387298)
    / 2 = 0.729840, times log 2.
    """
    prediction = torch.tensor([[[8.0, 3.0]], [[4.0, 3.0]], [[7.0, 7.0]]])
    target = torch.tensor([[[2.0, 3.0]], [[2.0, 0.0]], [[0.0, math.inf]]])
    assert silog(prediction, target).item() == pytest.approx(0.729840 * LOG2, abs=1e-6)


def test_silog_of_a_perfect_prediction_is_zero_with_a_zero_gradient():
    """The root's slope has no bound at 0."""
    prediction = _maps(2.0, 3.0).requires_grad_()
    loss = silog(prediction, _maps(2.0, 3.0))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad.flatten().tolist() == [0, 0]


def test_gradient_term_by_hand():
    """e = 0, 0.3 / 0.1, 0.1: (0.3 + 0 to the right, 0.1 + 0.2 below) / 4 = 0.15."""
    target = torch.full((1, 2, 2), 2.0)
    prediction = target * torch.tensor([[[0.0, 0.3], [0.1, 0.1]]]).exp()
    assert gradient_term(prediction, target).item() == pytest.approx(0.15)


def test_gradient_term_counts_a_difference_where_both_pixels_are_valid():
    """Without the pixel of 0.3, e = 0, - / 0.1, 0.1: 0.1 below and 0 to the right, / 3."""
    target = torch.tensor([[[2.0, math.nan], [2.0, 2.0]]])
    prediction = 2 * torch.tensor([[[0.0, 0.3], [0.1, 0.1]]]).exp()
    assert gradient_term(prediction, target).item() == pytest.approx(0.1 / 3)


def test_gradient_term_takes_four_scales():
    """
    Take e = 0.01 column, 9 x 17 pixels, every 1st, 2nd, 4th, 8th and no other.

    Steps of 0.01, 0.02, 0.04, 0.08; of 17, 9, 5, 3 pixels in a row all but the first have one:
    0.16 / 17 + 0.16 / 9 + 0.16 / 5 + 0.16 / 3 = 0.112523; a fifth scale would add 0.16 / 2.
    """
    target = torch.full((1, 9, 17), 3.0)
    prediction = target * torch.exp(0.01 * torch.arange(17.0))
    assert gradient_term(prediction, target).item() == pytest.approx(0.112523, abs=1e-5)


def test_gradient_term_of_one_pixel_is_zero():
    assert gradient_term(_maps(3.0), _maps(2.0)).item() == 0


# What holds for all of them


@pytest.mark.parametrize('name', TERMS)
def test_invalid_pixels_give_no_gradient(name):
    prediction = _maps(3.0, 4.0, 5.0, 6.0, 3.5).requires_grad_()
    TERMS[name](prediction, _maps(2.0, 2.5, math.nan, math.inf, 0.0)).backward()
    assert (prediction.grad.flatten()[:2] != 0).all()
    assert prediction.grad.flatten()[2:].tolist() == [0, 0, 0]


@pytest.mark.parametrize('name', TERMS)
def test_loss_without_a_valid_pixel_is_zero_with_a_finite_gradient(name):
    prediction = _maps(3.0, 4.0).requires_grad_()
    loss = TERMS[name](prediction, _maps(0.0, math.nan))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad.flatten().tolist() == [0, 0]


@pytest.mark.parametrize('dead', [0.0, -1.0])
@pytest.mark.parametrize('name', LOSSES)
def test_prediction_of_zero_or_less_is_pulled_up(name, dead):
    """Beside two pixels that nearly fit, each loss falls where the dead one rises."""
    prediction = _maps(2.0, 2.0, dead).requires_grad_()
    LOSSES[name](prediction, _maps(2.0, 2.1, 2.0)).backward()
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad.flatten()[2] < 0


def test_gradient_term_below_zero_has_a_finite_gradient():
    """Shared among two pixels: the slope is 0.5 / 2 at the one of 2 m and 20 / 2 at the dead."""
    prediction = _maps(2.0, 0.0).requires_grad_()
    gradient_term(prediction, _maps(2.0, 2.0)).backward()
    assert prediction.grad.flatten().tolist() == pytest.approx([0.25, -10])


DEPTHS = st.lists(st.floats(0.5, 10.0, width=32), min_size=12, max_size=12)
NOT_VALID = st.sampled_from([0.0, -2.0, math.nan, math.inf, -math.inf])
NUMBERS = st.one_of(st.floats(-1e3, 1e3, width=32), st.sampled_from([math.nan, math.inf]))


def _image(values):
    """Return (1, 3, 4) float32 of twelve values."""
    return torch.tensor(values, dtype=torch.float32).reshape(1, 3, 4)


def _with_gradient(loss, prediction, target):
    prediction = prediction.clone().requires_grad_()
    value = loss(prediction, target)
    value.backward()
    return value.item(), prediction.grad


@pytest.mark.parametrize('name', TERMS)
@settings(max_examples=25, deadline=None)
@given(DEPTHS, DEPTHS, st.sets(st.integers(0, 11)), st.data())
def test_values_at_invalid_pixels_have_no_influence(name, prediction, target, places, data):
    """NaN and infinity in the target or the prediction there; value and gradient stay."""
    prediction, target = _image(prediction), _image(target)
    mask = torch.ones(1, 3, 4, dtype=torch.bool)
    other_prediction, other_target = prediction.clone(), target.clone()
    for place in places:
        row, column = divmod(place, 4)
        mask[0, row, column] = False
        other_prediction[0, row, column] = data.draw(NUMBERS)
        other_target[0, row, column] = data.draw(NOT_VALID)
    value, slope = _with_gradient(TERMS[name], prediction, target * mask)
    other_value, other_slope = _with_gradient(TERMS[name], other_prediction, other_target)
    assert math.isfinite(value) and torch.isfinite(slope).all()
    assert other_value == value and torch.equal(other_slope, slope)


@settings(max_examples=50, deadline=None)
@given(DEPTHS, DEPTHS, st.floats(0.5, 2.0))
def test_scale_of_the_prediction_is_free(prediction, target, scale):
    """Of silog with lambda 1 and of the gradient term: log s is added to every pixel alike."""
    prediction, target = _image(prediction), _image(target)
    for loss in (lambda d, g: silog(d, g, invariance=1.0), gradient_term):
        expected = loss(prediction, target).item()
        assert loss(scale * prediction, target).item() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 50.0), st.sampled_from([-1.0, 1.0]))
def test_berhu_is_continuous_at_its_threshold(largest, side):
    """
    Beside an error of 5 c, an error of c (1 -+ 1e-4) costs c (1 -+ 1e-4), to 1e-7 c.

    Above: (1.0001^2 + 1) / 2 = 1.000100005.
    """
    c = 0.2 * largest
    error = torch.tensor([[[c * (1 + side * 1e-4), largest]]], dtype=torch.float64)
    found = 2 * berhu(error + 1, torch.ones(1, 1, 2, dtype=torch.float64)).item()
    assert (found - 13 * c) / c == pytest.approx(1 + side * 1e-4, abs=1e-7)


def test_laplace_scale_by_hand():
    """
    |2 - 1| / 2 = 0.5 and |4 - 5| / 4 = 0.25 at b = 0.5: the mean of e / b + log b.

    (1 + 0.5) / 2 + log 0.5 = 0.75 - 0.693147 = 0.056853.
    """
    log_scale = _maps(math.log(0.5), math.log(0.5), 3.0)
    loss = laplace_scale(log_scale, _maps(2.0, 4.0, 9.0), _maps(1.0, 5.0, 0.0))
    assert loss.item() == pytest.approx(0.056853, abs=1e-6)


def test_laplace_scale_is_least_at_the_mean_relative_error():
    """Errors 0.5 and 0.25: d/db (e / b + log b) = 0 at b = 0.375."""
    prediction, target = _maps(2.0, 4.0), _maps(1.0, 5.0)
    log_scale = torch.tensor(math.log(0.375), requires_grad=True)
    best = laplace_scale(log_scale.expand(1, 1, 2), prediction, target)
    best.backward()
    assert log_scale.grad.item() == pytest.approx(0, abs=1e-6)
    for scale in (0.3, 0.45):
        other = laplace_scale(torch.full((1, 1, 2), math.log(scale)), prediction, target)
        assert other > best


def test_laplace_scale_gives_the_depth_no_gradient():
    prediction, log_scale = _maps(2.0, 4.0).requires_grad_(), _maps(0.1, 0.2).requires_grad_()
    laplace_scale(log_scale, prediction, _maps(1.0, 5.0)).backward()
    assert prediction.grad is None
    assert (log_scale.grad != 0).all()


def test_laplace_scale_of_a_zero_depth_is_finite():
    """A ReLU may predict 0 m; the relative error is then taken of 0.1 m: |0.1 - 1| / 0.1 = 9."""
    assert laplace_scale(_maps(0.0), _maps(0.0), _maps(1.0)).item() == pytest.approx(9)


def test_laplace_scale_without_a_valid_pixel_is_zero_with_a_finite_gradient():
    log_scale = _maps(0.5, 0.5).requires_grad_()
    loss = laplace_scale(log_scale, _maps(2.0, 2.0), _maps(0.0, math.nan))
    loss.backward()
    assert loss.item() == 0
    assert log_scale.grad.flatten().tolist() == [0, 0]

"""The losses by hand, at their edges and in their gradients."""

import math

import pytest
import torch

from fcrn_ros.training.losses import LOSSES, berhu, l1, l2, laplace_scale, valid_pixels


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


@pytest.mark.parametrize('name', LOSSES)
def test_invalid_pixels_give_no_gradient(name):
    prediction = _maps(3.0, 4.0, 5.0, 6.0).requires_grad_()
    LOSSES[name](prediction, _maps(2.0, 0.0, math.nan, math.inf)).backward()
    assert prediction.grad.flatten()[0] > 0
    assert prediction.grad.flatten()[1:].tolist() == [0, 0, 0]


@pytest.mark.parametrize('name', LOSSES)
def test_loss_without_a_valid_pixel_is_zero_with_a_finite_gradient(name):
    prediction = _maps(3.0, 4.0).requires_grad_()
    loss = LOSSES[name](prediction, _maps(0.0, math.nan))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad.flatten().tolist() == [0, 0]


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

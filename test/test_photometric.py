"""The photometric difference by hand, and which source wins."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.training.objectives.photometric import difference, least_error, ssim, whole_windows

pytestmark = pytest.mark.usefixtures('one_thread')


def _grey(value, rows=4, columns=6):
    return torch.full((1, 3, rows, columns), value)


def _noise(seed, rows=8, columns=11):
    return torch.rand((1, 3, rows, columns), generator=torch.Generator().manual_seed(seed))


def _errors(*values):
    """Return (1, S, 1, N) of S lists of N."""
    return torch.tensor(values)[None, :, None]


ALL = torch.ones((1, 1, 1, 1), dtype=torch.bool)


def test_difference_of_two_greys_by_hand():
    """
    SSIM = (2 * 0.2 + 0.0001) / (0.16 + 0.25 + 0.0001) = 0.4001 / 0.4101 = 0.975616.

    0.85 * (1 - 0.975616) / 2 + 0.15 * 0.1 = 0.010363 + 0.015 = 0.025363.
    """
    error = difference(_grey(0.4), _grey(0.5)[:, None])
    assert error.shape == (1, 1, 4, 6)
    assert error.flatten().tolist() == pytest.approx([0.025363] * 24, abs=2e-5)


def test_ssim_of_a_window_by_hand():
    """
    The middle of 3 x 3: a has a 0.9 in the middle, b its mirror image about 0.5 there, 0.1.

    Means 0.1 and 1 / 90; a: sum of squares 0.81 / 9 - 0.01 = 0.08; b: 0.01 / 9 - 1 / 8100 =
    0.00098765; covariance 0.09 / 9 - 0.1 / 90 = 0.0088889. (2 * 0.1 / 90 + 0.0001) (2 * 0.0088889
    + 0.0009) / ((0.01 + 1 / 8100 + 0.0001) (0.08098765 + 0.0009)) = 0.00232222 * 0.01867778 /
    (0.01022346 * 0.08188765) = 0.051810.
    """
    a, b = torch.zeros((1, 1, 3, 3)), torch.zeros((1, 1, 3, 3))
    a[..., 1, 1], b[..., 1, 1] = 0.9, 0.1
    assert ssim(a, b)[0, 0, 1, 1].item() == pytest.approx(0.051810, abs=1e-5)


def test_structure_that_is_opposite_costs_almost_all():
    """
    Stripes 0, 1, 0, ... against 1, 0, 1, ...: windows have sums of 3 or 6 of 9.

    Means 1/3 and 2/3, squares alike, variances 2/9 each, covariance 0 - 2/9: SSIM = (4/9 + C1)
    (-4/9 + C2) / ((5/9 + C1) (4/9 + C2)) = -0.7968, so 0.85 * 0.8984 + 0.15 * 1 = 0.91364.
    """
    stripes = (torch.arange(8) % 2).float().expand(1, 3, 6, 8)
    error = difference(stripes, (1 - stripes)[:, None])
    assert error.flatten().tolist() == pytest.approx([0.91364] * 48, abs=1e-4)


def test_difference_compares_each_source_with_its_own_target():
    target = torch.cat((_noise(1), _noise(2)))
    others = torch.stack((_noise(3)[0], _noise(1)[0], _noise(2)[0], _noise(3)[0]))
    error = difference(target, others.unflatten(0, (2, 2))).mean((2, 3))
    assert error[0, 1].item() == pytest.approx(0, abs=1e-6)
    assert error[1, 0].item() == pytest.approx(0, abs=1e-6)
    assert error[0, 0] > 0.2 and error[1, 1] > 0.2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_difference_is_symmetric_and_within_zero_and_one(one, other):
    a, b = _noise(one), _noise(other)
    there, back = difference(a, b[:, None]), difference(b, a[:, None])
    assert torch.allclose(there, back, atol=1e-5)
    assert there.min() >= 0 and there.max() <= 1


def test_a_window_is_whole_where_no_neighbour_is_missing():
    """Beyond the picture's own edge nothing is missing."""
    seen = torch.ones((1, 1, 4, 6), dtype=torch.bool)
    seen[0, 0, 1, 4] = False
    whole = whole_windows(seen)
    assert whole[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
    ]


def test_the_best_source_counts_at_every_pixel():
    """min(0.2, 0.5) and min(0.4, 0.1): 0.2 and 0.1, on average 0.15."""
    warped = _errors([0.2, 0.4], [0.5, 0.1])
    residual = least_error(warped, ALL.expand_as(warped))
    assert residual.error.flatten().tolist() == pytest.approx([0.2, 0.1])
    assert residual.mean().item() == pytest.approx(0.15)


def test_a_source_that_does_not_see_the_pixel_does_not_count():
    """The second is blind at pixel 0, both are at pixel 2: (0.2 + 0.1) / 2 pixels."""
    warped = _errors([0.2, 0.4, 0.3], [0.0, 0.1, 0.2])
    seen = torch.tensor([[[[True, True, False]], [[False, True, False]]]])
    residual = least_error(warped, seen)
    assert residual.counted.flatten().tolist() == [True, True, False]
    assert residual.error.flatten().tolist() == pytest.approx([0.2, 0.1, 0.0])
    assert residual.mean().item() == pytest.approx(0.15)


def test_pixels_that_look_the_same_unwarped_give_no_gradient():
    """Pixel 0: 0.2 < 0.3, the warp explains it; pixel 1: 0.4 > 0.05; pixel 2: equal."""
    warped = _errors([0.2, 0.4, 0.1]).requires_grad_()
    residual = least_error(warped, ALL.expand_as(warped), _errors([0.3, 0.05, 0.1]))
    assert residual.moving.flatten().tolist() == [True, False, False]
    assert residual.error.flatten().tolist() == pytest.approx([0.2, 0.05, 0.1])
    residual.mean().backward()
    assert warped.grad.flatten().tolist() == pytest.approx([1 / 3, 0, 0])


def test_no_source_at_all_is_zero_with_a_gradient_of_zero():
    warped = _errors([0.2, 0.4]).requires_grad_()
    residual = least_error(warped, ~ALL.expand_as(warped), torch.full((1, 1, 1, 2), torch.inf))
    residual.mean().backward()
    assert residual.mean().item() == 0
    assert warped.grad.flatten().tolist() == [0, 0]

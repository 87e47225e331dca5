"""Sparsification curves by hand, their bounds, and what pooling and streaming must not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcrn_ros.training.evaluation.sparsification import (
    RANKINGS,
    REMOVED,
    ranking_sums,
    sparsification,
)


def _found(prediction, target, confidence):
    return sparsification(ranking_sums(*(np.float32(a) for a in (prediction, target, confidence))))


def test_curves_by_hand():
    """
    Depths 5, 3, 2, 2 m where 1 m is: errors 4, 2, 1, 1 m. Confidence removes 2, then 4.

    absrel: all 8 / 4 = 2; without the first half (1 + 1) / 2 = 1: 1 / 2 for both. At 0.24, 0.96
    of the 2 is gone: (8 - 0.96 * 2) / (0.76 * 4) / 2 = 1; by the oracle (8 - 0.96 * 4) / 3.04 / 2
    = 0.6842.
    rmse: all sqrt(22 / 4), half sqrt(2 / 2): sqrt(1 / 5.5) = 0.4264 for both; at 0.24 sqrt((22 -
    0.96 * 4) / 3.04 / 5.5) = 1.0422, by the oracle sqrt((22 - 0.96 * 16) / 3.04 / 5.5) = 0.6302.
    """
    found = _found([5, 3, 2, 2], [1, 1, 1, 1], [0.5, 0.2, 0.8, 0.9])
    assert found['removed'][12] == pytest.approx(0.24)
    at = [0, 12, 25]
    expected = {
        'absrel': ([1, 1, 0.5], [1, 0.6842, 0.5]),
        'rmse': ([1, 1.0422, 0.4264], [1, 0.6302, 0.4264]),
    }
    for name, (curve, oracle) in expected.items():
        assert np.array(found[name]['curve'])[at] == pytest.approx(curve, abs=1e-4)
        assert np.array(found[name]['oracle'])[at] == pytest.approx(oracle, abs=1e-4)


def test_each_measure_has_its_own_oracle():
    """
    2 m where 1 m is and 9 m where 6 m is: the first has the larger |d - g| / g (1 to 1 / 2), the
    second the larger |d - g| (1 to 3). After one half absrel is 0.5 / 0.75, rmse 1 / sqrt(5).
    """
    found = _found([2, 9], [1, 6], [0.1, 0.9])
    assert found['absrel']['oracle'][25] == pytest.approx(2 / 3)
    assert found['rmse']['oracle'][25] == pytest.approx(1 / np.sqrt(5))
    assert found['absrel']['ause'] == pytest.approx(0, abs=1e-9)
    assert found['rmse']['curve'][25] == pytest.approx(3 / np.sqrt(5))


def test_ause_is_the_mean_between_the_curves():
    """Of a pair, the one without an error is removed first: see the curve, which rises to 2."""
    found = _found([1, 2], [1, 1], [0.1, 0.9])['absrel']
    left = 1 - REMOVED
    curve = np.where(left > 0.5, 1 / left, 2)  # 1 of 2 in all is 1 / 2: the rest has 1 / 2 / left
    curve[left <= 0.5] = 2
    oracle = np.maximum(left - 0.5, 0) / left * 2 / 1
    assert found['curve'] == pytest.approx(curve)
    assert found['oracle'] == pytest.approx(oracle)
    assert found['ause'] == pytest.approx((curve - oracle).mean())
    assert found['blind'] == pytest.approx((1 - oracle).mean())


def test_confidence_that_says_nothing_is_blind():
    """All pixels are of one bin, in which the order is random: the error stays what it is."""
    found = _found([1.5, 3, 2, 1], [1, 1, 1, 1], [0.6] * 4)
    for name in ('absrel', 'rmse'):
        assert found[name]['curve'] == pytest.approx(np.ones(len(REMOVED)))
        assert found[name]['ause'] == pytest.approx(found[name]['blind'])
        assert found[name]['blind'] > 0.1


@pytest.mark.parametrize('bad', [np.nan, np.inf, 0.0, -1.0])
def test_pixels_without_a_prediction_do_not_count(bad):
    with_hole = _found([5, bad, 3, 2], [1, 1, 1, 1], [0.5, 0.9, 0.2, 0.8])
    assert with_hole == _found([5, 3, 2], [1, 1, 1], [0.5, 0.2, 0.8])


def test_confidences_and_errors_out_of_the_bins():
    """Confidence 0 and 1 have bins, and so have an error of nothing and one of a kilometre."""
    sums = ranking_sums(np.float32([1, 3000]), np.float32([1, 1]), np.float32([1, 0]))
    assert sums.shape == RANKINGS
    assert sums[:, :, 0].sum(-1).tolist() == [[2, 2], [2, 2]]
    assert (sums[:, :, 0, [0, -1]] == 1).all()
    assert sums[:, :, 1, 0] == pytest.approx(np.array([[2999] * 2, [2999**2] * 2]))


def test_nothing_to_rank_is_empty():
    assert sparsification(np.zeros(RANKINGS)) == {}
    assert _found([2, 3], [2, 3], [0.5, 0.9]) == {}  # no error: no share of it


cases = arrays(np.float32, (3, 40), elements=st.floats(0.5, 8, width=32))


@settings(deadline=None, max_examples=60)
@given(cases)
def test_no_confidence_beats_the_oracle(case):
    prediction, target, confidence = case[0], case[1], case[2] / 8
    found = _found(prediction, target, confidence)
    for name in ('absrel', 'rmse') if found else ():
        curve, oracle = np.array(found[name]['curve']), np.array(found[name]['oracle'])
        assert curve[0] == pytest.approx(1) and oracle[0] == pytest.approx(1)
        assert (curve >= oracle - 0.01).all()  # bins are a thousandth of the error wide
        assert (np.diff(oracle) <= 0.01).all()


@settings(deadline=None, max_examples=60)
@given(cases, st.integers(1, 39))
def test_images_pool_into_one(case, cut):
    prediction, target, confidence = case[0], case[1], case[2] / 8
    whole = ranking_sums(prediction, target, confidence)
    parts = [
        ranking_sums(prediction[part], target[part], confidence[part])
        for part in (slice(cut), slice(cut, None))
    ]
    assert np.allclose(parts[0] + parts[1], whole)


def test_bins_are_fine_enough():
    """Streamed in bins and sorted exactly, 20,000 pixels have the same AUSE to 0.002."""
    random = np.random.default_rng(3)
    target = random.uniform(1, 6, 20000)
    scale = random.uniform(0.02, 0.5, 20000)
    prediction = np.abs(target * (1 + random.laplace(0, scale))) + 0.01
    confidence = 1 - np.exp(-0.25 / scale)
    found = _found(prediction, target, confidence)
    error = np.abs(prediction - target)
    for name, size in (('absrel', error / target), ('rmse', error**2)):
        exact = []
        for order in (np.argsort(confidence), np.argsort(error if name == 'rmse' else size)[::-1]):
            kept = [size[order][int(share * 20000) :].mean() / size.mean() for share in REMOVED]
            exact.append(np.sqrt(kept) if name == 'rmse' else np.array(kept))
        assert found[name]['ause'] == pytest.approx((exact[0] - exact[1]).mean(), abs=0.002)
        assert 0 < found[name]['ause'] < found[name]['blind']

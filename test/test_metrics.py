"""The error measures by hand, their edges, how images are pooled, and bands of range."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcrn_ros.training.evaluation.metrics import (
    BANDS,
    NAMES,
    SUMS,
    band_rows,
    band_sums,
    confidence_rows,
    confidence_sums,
    image_sums,
    intervals,
    pooled_and_per_image,
    summarise,
)


def _measure(prediction, target):
    prediction, target = (np.array(a, np.float32).reshape(1, -1) for a in (prediction, target))
    return summarise(image_sums(prediction, target))


def test_measures_by_hand():
    """
    Predict 3 and 4 m where 2 and 5 m are.

    absrel (1/2 + 1/5) / 2 = 0.35; sqrel (1/2 + 1/5) / 2 = 0.35; rmse sqrt((1 + 1) / 2) = 1; logs
    ln 1.5 = 0.405465 and ln 0.8 = -0.223144: rmse_log sqrt((0.164402 + 0.049793) / 2) = 0.327257,
    log10 (0.405465 + 0.223144) / 2 / 2.302585 = 0.136501. Ratios 1.5 and 1.25: none is below 1.25,
    both are below 1.5625 and 1.953. mae (1 + 1) / 2 = 1. silog: the logs' mean is 0.0911605, its
    square 0.0083102; 100 sqrt(0.1070975 - 0.0083102) = 31.4305.
    """
    found = _measure([3, 4], [2, 5])
    expected = {
        'absrel': 0.35,
        'sqrel': 0.35,
        'rmse': 1.0,
        'rmse_log': 0.327257,
        'log10': 0.136501,
        'delta1': 0.0,
        'delta2': 1.0,
        'delta3': 1.0,
        'mae': 1.0,
        'silog': 31.4305,
    }
    assert found == pytest.approx(expected, abs=1e-4)
    assert found['rmse_log'] == pytest.approx(0.327257, abs=1e-6)


def test_relative_errors_are_relative_to_the_target():
    """4 m where 2 m is: absrel 2 / 2 = 1, sqrel 4 / 2 = 2; the other way round 0.5 and 1."""
    assert _measure([4], [2])['absrel'] == 1
    assert _measure([4], [2])['sqrel'] == 2
    assert _measure([2], [4])['absrel'] == 0.5
    assert _measure([2], [4])['sqrel'] == 1


@pytest.mark.parametrize(('prediction', 'target'), [(5, 4), (4, 5)])
def test_ratio_of_exactly_1_25_is_not_below_it(prediction, target):
    assert _measure([prediction], [target])['delta1'] == 0
    closer = target + 0.001 * (prediction - target)
    assert _measure([prediction], [closer])['delta1'] == 1


def test_deltas_are_powers_of_1_25():
    """Ratios 1.2, 1.5, 1.9, 2: 1 of 4 below 1.25, 2 of 4 below 1.5625, 3 of 4 below 1.953."""
    found = _measure([1.2, 1.5, 1.9, 2.0], [1, 1, 1, 1])
    assert [found[f'delta{k}'] for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_perfect_prediction_has_no_error():
    found = _measure([1.5, 7.0], [1.5, 7.0])
    assert [found[name] for name in NAMES] == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_pixels_without_a_depth_do_not_count(bad):
    sums = image_sums(np.float32([[3, bad, 2]]), np.float32([[2, 2, bad]]))
    assert sums.shape == (SUMS,)
    assert sums.dtype == np.float64
    assert sums[0] == 1
    assert sums[1] == 0.5


def test_nothing_valid_gives_nan():
    sums = image_sums(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32))
    assert sums.tolist() == [0.0] * SUMS
    assert all(np.isnan(v) for v in summarise(sums).values())
    for part in pooled_and_per_image([sums]):
        assert list(part) == list(NAMES)
        assert all(np.isnan(v) for v in part.values())


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'prediction is \(2, 3\), target \(3, 2\); expected'):
        image_sums(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32))


def test_pooled_and_per_image_by_hand():
    """
    One image with errors 0 and 0, another with 3 and 3, target 10 m.

    Pooled rmse sqrt((0 + 0 + 9 + 9) / 4) = 2.12132; per image (0 + 3) / 2 = 1.5. absrel is 0.15
    both ways.
    """
    target = np.full((1, 2), 10, np.float32)
    images = [image_sums(target + error, target) for error in (0, 3)]
    pooled, mean = pooled_and_per_image(images)
    assert pooled['rmse'] == pytest.approx(2.12132, abs=1e-5)
    assert mean['rmse'] == pytest.approx(1.5)
    assert pooled['absrel'] == pytest.approx(0.15)
    assert mean['absrel'] == pytest.approx(0.15)


def test_images_without_a_valid_pixel_do_not_count():
    target = np.full((1, 2), 10, np.float32)
    good, empty = image_sums(target + 3, target), image_sums(target, target * 0)
    _, mean = pooled_and_per_image([good, empty])
    assert mean['rmse'] == pytest.approx(3)


def test_pooled_weighs_images_by_their_valid_pixels():
    """
    One pixel off by 10, 99 by 0: pooled sqrt(100 / 100) = 1, per image (10 + 0) / 2 = 5.

    So the pooled rmse is the larger one only where the images count equally many pixels.
    """
    target = np.full((1, 99), 20, np.float32)
    images = [image_sums(target[:, :1] + 10, target[:, :1]), image_sums(target, target)]
    pooled, mean = pooled_and_per_image(images)
    assert (pooled['rmse'], mean['rmse']) == (pytest.approx(1), pytest.approx(5))


depths = arrays(np.float32, (4, 3, 5), elements=st.floats(0.125, 64, width=32))


@settings(deadline=None, max_examples=60)
@given(depths, depths)
def test_pooled_rmse_of_equal_images_is_never_the_smaller_one(prediction, target):
    images = [image_sums(d, g) for d, g in zip(prediction, target, strict=True)]
    pooled, mean = pooled_and_per_image(images)
    for name in ('rmse', 'rmse_log'):
        assert pooled[name] >= mean[name] - 1e-9
    for name in ('absrel', 'sqrel', 'log10', 'delta1', 'delta2', 'delta3'):
        assert pooled[name] == pytest.approx(mean[name], rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(depths, st.floats(0.25, 4))
def test_silog_does_not_see_a_factor(target, factor):
    """ln(f g) - ln g is ln f everywhere: no deviation, and rmse_log is |ln f|."""
    found = summarise(image_sums((factor * target).astype(np.float32), target))
    assert found['silog'] == pytest.approx(0, abs=1e-3)
    assert found['rmse_log'] == pytest.approx(abs(math.log(factor)), abs=1e-6)


# Bands of range


def test_bands_have_their_lower_edge():
    """0.5 m is in 0-1, 1 m and 1.9 m in 1-2, 10 m and 80 m in the last; d = 2 g: absrel 1."""
    target = np.float32([[0.5, 1.0, 1.9, 10.0, 80.0]])
    sums = band_sums(2 * target, target)
    assert sums.shape == (len(BANDS) - 1, SUMS)
    assert sums[:, 0].tolist() == [1, 2, 0, 0, 0, 2]
    assert sums[:, 1].tolist() == [1, 2, 0, 0, 0, 2]
    first, second, last = band_rows(sums)
    assert (first['from'], first['to'], first['share']) == (0, 1, 0.2)
    assert (second['from'], second['to'], second['share']) == (1, 2, 0.4)
    assert (last['from'], last['to'], last['share']) == (10, None, 0.4)
    assert second['mae'] == pytest.approx((1 + 1.9) / 2)


@settings(deadline=None, max_examples=60)
@given(depths, depths)
def test_bands_add_up_to_the_image(prediction, target):
    whole = image_sums(prediction[0], target[0])
    bands = band_sums(prediction[0], target[0])
    assert bands.sum(0) == pytest.approx(whole)
    assert sum(row['share'] for row in band_rows(bands)) == pytest.approx(1)


# Bootstrap


def test_interval_of_equal_images_is_a_point():
    target = np.float32([[2, 4, 5]])
    sums = image_sums(1.5 * target, target)
    assert intervals([sums] * 4) == {
        'absrel': pytest.approx((0.5, 0.5)),
        'delta1': pytest.approx((0, 0)),
    }


def test_interval_holds_the_pooled_measure_and_narrows_with_images():
    """
    Half of the images with absrel 0.1, half with 0.5: the mean is 0.3, and one image deviates by
    0.2, so the mean of 16 by 0.05: about 0.3 -+ 1.96 * 0.05; of 64 half as much.
    """
    target = np.float32([[2, 4, 5]])
    images = [image_sums((1 + share) * target, target) for share in (0.1, 0.5)]
    low, high = intervals(images * 8, ['absrel'])['absrel']
    assert (low, high) == (pytest.approx(0.2, abs=0.02), pytest.approx(0.4, abs=0.02))
    closer_low, closer_high = intervals(images * 32, ['absrel'])['absrel']
    assert closer_high - closer_low == pytest.approx((high - low) / 2, abs=0.03)
    assert intervals(images * 8, ['absrel'])['absrel'] == (low, high)


# Confidence


def test_confidence_by_hand():
    """
    Band 0.2: 4 m for 5 m, off by 1 = 25 % of 4: right; absrel 0.2. 4 m for 5.1 m: wrong; absrel
    1.1 / 5.1 = 0.2157. Confidence 1 has no band of its own. NaN does not count.
    """
    sums = confidence_sums(
        np.float32([4, 4, 3, np.nan]),
        np.float32([5, 5.1, 3, 3]),
        np.float32([0.25, 0.35, 1.0, 0.9]),
        within=0.25,
    )
    low, high = confidence_rows(sums)
    assert low == pytest.approx(
        {'from': 0.2, 'share': 2 / 3, 'predicted': 0.3, 'right': 0.5, 'absrel': 0.20784},
        abs=1e-4,
    )
    assert high == pytest.approx(
        {'from': 0.8, 'share': 1 / 3, 'predicted': 1, 'right': 1, 'absrel': 0}
    )


def test_no_confidence_is_no_rows():
    assert confidence_rows(np.zeros((5, 4))) == []

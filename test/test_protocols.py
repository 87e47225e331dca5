"""Protocols: which pixels count, and how predictions are limited."""

import numpy as np
import pytest

from fcrn_ros.training.evaluation.protocols import KITTI, NATIVE, NYU, PROTOCOLS


def test_protocols_have_their_names():
    assert list(PROTOCOLS) == ['native', 'nyu', 'kitti']
    assert all(p.name == name for name, p in PROTOCOLS.items())


def test_native_takes_every_recorded_pixel():
    depth = np.float32([[0.01, 200, np.nan, np.inf, 0, -1]])
    target = NATIVE.target(depth)
    assert np.isfinite(target).tolist() == [[True, True, False, False, False, False]]
    assert target.dtype == np.float32
    prediction = np.float32([0.0001, 300, np.nan])
    assert NATIVE.limited(prediction) is prediction


def test_nyu_takes_rows_45_to_470_and_columns_41_to_600():
    """(471 - 45) * (601 - 41) = 426 * 560 = 238560 pixels."""
    found = np.isfinite(NYU.target(np.full((480, 640), 3, np.float32)))
    assert found.sum() == 238560
    assert found[45:471, 41:601].all()


def test_nyu_takes_depths_between_its_limits():
    depth = np.full((480, 640), np.nan, np.float32)
    depth[100, 200:205] = [0.001, 0.0011, 9.999, 10, 12]
    found = np.isfinite(NYU.target(depth))
    assert found.sum() == 2
    assert found[100, 201:203].all()


def test_nyu_is_defined_for_its_size():
    with pytest.raises(ValueError, match='depth is 320x240; expected 640x480, for which the nyu'):
        NYU.target(np.ones((240, 320), np.float32))


def test_kitti_takes_shares_of_any_size():
    """
    375 x 1242: rows 0.40810811 * 375 = 153.04 up to 0.99189189 * 375 = 371.96, columns
    0.03594771 * 1242 = 44.6 up to 0.96405229 * 1242 = 1197.4.
    """
    found = np.isfinite(KITTI.target(np.full((375, 1242), 20, np.float32)))
    assert found[153:371, 44:1197].all()
    assert found.sum() == (371 - 153) * (1197 - 44)
    assert KITTI.window((370, 1226)) == (slice(151, 366), slice(44, 1181))


def test_kitti_takes_nothing_beyond_80_m():
    depth = np.full((375, 1242), 80, np.float32)
    depth[200, 300] = 79.9
    assert np.isfinite(KITTI.target(depth)).sum() == 1


def test_predictions_are_clipped_and_silence_is_the_nearest_depth():
    prediction = np.float32([0.0001, 2, 11, np.nan, np.inf])
    assert NYU.limited(prediction).tolist() == pytest.approx([0.001, 2, 10, 0.001, 10])
    assert KITTI.limited(prediction).tolist() == pytest.approx([0.001, 2, 11, 0.001, 80])


def test_recorded_depth_is_not_changed():
    depth = np.full((480, 640), 3, np.float32)
    NYU.target(depth)
    assert (depth == 3).all()

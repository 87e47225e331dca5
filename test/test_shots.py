"""The best and worst frames: which are kept, how small, and none twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcrn_ros.training.evaluation.shots import SHOWN, WIDTH, Album, Shot


def _shot(absrel, height=6, width=8):
    depth = np.full((height, width), 2, np.float32)
    image = np.zeros((height, width, 3), np.uint8)
    return Shot(f'{absrel:g}', absrel, image, depth, depth * (1 + absrel))


def _sides(errors):
    album = Album()
    for error in errors:
        if album.wants(error):
            album.add(_shot(error))
    best, worst = album.sides()
    return [s.absrel for s in best], [s.absrel for s in worst]


def test_best_ascend_and_worst_descend():
    assert _sides([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4]) == ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7])


@pytest.mark.parametrize(
    ('errors', 'best', 'worst'),
    [
        ([], [], []),
        ([0.4], [0.4], []),
        ([0.4, 0.2], [0.2], [0.4]),
        ([0.4, 0.2, 0.3], [0.2, 0.3], [0.4]),
        ([0.4, 0.1, 0.2, 0.3, 0.5], [0.1, 0.2, 0.3], [0.5, 0.4]),
    ],
)
def test_few_frames_are_shared_out(errors, best, worst):
    assert _sides(errors) == (best, worst)


@given(st.lists(st.floats(0, 5), min_size=2 * SHOWN, max_size=40, unique=True))
def test_kept_are_the_ends_of_all(errors):
    best, worst = _sides(errors)
    assert best == sorted(errors)[:SHOWN]
    assert worst == sorted(errors, reverse=True)[:SHOWN]


def test_copies_are_small_and_keep_the_aspect():
    """1280 x 960 becomes 320 x 240; the depths are readings, not means."""
    album = Album()
    shot = _shot(0.5, 960, 1280)
    shot.recorded[:, ::2] = 4
    album.add(shot)
    (small,) = album.best
    assert WIDTH == 320 and small.image.shape == (240, 320, 3)
    assert small.recorded.shape == small.predicted.shape == (240, 320)
    assert set(np.unique(small.recorded)) <= {2, 4}


def test_small_pictures_stay_and_are_copied():
    shot = _shot(0.5)
    album = Album()
    album.add(shot)
    assert album.best[0].image.shape == (6, 8, 3)
    assert not np.shares_memory(album.best[0].image, shot.image)
    assert not np.shares_memory(album.best[0].recorded, shot.recorded)


def test_error_is_signed_and_relative_to_the_recorded():
    """3 m for 2 m is +0.5, 1 m for 2 m -0.5; without a recorded depth there is none."""
    recorded = np.float32([[2, 2, np.nan]])
    predicted = np.float32([[3, 1, 2]])
    error = Shot('a', 0.5, np.zeros((1, 3, 3), np.uint8), recorded, predicted).error
    assert error[0, :2].tolist() == [0.5, -0.5]
    assert np.isnan(error[0, 2])

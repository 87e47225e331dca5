"""Random views stay in their ranges, and colours change as they are said to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sources import CAMERA

from fcrn_ros.training.data.augment import Ranges, colour_change, erase, random_view
from fcrn_ros.training.data.view import plain_view

INPUT = (64, 96)
PLAIN = plain_view(CAMERA, INPUT).camera
NONE = Ranges(zoom=1.0, stretch=1.0, rotation=0.0, flip=False, colour=0.0, erase=0.0)
seeds = st.integers(0, 100_000)
random = settings(max_examples=100, deadline=None, derandomize=True)


def _view(seed, ranges=Ranges()):  # noqa: B008
    return random_view(CAMERA, INPUT, ranges, np.random.default_rng(seed))


def _angle_and_mirror(view):
    mirror = round(np.linalg.det(view.view_R_sample))
    turn = view.view_R_sample @ np.diag([mirror, 1, 1])
    return np.degrees(np.arctan2(turn[1, 0], turn[0, 0])), mirror


# Views


@random
@given(seeds)
def test_zoom_stretch_and_turn_stay_in_their_ranges(seed):
    """Stretch 1.1 is the largest factor between the zooms, each of them at least 1."""
    view = _view(seed)
    x, y = view.camera.fx / PLAIN.fx, view.camera.fy / PLAIN.fy
    assert 1 - 1e-9 <= min(x, y) and np.sqrt(x * y) <= 1.5 * 1.1**0.5
    assert max(x / y, y / x) <= 1.1 + 1e-9
    angle, mirror = _angle_and_mirror(view)
    assert abs(angle) <= 5 and mirror in (-1, 1)
    rotation = view.view_R_sample
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert rotation[2].tolist() == [0, 0, 1] and rotation[:, 2].tolist() == [0, 0, 1]


def test_all_of_every_range_is_used():
    seen = [_view(seed) for seed in range(300)]
    zooms = np.array([np.sqrt(v.camera.fx * v.camera.fy / PLAIN.fx / PLAIN.fy) for v in seen])
    stretches = np.array([v.camera.fx / v.camera.fy * PLAIN.fy / PLAIN.fx for v in seen])
    angles, mirrors = np.array([_angle_and_mirror(v) for v in seen]).T
    assert zooms.min() < 1.05 and zooms.max() > 1.45
    assert stretches.min() < 0.92 and stretches.max() > 1.08
    assert angles.min() < -4.5 and angles.max() > 4.5
    assert 0.4 < (mirrors < 0).mean() < 0.6


@random
@given(seeds)
def test_the_window_of_a_zoom_lies_in_the_picture(seed):
    """The corners of the view, (-0.5, -0.5) and (95.5, 63.5), fall between those of the sample."""
    view = _view(seed, Ranges(zoom=2.5, stretch=1.4, rotation=0.0, flip=False))
    for corner, low, high in (((-0.5, -0.5), -0.5, None), ((95.5, 63.5), None, (131.5, 89.5))):
        u = (corner[0] - view.camera.cx) / view.camera.fx * CAMERA.fx + CAMERA.cx
        v = (corner[1] - view.camera.cy) / view.camera.fy * CAMERA.fy + CAMERA.cy
        if low is not None:
            assert u >= low - 1e-6 and v >= low - 1e-6
        else:
            assert u <= high[0] + 1e-6 and v <= high[1] + 1e-6


def test_windows_reach_every_border():
    """Of zooms to 1.5, the window's corner is at 0 to 1 / 3 of the picture."""
    corners = []
    for seed in range(300):
        camera = _view(seed, Ranges(stretch=1.0, rotation=0.0, flip=False)).camera
        zoom = camera.fx / PLAIN.fx
        corners.append(((PLAIN.cx + 0.5) - (camera.cx + 0.5) / zoom) / 96 / (1 - 1 / zoom))
    corners = np.array(corners)
    assert 0 <= corners.min() < 0.05 and 0.95 < corners.max() <= 1 + 1e-9


def test_without_any_range_the_view_is_the_plain_one():
    view = _view(8, NONE)
    assert view.camera == PLAIN
    np.testing.assert_array_equal(view.view_R_sample, np.eye(3))


def test_a_view_repeats_with_its_generator():
    assert _view(5).camera == _view(5).camera
    np.testing.assert_array_equal(_view(5).view_R_sample, _view(5).view_R_sample)
    assert _view(5).camera != _view(6).camera


# Colours


def _picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (12, 17, 3), np.uint8)


@random
@given(seeds)
def test_no_change_of_colour_changes_nothing(seed):
    picture = _picture()
    change = colour_change(picture, 0.0, np.random.default_rng(seed))
    np.testing.assert_array_equal(change(picture), picture)


class Drawn:
    """Stands in for the generator: brightness, contrast, saturation, gamma; then the balance."""

    def __init__(self, four=(1, 1, 1, 1), balance=(1, 1, 1)):
        self.numbers = [np.array(four, float), np.array(balance, float)]

    def uniform(self, low, high, count):
        return self.numbers.pop(0)


PIXEL = np.full((2, 3, 3), (50, 100, 150), np.uint8)


@pytest.mark.parametrize(
    ('drawn', 'expected'),
    [
        (Drawn((1.2, 1, 1, 1)), (60, 120, 180)),
        (Drawn((2.0, 1, 1, 1)), (100, 200, 255)),  # held at 255
        (Drawn((1, 0.5, 1, 1)), (75, 100, 125)),  # about the mean, 100
        (Drawn((1, 1, 0.0, 1)), (100, 100, 100)),  # grey
        (Drawn((1, 1, 1.5, 1)), (25, 100, 175)),
        (Drawn((1, 1, 1, 2.0)), (10, 39, 88)),  # 255 (50 / 255)^2 = 9.8, 39.2, 88.2
        (Drawn((1, 1, 1, 1), (1.1, 1.0, 0.9)), (55, 100, 135)),
        (Drawn((1.2, 0.5, 1, 1), (1.0, 0.9, 1)), (90, 108, 150)),  # 1.2 * 75, 1.08 * 100, ...
    ],
)
def test_colour_changes_by_hand(drawn, expected):
    assert colour_change(PIXEL, 0.4, drawn)(PIXEL)[1, 2].tolist() == list(expected)


def test_contrast_turns_about_the_first_pictures_mean():
    """A second picture of the moment, all 200, goes where the first one's 200 would: 150."""
    change = colour_change(PIXEL, 0.4, Drawn((1, 0.5, 1, 1)))
    assert change(np.full((2, 3, 3), 200, np.uint8))[0, 0].tolist() == [150, 150, 150]


def test_colours_change_by_up_to_forty_percent():
    """
    Grey 100 has no contrast and no saturation: at gamma 1, 100 * 0.6 * 0.9 = 54 to 154.

    Gamma 0.6 to 1.4 widens that to 255 * (54 / 255)^1.4 = 29 and 255 * (154 / 255)^0.6 = 188.
    """
    grey, rng = np.full((4, 5, 3), 100, np.uint8), np.random.default_rng(0)
    values = np.stack([colour_change(grey, 0.4, rng)(grey)[0, 0] for _ in range(400)])
    assert values.min() >= 28 and values.max() <= 189
    assert values.min() < 50 and values.max() > 160


@random
@given(seeds)
def test_colours_do_not_wrap_around(seed):
    picture = np.full((4, 5, 3), 255, np.uint8)
    picture[:, 0] = 0
    before = picture.copy()
    changed = colour_change(picture, 0.4, np.random.default_rng(seed))(picture)
    assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
    assert (changed[:, 1].astype(int) >= changed[:, 0]).all()
    np.testing.assert_array_equal(picture, before)


# Erasing


@random
@given(seeds)
def test_one_rectangle_of_one_colour_is_erased(seed):
    """10 to 40 % of 60 rows and 80 columns: 6 to 23 and 8 to 31, cut off to whole pixels."""
    picture = np.full((60, 80, 3), 44, np.uint8)
    erase(picture, np.random.default_rng(seed))
    rows, columns = np.nonzero((picture != 44).any(-1))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 6 <= height <= 23 and 8 <= width <= 31
    patch = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert (patch == patch[0, 0]).all()
    assert len(rows) == height * width


def test_erased_rectangles_lie_everywhere():
    hits = np.zeros((60, 80), int)
    for seed in range(300):
        picture = np.zeros((60, 80, 3), np.uint8)
        erase(picture, np.random.default_rng(seed))
        hits += picture.any(-1)
    assert hits.any(0).all() and hits.any(1).all(), 'no row and no column is spared'
    assert hits.max() < 100

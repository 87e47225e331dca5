"""Depth as colours: a colour keeps its meaning."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcrn_ros.colormap import COLORMAPS, colored_depth


def _gray(*depths, near=0.5, far=10.0):
    row = np.array([depths], np.float32)
    return colored_depth(row, near, far, 'gray')[0, :, 0].tolist()


def test_equal_steps_of_inverse_depth_are_equal_steps_of_grey():
    """
    1 / near = 2, 1 / far = 0.1. At 1 m: (1 - 0.1) / 1.9 = 0.47368 * 255 = 120.8.

    At 2 m: 0.4 / 1.9 * 255 = 53.7. Near is 255, far 0.
    """
    assert _gray(0.5, 1.0, 2.0, 10.0) == [255, 120, 53, 0]


def test_depth_outside_the_range_has_the_colour_of_its_end():
    assert _gray(0.2, 0.0, 40.0, math.inf) == [255, 255, 0, 0]


@pytest.mark.parametrize('colormap', COLORMAPS)
def test_nan_is_black_and_infinity_has_the_far_colour(colormap):
    depth = np.array([[math.nan, math.inf, 10.0, 1.0]], np.float32)
    color = colored_depth(depth, 0.5, 10.0, colormap)
    assert color.shape == (1, 4, 3) and color.dtype == np.uint8
    assert color[0, 0].tolist() == [0, 0, 0]
    assert color[0, 1].tolist() == color[0, 2].tolist() != color[0, 3].tolist()


def test_turbo_is_red_near_and_blue_far_in_rgb_order():
    near, far = colored_depth(np.array([[0.6, 7.0]], np.float32), 0.5, 10.0)[0].astype(int)
    assert near[0] > near[2] + 50
    assert far[2] > far[0] + 30


def test_near_of_zero_is_drawn_from_ten_centimetres():
    assert _gray(0.1, 0.05, near=0.0) == [255, 255]
    assert _gray(0.2, near=0.0) == [126]  # (5 - 0.1) / (10 - 0.1) * 255 = 126.2


def test_depth_is_left_alone_and_warns_of_nothing(recwarn):
    depth = np.array([[0.0, -1.0, math.nan, math.inf, 2.0]], np.float32)
    kept = depth.copy()
    colored_depth(depth, 0.3, 8.0)
    assert np.array_equal(depth, kept, equal_nan=True)
    assert not recwarn.list


@given(st.floats(0.25, 20, width=32), st.floats(0.25, 20, width=32))
def test_nearer_is_never_darker(first, second):
    low, high = sorted((first, second))
    near, far = _gray(low, high)
    assert near >= far


def test_unknown_colormap_is_an_error():
    with pytest.raises(KeyError, match='jet'):
        colored_depth(np.ones((2, 3), np.float32), 0.5, 10.0, 'jet')

"""Flicker by hand: what is taken out of a scale that jumps, and what is left of a motion."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.scaling.flicker import FARTHEST, Flicker

STEP = 1 / 30


def _scene():
    """Return (48, 80) float32 depth from 1 to 4 m."""
    return np.random.default_rng(5).uniform(1, 4, (48, 80)).astype(np.float32)


def _levels(logs, time_constant=0.3, step=STEP):
    """Return the log level of depth after smoothing, for a scene of such log scales."""
    flicker, scene = Flicker(time_constant), _scene()
    factors = [
        flicker.factor(scene * np.float32(math.exp(x)), k * step) for k, x in enumerate(logs)
    ]
    return np.asarray(logs) + np.log(factors)


def test_a_steady_scene_is_left_alone():
    assert _levels([0.2] * 20) == pytest.approx(0.2, abs=1e-6)


def test_a_step_is_taken_a_fifth_at_once():
    """Theta = exp(-(1/30) / 0.3) = 0.8948; 1 - theta^2 = 0.1993 of log 1.05 comes through."""
    step = math.log(1.05)
    levels = _levels([0.0, step])
    assert levels[1] == pytest.approx(0.1993 * step, abs=1e-5)


def test_noise_is_more_than_halved():
    """White noise of 3 %; the frame-to-frame deviation is what flicker is measured by."""
    noise = np.random.default_rng(1).normal(0, 0.03, 300)
    assert np.diff(_levels(noise)).std() < 0.4 * np.diff(noise).std()


def test_a_steady_motion_has_no_lag():
    """A wall that nears at 0.5 log units a second, for 3 s: the lag of the start fades."""
    motion = np.concatenate((np.zeros(30), -0.5 * STEP * np.arange(1, 91)))
    lag = np.abs(_levels(motion) - motion)
    assert lag.max() == pytest.approx(0.05, abs=0.01)  # v tau / e = 0.5 * 0.3 / 2.718 = 0.055
    assert lag[-1] < 0.002


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=30), st.floats(0.01, 3))
@settings(max_examples=50, deadline=None)
def test_no_frame_is_changed_by_more_than_the_bound(logs, time_constant):
    moved = _levels(logs, time_constant) - np.asarray(logs)
    assert (np.abs(moved) <= FARTHEST + 1e-5).all()


def test_a_time_constant_of_zero_does_nothing():
    assert np.array_equal(_levels([0.0, 0.1, -0.1], 0.0), [0.0, 0.1, -0.1])


def test_a_gap_starts_anew():
    """At 5 Hz what moved and what flickers look alike."""
    assert _levels([0.0, 0.1, -0.1], step=0.2) == pytest.approx([0.0, 0.1, -0.1])


def test_time_that_jumps_back_starts_anew():
    flicker, scene = Flicker(0.3), _scene()
    flicker.factor(scene, 1.0)
    assert flicker.factor(scene * np.float32(1.1), 1.03) < 1
    assert flicker.factor(scene * np.float32(1.1), 0.5) == 1


def test_another_size_starts_anew():
    flicker = Flicker(0.3)
    flicker.factor(_scene(), 0.0)
    assert flicker.factor(np.full((24, 40), 2.2, np.float32), STEP) == 1


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, -1.0])
def test_pixels_without_depth_do_not_count(value):
    flicker, scene = Flicker(0.3), _scene()
    flicker.factor(scene, 0.0)
    later = scene * np.float32(1.05)
    later[:20] = value
    assert flicker.factor(later, STEP) == pytest.approx(math.exp(-0.8007 * math.log(1.05)), 1e-3)
    assert flicker.factor(np.full_like(scene, value), 2 * STEP) == 1


def test_part_of_a_scene_that_moves_is_not_the_whole():
    """A third of the picture comes nearer by 20 %: the median does not see it."""
    flicker, scene = Flicker(0.3), _scene()
    flicker.factor(scene, 0.0)
    later = scene.copy()
    later[:, :26] *= 0.8
    assert flicker.factor(later, STEP) == pytest.approx(1, abs=1e-6)

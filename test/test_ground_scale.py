"""The floor's scale over time: what it says, how fast it moves, what it does without a floor."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.scaling.ground import Ground
from fcrn_ros.scaling.ground_scale import MEMORY, PRIOR, RATE, GroundScale

STEP = 1 / 30
SURE = PRIOR / 10  # the floor's share is 100 / 101


def _ground(height, error=SURE):
    return Ground(np.array([0.0, -1.0, 0.0]), height, height, 0.2, 0.01, error)


def _after(scale, ground, seconds, start=0.0, height=1.2):
    """Return the scales of so many seconds of one floor, at 30 Hz."""
    count = round(seconds / STEP)
    return [scale.update(ground, height, start + k * STEP) for k in range(1, count + 1)]


def test_before_a_floor_was_seen_the_scale_is_the_networks():
    scale = GroundScale().update(None, 1.2, 5.0)
    assert (scale.factor, scale.source, scale.quality) == (1.0, 'ground', 0.0)
    assert scale.doubt == 'no floor has been seen'


def test_a_sure_floor_gives_the_ratio_of_heights():
    """1.2 m / 1.0 m; the floor's share is 100 / 101: 1.2^(100 / 101) = 1.1978."""
    scale = _after(GroundScale(), _ground(1.0), 3)[-1]
    assert scale.factor == pytest.approx(1.1978, abs=1e-3)
    assert scale.quality == pytest.approx(100 / 101)
    assert scale.doubt == ''


def test_a_doubtful_floor_has_half_a_say():
    """Its error is the network's: 1.44^(1 / 2) = 1.2, however often it is seen."""
    scale = _after(GroundScale(), _ground(1.2 / 1.44, PRIOR), 20)[-1]
    assert scale.factor == pytest.approx(1.2)
    assert scale.quality == pytest.approx(0.5)


def test_a_sure_frame_counts_more_than_a_doubtful_one():
    """
    At one distance in time the certainties are as 1 / error^2: 1 to 1 / 9.

    Log factors log 1.2 and 0 in turn: the mean is log(1.2) * 0.9 but for the order within a pair.
    """
    keeper = GroundScale()
    for k in range(300):
        found = _ground(1.0, 0.05) if k % 2 else _ground(1.2, 0.15)
        scale = keeper.update(found, 1.2, k * STEP)
    assert math.log(scale.factor) / scale.quality == pytest.approx(0.9 * math.log(1.2), rel=0.02)


@given(st.lists(st.floats(0.35, 4.0) | st.none(), min_size=2, max_size=60))
@settings(max_examples=100, deadline=None)
def test_it_never_jumps(heights):
    """A change of log factor is at most RATE times the time between frames."""
    keeper, before = GroundScale(), 0.0
    for k, height in enumerate(heights):
        found = None if height is None else _ground(height)
        scale = keeper.update(found, 1.2, k * STEP)
        assert math.isfinite(scale.factor) and 0 <= scale.quality <= 1
        assert abs(math.log(scale.factor) - before) <= RATE * STEP + 1e-9
        before = math.log(scale.factor)


def test_a_gap_gives_no_leave_to_jump():
    """A minute later the scale may move as after half a second: 0.3 * 0.5 = 0.15."""
    keeper = GroundScale()
    first = _after(keeper, _ground(1.2), 2)[-1]
    later = keeper.update(_ground(0.5), 1.2, 62.0)
    assert first.factor == pytest.approx(1.0)
    assert later.factor == pytest.approx(math.exp(0.15))


def test_a_new_room_is_followed_in_two_seconds():
    """From 1.2 / 1.2 to 1.2 / 0.9 = 1.333; the memory has 1 - exp(-2) = 86 % of it: 1.283."""
    keeper = GroundScale()
    _after(keeper, _ground(1.2), 3)
    scales = _after(keeper, _ground(0.9), 2, start=3)
    assert scales[-1].factor == pytest.approx(1.283, rel=0.01)


def test_a_scale_that_is_on_its_way_says_so():
    """
    From 1 to 1.2 / 2.4 = 0.5: after half a second the scale has moved by at most 0.15.

    Its floors say 0.693 * (1 - exp(-0.5 / MEMORY)) = 0.273, times the share of 100 / 101: 0.270.
    """
    keeper = GroundScale()
    _after(keeper, _ground(1.2), 3)
    scale = _after(keeper, _ground(2.4), 0.5, start=3)[-1]
    assert scale.factor == pytest.approx(math.exp(-0.15), rel=0.01)
    said, factor = scale.doubt.rsplit(' ', 1)
    assert said == 'the scale is on its way to'
    assert float(factor) == pytest.approx(math.exp(-0.270), abs=0.02)


def test_without_a_floor_it_holds_and_loses_quality():
    keeper = GroundScale()
    seen = _after(keeper, _ground(1.0), 3)[-1]
    unseen = _after(keeper, None, 4, start=3)
    assert {s.factor for s in unseen} == {unseen[0].factor}
    assert unseen[0].factor == pytest.approx(seen.factor, rel=1e-3)
    assert unseen[-1].quality == pytest.approx(seen.quality * math.exp(-4 / 5), rel=0.01)
    assert unseen[0].doubt == '' and unseen[-1].doubt == 'no floor seen for 4 s'


@pytest.mark.parametrize('height', [0.29, 4.9])
def test_a_floor_that_asks_for_too_much_is_none(height):
    """1.2 / 0.29 = 4.1 and 1.2 / 4.9 = 1 / 4.1 lie beyond 4."""
    scale = _after(GroundScale(), _ground(height), 2)[-1]
    assert (scale.factor, scale.doubt) == (1.0, 'no floor has been seen')


def test_time_that_jumps_back_forgets_the_floors_and_keeps_the_scale():
    keeper = GroundScale()
    scale = _after(keeper, _ground(1.0), 3, start=100)[-1]
    back = keeper.update(None, 1.2, 10.0)
    assert back.factor == scale.factor
    assert (back.quality, back.doubt) == (0.0, 'no floor has been seen')
    assert _after(keeper, _ground(1.2), 3, start=10)[-1].factor == pytest.approx(1.0, abs=5e-3)


def test_one_odd_frame_moves_the_scale_by_little():
    """Of a change of log 2 one frame gives 1 - exp(-(1/30) / MEMORY), 3.3 %: 0.023."""
    keeper = GroundScale()
    _after(keeper, _ground(1.2), 3)
    scale = keeper.update(_ground(2.4), 1.2, 3 + STEP)
    share = 1 - math.exp(-STEP / MEMORY)
    assert 0 < -math.log(scale.factor) <= min(RATE * STEP, share * math.log(2)) + 1e-9


def test_a_table_top_is_not_believed_while_the_floor_is_remembered():
    """
    A plane at 0.65 m asks for 1.2 / 0.65 = 1.85, log 0.613, above 0.3.

    0.3 + 0.03 a second lets it in after 10.4 s.
    """
    keeper = GroundScale()
    _after(keeper, _ground(1.2), 3)
    scales = _after(keeper, _ground(0.65), 10, start=3)
    assert scales[-1].factor == pytest.approx(1.0)
    assert scales[-1].doubt == 'no floor seen for 10 s'
    assert _after(keeper, _ground(0.65), 2, start=13)[-1].factor > 1.2


def test_a_lower_floor_is_believed_at_once():
    """From 1.2 / 0.7 to 1: below a table is the floor."""
    keeper = GroundScale()
    _after(keeper, _ground(0.7), 3)
    assert _after(keeper, _ground(1.2), 4, start=3)[-1].factor == pytest.approx(1.0, abs=0.02)


def test_frames_of_one_time_change_nothing():
    keeper = GroundScale()
    scale = _after(keeper, _ground(1.0), 3)[-1]
    again = keeper.update(_ground(0.5), 1.2, 90 * STEP)
    assert again.factor == scale.factor

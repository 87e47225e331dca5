"""Runs of a source in its own order, samples by name, and what cannot be divided."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sample_sources import blank_samples, stored

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.partition import divide

SMALL = Camera(4, 3, 5.0, 6.0, 1.0, 1.5)


@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    """Return stores of 1, 2, ... 20 samples, by their size."""
    folder = tmp_path_factory.mktemp('stores')
    return {n: stored(folder, blank_samples(n, SMALL), f'room{n}') for n in range(1, 21)}


def test_shares_are_cut_off_the_end_in_the_order_of_time(stores):
    """Of 20: the last 20 % are 16..19, the 10 % before them 14 and 15, the rest 0..13."""
    (portion,) = divide([(stores[20], 2.5)], 0.2, 0.1)
    assert portion.training == tuple(range(14))
    assert portion.validation == (14, 15)
    assert portion.test == (16, 17, 18, 19)
    assert portion.weight == 2.5 and portion.store is stores[20]
    times = [stores[20].entries[i]['time'] for i in (13, 14, 15, 16)]
    assert times == sorted(times)


def test_every_source_gives_its_share(stores):
    """30 % of 10 and of 4 are 3 and 1; 20 % are 2 and 1."""
    ten, four = divide([(stores[10], 1), (stores[4], 1)], 0.3, 0.2)
    assert (ten.training, ten.validation, ten.test) == ((0, 1, 2, 3, 4), (5, 6), (7, 8, 9))
    assert (four.training, four.validation, four.test) == ((0, 1), (2,), (3,))


shares = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 20), shares, shares)
@settings(deadline=None, derandomize=True)
def test_runs_follow_each_other_and_nothing_is_lost_or_twice(stores, count, test, validation):
    """And each has as many as its share says, or it is said that nothing is left."""
    held = round(test * count), round(validation * count)
    if sum(held) >= count:
        with pytest.raises(ValueError, match='nothing is left to train on'):
            divide([(stores[count], 1)], test, validation)
        return
    (portion,) = divide([(stores[count], 1)], test, validation)
    assert portion.training + portion.validation + portion.test == tuple(range(count))
    assert (len(portion.test), len(portion.validation)) == held


def test_no_share_holds_nothing(stores):
    (portion,) = divide([(stores[3], 1)], 0.0, 0.0)
    assert portion.training == (0, 1, 2) and portion.validation == portion.test == ()


def test_named_samples_are_taken_out_wherever_they_lie(stores):
    (portion,) = divide([(stores[6], 1)], ('04', '01'), ('02',))
    assert portion.test == (1, 4) and portion.validation == (2,)
    assert portion.training == (0, 3, 5)


def test_a_share_of_validation_is_cut_off_what_the_named_test_leaves(stores):
    """Of 10 less 09 and 00, the last 20 % of 10: 07 and 08."""
    (portion,) = divide([(stores[10], 1)], ('09', '00'), 0.2)
    assert portion.test == (0, 9) and portion.validation == (7, 8)
    assert portion.training == (1, 2, 3, 4, 5, 6)


def test_a_name_may_be_of_one_source_only(stores):
    small, large = divide([(stores[3], 1), (stores[8], 1)], ('05',), 0.0)
    assert small.test == () and large.test == (5,)


def test_a_name_that_two_sources_have_is_held_in_both(stores):
    small, large = divide([(stores[3], 1), (stores[8], 1)], ('01',), 0.0)
    assert small.test == large.test == (1,)


@pytest.mark.parametrize('share', [-0.1, 1.0, 1.5, math.nan])
@pytest.mark.parametrize('which', [0, 1])
def test_a_share_out_of_range_is_an_error(stores, share, which):
    held, what = [0.1, 0.1], ('test', 'validation')[which]
    held[which] = share
    with pytest.raises(ValueError, match=f'^{what} is {share:g}; expected a share from 0 to bel'):
        divide([(stores[5], 1)], *held)


def test_names_of_no_sample_are_an_error(stores):
    with pytest.raises(
        ValueError, match=r'^2 names of validation are of no sample; the first: 07$'
    ):
        divide([(stores[5], 1), (stores[3], 1)], 0.0, ('01', '08', '07'))


def test_a_name_in_both_lists_is_an_error(stores):
    with pytest.raises(ValueError, match=r'^02 is in the names of test and of validation; expect'):
        divide([(stores[5], 1)], ('02', '04'), ('01', '02'))


def test_an_overfull_division_says_how_many_are_held(stores):
    """Round(0.6 * 10) twice: 6 are for the test, of 6 more only 4 are there."""
    message = (
        r'^room10: nothing is left to train on of 10 samples; '
        r'6 are for the test and 4 for validation$'
    )
    with pytest.raises(ValueError, match=message):
        divide([(stores[10], 1)], 0.6, 0.6)


@given(st.sets(st.integers(0, 19), max_size=19), shares)
@settings(deadline=None, derandomize=True)
def test_named_and_shared_never_overlap(stores, named, validation):
    assume(round(validation * 20) < 20 - len(named))
    names = tuple(f'{i:02}' for i in named)
    (portion,) = divide([(stores[20], 1)], names, validation)
    assert portion.test == tuple(sorted(named))
    everything = portion.training + portion.validation + portion.test
    assert sorted(everything) == list(range(20))
    assert len(portion.validation) == round(validation * 20)
    assert max(portion.training) < min(portion.validation, default=20)

"""A recipe refuses what no training could follow, in one line that names it."""

import math
from dataclasses import fields, replace

import pytest

from fcrn_ros.training.objectives.losses import LOSSES
from fcrn_ros.training.optimisers import DECAYS
from fcrn_ros.training.recipe import CHOICES, HELP, RATES, Recipe


def test_every_field_has_its_help():
    assert set(HELP) == {f.name for f in fields(Recipe)}
    assert set(CHOICES) <= set(HELP)


def test_defaults_are_a_recipe():
    recipe = Recipe()
    assert (recipe.steps, recipe.epochs, recipe.minutes) == (2000, 0, 0)


def test_offered_losses_and_optimisers_are_those_that_there_are():
    assert set(CHOICES['loss']) == set(LOSSES)
    assert set(CHOICES['optimiser']) == set(DECAYS) == set(RATES)


@pytest.mark.parametrize('name', CHOICES)
def test_another_name_than_the_offered_is_an_error(name):
    expected = ', '.join(CHOICES[name])
    with pytest.raises(ValueError, match=f"^{name} is 'no such'; expected one of {expected}$"):
        Recipe(**{name: 'no such'})


@pytest.mark.parametrize('name', CHOICES)
def test_every_offered_name_is_taken(name):
    assert [getattr(Recipe(**{name: choice}), name) for choice in CHOICES[name]]


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('steps', -1, 'at least 0'),
        ('epochs', -0.5, 'at least 0'),
        ('minutes', -3.0, 'at least 0'),
        ('minutes', math.nan, 'at least 0'),
        ('patience', -1, 'at least 0'),
        ('seed', -1, 'at least 0'),
        ('rate', -1e-3, 'at least 0'),
        ('rate', math.nan, 'at least 0'),
        ('gradient', -0.5, 'at least 0'),
        ('smoothness', -1e-3, 'at least 0'),
        ('anchor', -2.0, 'at least -1'),
        ('blend', -1.5, 'at least -1 and at most 1'),
        ('blend', 1.5, 'at least -1 and at most 1'),
        ('batch', 0, 'at least 1'),
        ('accumulate', 0, 'at least 1'),
        ('check_every', 0, 'at least 1'),
        ('zoom', 0.9, 'at least 1'),
        ('erase', -0.1, 'at least 0 and at most 1'),
        ('erase', 1.1, 'at least 0 and at most 1'),
    ],
)
def test_a_number_out_of_its_range_is_an_error(name, value, message):
    with pytest.raises(ValueError, match=f'^{name} is {value}; expected {message}$'):
        Recipe(**{name: value})


def test_a_recipe_without_a_length_is_an_error():
    with pytest.raises(ValueError, match='^steps, epochs and minutes are all 0; expected one of'):
        Recipe(steps=0)
    assert Recipe(steps=0, epochs=0.5).epochs == 0.5
    assert Recipe(steps=0, minutes=30).minutes == 30


@pytest.mark.parametrize('size', [(31, 256), (192, 16)])
def test_an_input_that_no_model_may_have_is_an_error(size):
    with pytest.raises(ValueError, match=r'^input_size is \(\d+, \d+\); expected at least 32 px$'):
        Recipe(input_size=size)
    assert Recipe(input_size=(32, 48)).input_size == (32, 48)


# What depends on the rest


@pytest.mark.parametrize(
    ('given', 'sources', 'depth', 'expected'),
    [
        # fine-tuned on one source with depth: blended, slow, all statistics held
        ({}, 1, True, {'blend': 0.4, 'freeze_statistics': 'all', 'rate': 2e-4, 'anchor': 0.0}),
        ({}, 2, True, {'blend': 0.0, 'rate': 2e-4}),
        ({'optimiser': 'sgd'}, 1, True, {'rate': 2e-2}),
        # without depth the starting model holds what pictures do not tell
        ({}, 1, False, {'anchor': 0.05, 'blend': 0.4}),
        # a fresh model has nothing to hold on to but its encoder's statistics
        (
            {'model': 'fresh'},
            1,
            False,
            {'blend': 0.0, 'freeze_statistics': 'encoder', 'rate': 1e-3, 'anchor': 0.0},
        ),
        ({'model': 'fresh', 'optimiser': 'sgd'}, 3, True, {'rate': 1e-1}),
    ],
)
def test_what_is_left_open_is_resolved(given, sources, depth, expected):
    resolved = Recipe(**given).resolved(sources, depth)
    for name, value in expected.items():
        assert getattr(resolved, name) == pytest.approx(value), name


def test_what_is_given_stays():
    given = Recipe(blend=0.1, freeze_statistics='none', rate=3e-3, anchor=0.0)
    assert given.resolved(1, depth=False) == given
    assert replace(given, blend=0.0).resolved(1, depth=True).blend == 0


def test_a_resolved_recipe_is_resolved():
    once = Recipe().resolved(1, depth=False)
    assert once.resolved(2, depth=True) == once

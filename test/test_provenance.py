"""What a sidecar says of data, start and recipe, with every number by hand."""

import json
import subprocess
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from sample_sources import CAMERA, SPEC, blank_samples, stored

from fcrn_ros import __version__
from fcrn_ros.training import provenance
from fcrn_ros.training.data.partition import Portion, divide
from fcrn_ros.training.provenance import commit, described
from fcrn_ros.training.recipe import Recipe

BASE = replace(
    SPEC,
    name='shipped',
    depth_range=(1.0, 3.5),
    licence='MIT',
    provenance={'data': 'NYU'},
    metrics={'absrel': 0.1},
    sha256='0123456789abcdef' * 4,
)
FACTOR = 0.929092  # canonical of CAMERA's plain view: 1 / sqrt(87.2727 / 80 * 79.6444 / 75)


def _depths(*ranges):
    """Return what gives sample i a depth of its nearest and farthest [m], and a hole."""

    def depth(i):
        near, far = ranges[i]
        metres = np.full((90, 132), near, np.float32)
        metres[40:] = far
        metres[:5] = np.nan
        return metres

    return depth


@pytest.fixture
def portion(tmp_path):
    """
    Return 10 samples, 8, 1 and 1, of which training sees 2 to 5 m.

    What is watched and tested has nearer and farther depth.
    """
    depth = _depths(*[(2.0, 4.0)] * 7, (3.0, 5.0), (0.2, 30.0), (0.1, 50.0))
    store = stored(tmp_path, blank_samples(10, depth=depth), 'hall', 'CC-BY-4.0')
    return divide([(store, 2.0)], 0.1, 0.1)[0]


def _described(portions, base=None, recipe=Recipe(model='fresh'), **spec):  # noqa: B008
    return described(replace(SPEC, **spec), base, recipe, portions, {'steps': 7})


# Provenance


def test_data_says_what_was_read_and_what_was_not(portion):
    assert _described([portion]).provenance['data'] == [
        {
            'name': 'hall',
            'licence': 'CC-BY-4.0',
            'training': 8,
            'validation': 1,
            'test': 1,
            'weight': 2.0,
            'report': ['10 given'],
        }
    ]


def test_unknown_licence_of_data_is_said(tmp_path):
    store = stored(tmp_path, blank_samples(2), 'mine', '')
    assert _described([Portion(store, 1.0, (0, 1), (), ())]).provenance['data'][0]['licence'] == (
        'not stated'
    )


@pytest.mark.parametrize(
    ('recipe', 'base', 'expected'),
    [
        (Recipe(model='fresh'), None, 'ImageNet encoder torchvision'),
        (Recipe(model='fresh', encoder_weights='a/b/e.npz'), None, 'ImageNet encoder e.npz'),
        (Recipe(), BASE, 'shipped, sha256 0123456789abcdef'),
    ],
)
def test_it_says_what_training_started_from(portion, recipe, base, expected):
    assert _described([portion], base, recipe).provenance['started_from'] == expected


def test_a_fine_tuned_model_keeps_its_base_s_provenance(portion):
    assert _described([portion], BASE).provenance['base'] == {'data': 'NYU'}
    assert 'base' not in _described([portion]).provenance


def test_recipe_run_and_versions_are_there_and_fit_into_the_sidecar(portion):
    """How long it was is said by the run itself."""
    recipe = Recipe(model='fresh', zoom=1.25, seed=9)
    spec = _described([portion], recipe=recipe)
    expected = asdict(recipe)
    del expected['steps'], expected['minutes']
    assert spec.provenance['recipe'] == expected
    assert spec.provenance['run'] == {'steps': 7}
    assert spec.provenance['versions'] == f'fcrn_ros {__version__}, torch {torch.__version__}'
    assert spec.provenance['commit'] == commit()
    written = json.loads(spec.to_json())
    assert written['provenance']['recipe']['zoom'] == 1.25


def test_measured_numbers_of_the_base_are_not_those_of_the_new_model(portion):
    assert _described([portion], BASE, metrics={'absrel': 0.1}).metrics == {}


# Licence


def test_the_licence_that_was_given_is_taken(portion):
    assert _described([portion], BASE, licence='Apache-2.0').licence == 'Apache-2.0'


def test_otherwise_those_of_data_and_base_are_named_once(portion, tmp_path):
    unknown = stored(tmp_path, blank_samples(2), 'mine', '')
    portions = [portion, Portion(unknown, 1.0, (0, 1), (), ()), portion]
    spec = _described(portions, BASE, licence='')
    assert spec.licence == 'CC-BY-4.0; as the data of mine; MIT'


# Range of depth


def test_range_is_the_canonical_depth_of_training_alone(portion):
    """2 and 5 m, times 0.929092: 1.858 and 4.645; 0.1 to 50 m are watched and tested."""
    assert _described([portion]).depth_range == (1.86, 4.65)


def test_range_of_the_base_is_widened_and_never_narrowed(portion):
    assert _described([portion], BASE).depth_range == (1.0, 4.65)
    wide = replace(BASE, depth_range=(0.3, 9.0))
    assert _described([portion], wide).depth_range == (0.3, 9.0)


def test_range_without_any_depth_is_that_of_base_or_spec(tmp_path):
    store = stored(tmp_path, blank_samples(3), 'video')
    portion = Portion(store, 1.0, (0, 1, 2), (), ())
    assert _described([portion]).depth_range == (0.5, 10.0)
    assert _described([portion], BASE).depth_range == (1.0, 3.5)


def test_every_source_and_its_own_camera_count(portion, tmp_path):
    """
    Twice the focal length halves the factor to 0.464546: 1 m is 0.46 m.

    The other source gives the farther end.
    """
    camera = replace(CAMERA, fx=240.0, fy=224.0)
    near = stored(tmp_path, blank_samples(1, camera, depth=_depths((1.0, 1.5))), 'near')
    spec = _described([portion, Portion(near, 1.0, (0,), (), ())])
    assert spec.depth_range == (round(FACTOR / 2, 2), 4.65)


def test_of_many_samples_some_all_over_are_looked_at(tmp_path, monkeypatch):
    """Of 5 at most 2: every third, the first and the fourth."""
    monkeypatch.setattr(provenance, 'LOOKED_AT', 2)
    depth = _depths((2.0, 4.0), (0.1, 50.0), (0.1, 50.0), (3.0, 5.0), (0.1, 50.0))
    store = stored(tmp_path, blank_samples(5, depth=depth), 'hall')
    portion = Portion(store, 1.0, (0, 1, 2, 3, 4), (), ())
    assert _described([portion]).depth_range == (1.86, 4.65)


# Commit


def test_commit_is_that_of_this_code(monkeypatch):
    calls = []

    def answer(command, **options):
        calls.append((command, options['cwd']))
        return subprocess.CompletedProcess(command, 0, 'abc1234\n')

    monkeypatch.setattr(subprocess, 'run', answer)
    assert commit() == 'abc1234'
    ((command, folder),) = calls
    assert command[0] == 'git' and (folder / 'provenance.py').is_file()


@pytest.mark.parametrize(
    'error', [FileNotFoundError('git'), subprocess.CalledProcessError(128, 'git')]
)
def test_without_git_or_checkout_there_is_none(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(subprocess, 'run', fail)
    assert commit() == 'not a git checkout'

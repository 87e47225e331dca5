"""The models that ship: whole, described, and as good as their sidecars say."""

import pytest

from fcrn_ros.model.weights import (
    DEFAULT_MODEL,
    find_model,
    load_spec,
    models_folder,
    shipped_models,
    verify,
)
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.evaluation.evaluate import evaluate, pair_samples
from fcrn_ros.training.sources.pairs import find_pairs, split

NYU = (518.8579, 519.4696, 325.5824, 253.7362)


def test_default_model_ships():
    assert DEFAULT_MODEL in shipped_models()


@pytest.mark.parametrize('name', shipped_models())
def test_shipped_model_is_whole_and_says_where_it_comes_from(name):
    spec = load_spec(name)
    assert verify(find_model(name), spec).stat().st_size < 40e6
    assert spec.licence
    assert {'data', 'recipe', 'started_from'} <= set(spec.provenance)
    assert any('pooled' in measured for measured in spec.metrics.values())


def test_splits_do_not_overlap():
    test, validation = (
        set((models_folder() / 'splits' / f'nyu_{part}.txt').read_text().split())
        for part in ('test', 'validation')
    )
    assert (len(test), len(validation)) == (74, 85)
    assert not test & validation


def test_default_model_reaches_its_recorded_error_on_unseen_frames(data_folder):
    """Every sixth of the 74 test frames, as the node runs it: within a third of the recorded."""
    stems = (models_folder() / 'splits' / 'nyu_test.txt').read_text().split()
    folder = data_folder / 'nyu_v2_train'
    _, pairs = split(find_pairs(folder / 'rgb', folder / 'depth'), stems[::6])
    recorded = load_spec().metrics['NYU Depth v2, 74 held-out training frames']['pooled']
    found = evaluate(DepthPipeline.open(), pair_samples(pairs, NYU)).pooled
    assert found['absrel'] < recorded['absrel'] * 4 / 3
    assert found['delta1'] > recorded['delta1'] * 3 / 4

"""Both models on what training has not read, as a table and as JSON."""

import json
import shutil

import cv2
import numpy as np
import pytest
from small_runs import write_model, write_pairs

from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.data.partition import divide
from fcrn_ros.training.data.store import open_store
from fcrn_ros.training.evaluation.evaluate import evaluate
from fcrn_ros.training.sources.openers import open_samples
from fcrn_ros.training.train import Outcome
from fcrn_ros.training.verdict import Comparison, compare_models, report

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def new(model, tmp_path):
    """Return the sidecar of a copy: what training would have made."""
    shutil.copy(model.with_suffix('.safetensors'), tmp_path)
    return type(model)(shutil.copy(model, tmp_path))


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    """Return the decoded pairs 00 to 03; only 03 has no depth."""
    folder = tmp_path_factory.mktemp('verdict')
    source = write_pairs(folder / 'room', ['00', '01', '02', '03'])
    cv2.imwrite(str(source / 'depth' / '03.png'), np.zeros((48, 64), np.uint16))
    return open_store(open_samples(source), 64, folder / 'cache')


def test_only_test_samples_are_measured_before_and_after(store, model, new):
    """Before and after are the same weights here, and the sidecar of the new model notes it."""
    portions = divide([(store, 1.0)], ('01', '02'), ())
    (found,) = compare_models(Outcome(new, str(model), portions))
    assert found.name == 'room, 2 held-out samples'
    assert found.before.images == found.after.images == 2
    assert found.before.pooled == found.after.pooled
    expected = evaluate(DepthPipeline.open(str(model), 'torch'), [store[1], store[2]])
    assert found.after.pooled == expected.pooled
    noted = json.loads(new.read_text())['metrics']['room, 2 held-out samples']
    assert noted['pooled']['absrel'] == pytest.approx(expected.pooled['absrel'], abs=1e-4)


def test_fresh_model_has_nothing_before(store, new):
    (found,) = compare_models(Outcome(new, None, divide([(store, 1.0)], ('01',), ())))
    assert found.before is None and found.after.images == 1


@pytest.mark.parametrize('test', [(), ('03',)])
def test_nothing_is_measured_where_nothing_with_depth_was_held_out(
    store, model, new, test, capsys
):
    comparisons = compare_models(Outcome(new, str(model), divide([(store, 1.0)], test, ())))
    assert comparisons == []
    report(comparisons, new, False)
    out = capsys.readouterr().out
    assert out.startswith('nothing was held out with recorded depth, so nothing was measured\n')
    assert out.endswith(f'model: {new.with_suffix(".safetensors")}\n')


class Measured:
    """An evaluation, as far as a verdict shows it."""

    def __init__(self, absrel, rmse, delta1):
        self.pooled = {'absrel': absrel, 'rmse': rmse, 'delta1': delta1}

    def as_dict(self):
        return {'pooled': self.pooled}


BEFORE, AFTER = Measured(0.2, 0.5, 0.0), Measured(0.15, 0.55, 0.4)


def test_table_shows_the_change(tmp_path, capsys):
    """0.15 / 0.2 - 1 = -25 %; 0.55 / 0.5 - 1 = +10 %; from 0 there is none."""
    report([Comparison('hall', BEFORE, AFTER)], tmp_path / 'new.json', False)
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in out.splitlines()]
    assert [row for row in rows if row] == [
        ['absrel', '0.200', '0.150', '-25%'],
        ['rmse', '0.500', '0.550', '+10%'],
        ['delta1', '0.000', '0.400', ''],
    ]
    assert 'hall' in out


def test_json_has_both_or_null(tmp_path, capsys):
    sidecar = tmp_path / 'new.json'
    report([Comparison('a', BEFORE, AFTER), Comparison('b', None, AFTER)], sidecar, True)
    found = json.loads(capsys.readouterr().out)
    assert found == {
        'model': str(sidecar),
        'measured': [
            {'samples': 'a', 'before': BEFORE.as_dict(), 'after': AFTER.as_dict()},
            {'samples': 'b', 'before': None, 'after': AFTER.as_dict()},
        ],
    }

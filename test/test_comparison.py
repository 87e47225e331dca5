"""Evaluations as a table, as JSON, and in a model's sidecar."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from fcrn_ros.training.evaluation.comparison import band_label, compare, record, report
from fcrn_ros.training.evaluation.evaluate import Evaluation
from fcrn_ros.training.evaluation.metrics import NAMES


def _measures(absrel, delta1):
    return dict.fromkeys(NAMES, 0.5) | {'absrel': absrel, 'delta1': delta1}


def _evaluation(model='first', absrel=0.2, delta1=0.7, confidence=()):
    """Return an evaluation; by image absrel is 0.01 more, without correction 0.1 more."""
    variants = {
        scale: {
            'pooled': _measures(absrel + more, delta1 - more),
            'per_image': _measures(absrel + more + 0.01, delta1),
        }
        for scale, more in (('focal', 0), ('none', 0.1), ('median', -0.05))
    }
    bands = [
        {'from': 1.0, 'to': 2.0, 'share': 0.7512, **_measures(absrel, delta1)},
        {'from': 10.0, 'to': None, 'share': 0.2488, **_measures(absrel + 0.123456, delta1)},
    ]
    return Evaluation(
        model,
        3,
        variants,
        'focal',
        bands,
        list(confidence),
        {'absrel': (absrel - 0.02, absrel + 0.03)},
        'native',
        1.0,
        {},
    )


CURVE = {'ause': 0.25, 'blind': 0.5, 'curve': [1, 0.75], 'oracle': [1, 0.25]}
SPARSIFICATION = {'removed': [0, 0.5], 'absrel': CURVE, 'rmse': CURVE | {'ause': 0.125}}
CONFIDENCE = {'from': 0.6, 'share': 1.0, 'predicted': 0.632, 'right': 0.2, 'absrel': 0.3}


def _table(*evaluations, color=False):
    file = io.StringIO()
    compare(evaluations, Console(file=file, width=100, force_terminal=color))
    return file.getvalue()


def _row(out, label):
    """Return the cells of the first row of a label."""
    line = next(line for line in out.splitlines() if line.startswith(f'│   {label} '))
    return [cell.strip() for cell in line.strip('│').split('│')][1:]


def test_table_of_one_model():
    out = _table(_evaluation(confidence=[CONFIDENCE]))
    assert 'first, 3 images, protocol native' in out
    assert _row(out, 'absrel') == ['0.200']
    assert '0.210' in out  # over images
    assert _row(out, 'rmse [m]') == ['0.500']
    assert _row(out, '1-2 m (75%)') == ['0.200']
    assert _row(out, '10+ m (25%)') == ['0.323']
    assert _row(out, 'absrel, scale none') == ['0.300']
    assert _row(out, 'absrel, scale median') == ['0.150']
    assert 'scale focal' not in out
    assert 'absrel 95 % interval over images: 0.180 to 0.230' in out
    assert 'confidence from 0.6: 100.0% of the pixels; predicted 0.63' in out


def test_how_well_confidence_ranks_is_told():
    out = _table(replace(_evaluation(), sparsification=SPARSIFICATION))
    assert 'confidence finds the errors, AUSE: absrel 0.250 (blind 0.500), rmse 0.125' in out
    assert 'AUSE' not in _table(_evaluation())


def test_table_of_two_models_has_a_column_each():
    out = _table(_evaluation(), _evaluation('second', 0.15, 0.6))
    assert _row(out, 'absrel') == ['0.200', '0.150']
    assert _row(out, 'delta1') == ['0.700', '0.600']
    assert 'second: absrel 95 % interval over images: 0.130 to 0.180' in out


def test_best_of_a_row_is_marked():
    """Small errors and large shares are good: the second has the better absrel, not delta1."""
    out = _table(_evaluation(), _evaluation('second', 0.15, 0.6), color=True)
    marked = {}
    for line in out.splitlines():
        name = Text.from_ansi(line).plain[4:].split(' ')[0]
        marked.setdefault(name, re.findall(r'\x1b\[1;32m([\d.]+)', line))
    assert marked['absrel'] == ['0.150']
    assert marked['delta1'] == ['0.700']
    assert marked['rmse'] == []  # all are the same


def test_one_model_has_no_best():
    assert '\x1b[1;32m' not in _table(_evaluation(), color=True)


def test_band_that_one_model_has_not():
    """A band's absence is a dash: the models need not see the same pixels."""
    second = _evaluation('second', 0.15)
    out = _table(_evaluation(), replace(second, bands=second.bands[:1]))
    assert _row(out, '10+ m (25%)') == ['0.323', '-']


def test_what_was_not_measured_is_told():
    out = _table(replace(_evaluation(), answered=0.9, skipped={'without depth': 4}))
    assert '90.00% of the recorded pixels have a prediction' in out
    assert '4 samples without depth: not measured' in out


def test_names_are_not_markup():
    assert '[red]model' in _table(_evaluation('[red]model'), _evaluation())


def test_labels_of_bands():
    assert band_label({'from': 2.0, 'to': 3.0}) == '2-3'
    assert band_label({'from': 10.0, 'to': None}) == '10+'


def test_json_of_one_is_an_object_and_of_several_a_list(capsys):
    one, other = _evaluation(), _evaluation('second')
    report([one], as_json=True)
    assert json.loads(capsys.readouterr().out) == one.as_dict()
    report([one, other], as_json=True)
    assert json.loads(capsys.readouterr().out) == [one.as_dict(), other.as_dict()]


def test_report_for_people(capsys):
    report([_evaluation()], as_json=False)
    assert 'first, 3 images' in capsys.readouterr().out


@pytest.fixture
def sidecar(tmp_path):
    path = tmp_path / 'first.json'
    path.write_text(json.dumps({'name': 'first', 'metrics': {'before': {'images': 1}}}))
    return path


def test_record_goes_into_the_sidecar_and_leaves_the_rest(sidecar):
    record(_evaluation(), sidecar, 'some frames')
    record(_evaluation(absrel=0.1), sidecar, 'other frames')
    content = json.loads(sidecar.read_text())
    assert content['name'] == 'first'
    assert list(content['metrics']) == ['before', 'some frames', 'other frames']
    assert content['metrics']['before'] == {'images': 1}
    assert content['metrics']['other frames']['pooled']['absrel'] == 0.1


def test_record_is_short_and_rounded(sidecar):
    """Bands and other scales have three measures each, to four digits; no frames, no curves."""
    measured = replace(_evaluation(confidence=[CONFIDENCE]), sparsification=SPARSIFICATION)
    record(measured, sidecar, 'frames')
    found = json.loads(sidecar.read_text())['metrics']['frames']
    assert found['bands'][1] == {
        'from': 10.0,
        'to': None,
        'share': 0.2488,
        'absrel': 0.3235,
        'rmse': 0.5,
        'delta1': 0.7,
    }
    assert found['variants'] == {
        'none': {'absrel': 0.3, 'rmse': 0.5, 'delta1': 0.6},
        'median': {'absrel': 0.15, 'rmse': 0.5, 'delta1': 0.75},
    }
    assert set(found['pooled']) == set(found['per_image']) == set(NAMES)
    assert found['confidence'] == [CONFIDENCE]
    assert found['sparsification'] == {
        'absrel': {'ause': 0.25, 'blind': 0.5},
        'rmse': {'ause': 0.125, 'blind': 0.5},
    }
    assert not {'model', 'best', 'worst'} & set(found)

"""Rows of a small model's engines and of the ceilings, by real runs; no time is asserted."""

import json
import math

import numpy as np
import pytest

from fcrn_ros.bench import ceilings, engines
from fcrn_ros.bench.engines import AS_THE_NODE, Subject, all_cores, network_rows, subjects
from fcrn_ros.bench.probe import compare, probe

NAMES = {'what', 'model', 'backend', 'precision', 'form', 'batch', 'ms'}
NAMES |= {'images_per_s', 'share_of_ceiling'}
MORE = {'device', 'threads', 'repeats', 'load_s', 'build_s', 'first_ms', 'memory_mib', 'gflop'}
MORE |= {'joules_per_image', 'energy_of', 'depth_error', 'error', 'gain'}


@pytest.fixture(scope='module')
def seen(tiny_model, pictures):
    """Return the rows of one run, and what was said on the way."""
    chosen = [
        Subject('torch', 'fp32', 'plain', 1),
        Subject('torch', 'fp32', 'naive', 1),
        Subject('torch', 'fp32', 'engine', 1),
        Subject('torch', 'bf16', 'engine', 1, batch=3),
        Subject('torch', 'int8', 'engine', 1),
    ]
    said = []
    peak = {'fp32': 0.1, 'bf16': 0.2}
    rows = network_rows(str(tiny_model), list(pictures.numpy()), peak, 2, chosen, said.append)
    return rows, said


def test_rows_have_the_fields_that_programs_read(seen):
    rows, said = seen
    assert all(set(row) == NAMES | MORE for row in rows)
    json.dumps(rows, allow_nan=False)
    assert [row['form'].partition(':')[0] for row in rows[:3]] == ['plain', 'naive', 'fused']
    assert said[1] == 'tiny: torch fp32 naive' and said[3] == 'tiny: torch bf16'
    assert {row['what'] for row in rows} == {'network'}


def test_figures_are_finite_and_positive(seen):
    for row in seen[0][:4]:
        assert row['error'] is None and (row['threads'], row['repeats']) == (1, 2)
        figures = [*row['ms'].values(), row['images_per_s'], row['load_s'], row['first_ms']]
        figures += [row['share_of_ceiling'], row['gain'], row['gflop']]
        assert all(math.isfinite(x) and x > 0 for x in figures)
        median, p95, p99 = row['ms'].values()
        assert median <= p95 <= p99
        memory = row['memory_mib']
        assert memory['peak'] is None or memory['peak'] >= memory['resident'] > 20


def test_share_and_rate_follow_from_the_time(seen):
    """Three images in a call: 3 x operations / time / 0.2 TFLOP/s."""
    row = seen[0][3]
    assert row['batch'] == 3
    seconds = 1e-3 * row['ms']['median']
    assert row['images_per_s'] == pytest.approx(3 / seconds, abs=0.06)
    share = 3 * row['gflop'] / seconds / 200
    assert row['share_of_ceiling'] == pytest.approx(share, rel=0.01, abs=0.001)


def test_error_grows_with_less_precision(seen):
    plain, naive, fp32, bf16, _ = (row['depth_error'] for row in seen[0])
    for error in (plain, naive, fp32):
        assert max(error.values()) < 1e-4
    assert fp32['median'] < 1e-3 < bf16['median'] < 2e-2


def test_gain_is_over_the_naive_form(seen):
    """Time of an image: the batch of three takes its third."""
    naive, bf16 = seen[0][1], seen[0][3]
    assert naive['gain'] == 1.0 and naive['form'] == 'naive'
    expected = naive['ms']['median'] / (bf16['ms']['median'] / 3)
    assert bf16['gain'] == pytest.approx(expected, abs=0.006)


def test_an_engine_that_fails_is_a_row_with_its_reason(seen):
    row = seen[0][4]
    assert (row['backend'], row['precision']) == ('torch', 'int8')
    assert row['error'].startswith('backend torch has no int8')
    assert row['ms'] == {'median': None, 'p95': None, 'p99': None}
    assert row['images_per_s'] is row['share_of_ceiling'] is row['depth_error'] is None


# what is built first, without engines


def _answers(monkeypatch, *answers):
    asked = []
    queue = iter(answers)
    monkeypatch.setattr(
        engines, 'ask', lambda module, question: asked.append(question) or _copy(next(queue))
    )
    return asked


def _copy(answer):
    return dict(answer)


def _rows(tiny_model, pictures, subject):
    return network_rows(str(tiny_model), list(pictures[:1].numpy()), {}, 2, [subject])


MISSING, BUILT = {'not_built': 'not yet'}, {'load_s': 61.0}
FOUND = {
    'backend': 'openvino',
    'precision': 'bf16',
    'load_s': 0.5,
    'ms': {'median': 4.0, 'p95': 5.0, 'p99': 6.0},
}


def test_building_is_timed_apart_from_opening(monkeypatch, tiny_model, pictures):
    asked = _answers(monkeypatch, MISSING, BUILT, FOUND)
    subject = Subject('auto', 'auto', 'engine', 0, what=AS_THE_NODE)
    (row,) = _rows(tiny_model, pictures, subject)
    assert [(q['build'], q['repeats']) for q in asked] == [
        ('never', 2),
        ('block', 0),
        ('never', 2),
    ]
    assert (row['build_s'], row['load_s']) == (61.0, 0.5)
    assert (row['what'], row['backend'], row['precision']) == (AS_THE_NODE, 'openvino', 'bf16')
    assert row['threads'] >= 1 and row['images_per_s'] == 250.0


def test_what_is_there_is_not_built(monkeypatch, tiny_model, pictures):
    _answers(monkeypatch, FOUND)
    (row,) = _rows(tiny_model, pictures, Subject('openvino', 'bf16', 'engine', 1))
    assert row['build_s'] is None and 'gain' not in row


def test_a_refused_build_is_a_row_with_its_reason(monkeypatch, tiny_model, pictures):
    _answers(monkeypatch, MISSING, {'error': 'int8 costs 3.5 %: refused'})
    (row,) = _rows(tiny_model, pictures, Subject('openvino', 'int8', 'engine', 1))
    assert row['error'] == 'int8 costs 3.5 %: refused'


def test_without_a_cache_it_is_measured_as_built(monkeypatch, tiny_model, pictures):
    asked = _answers(monkeypatch, MISSING, BUILT, MISSING, FOUND)
    (row,) = _rows(tiny_model, pictures, Subject('openvino', 'bf16', 'engine', 1))
    assert asked[3]['build'] == 'block' and row['images_per_s'] == 250.0


def test_probe_names_what_is_to_be_built(monkeypatch, tiny_model):
    from fcrn_ros.bench import probe as module
    from fcrn_ros.engine import NotBuilt

    def refuse(*given):
        raise NotBuilt('no plan yet')

    monkeypatch.setattr(module, 'open_engine', refuse)
    question = dict.fromkeys(('backend', 'precision', 'threads', 'build'), 'auto')
    assert probe({'model': 'tiny', 'form': 'engine', **question}) == {'not_built': 'no plan yet'}


# which engines


def test_subjects_are_every_backend_in_every_precision(monkeypatch):
    monkeypatch.setattr(engines, 'is_installed', lambda name: name in ('torch', 'openvino'))
    found = [str(s) for s in subjects('cpu', 4, True)]
    assert found == [
        'torch fp32 plain',
        'torch fp32 naive',
        'torch fp32',
        'torch bf16',
        'openvino fp32',
        'openvino bf16',
        'openvino int8',
        'auto auto',
    ]
    *compared, node = subjects('cpu', 4, False)
    assert {(s.batch, s.threads) for s in compared} == {(4, all_cores())}
    assert (node.batch, node.threads, node.what) == (1, 0, AS_THE_NODE)


def test_subjects_on_a_gpu(monkeypatch):
    monkeypatch.setattr(engines, 'has_nvidia_gpu', lambda: True)
    monkeypatch.setattr(engines, 'is_installed', lambda name: name in ('torch', 'tensorrt_rtx'))
    found = engines.installed('cuda:0')
    assert found['torch'] == ('fp32', 'fp16', 'bf16')
    assert found['tensorrt'] == ('fp32', 'fp16', 'bf16', 'int8') and 'openvino' not in found


# the error


def test_error_is_relative_to_the_expected_depth():
    """2.0 against 2.5 is 20 %, 3.3 against 3.0 is 10 %, 0.06 against 0.05 is 10 % of 0.1 m."""
    found = np.array([[[2.0, 3.3, 0.06]]], np.float32)
    expected = np.array([[[2.5, 3.0, 0.05]]], np.float32)
    error = compare(found, expected)
    assert error['median'] == pytest.approx(0.1, rel=1e-4)
    assert error['mean'] == pytest.approx(0.4 / 3, rel=1e-4)


def test_depths_that_are_not_finite_have_no_error():
    with pytest.raises(ValueError, match='25.0% of the depths are not finite'):
        compare(np.array([[[1, np.nan], [1, 1]]], np.float32), np.ones((1, 2, 2), np.float32))


# ceilings


def test_ceiling_is_a_row(monkeypatch):
    monkeypatch.setattr(ceilings, 'MATRIX', 64)
    row = ceilings.ceiling('torch', 'int8', 'cpu', 1, 30)
    assert row['error'] is None and row['tflops'] > 0 and row['what'] == 'matrix product 64'
    assert set(row) >= NAMES and row['model'] is None and row['images_per_s'] is None


@pytest.mark.parametrize('precision', ['fp32', 'bf16', 'int8'])
@pytest.mark.parametrize('backend', ['torch', 'openvino'])
def test_products_run(backend, precision, one_thread):
    if backend == 'openvino':
        pytest.importorskip('openvino', reason='needs OpenVINO')
    about = {'backend': backend, 'precision': precision, 'device': 'cpu', 'threads': 1}
    answer = ceilings.answer({**about, 'size': 64, 'repeats': 2})
    assert answer['ms']['median'] > 0


def test_the_highest_ceiling_counts():
    rows = [('fp32', 0.15), ('int8', 0.2), ('int8', 0.3), ('bf16', None)]
    rows = [{'precision': precision, 'tflops': tflops} for precision, tflops in rows]
    assert ceilings.peaks(rows) == {'fp32': 0.15, 'int8': 0.3, 'bf16': 0.0}


def test_ceilings_of_a_device(monkeypatch):
    monkeypatch.setattr(ceilings, 'find_spec', lambda name: None)
    assert ceilings.kinds('cpu') == [('torch', 'fp32'), ('torch', 'bf16'), ('torch', 'int8')]
    monkeypatch.setattr(ceilings, 'find_spec', lambda name: object())
    assert ceilings.kinds('cpu')[-1] == ('openvino', 'int8')
    assert ('torch', 'fp16') in ceilings.kinds('cuda:0')

"""A model against pairs, around an engine whose depth is known, so that every measure is too."""

import json
import math

import cv2
import numpy as np
import pytest

from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.pipeline import DepthPipeline, Options
from fcrn_ros.training.datasets import find_pairs
from fcrn_ros.training.evaluate import Evaluation, evaluate, record, report

SPEC = ModelSpec(
    name='known',
    architecture={'uncertainty': True},
    input_size=(32, 64),
    mean=(0, 0, 0),
    std=(1, 1, 1),
    camera={'fx': 40.0, 'fy': 30.0, 'cx': 30.0, 'cy': 17.0},
    depth_range=(0.5, 10.0),
)
INTRINSICS = (40.0, 45.0, 31.0, 25.0)  # 64 x 48; at 64 x 32 the training camera's 40 and 30


class KnownEngine:
    """An engine that gives one depth and one log(b) for every picture."""

    name, device, precision, spec = 'known', 'cpu', 'fp32', SPEC

    def __init__(self, depth, log_scale=None):
        values = [depth] if log_scale is None else [depth, log_scale]
        self.output = np.empty((1, len(values), 16, 32), np.float32)
        self.output[0] = np.array(values)[:, None, None]

    def infer(self, batch):
        return self.output.copy()


def _write_pair(folder, stem, metres, valid_rows=48):
    for name in ('rgb', 'depth'):
        (folder / name).mkdir(exist_ok=True)
    assert cv2.imwrite(str(folder / 'rgb' / f'{stem}.png'), np.full((48, 64, 3), 90, np.uint8))
    depth = np.zeros((48, 64), np.uint16)
    depth[:valid_rows] = round(1000 * metres)
    assert cv2.imwrite(str(folder / 'depth' / f'{stem}.png'), depth)


@pytest.fixture
def pairs(tmp_path):
    """Return two pairs: all pixels at 4 m, and a quarter of them at 1.5 m."""
    _write_pair(tmp_path, 'a', 4.0)
    _write_pair(tmp_path, 'b', 1.5, valid_rows=12)
    return find_pairs(tmp_path / 'rgb', tmp_path / 'depth')


def test_measures_by_hand(pairs):
    """
    The engine says 2 m. absrel 2 / 4 = 1 / 2 at 4 m, 0.5 / 1.5 = 1 / 3 at 1.5 m.

    Pooled, a has 4 pixels to b's 1: (4 / 2 + 1 / 3) / 5 = 7 / 15; per image 5 / 12. rmse pooled
    sqrt((4 * 4 + 0.25) / 5) = 1.80278. delta2 (1.5625): a no (2), b yes (1.33): 1 / 5 and 1 / 2.
    """
    found = evaluate(DepthPipeline(KnownEngine(2.0)), pairs, INTRINSICS)
    assert (found.model, found.images, found.confidence) == ('known', 2, [])
    assert found.pooled['absrel'] == pytest.approx(7 / 15)
    assert found.per_image['absrel'] == pytest.approx(5 / 12)
    assert found.pooled['rmse'] == pytest.approx(1.802776, rel=1e-5)
    assert (found.pooled['delta2'], found.per_image['delta2']) == pytest.approx((0.2, 0.5))
    assert found.pooled['delta1'] == 0


def test_depth_is_scaled_by_the_camera(pairs):
    """Twice the focal lengths: 4 m, which is a's depth; b is off by 2.5 / 1.5, pooled 1 / 3."""
    doubled = (80.0, 90.0, 31.0, 25.0)
    found = evaluate(DepthPipeline(KnownEngine(2.0)), pairs, doubled)
    assert found.pooled['absrel'] == pytest.approx(1 / 3)
    unscaled = DepthPipeline(KnownEngine(2.0), Options(scale='none'))
    assert evaluate(unscaled, pairs, doubled).pooled['absrel'] == pytest.approx(7 / 15)


def test_own_range_of_the_node_does_not_cut_measures(pairs):
    """Depth below the node's min_range or beyond its max_range is measured all the same."""
    for depth in (0.1, 30.0):
        found = evaluate(DepthPipeline(KnownEngine(depth)), pairs, INTRINSICS)
        expected = (4 * abs(depth - 4) / 4 + abs(depth - 1.5) / 1.5) / 5
        assert found.pooled['absrel'] == pytest.approx(expected, rel=1e-5)


def test_confidence_is_compared_with_what_is_right(pairs):
    """
    b = 0.25: confidence 0.632, in the band from 0.6. The depth 1.9 m is right within 25 % of
    itself for b (0.4 / 1.9), wrong for a: a fifth of the pixels.
    """
    engine = KnownEngine(1.9, math.log(0.25))
    (band,) = evaluate(DepthPipeline(engine), pairs, INTRINSICS).confidence
    assert (band['from'], band['share'], band['predicted']) == (0.6, 1.0, 0.6321)
    assert band['right'] == pytest.approx(0.2, abs=0.01)


def test_certain_pixels_are_in_the_last_band(pairs):
    """b = e^-5: 1 - exp(-0.25 e^5) is 1, which has no band of its own."""
    (band,) = evaluate(DepthPipeline(KnownEngine(4.0, -5.0)), pairs, INTRINSICS).confidence
    assert (band['from'], band['predicted'], band['share']) == (0.8, 1.0, 1.0)


def test_no_pairs_are_an_error():
    with pytest.raises(ValueError, match='no pairs; expected at least one'):
        evaluate(DepthPipeline(KnownEngine(2.0)), [], INTRINSICS)


def test_image_of_another_size_is_refused(pairs):
    assert cv2.imwrite(str(pairs[1].image), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(ValueError, match='b.png: 64x32; expected 64x48'):
        evaluate(DepthPipeline(KnownEngine(2.0)), pairs, INTRINSICS)


def test_real_network_on_pairs(pairs, tiny_model, one_thread, monkeypatch):
    from fcrn_ros.engine import check

    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)
    pipeline = DepthPipeline.open(str(tiny_model), 'torch', 'cpu', 'fp32')
    assert pipeline.engine.name == 'torch'
    found = evaluate(pipeline, pairs, INTRINSICS)
    assert found.model == 'tiny' and found.images == 2
    assert all(math.isfinite(v) for v in found.pooled.values())
    assert sum(band['share'] for band in found.confidence) == pytest.approx(1, abs=1e-3)


# What is written


@pytest.fixture
def evaluation(pairs):
    return evaluate(DepthPipeline(KnownEngine(1.9, math.log(0.25))), pairs, INTRINSICS)


def test_report_in_json(evaluation, capsys):
    report(evaluation, as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert content == evaluation.as_dict()
    assert set(content['pooled']) == set(content['per_image'])
    assert content['pooled']['absrel'] == round(evaluation.pooled['absrel'], 4)


def test_report_for_people(evaluation, capsys):
    """absrel pooled (4 * 2.1 / 4 + 0.4 / 1.5) / 5 = 0.4733; per image 0.3958."""
    report(evaluation, as_json=False)
    out = capsys.readouterr().out
    assert 'known, 2 images' in out
    assert '0.473' in out and '0.396' in out
    assert 'confidence from 0.6: 100.0% of the pixels' in out


def test_record_goes_into_the_sidecar_and_leaves_the_rest(evaluation, tmp_path):
    sidecar = tmp_path / 'known.json'
    sidecar.write_text(SPEC.to_json())
    record(evaluation, sidecar, 'two pairs')
    record(Evaluation('known', 1, {'absrel': 0.1}, {}, []), sidecar, 'another')
    content = json.loads(sidecar.read_text())
    assert set(content['metrics']) == {'two pairs', 'another'}
    assert content['metrics']['two pairs']['images'] == 2
    assert 'model' not in content['metrics']['another']
    before = json.loads(SPEC.to_json())
    assert {k: v for k, v in content.items() if k != 'metrics'} == {
        k: v for k, v in before.items() if k != 'metrics'
    }

"""A model against samples, around an engine whose depth is known: so every measure is too."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.evaluation.evaluate import evaluate, pair_samples
from fcrn_ros.training.evaluation.protocols import KITTI, NYU
from fcrn_ros.training.sources.pairs import find_pairs

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
    found = evaluate(DepthPipeline(KnownEngine(2.0)), pair_samples(pairs, INTRINSICS))
    assert (found.model, found.images, found.confidence) == ('known', 2, [])
    assert found.pooled['absrel'] == pytest.approx(7 / 15)
    assert found.per_image['absrel'] == pytest.approx(5 / 12)
    assert found.pooled['rmse'] == pytest.approx(1.802776, rel=1e-5)
    assert (found.pooled['delta2'], found.per_image['delta2']) == pytest.approx((0.2, 0.5))
    assert found.pooled['delta1'] == 0


def test_depth_is_scaled_by_the_camera(pairs):
    """Twice the focal lengths: 4 m, which is a's depth; b is off by 2.5 / 1.5, pooled 1 / 3."""
    doubled = (80.0, 90.0, 31.0, 25.0)
    found = evaluate(DepthPipeline(KnownEngine(2.0)), pair_samples(pairs, doubled))
    assert found.pooled['absrel'] == pytest.approx(1 / 3)
    unscaled = DepthPipeline(KnownEngine(2.0), Options(scale='none'))
    assert evaluate(unscaled, pair_samples(pairs, doubled)).pooled['absrel'] == pytest.approx(
        7 / 15
    )


def test_own_range_of_the_node_does_not_cut_measures(pairs):
    """Depth below the node's min_range or beyond its max_range is measured all the same."""
    for depth in (0.1, 30.0):
        found = evaluate(DepthPipeline(KnownEngine(depth)), pair_samples(pairs, INTRINSICS))
        expected = (4 * abs(depth - 4) / 4 + abs(depth - 1.5) / 1.5) / 5
        assert found.pooled['absrel'] == pytest.approx(expected, rel=1e-5)


def test_confidence_is_compared_with_what_is_right(pairs):
    """
    b = 0.25: confidence 0.632, in the band from 0.6. The depth 1.9 m is right within 25 % of
    itself for b (0.4 / 1.9), wrong for a: a fifth of the pixels.
    """
    engine = KnownEngine(1.9, math.log(0.25))
    (band,) = evaluate(DepthPipeline(engine), pair_samples(pairs, INTRINSICS)).confidence
    assert (band['from'], band['share']) == (0.6, 1.0)
    assert band['predicted'] == pytest.approx(0.63212, abs=1e-5)
    assert band['right'] == pytest.approx(0.2)


def test_certain_pixels_are_in_the_last_band(pairs):
    """b = e^-5: 1 - exp(-0.25 e^5) is 1, which has no band of its own."""
    (band,) = evaluate(
        DepthPipeline(KnownEngine(4.0, -5.0)), pair_samples(pairs, INTRINSICS)
    ).confidence
    assert (band['from'], band['share']) == (0.8, 1.0)
    assert band['predicted'] == pytest.approx(1)


def test_errors_are_ranked_by_confidence():
    """
    Right where 4 m is (b = 0.1), absrel 1 / 3 where 3 m is (b = 1): removing the less confident
    half leaves no error, as the oracle does; swapped, what remains has all the error: 2 times.
    """
    depth = np.full((48, 64), 4, np.float32)
    depth[24:] = 3
    engine = KnownEngine(4.0, math.log(0.1))
    engine.output[0, 1, 8:] = 0.0  # log(b)
    right = evaluate(DepthPipeline(engine), [_sample('a', depth)]).sparsification
    assert right['absrel']['ause'] == pytest.approx(0, abs=0.03)  # the resize mixes both
    assert right['absrel']['curve'][30] == pytest.approx(0, abs=0.03)
    engine.output[0, 1] = engine.output[0, 1, ::-1].copy()
    swapped = evaluate(DepthPipeline(engine), [_sample('a', depth)]).sparsification
    assert swapped['absrel']['curve'][30] == pytest.approx(2, abs=0.03)
    assert swapped['absrel']['oracle'] == pytest.approx(right['absrel']['oracle'], abs=1e-6)


def test_network_without_confidence_has_no_sparsification():
    found = evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', 4.0)])
    assert found.sparsification == {}
    assert found.as_dict()['sparsification'] == {}


def test_no_pairs_are_an_error():
    with pytest.raises(ValueError, match='no pairs; expected at least one'):
        evaluate(DepthPipeline(KnownEngine(2.0)), pair_samples([], INTRINSICS))


def test_image_of_another_size_is_refused(pairs):
    assert cv2.imwrite(str(pairs[1].image), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(ValueError, match='b.png: 64x32; expected 64x48'):
        evaluate(DepthPipeline(KnownEngine(2.0)), pair_samples(pairs, INTRINSICS))


def test_real_network_on_pairs(pairs, tiny_model, one_thread, monkeypatch):
    from fcrn_ros.engine import check

    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)
    pipeline = DepthPipeline.open(str(tiny_model), 'torch', 'cpu', 'fp32')
    assert pipeline.engine.name == 'torch'
    found = evaluate(pipeline, pair_samples(pairs, INTRINSICS))
    assert found.model == 'tiny' and found.images == 2
    assert all(math.isfinite(v) for v in found.pooled.values())
    assert sum(band['share'] for band in found.confidence) == pytest.approx(1, abs=1e-3)


# Samples


CAMERA = Camera(64, 48, *INTRINSICS)


def _sample(name, depth, camera=CAMERA):
    """Return a sample whose depth is a number of metres, an array, or None."""
    if isinstance(depth, float):
        depth = np.full((camera.height, camera.width), depth, np.float32)
    image = np.full((camera.height, camera.width, 3), 90, np.uint8)
    return Sample(name, image, camera, depth)


def test_samples_may_be_any_iterable():
    """2 m where 4 m and 1.5 m are: (1 / 2 + 1 / 3) / 2 = 5 / 12, the images being whole."""
    samples = (_sample(name, depth) for name, depth in (('a', 4.0), ('b', 1.5)))
    found = evaluate(DepthPipeline(KnownEngine(2.0)), samples)
    assert found.pooled['absrel'] == pytest.approx(5 / 12)
    assert (found.images, found.skipped, found.answered) == (2, {}, 1.0)


def test_cameras_may_differ_from_sample_to_sample():
    """2 m by the training camera's focal length; twice that makes 4 m: right both times."""
    doubled = Camera(64, 48, 80.0, 90.0, 31.0, 25.0)
    samples = [_sample('a', 2.0), _sample('b', 4.0, doubled)]
    found = evaluate(DepthPipeline(KnownEngine(2.0)), samples)
    assert found.pooled['absrel'] == pytest.approx(0, abs=1e-6)
    assert found.variants['none']['pooled']['absrel'] == pytest.approx(0.25)


def test_network_runs_once_a_picture():
    engine = KnownEngine(2.0)
    calls = []
    infer, engine.infer = engine.infer, lambda batch: calls.append(1) or infer(batch)
    evaluate(DepthPipeline(engine), [_sample('a', 4.0), _sample('b', 1.5)])
    assert len(calls) == 2


def test_every_scale_is_measured_in_one_pass():
    """
    The engine says 2 m; twice the focal length makes 4 m. Recorded 5 m: focal 1 / 5, none 3 / 5,
    and a median brought to 5 m has no error.
    """
    doubled = Camera(64, 48, 80.0, 90.0, 31.0, 25.0)
    found = evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', 5.0, doubled)])
    absrel = {name: v['pooled']['absrel'] for name, v in found.variants.items()}
    assert absrel == pytest.approx({'focal': 0.2, 'none': 0.6, 'median': 0}, abs=1e-6)
    assert found.scale == 'focal'
    assert found.pooled == found.variants['focal']['pooled']


@pytest.mark.parametrize(('scale', 'absrel'), [('focal', 0.2), ('none', 0.6), ('median', 0.0)])
def test_chosen_scale_is_that_of_bands_and_frames(scale, absrel):
    doubled = Camera(64, 48, 80.0, 90.0, 31.0, 25.0)
    samples = [_sample('a', 5.0, doubled)]
    found = evaluate(DepthPipeline(KnownEngine(2.0)), samples, scale=scale)
    assert found.pooled['absrel'] == pytest.approx(absrel, abs=1e-6)
    (band,) = found.bands
    assert (band['from'], band['to'], band['share']) == (5, 10, 1)
    assert band['absrel'] == pytest.approx(absrel, abs=1e-6)
    (best,) = found.best
    assert best.absrel == pytest.approx(absrel, abs=1e-6)
    assert np.median(best.predicted) == pytest.approx(5 * (1 - absrel))
    assert found.intervals['absrel'] == pytest.approx((absrel, absrel), abs=1e-6)


def test_median_is_each_picture_s_own():
    """2 m where 4 m and 1 m are: factors 2 and 1 / 2, no error; one factor would leave some."""
    samples = [_sample('a', 4.0), _sample('b', 1.0)]
    found = evaluate(DepthPipeline(KnownEngine(2.0)), samples)
    assert found.variants['median']['pooled']['absrel'] == pytest.approx(0, abs=1e-6)


def test_bands_by_hand():
    """2 m where half of the rows have 4 m (absrel 1 / 2) and half 1.5 m (1 / 3)."""
    depth = np.full((48, 64), 4, np.float32)
    depth[:24] = 1.5
    near, far = evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', depth)]).bands
    assert (near['from'], near['to'], near['share']) == (1, 2, 0.5)
    assert (far['from'], far['to'], far['share']) == (3, 5, 0.5)
    assert (near['absrel'], far['absrel']) == (pytest.approx(1 / 3), pytest.approx(1 / 2))


def test_options_of_the_pipeline_stay():
    options = Options(min_range=1.0)
    pipeline = DepthPipeline(KnownEngine(2.0), options)
    evaluate(pipeline, [_sample('a', 4.0)])
    assert pipeline.options is options


def test_samples_without_depth_are_counted():
    samples = [_sample('a', None), _sample('b', np.full((48, 64), np.nan, np.float32))]
    found = evaluate(DepthPipeline(KnownEngine(2.0)), [*samples, _sample('c', 4.0)])
    assert found.images == 1
    assert found.skipped == {'without depth': 1, 'without a depth that counts': 1}


def test_source_without_depth_is_an_error():
    with pytest.raises(ValueError, match='no sample to measure with: 2 without depth; expected'):
        evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', None), _sample('b', None)])


def test_no_samples_are_an_error():
    with pytest.raises(ValueError, match='no samples; expected at least one with recorded depth'):
        evaluate(DepthPipeline(KnownEngine(2.0)), [])


def test_network_that_says_nothing_is_an_error():
    with pytest.raises(ValueError, match='1 without a predicted depth; expected'):
        evaluate(DepthPipeline(KnownEngine(math.nan)), [_sample('a', 4.0)])


def test_unknown_scale_is_an_error():
    with pytest.raises(ValueError, match="scale is 'mean'; expected one of focal, none, median"):
        evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', 4.0)], scale='mean')


def test_missing_predictions_are_told():
    """
    The left half of the output has no depth: columns up to 30 of 64 stay empty; at the edge the
    resize mixes in NaN.
    """
    engine = KnownEngine(4.0)
    engine.output[..., :16] = np.nan
    found = evaluate(DepthPipeline(engine), [_sample('a', 4.0)])
    assert found.answered == pytest.approx(0.5, abs=0.02)
    assert found.pooled['absrel'] == 0


def test_silence_gains_nothing_where_predictions_are_clipped():
    """
    KITTI's crop has columns 2 to 60 of 64, of which the 29 up to 30 have no depth for certain:
    1e-3 m for 4 m, absrel 0.99975. 29 / 59 = 0.49, 31 / 59 = 0.53 with what the resize adds.
    """
    engine = KnownEngine(4.0)
    engine.output[..., :16] = np.nan
    found = evaluate(DepthPipeline(engine), [_sample('a', 4.0)], KITTI)
    assert 29 / 59 * 0.999 < found.pooled['absrel'] < 32 / 59
    assert found.answered == pytest.approx(1 - found.pooled['absrel'], abs=0.001)


# Protocols


def test_nyu_protocol_measures_inside_its_crop_and_range():
    """
    Inside the crop 4 m (absrel 1 / 2) and a row of 11 m, which does not count; outside 100 m.
    """
    camera = Camera(640, 480, 400.0, 450.0, 310.0, 250.0)
    depth = np.full((480, 640), 100, np.float32)
    depth[45:471, 41:601] = 4
    depth[200] = 11
    found = evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', depth, camera)], NYU)
    assert found.protocol == 'nyu'
    assert found.pooled['absrel'] == pytest.approx(0.5)
    (band,) = found.bands
    assert (band['from'], band['to']) == (3, 5)


def test_nyu_protocol_clips_at_10_m():
    """The engine says 30 m for 8 m, which counts as 10 m: absrel 2 / 8."""
    camera = Camera(640, 480, 400.0, 450.0, 310.0, 250.0)
    found = evaluate(DepthPipeline(KnownEngine(30.0)), [_sample('a', 8.0, camera)], NYU)
    assert found.pooled['absrel'] == pytest.approx(0.25)


def test_nyu_protocol_names_the_sample_of_another_size():
    with pytest.raises(ValueError, match='a: depth is 64x48; expected 640x480'):
        evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', 4.0)], NYU)


def test_depth_of_another_size_than_its_camera_is_refused():
    sample = replace(_sample('a', 4.0), depth=np.ones((24, 32), np.float32))
    with pytest.raises(ValueError, match='a: depth is 32x24; expected 64x48, the size of the cam'):
        evaluate(DepthPipeline(KnownEngine(2.0)), [sample])


# What is written


def test_as_dict_is_json_and_rounded():
    """2 m for 3 m: absrel 0.3333, 0.3333 in the band 3-5; the last frame's name is there."""
    found = evaluate(DepthPipeline(KnownEngine(2.0)), [_sample('a', 3.0), _sample('b', 60.0)])
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content['pooled'] == {k: round(v, 4) for k, v in found.pooled.items()}
    assert content['bands'][0]['absrel'] == 0.3333
    assert (content['bands'][1]['from'], content['bands'][1]['to']) == (10, None)
    assert content['best'] == [{'name': 'a', 'absrel': 0.3333}]
    assert content['worst'] == [{'name': 'b', 'absrel': 0.9667}]
    assert set(content['variants']) == {'focal', 'none', 'median'}
    assert (content['protocol'], content['scale'], content['images']) == ('native', 'focal', 2)


# Recorded data


def test_shipped_model_on_recorded_frames_by_both_protocols(data_folder, one_thread):
    """Four frames: the network is right about half of the pixels; NYU's crop changes little."""
    folder = data_folder / 'nyu_v2_train'
    pairs = find_pairs(folder / 'rgb', folder / 'depth')[::200]
    pipeline = DepthPipeline.open('', 'torch', 'cpu', 'fp32')
    camera = (518.8579, 519.4696, 325.5824, 253.7362)
    native = evaluate(pipeline, pair_samples(pairs, camera))
    nyu = evaluate(pipeline, pair_samples(pairs, camera), NYU)
    assert native.pooled['delta1'] > 0.4
    assert nyu.pooled['absrel'] == pytest.approx(native.pooled['absrel'], rel=0.3)
    assert nyu.pooled != native.pooled
    assert sum(band['share'] for band in native.bands) == pytest.approx(1)
    assert native.variants['focal']['pooled']['absrel'] == pytest.approx(
        native.variants['none']['pooled']['absrel'], rel=1e-3
    )
    assert native.variants['median']['pooled']['silog'] != native.pooled['silog']

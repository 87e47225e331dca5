"""
From image and camera to a depth frame, around an engine whose output is known.

The network here takes 64 x 32 pixels (width x height), gives 32 x 16, and was trained with fx 40
and fy 30.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros import optics
from fcrn_ros.camera import Camera
from fcrn_ros.depth_frame import right_probability
from fcrn_ros.engine import EngineError
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.mounting import Mounting
from fcrn_ros.optics import CAMERAS_KEPT
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline, Picture

SPEC = ModelSpec(
    name='known',
    architecture={'uncertainty': True},
    input_size=(32, 64),
    mean=(0, 0, 0),
    std=(1, 1, 1),
    camera={'fx': 40.0, 'fy': 30.0, 'cx': 30.0, 'cy': 17.0},
    depth_range=(0.5, 10.0),
)
SIZE = (16, 32)  # rows, columns of the output
CAMERA = Camera(128, 96, 100.0, 135.0, 60.0, 50.0)
# half the horizontal focal length after rectification; the lens itself bends nothing
WIDENED = Camera(
    40,
    24,
    30.0,
    28.0,
    15.0,
    9.0,
    'plumb_bob',
    (1e-12, 0.0, 0.0, 0.0, 0.0),
    rectified=(15.0, 28.0, 15.0, 9.0),
)


class KnownEngine:
    """An engine that gives the same depth, and the same log(b), for every picture."""

    name, device, precision = 'known', 'cpu', 'fp32'

    def __init__(self, depth, log_scale=None, spec=SPEC):
        planes = [np.broadcast_to(depth, SIZE)]
        planes += [] if log_scale is None else [np.broadcast_to(log_scale, SIZE)]
        self.output = np.stack(planes)[None].astype(np.float32)
        self.spec, self.batches = spec, []

    def infer(self, batch):
        self.batches.append(batch.copy())
        return self.output.repeat(len(batch), axis=0)


def _image(height=96, width=128):
    """Return (H, W, 3) uint8: red by column, green by row, blue 9."""
    image = np.full((height, width, 3), 9, np.uint8)
    image[..., 0] = np.arange(width) % 256
    image[..., 1] = (2 * np.arange(height) % 256)[:, None]
    return image


def _run(depth, camera=CAMERA, log_scale=None, **options):
    engine = KnownEngine(depth, log_scale)
    height, width = (camera.height, camera.width) if camera else (96, 128)
    return DepthPipeline(engine, Options(**options))(_image(height, width), camera)


def _rows(*values):
    """Return (16, 32) whose first columns hold the values, the rest 2 m."""
    depth = np.full(SIZE, 2.0)
    depth[:, : len(values)] = values
    return depth


# What the network sees


def test_engine_gets_one_picture_of_its_input_size():
    """128 x 96 -> 64 x 32: 2 columns and 3 rows each. Mean red of columns 2 u, 2 u + 1 rounded."""
    engine = KnownEngine(2.0)
    DepthPipeline(engine)(_image(), CAMERA)
    (batch,) = engine.batches
    assert batch.shape == (1, 32, 64, 3) and batch.dtype == np.uint8
    assert np.abs(batch[0, :, :, 0] - (2 * np.arange(64) + 0.5)).max() <= 0.5
    assert (batch[0, :, :, 1] == (6 * np.arange(32) + 2)[:, None]).all()
    assert (batch[0, :, :, 2] == 9).all()


def test_image_is_left_alone():
    image = _image()
    DepthPipeline(KnownEngine(2.0))(image, CAMERA)
    assert np.array_equal(image, _image())


def test_image_may_be_a_view_with_negative_strides():
    engine = KnownEngine(2.0)
    bgr = np.ascontiguousarray(_image()[..., ::-1])
    frame = DepthPipeline(engine)(bgr[..., ::-1], CAMERA)
    DepthPipeline(engine)(_image(), CAMERA)
    assert np.array_equal(*engine.batches)
    assert (frame.color[..., 2] == 9).all()


def test_frames_do_not_share_memory():
    depths = DepthPipeline(KnownEngine(2.0, 0.0))
    first = depths(_image(), CAMERA)
    first.depth[:], first.confidence[:], first.color[:] = 7, 7, 7
    second = depths(_image(), CAMERA)
    assert (second.depth != 7).all() and (second.confidence != 7).all()
    assert (second.color[..., 2] == 9).all()


# Scale


def test_depth_is_scaled_by_both_focal_lengths():
    """
    The stretched image has fx 100 * 64 / 128 = 50 px and fy 135 * 32 / 96 = 45 px.

    Against 40 and 30 in training: 1.25 and 1.5, geometric mean sqrt(1.875) = 1.3693; 2 m become
    2.7386 m.
    """
    frame = _run(2.0)
    assert frame.scale.source == 'focal' and frame.scale.doubt == ''
    assert frame.scale.factor == pytest.approx(math.sqrt(1.875))
    assert frame.depth == pytest.approx(np.full(SIZE, 2.7386128), rel=1e-6)


def test_training_camera_leaves_depth_alone():
    frame = _run(2.0, SPEC.network_camera)
    assert frame.scale.factor == 1 and (frame.depth == 2).all()


def test_scale_none_leaves_depth_alone():
    frame = _run(2.0, scale='none')
    assert (frame.scale.factor, frame.scale.source) == (1.0, 'none')
    assert (frame.depth == 2).all()


def test_rectified_focal_length_counts():
    """
    The rectified image has fx 15, at the network's size 15 * 64 / 40 = 24; fy 28 * 32 / 24.

    24 / 40 = 0.6 and 37.333 / 30 = 1.2444: sqrt(0.74667) = 0.8641. Stretch 2.07 is doubted.
    """
    scale = _run(2.0, WIDENED).scale
    assert scale.factor == pytest.approx(0.864099, rel=1e-5)
    assert 'stretched by 2.07' in scale.doubt


def test_unknown_camera_gives_depth_in_training_scale():
    frame = _run(2.0, None)
    assert frame.camera is None and (frame.depth == 2).all()
    assert (frame.scale.factor, frame.scale.source) == (1.0, 'none')
    assert frame.scale.doubt == 'the camera is not known'
    with pytest.raises(ValueError, match='camera is not known'):
        frame.points()


# Ranges


def test_ranges_follow_rep_118():
    """Below min_range NaN, beyond max_range +Inf, the bounds themselves are kept."""
    values = (0.49, 0.5, 2.0, 8.0, 8.01, math.inf, math.nan, 0.0, -1.0)
    frame = _run(_rows(*values), scale='none', min_range=0.5, max_range=8.0)
    expected = [math.nan, 0.5, 2.0, 8.0, math.inf, math.inf, math.nan, math.nan, math.nan]
    for row in frame.depth:
        assert np.array_equal(row[:9], np.float32(expected), equal_nan=True)
    assert not (frame.depth == -np.inf).any()


def test_zero_is_no_depth_even_without_a_min_range():
    """The network's ReLU gives 0 where it knows nothing; a finite 0 is a point in the camera."""
    frame = _run(_rows(0.0, 0.01), scale='none', min_range=0.0)
    assert np.isnan(frame.depth[:, 0]).all()
    assert frame.depth[3, 1] == np.float32(0.01)


def test_ranges_hold_for_scaled_depth():
    """0.4 * 1.3693 = 0.548 is kept; 6 * 1.3693 = 8.2 is too far."""
    frame = _run(_rows(0.4, 6.0), min_range=0.5, max_range=8.0)
    assert frame.depth[0, 0] == pytest.approx(0.547723, rel=1e-5)
    assert frame.depth[0, 1] == np.inf


def test_valid_share_counts_finite_depth():
    """4 of 32 columns are NaN or +Inf: 28 / 32."""
    frame = _run(_rows(0.1, math.nan, 50.0, math.inf), scale='none')
    assert frame.valid_share == 0.875


# Lens


def test_pixels_outside_the_lens_are_nan():
    """
    Column u of the rectified image is column 30 (u - 15) / 15 + 15 = 2 u - 15 of the raw one.

    It lies inside -0.5 .. 39.5 for u = 8 .. 27. Rows are the raw ones.
    """
    frame = _run(2.0, WIDENED, log_scale=0.0, resolution='camera', scale='none')
    inside = np.zeros((24, 40), bool)
    inside[:, 8:28] = True
    assert np.array_equal(np.isfinite(frame.depth), inside)
    assert np.isnan(frame.depth[~inside]).all()
    assert (frame.confidence[~inside] == 0).all() and (frame.confidence[inside] > 0).all()


def test_pixels_outside_the_lens_are_nan_on_the_output_grid():
    """
    Column x of 32 covers rectified columns 1.25 x - 0.5 .. 1.25 x + 0.75.

    x = 0 .. 5 end at 7 and x = 23 begins at 28.25: outside. x = 7 .. 21 lie within 8.25 .. 27.
    """
    frame = _run(2.0, WIDENED, scale='none')
    assert np.isnan(frame.depth[:, :6]).all() and np.isnan(frame.depth[:, 23:]).all()
    assert (frame.depth[:, 7:22] == 2).all()


def test_colour_is_rectified():
    """Red is the column: rectified column u shows 2 u - 15, up to remap's rounding."""
    frame = _run(2.0, WIDENED, resolution='camera')
    red, green = frame.color[:, 8:28, 0].astype(int), frame.color[..., 1].astype(int)
    assert np.abs(red - (2 * np.arange(8, 28) - 15)).max() <= 1
    assert np.abs(green - 2 * np.arange(24)[:, None]).max() <= 1
    assert frame.camera == Camera(40, 24, 15.0, 28.0, 15.0, 9.0)


# Confidence


def test_confidence_is_the_chance_to_be_within_a_quarter():
    """P = 1 - exp(-0.25 / b): b = 0.25: 0.6321; b = 0.05: 1 - e^-5 = 0.99326; b = 1: 0.2212."""
    log_scale = np.log([[0.25, 0.05, 1.0]]).astype(np.float32)
    found = right_probability(log_scale)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([[0.6321206, 0.9932621, 0.2211992]]), rel=1e-5)


@given(st.floats(-5, 5, width=32), st.floats(-5, 5, width=32))
def test_confidence_falls_as_the_error_grows(first, second):
    low, high = sorted((first, second))
    p = right_probability(np.array([[low, high]], np.float32))[0]
    assert 0 < p[1] <= p[0] <= 1


def test_confidence_is_zero_where_depth_is_nan():
    """b = 0.25 everywhere; too near, NaN: 0. Beyond max_range is still a statement."""
    frame = _run(_rows(0.1, math.nan, 99.0), log_scale=math.log(0.25), scale='none')
    assert frame.confidence.dtype == np.float32
    assert frame.confidence[2, :4] == pytest.approx([0, 0, 0.6321206, 0.6321206])


def test_model_without_uncertainty_has_no_confidence():
    assert _run(2.0).confidence is None


# Sizes and cameras


def test_native_resolution_is_the_networks_grid():
    """
    128 x 96 -> 32 x 16: fx 100 / 4 = 25, fy 135 / 6 = 22.5.

    cx (60 + 0.5) / 4 - 0.5 = 14.625, cy (50 + 0.5) / 6 - 0.5 = 7.9167.
    """
    frame = _run(2.0, log_scale=0.0)
    assert frame.depth.shape == frame.confidence.shape == SIZE and frame.color.shape == (*SIZE, 3)
    assert (frame.camera.width, frame.camera.height) == (32, 16)
    found = frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy
    assert found == pytest.approx((25, 22.5, 14.625, 50.5 / 6 - 0.5))
    assert frame.depth.dtype == np.float32 and frame.color.dtype == np.uint8


def test_colour_lies_pixel_for_pixel_under_the_depth():
    """Columns 4 u .. 4 u + 3 and rows 6 v .. 6 v + 5: mean red 4 u + 1.5, green 2 (6 v + 2.5)."""
    color = _run(2.0).color
    assert np.abs(color[..., 0] - (4 * np.arange(32) + 1.5)).max() <= 0.5
    assert np.abs(color[..., 1] - (12.0 * np.arange(16) + 5)[:, None]).max() <= 0.5


def test_camera_resolution_is_the_cameras():
    """
    From 32 to 128 columns: column u of the depth is (u + 0.5) / 4 - 0.5 of the output.

    u = 50 is 12.125. With 1 + 0.1 x per column that is 2.2125 m.
    """
    depth = np.broadcast_to(1 + 0.1 * np.arange(32), SIZE)
    frame = _run(depth, log_scale=0.0, resolution='camera', scale='none')
    assert frame.depth.shape == frame.confidence.shape == (96, 128)
    assert frame.camera == CAMERA
    assert np.array_equal(frame.color, _image())
    assert frame.depth[70, 50] == pytest.approx(2.2125, rel=1e-5)


@st.composite
def cameras(draw):
    width, height = draw(st.integers(8, 200)), draw(st.integers(8, 150))
    return Camera(
        width,
        height,
        width * draw(st.floats(0.6, 3)),  # at most 97 degrees, with the principal point aside
        height * draw(st.floats(0.4, 3)),
        width * draw(st.floats(0.3, 0.7)),
        height * draw(st.floats(0.2, 0.8)),
    )


@settings(max_examples=40, deadline=None)
@given(cameras(), st.sampled_from(('native', 'camera')), st.floats(0.5, 9))
def test_points_project_back_to_their_pixels(camera, resolution, metres):
    engine = KnownEngine(metres + np.arange(32) / 50)
    depths = DepthPipeline(engine, Options(resolution, max_range=1000.0, min_range=0.01))
    frame = depths(_image(camera.height, camera.width), camera)
    points = frame.points()
    rows, columns = frame.depth.shape
    assert points.shape == (rows, columns, 3) and points.dtype == np.float32
    assert np.array_equal(points[..., 2], frame.depth)
    v, u = np.mgrid[0:rows, 0:columns]
    found = frame.camera.project(points)
    assert np.abs(found - np.stack((u, v), -1)).max() < 0.01


def test_points_are_nan_where_depth_is_not_finite():
    points = _run(_rows(0.1, 99.0, 2.0), scale='none').points()
    assert np.isnan(points[:, :2]).all()
    assert np.isfinite(points[:, 2:]).all()


def test_point_by_hand():
    """
    Column 20, row 10 at 2 m: x = 2 (20 - 14.625) / 25 = 0.43 m.

    y = 2 (10 - 7.91667) / 22.5 = 0.185185 m.
    """
    point = _run(2.0, scale='none').points()[10, 20]
    assert point == pytest.approx([0.43, 0.1851852, 2.0], rel=1e-5)


# Options and many cameras


def test_options_may_change_between_frames():
    depths = DepthPipeline(KnownEngine(2.0))
    first = depths(_image(), CAMERA)
    depths.options = Options('camera', 'none', max_range=1.5)
    second = depths(_image(), CAMERA)
    assert first.depth.shape == SIZE and first.scale.source == 'focal'
    assert second.depth.shape == (96, 128) and second.scale.source == 'none'
    assert (second.depth == np.inf).all()
    depths.options = Options()
    assert np.array_equal(depths(_image(), CAMERA).depth, first.depth)


def test_rectification_is_computed_once_per_camera(monkeypatch):
    built = []

    class Counting(optics.Rectifier):
        def __init__(self, camera, view=None):
            built.append(camera)
            super().__init__(camera, view)

    monkeypatch.setattr(optics, 'Rectifier', Counting)
    depths, image = DepthPipeline(KnownEngine(2.0)), _image(24, 40)
    others = [replace(WIDENED, fx=31.0 + i) for i in range(CAMERAS_KEPT)]
    for camera in (WIDENED, WIDENED, others[0], WIDENED):
        depths(image, camera)
    assert built == [WIDENED, others[0]]
    for camera in (*others, WIDENED):
        depths(image, camera)
    assert built == [WIDENED, *others, WIDENED]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'resolution': 'full'}, "resolution is 'full'; expected one of native, camera"),
        ({'scale': 'metric'}, "scale is 'metric'; expected one of none, focal"),
        ({'min_range': 3.0, 'max_range': 3.0}, 'min_range is 3, max_range 3; expected 0 <= min'),
        ({'min_range': -0.1}, 'min_range is -0.1, max_range 10; expected 0 <= min_range <'),
        ({'max_range': math.nan}, 'max_range nan; expected'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((96, 128), np.uint8),
        np.zeros((96, 128, 4), np.uint8),
        np.zeros((96, 128, 3), np.float32),
        np.zeros((3, 96, 128), np.uint8),
    ],
)
@pytest.mark.parametrize('camera', [CAMERA, None])
def test_what_is_no_rgb_image_is_refused(image, camera):
    with pytest.raises(ValueError, match=r'image is \(.*; expected \(H, W, 3\) uint8 RGB'):
        DepthPipeline(KnownEngine(2.0))(image, camera)


def test_image_of_another_size_than_its_camera_is_refused():
    with pytest.raises(ValueError, match='image is 96x128; expected 128x96, the size in camera_i'):
        DepthPipeline(KnownEngine(2.0))(_image(128, 96), CAMERA)


def test_engine_error_passes_through():
    class Broken(KnownEngine):
        def infer(self, batch):
            raise EngineError('the network did not run')

    with pytest.raises(EngineError, match='the network did not run'):
        DepthPipeline(Broken(2.0))(_image(), CAMERA)


# With a real network


def test_pipeline_of_a_real_network(tiny_model, one_thread, monkeypatch):
    """The depth of one picture through pipeline and engine equals the engine's own, scaled."""
    from fcrn_ros.engine import check

    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)
    depths = DepthPipeline.open(
        str(tiny_model), 'torch', 'cpu', 'fp32', Options(min_range=0.0, max_range=1000.0)
    )
    engine = depths.engine
    assert (engine.name, engine.device, engine.precision) == ('torch', 'cpu', 'fp32')
    image, camera = _image(120, 160), Camera(160, 120, 150.0, 140.0, 77.0, 61.0)
    frame = depths(image, camera)
    small = cv2.resize(image, (96, 64), interpolation=cv2.INTER_AREA)
    depth, log_scale = engine.infer(small[None])[0]
    factor = math.sqrt((150 * 96 / 160 / 80) * (140 * 64 / 120 / 75))
    assert frame.depth.shape == (32, 48) == engine.spec.output_size
    assert np.allclose(frame.depth[depth > 0], depth[depth > 0] * factor, rtol=1e-5)
    expected = 1 - np.exp(-0.25 / np.exp(log_scale[depth > 0]))
    assert np.allclose(frame.confidence[depth > 0], expected, atol=1e-5)
    assert (depth > 0).mean() > 0.5


# Several views, several pictures, scale over time

FISHEYE = Camera(120, 90, 38.0, 39.0, 58.0, 46.0, 'equidistant', (1e-4, 0.0, 0.0, 0.0))


def test_views_of_a_wide_lens_are_one_batch():
    """120 px at 38 px a radian are 181 degrees: three views of 80."""
    engine = KnownEngine(2.0, 0.0)
    frames = DepthPipeline(engine).views(Picture(_image(90, 120), FISHEYE))
    (batch,) = engine.batches
    assert len(batch) == len(frames) == 3
    ahead = [0.0 if f.camera_R_view is None else f.camera_R_view[0, 2] for f in frames]
    assert ahead[0] == 0 and ahead[1] < -0.7 and ahead[2] > 0.7  # to the left, to the right
    for frame in frames:
        width = 2 * math.degrees(math.atan(frame.camera.width / 2 / frame.camera.fx))
        assert width == pytest.approx(80, abs=1)
        assert frame.own.shape == frame.depth.shape == SIZE and not frame.own.all()


def test_front_view_of_a_wide_lens_is_what_a_call_returns():
    depths = DepthPipeline(KnownEngine(2.0))
    assert depths(_image(90, 120), FISHEYE).camera_R_view is None
    depths.options = Options(views='front')
    alone = depths.views(Picture(_image(90, 120), FISHEYE))
    assert len(alone) == 1 and alone[0].own is None


def test_pictures_of_several_cameras_are_one_batch():
    """Each gets its own outputs back: the second one's are twice as far."""
    engine = KnownEngine(2.0)
    depths = DepthPipeline(engine, Options(scale='none'))
    pictures = [Picture(_image(), CAMERA), Picture(_image(90, 120), FISHEYE, stream='left')]
    prepared = [depths.prepare(p) for p in pictures]
    outputs = depths.infer(prepared)
    assert [len(o) for o in outputs] == [1, 3] and len(engine.batches) == 1
    outputs[1] *= 2
    (one,), three = (depths.finish(*pair) for pair in zip(prepared, outputs, strict=True))
    assert one.depth[8, 16] == 2 and all(f.depth[8, 16] == 4 for f in three)


def _floor(height, camera):
    """Return (16, 32) z-depth of a floor below a camera that looks down by 30 degrees."""
    rays = camera.resized(32, 16).rays() @ Mounting(height, math.radians(30)).floor_R_optical.T
    return np.where(rays[..., 2] < -0.05, -height / np.minimum(rays[..., 2], -0.05), 9.0)


def test_scale_by_the_floor_brings_depth_to_the_mounting_s_height():
    """The floor of the depth lies 0.8 m below the camera, which is 1.2 m up: a factor of 1.5."""
    held = Mounting(1.2, math.radians(30))
    engine = KnownEngine(_floor(0.8, CAMERA) / 2.8, -9.0)  # the focal correction is 2.8
    depths = DepthPipeline(engine, Options(scale='ground', max_range=100.0))
    focal = DepthPipeline(engine, Options(max_range=100.0))(_image(), CAMERA).scale.factor
    engine.output[:, 0] = _floor(0.8, CAMERA) / focal
    first = depths(_image(), CAMERA, held, 0.0)
    assert first.scale.factor == pytest.approx(focal, rel=1e-3)  # it starts there
    for number in range(1, 150):
        frame = depths(_image(), CAMERA, held, number / 30)
    assert frame.scale.source == 'ground' and frame.scale.quality > 0.5
    assert 1.3 < frame.scale.factor / focal < 1.52
    assert frame.ground.height == pytest.approx(0.8 * frame.scale.factor / focal, rel=0.05)
    assert np.median(frame.depth / _floor(0.8, CAMERA)) == pytest.approx(
        frame.scale.factor / focal, rel=1e-3
    )


def test_streams_do_not_share_their_scale():
    held, engine = Mounting(1.2, math.radians(30)), KnownEngine(_floor(0.8, CAMERA), -9.0)
    depths = DepthPipeline(engine, Options(scale='ground', max_range=100.0))
    for number in range(60):
        depths.views(Picture(_image(), CAMERA, held, number / 30, 'front'))
    (new,) = depths.views(Picture(_image(), CAMERA, held, 2.0, 'left'))
    (old,) = depths.views(Picture(_image(), CAMERA, held, 2.0, 'front'))
    focal = depths.views(Picture(_image(), CAMERA, None, 0.0, 'right'))[0].scale.factor
    assert new.scale.factor == pytest.approx(focal) != pytest.approx(old.scale.factor, rel=0.03)


def test_scale_by_the_floor_without_a_mounting_is_the_focal_one_and_says_so():
    frame = _run(2.0, scale='ground')
    assert frame.scale.source == 'focal' and 'camera_height' in frame.scale.doubt


def test_depth_before_the_masks_is_kept_for_the_edge_filter():
    """The far column is +Inf in depth and 99 m there; the near one NaN and 0.1 m."""
    frame = _run(_rows(0.1, 99.0), scale='none')
    assert np.isnan(frame.depth[3, 0]) and np.isinf(frame.depth[3, 1])
    assert frame.unmasked[3, :2].tolist() == pytest.approx([0.1, 99.0])
    assert frame.enlarged == 1 and _run(2.0, resolution='camera').enlarged == 4

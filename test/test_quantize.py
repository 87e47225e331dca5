"""int8: the pictures, NNCF's process, the cost, and what the cache keeps."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fcrn_ros.engine import EngineError, NotBuilt, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.int8 import calibration, quantize
from fcrn_ros.engine.int8.calibration import calibration_pictures
from fcrn_ros.engine.int8.quantize import LIMIT, Quantized, cost, quantized, require_cheap
from fcrn_ros.engine.onnx_artefact import exported
from fcrn_ros.model.weights import load_spec

onnx = pytest.importorskip('onnx', reason='needs onnx')
pytest.importorskip('nncf', reason='needs NNCF')

ROWS, COLUMNS = 64, 96


@pytest.fixture(scope='module')
def spec(tiny_model):
    return load_spec(str(tiny_model))


@pytest.fixture
def images(tmp_path):
    """Return a folder of 20 images, each of one grey: 10, 20, ... 200."""
    for i in range(1, 21):
        cv2.imwrite(str(tmp_path / f'{i:03}.png'), np.full((48, 80, 3), 10 * i, np.uint8))
    return tmp_path


def _greys(pictures):
    return pictures[:, 0, 0, 0].tolist()


# The pictures


def test_bundled_clip_is_the_calibration_set(spec):
    """48 of the clip's 60 pictures: two of three to calibrate with, one held out."""
    seen, held_out = calibration_pictures(None, spec)
    assert seen.shape == (32, ROWS, COLUMNS, 3) and seen.dtype == np.uint8
    assert held_out.shape == (16, ROWS, COLUMNS, 3) and held_out.dtype == np.uint8
    assert all(np.abs(seen.astype(int) - picture).max((1, 2, 3)).min() > 0 for picture in held_out)


def test_pictures_are_the_same_every_time(spec):
    for first, second in zip(*(calibration_pictures(None, spec) for _ in range(2)), strict=True):
        assert np.array_equal(first, second)


def test_every_third_picture_of_a_folder_is_held_out(spec, images):
    seen, held_out = calibration_pictures(images, spec)
    assert _greys(held_out) == [30, 60, 90, 120, 150, 180]
    assert _greys(seen) == [g for g in range(10, 210, 10) if g % 30]


def test_pictures_are_resized_as_the_pipeline_does(spec, tmp_path, pictures):
    original = np.kron(pictures[0].numpy(), np.ones((3, 2, 1), np.uint8))
    for i in range(12):
        cv2.imwrite(str(tmp_path / f'{i:03}.png'), original[..., ::-1])
    seen, _ = calibration_pictures(tmp_path, spec)
    expected = cv2.resize(original, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    assert np.array_equal(seen[0], expected)


def test_pictures_are_spread_over_a_long_source():
    """1000 pictures: the last one taken lies in the last tenth, and all steps are alike."""
    frames = (calibration.Frame(np.array([i]), None, None, i / 30) for i in range(1000))
    taken = [int(image[0]) for image in calibration._spread(frames)]
    assert len(taken) == calibration.COUNT and taken[0] == 0 and taken[-1] >= 900
    assert np.ptp(np.diff(taken)) <= 16


def test_bag_and_its_folder_are_read(spec):
    folder = calibration.share_folder() / 'demo' / 'room'
    expected, _ = calibration_pictures(None, spec)
    for path in (folder, folder / 'room.mcap'):
        assert np.array_equal(calibration_pictures(path, spec)[0], expected)


def test_too_few_pictures_are_refused(spec, images):
    for path in sorted(images.iterdir())[11:]:
        path.unlink()
    with pytest.raises(ValueError, match=r'has 11 pictures; expected at least 12 to calibrate'):
        calibration_pictures(images, spec)


def test_absent_and_unreadable_sources_are_refused(spec, tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing was not found; expected images, a video'):
        calibration_pictures(tmp_path / 'nothing', spec)
    (tmp_path / 'film.mp4').write_bytes(b'no film')
    with pytest.raises(ValueError, match='film.mp4 cannot be opened as a video'):
        calibration_pictures(tmp_path / 'film.mp4', spec)
    (tmp_path / 'film.mp4').rename(tmp_path / 'image.png')
    with pytest.raises(ValueError, match='image.png: not a readable image'):
        calibration_pictures(tmp_path, spec)


# The cost


def test_cost_is_the_mean_relative_change_of_depth():
    """2 m read as 2.1 m, 4 m read as 4 m: (5 % + 0 %) / 2; the second channel does not count."""
    exact = np.array([[[[2.0, 4.0]], [[0.0, 0.0]]]], np.float32)
    found = np.array([[[[2.1, 4.0]], [[9.0, 9.0]]]], np.float32)
    assert cost(found, exact) == pytest.approx(0.025)
    found[0, 0, 0, 0] = np.nan
    assert cost(found, exact) == float('inf')


def test_cost_bounds_the_rise_of_absrel():
    """The triangle inequality, where the float32 depth is the truth's to 10 %."""
    rng = np.random.default_rng(4)
    true = rng.uniform(1, 8, (1, 1, 30, 40)).astype(np.float32)
    exact = true * rng.uniform(0.9, 1.1, true.shape).astype(np.float32)
    found = exact * rng.uniform(0.97, 1.05, true.shape).astype(np.float32)
    absrel = [float(np.mean(np.abs(depth - true) / true)) for depth in (exact, found)]
    assert 0 < absrel[1] - absrel[0] <= 1.1 * cost(found, exact)


def test_what_costs_too_much_is_refused(spec):
    require_cheap(LIMIT, spec, 'a folder')
    expected = (
        r'int8 changes the depth of tiny by 3\.5% \(mean, calibrated with a folder\); expected at '
        r'most 2\.0%: take another precision, or calibrate .*--calibration PATH$'
    )
    with pytest.raises(EngineError, match=expected):
        require_cheap(0.035, spec, 'a folder')
    for bad in (float('inf'), float('nan')):
        with pytest.raises(EngineError, match='expected at most'):
            require_cheap(bad, spec, 'a folder')


# NNCF


@pytest.fixture(scope='module')
def exact(tiny_model, spec):
    return exported(Request(str(tiny_model)), spec, Cache(), 'shuffled')


@pytest.fixture(scope='module')
def run(exact, pictures):
    """Return a signed int8 ONNX, the reports of progress, and what the process printed."""
    reports = []
    options = {'float_nodes': quantize.FLOAT_NODES, 'signed': True}
    model = quantize.quantize(
        exact, pictures.numpy(), options, lambda what, share: reports.append((what, share))
    )
    return onnx.load_from_string(model), reports


def _sources(model):
    """Return which node makes each tensor."""
    return {name: node for node in model.graph.node for name in node.output}


def _in_bytes(model, node):
    """Return whether a convolution's picture and weights are bytes, moved at most."""
    made = _sources(model)
    sources = [made.get(name) for name in node.input[:2]]
    while sources[0] is not None and sources[0].op_type in ('DepthToSpace', 'MaxPool'):
        sources[0] = made[sources[0].input[0]]
    return [source and source.op_type for source in sources] == ['DequantizeLinear'] * 2


def test_all_convolutions_but_the_last_are_in_bytes(run):
    convolutions = [node for node in run[0].graph.node if node.op_type == 'Conv']
    in_float = [node.name for node in convolutions if not _in_bytes(run[0], node)]
    assert len(convolutions) > 20 and in_float == ['predict/sum']


def test_signed_bytes_are_symmetric_and_weights_have_a_step_for_each_channel(run):
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in run[0].graph.initializer}
    nodes = [n for n in run[0].graph.node if n.op_type == 'DequantizeLinear']
    assert all(constants[n.input[2]].dtype == np.int8 for n in nodes)
    assert not any(constants[n.input[2]].any() for n in nodes)
    weights = [n for n in nodes if n.input[0] in constants]
    assert {constants[n.input[1]].size / len(constants[n.input[0]]) for n in weights} == {1}


def test_quantised_graph_is_the_network(run, exact, pictures):
    """Run by ONNX Runtime, as a second opinion; it runs whether OpenVINO is there or not."""
    runtime = pytest.importorskip('onnxruntime', reason='needs ONNX Runtime')
    batch = {'image': pictures[:3].numpy()}
    expected, found = (
        runtime.InferenceSession(m, providers=['CPUExecutionProvider']).run(None, batch)[0]
        for m in (exact, run[0].SerializeToString())
    )
    assert 1e-4 < cost(found, expected) < LIMIT


def test_metadata_say_int8_and_the_rest_stays(run, exact):
    before, after = (
        {entry.key: entry.value for entry in model.metadata_props}
        for model in (onnx.load_from_string(exact), run[0])
    )
    assert after == before | {'fcrn_ros.precision': 'int8'}


def test_progress_rises_to_the_end_of_the_pictures(run):
    shares = [share for _, share in run[1]]
    assert shares == sorted(shares) and len(shares) >= 8 and 0.5 < shares[-1] <= 1
    assert {what for what, _ in run[1]} == {'quantising'}


def test_unsigned_bytes_become_signed_ones_of_the_same_range():
    """255 steps of 0.1 are 25.5, which are 127 steps of 0.2008."""
    from fcrn_ros.engine.int8.nncf_process import make_signed

    def graph(zero):
        helper, kinds = onnx.helper, onnx.TensorProto
        constants = [
            onnx.numpy_helper.from_array(np.float32(0.1), 'scale'),
            onnx.numpy_helper.from_array(np.uint8(zero), 'zero'),
        ]
        node = helper.make_node('QuantizeLinear', ['x', 'scale', 'zero'], ['y'])
        inputs = [helper.make_tensor_value_info('x', kinds.FLOAT, [1])]
        outputs = [helper.make_tensor_value_info('y', kinds.UINT8, [1])]
        return helper.make_model(helper.make_graph([node], 'g', inputs, outputs, constants))

    model = graph(0)
    make_signed(model)
    scale, zero = map(onnx.numpy_helper.to_array, model.graph.initializer)
    assert scale == pytest.approx(25.5 / 127) and zero.dtype == np.int8 and zero == 0
    with pytest.raises(ValueError, match='zero is 3; expected 0'):
        make_signed(graph(3))


def test_failure_of_the_process_is_one_line(pictures):
    with pytest.raises(EngineError, match='the quantisation failed: .*') as error:
        quantize.quantize(b'no model', pictures.numpy(), {}, Request.progress)
    assert '\n' not in str(error.value)


def test_absent_nncf_says_what_to_install():
    reason = "Traceback\nModuleNotFoundError: No module named 'nncf'\n"
    assert quantize._reason(reason, 1) == (
        "int8 needs NNCF and onnxruntime (ModuleNotFoundError: No module named 'nncf'): "
        "pip install 'fcrn_ros[int8]'"
    )


def test_process_ends_when_its_reader_raises(exact, pictures, monkeypatch):
    """A Ctrl-C between two pictures leaves no process behind."""
    started = []
    real = subprocess.Popen

    def popen(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    def interrupt(what, share):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, 'Popen', popen)
    options = {'float_nodes': quantize.FLOAT_NODES, 'signed': False}
    with pytest.raises(KeyboardInterrupt):
        quantize.quantize(exact, pictures.numpy(), options, interrupt)
    assert [process.poll() is not None for process in started] == [True]


# The cache


class Fixed:
    """An engine that answers the same to everything."""

    def __init__(self, depth):
        self.depth = depth

    def infer(self, batch):
        return np.full((len(batch), 1, 2, 3), self.depth, np.float32)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / 'cache')


@pytest.fixture
def ask(tiny_model, spec, cache, monkeypatch):
    """Return a function that asks for int8, of which NNCF's calls are counted in ``calls``."""

    def stand_in(model, seen, options, progress):
        ask.calls.append(options)
        return b'in bytes, number %d' % len(ask.calls)

    def ask(depth=2.02, form='auto', signed=False, about=spec, **request):
        def open_one(model, precision):
            return Fixed(depth if precision == 'int8' else 2.0)

        monkeypatch.setattr(quantize, 'exported', lambda *_: b'exact')
        monkeypatch.setattr(quantize, 'quantize', stand_in)
        request = Request(str(tiny_model), **request)
        return quantized(request, about, cache, open_one, form, signed)

    ask.calls = []
    return ask


def test_int8_is_made_once(ask):
    assert ask() == ask() == ask(build='never') == b'in bytes, number 1'
    assert len(ask.calls) == 1


def test_int8_that_is_not_built_is_its_own_error(ask):
    with pytest.raises(NotBuilt, match='tiny in int8 is not built'):
        ask(build='never')
    assert not ask.calls


def test_pictures_of_the_user_replace_what_was_built(ask, images):
    """The node, which names no pictures, finds what was built with them."""
    assert ask() == b'in bytes, number 1'
    assert ask(calibration=images) == b'in bytes, number 2'
    assert ask() == b'in bytes, number 2'
    assert ask(calibration=images, build='never') == b'in bytes, number 2'


def test_forms_and_signs_are_kept_apart(ask):
    assert len({ask(), ask(form='shuffled'), ask(signed=True)}) == 3
    assert [call['signed'] for call in ask.calls] == [False, False, True]


def test_refusal_is_remembered(ask):
    """3 % is too much; the second time it is known without NNCF, and pictures may cure it."""
    for _ in range(2):
        with pytest.raises(EngineError, match=r'by 3\.0% \(mean, calibrated with the bundled'):
            ask(depth=2.06)
    assert len(ask.calls) == 1


def test_bad_pictures_are_an_engine_error(ask, tmp_path):
    with pytest.raises(EngineError, match='int8 cannot be calibrated: .*no was not found'):
        ask(calibration=tmp_path / 'no')


def test_encoder_of_mobilenet_v2_stays_in_float(ask, spec):
    ask()
    ask(about=replace(spec, architecture={'encoder': 'mobilenet_v2'}))
    assert ['encoder.*' in call['float_nodes'] for call in ask.calls] == [False, True]


def test_progress_ends_at_one(ask):
    shares = []
    ask(progress=lambda what, share: shares.append((what, share)))
    assert shares[0] == ('quantising', 0.0) and shares[-1] == ('quantising', 1.0)


def test_artefact_is_packed_and_unpacked():
    for price in (0.0123, float('inf')):
        whole = Quantized(b'model\nof\nlines', price, 'a folder')
        assert Quantized.unpack(whole.pack()) == whole


def test_import_brings_neither_torch_nor_nncf():
    code = 'import sys, fcrn_ros.engine.int8.quantize; print({"torch", "nncf"} & set(sys.modules))'
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=Path(quantize.__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, 'set()\n'), done.stderr

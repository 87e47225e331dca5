"""``fcrn export``: the file that is written, what is said of it, and when none is."""

import importlib.util
import json
import os
import sys

import numpy as np
import pytest

from fcrn_ros.cli import main
from fcrn_ros.commands import export
from fcrn_ros.engine import EngineError, export_check
from fcrn_ros.engine.check import TOLERANCE, example
from fcrn_ros.engine.export_check import export_file

onnx = pytest.importorskip('onnx', reason='needs onnx')
onnxruntime = pytest.importorskip('onnxruntime', reason='needs onnxruntime')
onnx_export = pytest.importorskip('fcrn_ros.engine.onnx_export')
pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def spoilt(monkeypatch):
    """Have the exporter shift the depth by a metre: 2.5 m become 3.5 m."""
    real = onnx_export.network_to_onnx

    def export(*arguments):
        proto = real(*arguments)
        (bias,) = [c for c in proto.graph.initializer if c.name == 'predict/bias']
        shift = np.array([1, 0], np.float32)
        bias.raw_data = (onnx.numpy_helper.to_array(bias) + shift).tobytes()
        return proto

    monkeypatch.setattr(onnx_export, 'network_to_onnx', export)


def _failed(capsys, *arguments):
    """Run an export that fails; return its one line."""
    assert main(['export', *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('fcrn export: ') and err.count('\n') == 1, err
    return err


# The file


@pytest.mark.parametrize(
    ('precision', 'name', 'opset'),
    [('fp32', 'tiny.onnx', 17), ('fp16', 'tiny_fp16.onnx', 17), ('bf16', 'tiny_bf16.onnx', 22)],
)
def test_file_is_written_here_and_described(tiny_model, here, precision, name, opset):
    done = export_file(str(tiny_model), precision=precision)
    assert [p.name for p in here.iterdir()] == [name] and str(done.path) == name
    written = onnx.load(name)
    assert written == onnx_export.export(str(tiny_model), precision)
    assert (done.opset, done.precision, done.form) == (opset, precision, 'transposed')
    assert done.inputs == {'image': 'uint8 (batch, 64, 96, 3)'}
    assert done.outputs == {'depth': 'float32 (batch, 2, 32, 48)'}


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_errors_are_those_of_onnx_runtime(tiny_model, precision):
    errors = export_file(str(tiny_model), precision=precision).errors
    assert errors.runtime == 'onnxruntime'
    assert 0 < errors.median_relative < TOLERANCE[precision]
    assert 0 < errors.mean_m < errors.max_m < 0.05


def test_errors_are_stated_in_metres(tiny_model, spoilt, monkeypatch):
    """A metre too far everywhere; some of the depths are near 2.5 m, so 40 % of those."""
    monkeypatch.setitem(TOLERANCE, 'fp32', 1.0)
    errors = export_file(str(tiny_model)).errors
    assert errors.max_m == pytest.approx(1, abs=1e-4)
    assert errors.mean_m == pytest.approx(1, abs=1e-4)
    assert errors.median_relative == pytest.approx(1 / 2.5, rel=0.3)


def test_bf16_is_compared_in_openvino(tiny_model):
    pytest.importorskip('openvino', reason='needs openvino')
    errors = export_file(str(tiny_model), precision='bf16').errors
    assert errors.runtime == 'openvino' and 1e-4 < errors.median_relative < TOLERANCE['bf16']


@pytest.mark.parametrize(('batch', 'count'), [(0, 2), (1, 1), (3, 3)])
def test_batch_is_compared_as_it_will_run(tiny_model, monkeypatch, batch, count):
    """A file for any batch sees two pictures, the second the mirror image of the first."""
    seen = []
    real = export_check._run_onnxruntime
    monkeypatch.setattr(
        export_check, '_run_onnxruntime', lambda *given: seen.append(given[1]) or real(*given)
    )
    done = export_file(str(tiny_model), batch=batch)
    (given,) = seen
    assert len(given) == count
    assert np.array_equal(given[:1], example(onnx_export.load_model(str(tiny_model))[1]))
    if count > 1:
        assert np.array_equal(given[1], given[0, :, ::-1])
    assert done.inputs == {'image': f'uint8 ({batch or "batch"}, 64, 96, 3)'}


def test_form_is_that_asked_for(tiny_model):
    assert export_file(str(tiny_model), form='shuffled').form == 'shuffled'


@pytest.mark.parametrize('umask', [0o022, 0o027])
def test_folder_is_made_and_permissions_are_the_users(tiny_model, here, umask):
    before = os.umask(umask)
    try:
        done = export_file(str(tiny_model), here / 'deep' / 'a.b.onnx')
    finally:
        os.umask(before)
    assert done.path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert [p.name for p in done.path.parent.iterdir()] == ['a.b.onnx']


# No file


def _require_untouched(here):
    assert [(p.name, p.read_bytes()) for p in here.iterdir()] == [('tiny.onnx', b'older')]


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_wrong_file_is_not_written(tiny_model, here, spoilt, precision):
    (here / 'tiny.onnx').write_bytes(b'older')
    with pytest.raises(EngineError) as error:
        export_file(str(tiny_model), here / 'tiny.onnx', precision)
    assert f'{precision} in onnxruntime differs from the plain network by' in str(error.value)
    assert f'expected at most {TOLERANCE[precision]:.2%}' in str(error.value)
    _require_untouched(here)


def test_graph_that_is_not_onnx_is_not_written(tiny_model, here, monkeypatch):
    real = onnx_export.network_to_onnx

    def export(*arguments):
        proto = real(*arguments)
        del proto.graph.initializer[0]
        return proto

    monkeypatch.setattr(onnx_export, 'network_to_onnx', export)
    (here / 'tiny.onnx').write_bytes(b'older')
    with pytest.raises(onnx.checker.ValidationError):
        export_file(str(tiny_model))
    _require_untouched(here)


def test_failure_to_write_leaves_the_older_file(tiny_model, here, monkeypatch):
    def fail(*_):
        raise OSError('no space left')

    (here / 'tiny.onnx').write_bytes(b'older')
    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='no space left'):
        export_file(str(tiny_model))
    _require_untouched(here)


# The command


def test_command_says_what_it_wrote(capsys, tiny_model, here):
    assert main(['export', str(tiny_model), '--precision', 'fp16', '--batch', '2']) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:3] == [
        'tiny_fp16.onnx\topset 17\tfp16\ttransposed',
        'input\timage\tuint8 (2, 64, 96, 3)',
        'output\tdepth\tfloat32 (2, 2, 32, 48)',
    ]
    assert lines[3].startswith('onnxruntime and PyTorch differ by at most 0.0')
    assert ' m, on average ' in lines[3] and '; median ' in lines[3]
    assert (len(lines), err) == (4, '')


def test_command_in_json(capsys, tiny_model, here):
    file = here / 'out.onnx'
    arguments = ['--out', str(file), '--form', 'shuffled', '--json']
    assert main(['export', str(tiny_model), *arguments]) == 0
    content = json.loads(capsys.readouterr().out)
    errors = content.pop('errors')
    assert content == {
        'path': str(file),
        'opset': 17,
        'precision': 'fp32',
        'form': 'shuffled',
        'inputs': {'image': 'uint8 (batch, 64, 96, 3)'},
        'outputs': {'depth': 'float32 (batch, 2, 32, 48)'},
    }
    assert set(errors) == {'runtime', 'max_m', 'mean_m', 'median_relative'}


def test_command_says_that_nothing_was_compared(capsys, tiny_model, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == 'openvino' else real(name)
    )
    assert main(['export', str(tiny_model), '--precision', 'bf16']) == 0
    out = capsys.readouterr().out
    assert 'not compared with PyTorch: ONNX Runtime has no bf16 on a CPU' in out
    assert main(['export', str(tiny_model), '--precision', 'bf16', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['errors'] is None


def test_command_fails_where_the_file_is_wrong(capsys, tiny_model, here, spoilt):
    assert 'differs from the plain network by' in _failed(capsys, tiny_model)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize('library', ['onnx', 'onnxruntime'])
def test_missing_library_is_named_with_its_extra(capsys, tiny_model, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    line = _failed(capsys, tiny_model)
    assert line.startswith("fcrn export: export needs pip install 'fcrn_ros[export]' (")
    assert library in line


@pytest.mark.parametrize(
    ('options', 'part'),
    [
        (['nothing'], "model 'nothing' was not found; expected"),
        (['--batch', '-2'], 'batch is -2; expected a number of images, or 0 for any'),
        (['--out', '/proc/tiny.onnx'], '/proc/tiny.onnx'),
        (['--out', '.'], '. is a folder; expected a file'),
    ],
)
def test_command_says_what_is_wrong(capsys, tiny_model, options, part):
    model = [] if options[0] == 'nothing' else [str(tiny_model)]
    assert part in _failed(capsys, *model, *options)


@pytest.mark.parametrize('option', ['--precision', '--form', '--batch'])
def test_wrong_usage_is_status_2(capsys, tiny_model, option):
    with pytest.raises(SystemExit) as exit_:
        main(['export', str(tiny_model), option, 'int8'])
    assert exit_.value.code == 2 and 'int8' in capsys.readouterr().err


def test_choices_of_the_command_are_those_of_the_exporter():
    """It lists them itself, so that ``fcrn --help`` needs neither onnx nor PyTorch."""
    import argparse

    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert choices['precision'] == tuple(onnx_export.TYPES)
    assert choices['form'] == onnx_export.FORMS

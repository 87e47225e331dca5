"""The command line: exit statuses, one-line errors, and output that a program can read."""

import importlib
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fcrn_ros import __version__, cli
from fcrn_ros.cli import COMMANDS, main
from fcrn_ros.model import weights
from fcrn_ros.model.weights import load_spec
from fcrn_ros.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch):
    from fcrn_ros.engine import check

    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)


@pytest.fixture
def model(tiny_model, tmp_path):
    """Return the sidecar of a copy of the tiny model that a test may change."""
    folder = tmp_path / 'models'
    folder.mkdir()
    shutil.copy(tiny_model.with_suffix('.safetensors'), folder)
    return type(tiny_model)(shutil.copy(tiny_model, folder))


@pytest.fixture
def pairs(tmp_path):
    """Return the options that name two pairs of 64 x 48 and their camera."""
    for name, pixels in (
        ('rgb', np.full((48, 64, 3), 120, np.uint8)),
        ('depth', np.full((48, 64), 2500, np.uint16)),
    ):
        (tmp_path / name).mkdir()
        for stem in ('a', 'b'):
            assert cv2.imwrite(str(tmp_path / name / f'{stem}.png'), pixels)
    folders = ['--images', str(tmp_path / 'rgb'), '--depth', str(tmp_path / 'depth')]
    return [*folders, '--camera', '60,62,31.5,22']


def _failed(capsys, arguments, *parts):
    """Run a command that fails; its error is one line that names things."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f'fcrn {arguments[0]}: ') and err.count('\n') == 1, err
    for part in parts:
        assert part in err
    return out


def _usage(capsys, arguments, *parts):
    """Run a command that is used wrongly."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith('usage: fcrn')
    for part in parts:
        assert part in err


# Usage


def test_no_command_is_wrong_usage(capsys):
    _usage(capsys, [], 'COMMAND')


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        (['depth'], ("invalid choice: 'depth'", 'evaluate')),
        (['models', 'delete'], ("invalid choice: 'delete'", 'verify')),
        (['models', 'list', 'a', 'b'], ('unrecognized arguments: b',)),
        (['evaluate', '--images', 'x'], ('--depth', '--camera')),
        (['demo', '--bag', 'a', '--images', 'b'], ('not allowed with argument --bag',)),
        (['demo', '--camera', 'front'], ("invalid int value: 'front'",)),
    ],
)
def test_wrong_usage_names_the_thing(capsys, arguments, parts):
    _usage(capsys, arguments, *parts)


@pytest.mark.parametrize('text', ['500,500', '500,500,320,x', '', '1,2,3,4,5'])
def test_camera_that_is_not_four_numbers(capsys, pairs, text):
    arguments = ['evaluate', *pairs[:4], '--camera', text]
    _usage(capsys, arguments, f'{text!r} is not fx,fy,cx,cy: four numbers in pixels')


def test_input_size_that_is_no_size(capsys, pairs):
    arguments = ['train', *pairs, '--out', 'o', '--name', 'n', '--input-size', '228']
    _usage(capsys, arguments, "'228' is not ROWSxCOLUMNS")


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as exit_:
        main([command, '--help'])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f'usage: fcrn {command}') and '--verbose' in out
    assert COMMANDS[command].run.__doc__.split()[0] in out


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(['--version'])
    assert exit_.value.code == 0 and capsys.readouterr().out == f'{__version__}\n'


# Errors


def _raising(error):
    def command(_):
        raise error

    module = SimpleNamespace(add_arguments=COMMANDS['models'].add_arguments, run=command)
    return {'models': module}


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (ValueError('two\n  lines'), 'fcrn models: two lines\n'),
        (RuntimeError(), 'fcrn models: RuntimeError\n'),
        (KeyboardInterrupt(), 'fcrn: interrupted\n'),
        (
            ModuleNotFoundError("No module named 'lightning'"),
            "fcrn models: No module named 'lightning'; install what it needs, see the README's "
            'extras\n',
        ),
    ],
)
def test_every_failure_is_one_line_and_status_1(capsys, monkeypatch, error, line):
    monkeypatch.setattr(cli, 'COMMANDS', _raising(error))
    assert main(['models', 'list']) == 1
    assert capsys.readouterr() == ('', line)


def test_verbose_shows_the_traceback(capsys, monkeypatch):
    monkeypatch.setattr(cli, 'COMMANDS', _raising(ValueError('no such thing')))
    assert main(['models', '--verbose', 'list']) == 1
    err = capsys.readouterr().err
    assert err.startswith('Traceback') and err.endswith('fcrn models: no such thing\n')


# models


def test_list_names_the_shipped_models(capsys, model, monkeypatch):
    monkeypatch.setattr(weights, 'models_folder', lambda: model.parent)
    assert main(['models', 'list']) == 0
    assert capsys.readouterr() == ('tiny\tresnet18\t96x64\tBSD-3-Clause\n', '')


def test_show_prints_the_sidecar(capsys, model):
    assert main(['models', 'show', str(model)]) == 0
    assert capsys.readouterr().out == model.read_text()


def test_verify_names_the_file(capsys, model):
    assert main(['models', 'verify', str(model)]) == 0
    assert capsys.readouterr().out == f'{model.with_suffix(".safetensors")}: ok\n'


def test_verify_refuses_a_damaged_file(capsys, model):
    file = model.with_suffix('.safetensors')
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    out = _failed(capsys, ['models', 'verify', str(model)], str(file), 'sha256 is', 'expected')
    assert out == ''


@pytest.mark.parametrize('action', ['list', 'show', 'verify'])
def test_unknown_model_is_named(capsys, action):
    _failed(capsys, ['models', action, 'fcrn_moon'], "model 'fcrn_moon' was not found; expected")


# evaluate


def test_evaluate_in_json(capsys, pairs, model):
    arguments = ['evaluate', *pairs, '--model', str(model), '--precision', 'fp32', '--json']
    assert main(arguments) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content['model'], content['images']) == ('tiny', 2)
    assert set(content['pooled']) >= {'absrel', 'rmse', 'delta1'}


def test_evaluate_in_a_process_of_its_own(pairs, model):
    """Nothing but JSON is on stdout: no progress bar, no warning."""
    command = [sys.executable, '-m', 'fcrn_ros.cli', 'evaluate', *pairs, '--model', str(model)]
    process = subprocess.run([*command, '--json'], capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)['images'] == 2


def test_evaluate_some_stems_and_record(capsys, pairs, model, tmp_path):
    (tmp_path / 'stems.txt').write_text('b\n')
    arguments = ['evaluate', *pairs, '--model', str(model), '--stems', str(tmp_path / 'stems.txt')]
    assert main([*arguments, '--record', 'one pair', '--precision', 'fp32']) == 0
    assert 'tiny, 1 images' in capsys.readouterr().out
    assert load_spec(str(model)).metrics['one pair']['images'] == 1


@pytest.mark.parametrize(
    ('options', 'parts'),
    [
        (['--backend', 'caffe'], ("backend 'caffe' is not known", 'expected one of')),
        (['--device', 'gpu'], ("device 'gpu' is not known", 'cuda:N')),
        (['--precision', 'fp8'], ("precision 'fp8' is not known",)),
        (['--images', '/nowhere'], ('/nowhere is not a folder; expected',)),
    ],
)
def test_evaluate_says_what_is_wrong(capsys, pairs, model, options, parts):
    out = _failed(capsys, ['evaluate', *pairs, '--model', str(model), *options], *parts)
    assert out == ''


def test_evaluate_without_a_stem_is_an_error(capsys, pairs, model, tmp_path):
    (tmp_path / 'none.txt').write_text('\n')
    options = ['--model', str(model), '--stems', str(tmp_path / 'none.txt')]
    _failed(capsys, ['evaluate', *pairs, *options], 'no pairs; expected at least one')


# train


def test_train_makes_data_and_a_recipe_of_its_options(pairs, tmp_path, monkeypatch):
    calls = []
    training = importlib.import_module('fcrn_ros.training.train')
    monkeypatch.setattr(training, 'train', lambda *arguments: calls.append(arguments))
    (tmp_path / 'test.txt').write_text('a\n')
    arguments = ['train', *pairs, '--out', str(tmp_path / 'run'), '--name', 'n']
    options = ['--test', str(tmp_path / 'test.txt'), '--input-size', '228x304', '--epochs', '3']
    assert main([*arguments, *options, '--rate', '2e-4', '--encoder', 'resnet34']) == 0
    ((data, recipe, machines, out, name, licence),) = calls
    assert recipe == Recipe(encoder='resnet34', input_size=(228, 304), epochs=3, rate=2e-4)
    assert (data.test, data.validation) == (('a',), 0.1)
    assert data.cache == tmp_path / 'run' / 'cache' and out == tmp_path / 'run'
    assert [source.weight for source in data.sources] == [1.0]
    assert [s.camera.fx for s in data.sources[0].source.samples()] == [60.0, 60.0]
    assert (machines.devices, name, licence) == (1, 'n', '')


@pytest.mark.parametrize(
    ('options', 'part'),
    [
        ([], 'nothing to train on; expected a SOURCE, or --images and --depth'),
        (['--images', '/nowhere'], '--images and --depth belong together; expected both'),
        (['/nowhere'], '/nowhere: no such file or folder'),
    ],
)
def test_train_says_what_is_wrong(capsys, tmp_path, options, part):
    _failed(capsys, ['train', *options, '--out', str(tmp_path / 'run')], part)


# bench, doctor, demo: what they are given and what becomes of it


@pytest.mark.parametrize('status', [0, 1])
def test_doctor_gives_its_own_status(monkeypatch, status):
    doctor = importlib.import_module('fcrn_ros.doctor')
    calls = []
    monkeypatch.setattr(doctor, 'run', lambda **given: calls.append(given) or status)
    assert main(['doctor', '--image', '/front/image', '--json']) == status
    assert calls[0]['image'] == '/front/image' and calls[0]['as_json'] is True


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('--images', '/nowhere is not a folder; expected one with images'),
        ('--bag', '/nowhere was not found; expected a bag'),
        ('--video', '/nowhere was not found; expected a video file'),
    ],
)
def test_demo_names_a_source_that_is_not_there(capsys, monkeypatch, option, message):
    pytest.importorskip('rclpy', reason='needs ROS 2 (rclpy)')
    process = importlib.import_module('fcrn_ros.demo.process')
    monkeypatch.setattr(process, 'prepare_environment', lambda: None)
    _failed(capsys, ['demo', option, '/nowhere'], message)


@pytest.mark.parametrize(('frames', 'status'), [(7, 0), (0, 1)])
def test_demo_without_depth_has_failed(capsys, monkeypatch, tmp_path, frames, status, data_images):
    pytest.importorskip('rclpy', reason='needs ROS 2 (rclpy)')
    process = importlib.import_module('fcrn_ros.demo.process')
    run = importlib.import_module('fcrn_ros.demo.run')
    calls = []
    monkeypatch.setattr(process, 'prepare_environment', lambda: None)
    monkeypatch.setattr(
        run, 'run_demo', lambda *given: calls.append(given) or {'frames_out': frames}
    )
    options = ['--images', str(data_images), '--out', str(tmp_path), '--backend', 'torch']
    assert main(['demo', *options, '--seconds', '2']) == status
    source, out, seconds, parameters = calls[0]
    assert (source.name, out, seconds) == (str(data_images), tmp_path, 2.0)
    assert parameters['backend'] == 'torch' and 'model' not in parameters
    assert ('no depth came' in capsys.readouterr().err) == bool(status)


@pytest.fixture
def data_images(tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    assert cv2.imwrite(str(folder / '0.png'), np.zeros((6, 8, 3), np.uint8))
    return folder

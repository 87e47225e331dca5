"""`fcrn build`: what it makes, how it says so, and how it ends."""

import json
import subprocess
import sys

import pytest

from fcrn_ros.cli import main
from fcrn_ros.engine import Request, check

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)


def _fails(capsys, *arguments):
    assert main(['build', *map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_was_opened_is_named(capsys, tiny_model):
    assert main(['build', str(tiny_model), '--backend', 'torch', '--precision', 'fp32']) == 0
    assert capsys.readouterr().out == 'model tiny, backend torch, precision fp32, device cpu\n'


def test_json_has_an_object_a_line_with_the_engine_at_the_end(capsys, tiny_model):
    pytest.importorskip('openvino', reason="needs OpenVINO: pip install 'fcrn_ros[openvino]'")
    assert main(['build', str(tiny_model), '--json']) == 0
    *reports, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert reports and all(0 <= report['share'] <= 1 and report['what'] for report in reports)
    assert last['model'] == 'tiny' and last['backend'] in ('openvino', 'torch')


def test_what_was_built_needs_no_building_any_more(tiny_model):
    pytest.importorskip('openvino', reason="needs OpenVINO: pip install 'fcrn_ros[openvino]'")
    assert main(['build', str(tiny_model)]) == 0
    from fcrn_ros.engine.choice import open_fastest

    assert open_fastest(Request(str(tiny_model), build='never')).spec.name == 'tiny'


def test_pictures_that_are_not_there_are_named(capsys, tiny_model, tmp_path):
    pytest.importorskip('openvino', reason="needs OpenVINO: pip install 'fcrn_ros[openvino]'")
    nowhere = tmp_path / 'nowhere'
    options = ('--backend', 'openvino', '--precision', 'int8', '--calibration', nowhere)
    line = _fails(capsys, tiny_model, *options)
    assert f'int8 cannot be calibrated: {nowhere} was not found' in line


def test_calibration_of_anything_but_int8_is_refused(capsys, tiny_model, tmp_path):
    line = _fails(capsys, tiny_model, '--backend', 'torch', '--calibration', tmp_path)
    assert '--calibration is for int8; expected --precision int8, found auto' in line


def test_capability_of_anything_but_tensorrt_is_refused(capsys, tiny_model):
    line = _fails(capsys, tiny_model, '--capability', 'any')
    assert 'expected --backend tensorrt, found auto' in line


def test_plan_for_another_machine_is_built_without_its_gpu(capsys, tiny_model, tmp_path):
    pytest.importorskip('tensorrt_rtx', reason="needs 'fcrn_ros[rtx]'")
    options = ('--backend', 'tensorrt', '--precision', 'fp16', '--capability', 'any')
    assert main(['build', str(tiny_model), *options]) == 0
    assert 'a plan of ' in capsys.readouterr().out
    assert len(list((tmp_path / 'cache' / 'fcrn_ros').glob('plan-*[0-9a-f]'))) == 1


def test_absent_model_is_one_line(capsys):
    assert "model 'nothing' was not found" in _fails(capsys, 'nothing')


def test_build_for_a_node_ends_with_the_node(tiny_model):
    """Standard input is a pipe of the node's; its end is the node's."""
    code = 'import sys, time; from fcrn_ros.commands.build import _end_with_the_parent as e'
    child = subprocess.Popen(
        [sys.executable, '-c', f'{code}; e(); print(1, flush=True); time.sleep(600)'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b'1\n' and child.poll() is None
    child.stdin.close()
    assert child.wait(60) == 1
    child.stdout.close()


def test_cache_that_keeps_nothing_is_refused_before_the_work(capsys, tiny_model, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', '/proc/nowhere')
    line = _fails(capsys, tiny_model, '--backend', 'torch')
    assert 'nothing that is built can be kept' in line and '/proc/nowhere' in line

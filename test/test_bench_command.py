"""``fcrn bench``: what it is given, what it refuses before anything slow, what it measures."""

import importlib
import json

import pytest

from fcrn_ros import bench
from fcrn_ros.bench import Plan
from fcrn_ros.cli import main
from fcrn_ros.model.weights import ModelError

ROWS = [{'what': 'network', 'ms': {'median': 4.5}}]


@pytest.fixture
def plans(monkeypatch):
    found = []
    monkeypatch.setattr(bench, 'measure', lambda plan, say: found.append(plan) or ROWS)
    return found


def test_arguments_become_a_plan(plans, capsys, tmp_path):
    given = ['--model', 'tiny', '--naive', '--backends', '--repeats', '4', '--batch', '16']
    assert main(['bench', '--json', *given, '--no-end-to-end', '--images', str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == ROWS
    assert plans == [Plan('tiny', True, True, False, 4, 16, tmp_path)]


@pytest.mark.parametrize('option', ['--repeats', '--batch'])
@pytest.mark.parametrize('value', ['0', '-1', '1.5', 'many'])
def test_counts_below_one_are_wrong_usage(plans, capsys, option, value):
    with pytest.raises(SystemExit, match='2'):
        main(['bench', f'{option}={value}'])
    assert f'{value!r} is not a whole number from 1 on' in capsys.readouterr().err


@pytest.mark.parametrize('path', ['bench.jpg', 'nowhere/bench.png'])
def test_a_plot_that_cannot_be_written_is_wrong_usage(plans, capsys, tmp_path, path):
    with pytest.raises(SystemExit, match='2'):
        main(['bench', '--plot', str(tmp_path / path)])
    assert 'is not a .png file in a folder that exists' in capsys.readouterr().err


def test_a_plot_without_matplotlib_is_refused_up_front(plans, capsys, monkeypatch, tmp_path):
    command = importlib.import_module('fcrn_ros.commands.bench')
    monkeypatch.setattr(command, 'find_spec', lambda name: None)
    assert main(['bench', '--plot', str(tmp_path / 'bench.png')]) == 1
    assert capsys.readouterr().err.startswith('fcrn bench: --plot needs matplotlib: pip install')
    assert plans == []


def test_an_unknown_model_is_one_line_before_anything_slow(capsys, monkeypatch):
    monkeypatch.setattr(bench, '_networks', lambda *given: pytest.fail('measured'))
    assert main(['bench', '--model', 'no_such_model']) == 1
    assert "fcrn bench: model 'no_such_model' was not found" in capsys.readouterr().err


def test_pictures_that_are_not_there_are_one_line(capsys, tiny_model, monkeypatch):
    monkeypatch.setattr(bench, '_networks', lambda *given: pytest.fail('measured'))
    assert main(['bench', '--model', str(tiny_model), '--images', '/nowhere']) == 1
    expected = 'fcrn bench: /nowhere is not a folder; expected one with images\n'
    assert capsys.readouterr().err == expected


# which networks, without measuring them


@pytest.fixture
def measured(monkeypatch):
    """Return (model, names of its subjects) of each network that would be measured."""
    engines = importlib.import_module('fcrn_ros.bench.engines')
    ceilings = importlib.import_module('fcrn_ros.bench.ceilings')
    found = []

    def rows(model, pictures, peak, repeats, chosen, say):
        found.append((model, [str(s) for s in chosen], peak))
        return [{'what': 'network', 'model': model}]

    monkeypatch.setattr(engines, 'network_rows', rows)
    monkeypatch.setattr(bench, '_around', lambda plan, say: [{'what': 'stage'}])
    monkeypatch.setattr(bench, '_random_model', lambda folder, pictures: 'random')
    product = {'precision': 'fp32', 'tflops': 0.1}
    monkeypatch.setattr(ceilings, 'ceiling', lambda *given: product)
    return found


def test_backends_alone_leave_out_what_is_around(measured, tiny_model):
    rows = bench.measure(Plan(str(tiny_model), backends=True))
    assert {'what': 'stage'} not in rows
    ((model, names, peak),) = measured
    assert model == str(tiny_model) and peak == {'fp32': 0.1}
    assert names[0] == 'torch fp32 plain' and names[-1] == 'auto auto'
    assert 'torch fp32 naive' not in names
    assert bench.measure(Plan(str(tiny_model)))[-1] == {'what': 'stage'}


def test_naive_is_that_of_a_random_network_where_the_model_has_none(measured, tiny_model, capsys):
    bench.measure(Plan(str(tiny_model), naive=True))
    assert [model for model, *_ in measured] == [str(tiny_model), 'random']
    assert 'torch fp32 naive' not in measured[0][1]
    assert measured[1][1][1] == 'torch fp32 naive' and 'auto auto' not in measured[1][1]
    expected = 'tiny: its encoder is resnet18; expected resnet50: the naive form is that of random'
    assert capsys.readouterr().err.startswith(expected)


def test_naive_is_that_of_the_model_where_it_has_one(measured, tiny_model, monkeypatch, capsys):
    monkeypatch.setattr(bench, '_compares', lambda model: True)
    bench.measure(Plan(str(tiny_model), naive=True))
    ((model, names, _),) = measured
    assert model == str(tiny_model) and names[1] == 'torch fp32 naive'
    assert capsys.readouterr().err == ''


def test_damaged_weights_are_an_error(tiny_model, tmp_path):
    for suffix in ('.json', '.safetensors'):
        source = tiny_model.with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    with (tmp_path / 'tiny.safetensors').open('ab') as file:
        file.write(b'x')
    with pytest.raises(ModelError, match='the file is damaged'):
        bench.measure(Plan(str(tmp_path / 'tiny.json')))

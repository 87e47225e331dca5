"""What `fcrn doctor` says of the engines."""

import pytest

from fcrn_ros.doctor import engines
from fcrn_ros.engine import Request, choice
from fcrn_ros.engine.cache import Cache


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))


@pytest.fixture
def installed(monkeypatch):
    """Return a function that decides which distributions are there, and whether a GPU is."""

    def decide(gpu=False, **versions):
        monkeypatch.setattr(engines, 'installed_version', lambda name: versions.get(name, ''))
        monkeypatch.setattr(engines, 'has_nvidia_gpu', lambda: gpu)

    return decide


def test_every_check_runs_on_this_machine():
    findings = {f.subject: f for f in engines.examine('')}
    assert {'OpenVINO', 'engine cache', 'backend auto'} <= set(findings)
    assert all(f.level == 'ok' for f in findings.values()), findings


def test_gpu_without_tensorrt_is_a_warning_that_says_what_to_install(installed):
    installed(gpu=True)
    (finding,) = engines.tensorrt()
    assert finding.level == 'warning' and 'fcrn_ros[tensorrt]' in finding.advice


def test_tensorrt_without_a_gpu_is_said(installed):
    installed(gpu=False, tensorrt='10.3.0')
    (finding,) = engines.tensorrt()
    assert finding.level == 'ok' and finding.found == (
        'tensorrt 10.3.0; no NVIDIA GPU is here to run it'
    )


def test_nothing_is_said_of_tensorrt_where_there_is_neither(installed):
    installed()
    assert list(engines.tensorrt()) == []


def test_cache_that_cannot_be_written_is_a_warning(monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    finding = engines.cache()
    assert finding.level == 'warning' and 'XDG_CACHE_HOME' in finding.advice


def test_remembered_choice_is_shown_with_its_figures(monkeypatch, tiny_model):
    monkeypatch.setattr(engines, 'candidates', lambda request: ['openvino', 'torch'])
    model = str(tiny_model)
    (before,) = engines.choice(model)
    assert 'openvino and torch have not been timed' in before.found
    evidence = [
        {'backend': 'openvino', 'precision': 'bf16', 'device': 'cpu', 'median_ms': 8.26},
        {'backend': 'torch', 'precision': 'bf16', 'device': 'cpu', 'median_ms': 13.94},
    ]
    monkeypatch.setattr(engines, 'recall', lambda request, cache: evidence)
    (after,) = engines.choice(model)
    assert after.found == 'openvino bf16 8.3 ms, torch bf16 13.9 ms'


def test_recalled_evidence_is_what_was_stored(tiny_model):
    request = Request(str(tiny_model))
    assert choice.recall(request, Cache()) is None

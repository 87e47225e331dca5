"""The tools that hold the style: run as anybody runs them, on the whole source tree."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _require_clean(tool, *arguments):
    if not (ROOT / 'pyproject.toml').is_file():
        pytest.skip('needs the source tree with its pyproject.toml')
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f'needs {tool}: pip install {tool}')
    process = subprocess.run(
        [sys.executable, '-m', tool, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, f'{tool}:\n{process.stdout}{process.stderr}'


def test_ruff_finds_nothing():
    _require_clean('ruff', 'check', '.')


def test_mypy_finds_nothing():
    _require_clean('mypy')

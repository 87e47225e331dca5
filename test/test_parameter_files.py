"""The files that list the parameters hold every one, as it is."""

import re
from pathlib import Path

import pytest
import yaml

from fcrn_ros import parameter_files
from fcrn_ros.parameter_files import to_markdown, to_yaml
from fcrn_ros.settings import PARAMETERS, Settings

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = {name: getattr(Settings(), name) for name in PARAMETERS}
LISTS = {'cameras': ['']}


def test_yaml_holds_every_default():
    content = yaml.safe_load(to_yaml())
    assert content == {'/**': {'ros__parameters': {**DEFAULTS, **LISTS}}}
    types = {n: type(v) for n, v in content['/**']['ros__parameters'].items()}
    assert types == {n: type(v) for n, v in {**DEFAULTS, **LISTS}.items()}


def test_markdown_has_a_row_for_every_parameter():
    rows = [line for line in to_markdown().splitlines() if line.startswith('| `')]
    assert [row.split('`')[1] for row in rows] == list(PARAMETERS)
    assert all(len(re.findall(r'(?<!\\)\|', row)) == 6 for row in rows)
    assert '| `max_range` | `10.0` | 0.1 to 1000 | yes | Farther depth is +Inf [m]. |' in rows
    assert '| `autostart` | `true` |  | no |' in to_markdown()


@pytest.mark.parametrize(
    ('path', 'text'), [('config/depth.yaml', to_yaml), ('docs/parameters.md', to_markdown)]
)
def test_files_are_up_to_date(path, text):
    if not (ROOT / path).is_file():
        pytest.skip(f'needs the source tree with {path}')
    assert (ROOT / path).read_text() == text(), 'run python -m fcrn_ros.parameter_files'


def test_rewriting_makes_those_files(tmp_path, monkeypatch):
    for folder in ('config', 'docs', 'fcrn_ros'):
        (tmp_path / folder).mkdir()
    path = tmp_path / 'fcrn_ros' / 'parameter_files.py'
    monkeypatch.setattr(parameter_files, '__file__', str(path))
    parameter_files.main()
    assert (tmp_path / 'config' / 'depth.yaml').read_text() == to_yaml()
    assert (tmp_path / 'docs' / 'parameters.md').read_text() == to_markdown()

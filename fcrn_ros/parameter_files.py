"""The files that list every parameter: ``config/depth.yaml`` and ``docs/parameters.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fcrn_ros.settings import PARAMETERS, Settings


def to_yaml() -> str:
    """Return config/depth.yaml: every parameter with its default and meaning."""
    lines = [
        '# Every parameter of the node with its default.',
        '# Written by: python -m fcrn_ros.parameter_files',
        '/**:',
        '  ros__parameters:',
    ]
    for name, parameter in PARAMETERS.items():
        dumped = yaml.safe_dump(_plain(getattr(Settings, name)), default_flow_style=True)
        value = dumped.splitlines()[0]
        allowed = f' ({parameter.expected})' if parameter.expected else ''
        lines += [
            f'    # {parameter.description}{allowed}',
            f'    {name}: {value}',
        ]
    return '\n'.join(lines) + '\n'


def to_markdown() -> str:
    """Return docs/parameters.md: the same as a table."""
    lines = [
        '# Parameters of the node',
        '',
        'Written by `python -m fcrn_ros.parameter_files`. What is not live is read-only.',
        '',
        '| parameter | default | allowed | live | meaning |',
        '|---|---|---|---|---|',
    ]
    for name, p in PARAMETERS.items():
        live = 'yes' if p.live else 'no'
        default = _plain(getattr(Settings, name))
        default = str(default).lower() if isinstance(default, bool) else default
        allowed = p.expected.removeprefix('one of ')
        lines.append(f'| `{name}` | `{default}` | {allowed} | {live} | {p.description} |')
    return '\n'.join(lines) + '\n'


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def main() -> None:
    """Rewrite config/depth.yaml and docs/parameters.md of the source tree."""
    root = Path(__file__).resolve().parents[1]
    (root / 'config' / 'depth.yaml').write_text(to_yaml())
    (root / 'docs' / 'parameters.md').write_text(to_markdown())


if __name__ == '__main__':
    main()

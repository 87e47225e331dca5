"""The depth node's parameters as they are in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fcrn_ros.parameters import settings_from
from fcrn_ros.settings import OWN, PARAMETERS, Settings

NODE = 'fcrn_depth'


def settings_in(path: Path) -> Settings:
    """
    Read a parameter file of the node.

    Parameters of every node (``/**``) count, and those of this one above them; names that the node
    does not have are other nodes'.

    :param path: a ROS parameter file (YAML).
    :raises ValueError: it is not one, or a value is refused; the message names it.
    :raises FileNotFoundError: there is no such file.
    """
    values: dict[str, Any] = {}
    blocks = sorted(_blocks(read_yaml(path)), key=lambda block: block[0].endswith(NODE))
    if not blocks:
        raise ValueError(f'{path} has no ros__parameters of {NODE} or /**; expected some')
    for _, block in blocks:
        values |= _flat(block)
    try:
        return settings_from({n: v for n, v in values.items() if _is_known(n)})
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def read_yaml(path: Path) -> Mapping[str, Any]:
    """
    Read a YAML file that holds a mapping.

    :raises ValueError: it does not.
    :raises FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} was not found; expected a YAML file')
    try:
        document = next(iter(yaml.safe_load_all(path.read_text(encoding='utf-8'))), None)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is not YAML: {" ".join(str(error).split())}') from error
    if not isinstance(document, Mapping):
        raise ValueError(f'{path} holds {type(document).__name__}; expected a mapping')
    return document


def _blocks(tree: Any, name: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name, parameters) of what this node would read."""
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        if key == 'ros__parameters' and isinstance(value, Mapping):
            if name.rpartition('/')[2] in (NODE, '*', '**'):
                yield name, value
        else:
            yield from _blocks(value, str(key))


def _flat(block: Mapping[str, Any], above: str = '') -> dict[str, Any]:
    """Return nested parameters under their full names: front.camera_pitch."""
    values: dict[str, Any] = {}
    for name, value in block.items():
        if isinstance(value, Mapping):
            values |= _flat(value, f'{above}{name}.')
        else:
            values[f'{above}{name}'] = value
    return values


def _is_known(name: str) -> bool:
    camera, _, common = name.rpartition('.')
    return common in OWN if camera else name in PARAMETERS

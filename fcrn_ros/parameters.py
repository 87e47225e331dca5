"""The parameters' values: what is refused, and how a node declares and reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fcrn_ros.settings import OWN, PARAMETERS, Settings

if TYPE_CHECKING:
    from rclpy.node import Node

EXPECTED_TYPES = {
    str: 'text',
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    tuple: 'a list of names',
}
# of each pair, the first has to be below the second
ORDERED = (
    ('obstacle_min_height', 'obstacle_max_height'),
    ('scan_min_height', 'scan_max_height'),
    ('min_range', 'scan_range_max'),
)
NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*')  # of a part of a topic's name


def checked(name: str, value: Any) -> Any:
    """
    Return a parameter's value in its own type.

    :param name: of ``PARAMETERS``, or one of ``OWN`` below a camera's name.
    :raises ValueError: the name is not known, or the value is of another type or out of range; the
        message names parameter, value and what was expected.
    """
    common = name.rpartition('.')[2]
    if common not in (OWN if '.' in name else PARAMETERS):
        raise ValueError(f'parameter {name!r} is not known')
    parameter, default = PARAMETERS[common], getattr(Settings, common)
    number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
    value = float(value) if number else value
    if isinstance(default, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is not type(default):
        expected = EXPECTED_TYPES[type(default)]
        raise ValueError(f'parameter {name} is {value!r}; expected {expected}')
    inside = True
    if parameter.choices:
        inside = value in parameter.choices
    elif parameter.expected:
        inside = parameter.low <= value <= parameter.high
    if not inside:
        raise ValueError(f'parameter {name} is {value!r}; expected {parameter.expected}')
    return value


def _require_names(cameras: tuple[Any, ...]) -> None:
    """Refuse names that are no part of a topic's name, or not different; one may be empty."""
    good = cameras == ('',) or all(isinstance(c, str) and NAME.fullmatch(c) for c in cameras)
    if not cameras or not good or len(set(cameras)) < len(cameras):
        raise ValueError(
            f'parameter cameras is {list(cameras)!r}; expected different names of letters, digits '
            'and _ that begin with a letter'
        )


def settings_from(values: Mapping[str, Any]) -> Settings:
    """
    Check all values.

    :raises ValueError: one of them is refused, or the ranges are not in order.
    """
    good = {name: checked(name, value) for name, value in values.items()}
    own = {name: good.pop(name) for name in list(good) if '.' in name}
    settings = Settings(**good, own=own)
    _require_names(settings.cameras)
    settings.options()
    for low, high in ORDERED:
        smaller, larger = getattr(settings, low), getattr(settings, high)
        if not smaller < larger:
            raise ValueError(
                f'parameter {low} is {smaller:g}, {high} {larger:g}; expected the first below the '
                'second'
            )
    return settings


def declare(node: Node) -> Settings:
    """
    Declare every parameter on a node and return their values.

    Where there are several cameras, each has its own of ``OWN``, which begin as the common ones.

    :raises ValueError: a value given at start-up is refused.
    """
    for name in PARAMETERS:
        _declare(node, name, getattr(Settings, name))
    common = current(node)
    for name in _own_names(common.cameras):
        _declare(node, name, getattr(common, name.rpartition('.')[2]))
    return current(node)


def _declare(node: Node, name: str, default: Any) -> None:
    from rcl_interfaces.msg import ParameterDescriptor

    parameter = PARAMETERS[name.rpartition('.')[2]]
    descriptor = ParameterDescriptor(
        description=parameter.description,
        additional_constraints=parameter.expected,
        read_only=not parameter.live,
        dynamic_typing=True,  # 5 is taken for 5.0, and our own message refuses the rest
    )
    node.declare_parameter(
        name, list(default) if isinstance(default, tuple) else default, descriptor
    )


def _own_names(cameras: tuple[str, ...]) -> list[str]:
    return [f'{camera}.{name}' for camera in cameras if camera for name in OWN]


def current(node: Node, changes: Mapping[str, Any] | None = None) -> Settings:
    """
    Return a node's values with changes applied; those of other parameters are left alone.

    :raises ValueError: one is refused.
    """
    names = [*PARAMETERS, *_own_names(_names(node.get_parameter('cameras').value))]
    values = {n: node.get_parameter(n).value for n in names if node.has_parameter(n)}
    return settings_from({**values, **{n: v for n, v in (changes or {}).items() if n in values}})


def _names(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else ()

"""
Every node parameter, once: name, default, range, description.

The table here is the source of the declarations, of ``config/depth.yaml`` and of the table in
``docs/parameters.md``; ``python -m fcrn_ros.parameters`` rewrites those two files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcrn_ros.colormap import COLORMAPS
from fcrn_ros.engine import BACKENDS, PRECISIONS, Request
from fcrn_ros.engine.supply import BUILDS
from fcrn_ros.image import DEPTH_ENCODINGS
from fcrn_ros.pipeline import RESOLUTIONS, Options
from fcrn_ros.scale import SCALES

if TYPE_CHECKING:
    from rclpy.node import Node

EXPECTED_TYPES = {str: 'text', int: 'a whole number', float: 'a number', bool: 'true or false'}


@dataclass(frozen=True)
class Settings:
    """The values of all parameters; see ``PARAMETERS`` for what they mean."""

    model: str = ''
    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    build: str = 'background'
    image_transport: str = 'raw'
    rectify: str = 'auto'
    autostart: bool = True
    depth_encoding: str = '32FC1'
    resolution: str = 'native'
    scale: str = 'focal'
    min_range: float = 0.3
    max_range: float = 10.0
    min_confidence: float = 0.0
    max_rate: float = 0.0
    stale_after: float = 0.0
    colormap: str = 'turbo'

    def options(self) -> Options:
        """
        Return what the pipeline needs of them.

        :raises ValueError: min_range is not below max_range.
        """
        return Options(self.resolution, self.scale, self.min_range, self.max_range)

    def request(self) -> Request:
        """Return what the engine needs of them."""
        return Request(self.model, self.device, self.precision, self.threads)


@dataclass(frozen=True)
class Parameter:
    """
    One parameter's meaning.

    :param description: for people, in one sentence.
    :param choices: the allowed strings, or empty.
    :param low: the smallest allowed number.
    :param high: the largest.
    :param live: may change while the node runs.
    """

    description: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    live: bool = True

    @property
    def expected(self) -> str:
        """What is allowed, in words; '' for free text and switches."""
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        return f'{self.low:g} to {self.high:g}' if self.high > self.low else ''


PARAMETERS: dict[str, Parameter] = {
    'model': Parameter(
        'Model: the name of a shipped one or a path to a .safetensors file; empty is the default.',
        live=False,
    ),
    'backend': Parameter(
        'What runs the network; auto times what is installed once and takes the fastest.',
        BACKENDS,
        live=False,
    ),
    'device': Parameter('auto, cpu, cuda or cuda:N.', live=False),
    'precision': Parameter(
        'Arithmetic of the network; auto is fp16 on CUDA, bf16 where the CPU has it, else fp32; '
        'int8 has to be asked for.',
        PRECISIONS,
        live=False,
    ),
    'threads': Parameter(
        'Processor threads of the network; 0 takes half of the cores, for the rest of the robot.',
        high=256,
        live=False,
    ),
    'build': Parameter(
        'An engine that is not in the cache: background serves with PyTorch while it is built, '
        'block waits for it, never takes only what fcrn build has built.',
        BUILDS,
        live=False,
    ),
    'image_transport': Parameter(
        'raw reads image, compressed reads image/compressed (JPEG or PNG).',
        ('raw', 'compressed'),
        live=False,
    ),
    'rectify': Parameter(
        'auto rectifies by camera_info, unless the topic is an image_rect; never takes the '
        'image as rectified.',
        ('auto', 'never'),
        live=False,
    ),
    'autostart': Parameter('Configure and activate without being told to.', live=False),
    'depth_encoding': Parameter(
        '32FC1: metres, NaN invalid, +Inf beyond max_range; 16UC1: millimetres, 0 for both.',
        DEPTH_ENCODINGS,
    ),
    'resolution': Parameter(
        "native: the network's output grid; camera: the camera's size.", RESOLUTIONS
    ),
    'scale': Parameter(
        "focal corrects depth by the camera's focal length against the training camera's.", SCALES
    ),
    'min_range': Parameter('Nearer depth is NaN [m].', low=0.0, high=100.0),
    'max_range': Parameter('Farther depth is +Inf [m].', low=0.1, high=1000.0),
    'min_confidence': Parameter(
        'Points of a lower confidence are left out of the cloud; 0 keeps all.', low=0.0, high=1.0
    ),
    'max_rate': Parameter('Frames per second at most; 0 is no limit.', low=0.0, high=1000.0),
    'stale_after': Parameter(
        'An image older than this when its turn comes is dropped [s]; 0 never.',
        low=0.0,
        high=3600.0,
    ),
    'colormap': Parameter('Colours of depth/image_color.', tuple(COLORMAPS)),
}


def checked(name: str, value: Any) -> Any:
    """
    Return a parameter's value in its own type.

    :raises ValueError: the name is not known, or the value is of another type or out of range; the
        message names parameter, value and what was expected.
    """
    if name not in PARAMETERS:
        raise ValueError(f'parameter {name!r} is not known')
    parameter, default = PARAMETERS[name], getattr(Settings, name)
    number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
    value = float(value) if number else value
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


def settings_from(values: Mapping[str, Any]) -> Settings:
    """
    Check all values.

    :raises ValueError: one of them is refused, or the ranges are not in order.
    """
    settings = Settings(**{name: checked(name, value) for name, value in values.items()})
    settings.options()
    return settings


def declare(node: Node) -> Settings:
    """
    Declare every parameter on a node and return their values.

    :raises ValueError: a value given at start-up is refused.
    """
    from rcl_interfaces.msg import ParameterDescriptor

    for name, parameter in PARAMETERS.items():
        descriptor = ParameterDescriptor(
            description=parameter.description,
            additional_constraints=parameter.expected,
            read_only=not parameter.live,
            dynamic_typing=True,  # 5 is taken for 5.0, and our own message refuses the rest
        )
        node.declare_parameter(name, getattr(Settings, name), descriptor)
    return current(node)


def current(node: Node, changes: Mapping[str, Any] | None = None) -> Settings:
    """Return a node's values with changes applied; :raises ValueError: one is refused."""
    values = {name: node.get_parameter(name).value for name in PARAMETERS}
    return settings_from({**values, **(changes or {})})


def to_yaml() -> str:
    """Return config/depth.yaml: every parameter with its default and meaning."""
    import yaml

    lines = [
        '# Every parameter of the node with its default.',
        '# Written by: python -m fcrn_ros.parameters',
        '/**:',
        '  ros__parameters:',
    ]
    for name, parameter in PARAMETERS.items():
        value = yaml.safe_dump(getattr(Settings, name)).splitlines()[0]
        allowed = f' ({parameter.expected})' if parameter.expected else ''
        lines += [f'    # {parameter.description}{allowed}', f'    {name}: {value}']
    return '\n'.join(lines) + '\n'


def to_markdown() -> str:
    """Return docs/parameters.md: the same as a table."""
    lines = [
        '# Parameters of the node',
        '',
        'Written by `python -m fcrn_ros.parameters`. A parameter that is not live is read-only.',
        '',
        '| parameter | default | allowed | live | meaning |',
        '|---|---|---|---|---|',
    ]
    for name, p in PARAMETERS.items():
        live = 'yes' if p.live else 'no'
        default = getattr(Settings, name)
        default = str(default).lower() if isinstance(default, bool) else default
        allowed = p.expected.removeprefix('one of ')
        lines.append(f'| `{name}` | `{default}` | {allowed} | {live} | {p.description} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Rewrite config/depth.yaml and docs/parameters.md of the source tree."""
    root = Path(__file__).resolve().parents[1]
    (root / 'config' / 'depth.yaml').write_text(to_yaml())
    (root / 'docs' / 'parameters.md').write_text(to_markdown())


assert [f.name for f in fields(Settings)] == list(PARAMETERS)

if __name__ == '__main__':
    main()

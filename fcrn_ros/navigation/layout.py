"""
A costmap as YAML, with the reason beside each number.

The text is laid out by hand, since comments are half of its worth. Numbers with a point stay so:
ROS refuses 2 for a parameter that is 2.0.
"""

from __future__ import annotations

import math
import textwrap

from fcrn_ros.navigation.costmap import RESOLUTION, Costmap
from fcrn_ros.navigation.eye import Eye
from fcrn_ros.navigation.templates import COSTMAP, HEADER, INFLATION, LAYERS, TEMPLATES

VOXEL_DECAY = 5.0  # [s]


def costmap_yaml(costmap: Costmap, layer: str = 'voxel') -> str:
    """
    Return a file of Nav2 parameters.

    :param costmap: the numbers.
    :param layer: one of ``LAYERS``, or ``all``, of which ``plugins`` takes voxel_layer.
    :raises ValueError: there is no such layer.
    """
    if layer not in (*LAYERS, 'all'):
        raise ValueError(f'layer is {layer!r}; expected one of {", ".join(LAYERS)}, all')
    chosen = LAYERS if layer == 'all' else (layer,)
    values = _values(costmap) | {
        'plugin': 'voxel_layer' if layer == 'all' else f'{layer}_layer',
        'layers': '\n#\n# `plugins` takes ONE of the three layers.' if layer == 'all' else '',
    }
    text = HEADER.format(**values) + COSTMAP.format(**values)
    for name in chosen:
        head, source = TEMPLATES[name]
        text += head.format(**values)
        text += ''.join(source.format(**values, **_eye_values(costmap, e)) for e in costmap.eyes)
    text += INFLATION.format(**values)
    return '\n'.join(line.rstrip() for line in text.splitlines()) + '\n'


def source_name(namespace: str) -> str:
    """Return what a camera's sources are called: its namespace, or depth."""
    return namespace.strip('/').replace('/', '_') or 'depth'


def _values(costmap: Costmap) -> dict[str, str]:
    """Return the text of every number that the cameras have in common."""
    node, robot = costmap.node, costmap.robot
    numbers = {
        'radius': robot.radius,
        'resolution': RESOLUTION,
        'decay': VOXEL_DECAY,
        'inflation': costmap.inflation,
        'mark_range': costmap.mark_range,
        'mark_high': costmap.mark_high,
        'clear_range': costmap.clear_range,
        'period': costmap.period,
        'z_resolution': costmap.z_resolution,
        'grid_top': costmap.z_voxels * costmap.z_resolution,
        'tallest': costmap.tallest,
        'min_range': node.min_range,
        'max_range': node.max_range,
        'obstacle_min_height': node.obstacle_min_height,
        'obstacle_max_height': node.obstacle_max_height,
        'obstacle_depth_error': node.obstacle_depth_error,
    }
    names = (
        f'{source_name(eye.namespace)}_{j}' for eye in costmap.eyes for j in ('mark', 'clear')
    )
    return {name: number(value) for name, value in numbers.items()} | {
        'size': str(costmap.size),
        'z_voxels': str(costmap.z_voxels),
        'sources': ' '.join(names),
        'global_frame': robot.global_frame,
        'base_frame': robot.base_frame,
        'mark_range_why': _mark_range_why(costmap),
        'mark_high_why': 'the node cuts there' if robot.height is None else "the robot's height",
        'cameras': '\n'.join(line for eye in costmap.eyes for line in _camera_lines(costmap, eye)),
        'mountings': '\n'.join(_mounting_lines(costmap.eyes)),
    }


def _eye_values(costmap: Costmap, eye: Eye) -> dict[str, str]:
    """Return the text of what is one camera's own."""
    path, frustum = eye.namespace.strip('/'), eye.frustum
    numbers = {
        'lowest': eye.lowest,
        'clear_low': eye.clear_low,
        'clear_high': eye.clear_high,
        'horizontal': frustum.horizontal,
        'vertical': frustum.vertical,
        'wide': round(math.degrees(2 * math.atan(frustum.side)), 1),
        'high': round(math.degrees(frustum.vertical), 1),
        'frustum_near': frustum.along_corner(costmap.node.min_range),
        'frustum_far': frustum.along_corner(costmap.clear_range),
    }
    return {name: number(value) for name, value in numbers.items()} | {
        'name': source_name(path),
        'topic': f'/{path}/points' if path else '/points',
    }


def _camera_lines(costmap: Costmap, eye: Eye) -> list[str]:
    camera, mounting = eye.camera, eye.mounting
    whose = f'Camera {eye.namespace}' if eye.namespace else 'Camera'
    sentence = (
        f'{whose}: {camera.width}x{camera.height} px, f = {camera.fx:.1f} x {camera.fy:.1f} px, '
        f'{mounting.height:g} m above the floor, looking down by '
        f'{math.degrees(mounting.pitch):.1f} and leaning to the right by '
        f'{math.degrees(mounting.roll):.1f} degrees. '
    )
    remark = eye.remark(costmap.node.max_range, costmap.mark_range)
    text = f'{sentence}{remark[0].upper()}{remark[1:]}.'
    return textwrap.wrap(text, 98, initial_indent='# ', subsequent_indent='# ')


def _mounting_lines(eyes: tuple[Eye, ...]) -> list[str]:
    """Return the parameters of the node that tell it how its cameras are held."""
    alike = len({eye.mounting for eye in eyes}) == 1
    lines = []
    for eye in eyes[:1] if alike else eyes:
        name = 'camera' if alike else f'{eye.namespace.strip("/").rpartition("/")[2]}.camera'
        mounting = eye.mounting
        lines += [
            f'#     {name}_height: {number(mounting.height)}',
            f'#     {name}_pitch: {number(mounting.pitch)}  # [rad]',
            f'#     {name}_roll: {number(mounting.roll)}',
        ]
    return lines


def number(value: float) -> str:
    """Return a number as YAML reads it back as a float: 2.0, not 2; four places at most."""
    text = f'{value:.4f}'.rstrip('0')
    return f'{text}0' if text.endswith('.') else text


def _mark_range_why(costmap: Costmap) -> str:
    error = costmap.depth_error
    return f'a depth error of {100 * error:g} % is {number(error * costmap.mark_range)} m there'

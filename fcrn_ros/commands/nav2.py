"""``fcrn nav2``: a costmap for Nav2 that fits a camera, or what is wrong with one."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcrn_ros.commands.arguments import intrinsics
from fcrn_ros.navigation.templates import LAYERS

if TYPE_CHECKING:
    from fcrn_ros.camera import Camera
    from fcrn_ros.mounting import Mounting
    from fcrn_ros.navigation.costmap import Costmap
    from fcrn_ros.settings import Settings

SAME = 1e-3  # [m], [rad]: two statements of one mounting differ by no more


def size(text: str) -> tuple[int, int]:
    """Return (width, height) [px] of a text."""
    try:
        width, height = (int(x) for x in text.split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not WIDTHxHEIGHT') from None
    return width, height


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn nav2``."""
    camera = parser.add_argument_group('the camera, by one of')
    camera.add_argument('--topic', default='', help='a live camera_info; with --bag, one in it')
    camera.add_argument('--camera-info', type=Path, metavar='FILE', help='a calibration file')
    camera.add_argument('--bag', type=Path, help='a ROS 1 or ROS 2 bag')
    camera.add_argument('--intrinsics', type=intrinsics, metavar='FX,FY,CX,CY', help='and --size')
    camera.add_argument('--size', type=size, metavar='WIDTHxHEIGHT', help='of its image [px]')
    mounting = parser.add_argument_group('its mounting (angles in degrees; the node has radians)')
    mounting.add_argument('--height', type=float, metavar='M', help='above the floor')
    mounting.add_argument('--pitch', type=float, metavar='DEG', help='downwards (default 0)')
    mounting.add_argument('--roll', type=float, metavar='DEG', help='to the right (default 0)')
    mounting.add_argument(
        '--params', type=Path, metavar='FILE', help="the depth node's parameters, to agree with"
    )
    _add_robot(parser.add_argument_group('the robot and its costmap'))
    out = parser.add_argument_group('the file')
    out.add_argument('--out', type=Path, metavar='FILE', help='default: print it')
    out.add_argument('--force', action='store_true', help='overwrite it')
    out.add_argument(
        '--check', type=Path, metavar='FILE', help='say what is wrong with this one instead'
    )
    parser.set_defaults(wrong_usage=parser.error)


def _add_robot(robot: argparse._ArgumentGroup) -> None:
    robot.add_argument('--layer', default='voxel', choices=(*LAYERS, 'all'))
    robot.add_argument('--robot-radius', type=float, default=0.25, metavar='M')
    robot.add_argument(
        '--robot-height', type=float, metavar='M', help='what is higher is no obstacle'
    )
    robot.add_argument(
        '--namespace',
        action='append',
        metavar='NS',
        help="of the node's topics; again for each camera of this kind and mounting",
    )
    robot.add_argument(
        '--depth-error',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='absrel of fcrn evaluate (default 0.2); it limits how far obstacles are marked',
    )
    robot.add_argument('--max-range', type=float, metavar='M', help='mark as far as this instead')
    robot.add_argument('--global-frame', default='odom')
    robot.add_argument('--base-frame', default='base_link')


def run(options: argparse.Namespace) -> int:
    """Write a Nav2 costmap that fits a camera, or check one."""
    from fcrn_ros.navigation.node_settings import settings_in
    from fcrn_ros.settings import Settings

    node = settings_in(options.params) if options.params else Settings()
    if options.check:
        return _check(options, node)
    costmap = _costmap(options, node)
    _write(options, _yaml(costmap, options.layer))
    for remark in costmap.remarks():
        print(f'fcrn nav2: {remark}', file=sys.stderr)
    return 0


def _check(options: argparse.Namespace, node: Settings) -> int:
    from fcrn_ros.navigation.contract import Facts, check
    from fcrn_ros.navigation.node_settings import read_yaml

    height = options.height or node.camera_height or None
    problems = check(read_yaml(options.check), Facts(height, node.obstacle_min_height))
    for problem in problems:
        print(f'{options.check}: {problem}')
    if not problems:
        print(f'{options.check}: ok')
    return 1 if problems else 0


def _costmap(options: argparse.Namespace, node: Settings) -> Costmap:
    from fcrn_ros.lenses.views import plan_views
    from fcrn_ros.model.weights import load_spec
    from fcrn_ros.navigation.costmap import Robot, plan_costmap

    camera = _camera(options)
    several = node.views == 'auto'
    network = load_spec(node.model).network_camera if several else None
    namespaces = options.namespace or node.cameras
    return plan_costmap(
        camera,
        {name: _mounting(options, node, name) for name in namespaces},
        node,
        Robot(
            options.robot_radius, options.robot_height, options.base_frame, options.global_frame
        ),
        plan_views(camera, network) if network else (),
        options.depth_error,
        options.max_range,
    )


def _mounting(options: argparse.Namespace, node: Settings, namespace: str) -> Mounting:
    """Return the mounting of the command line, the parameter file, or both where they agree."""
    from fcrn_ros.mounting import Mounting

    of_node = node.mounting(namespace.strip('/').rpartition('/')[2])
    if of_node is None and options.height is None:
        options.wrong_usage('--height is not given, nor camera_height by --params')
    given = {
        'height': options.height,
        'pitch': None if options.pitch is None else math.radians(options.pitch),
        'roll': None if options.roll is None else math.radians(options.roll),
    }
    chosen = {n: v for n, v in given.items() if v is not None}
    if of_node is None:
        return Mounting(**chosen)
    for name, value in chosen.items():
        if abs(value - getattr(of_node, name)) > SAME:
            raise ValueError(
                f'camera_{name} is {getattr(of_node, name):g} in {options.params}; expected '
                f'{value:.4g}, as --{name} says, or no --{name}'
            )
    return of_node


def _camera(options: argparse.Namespace) -> Camera:
    from fcrn_ros.camera import Camera
    from fcrn_ros.navigation import cameras

    sources = {
        '--camera-info': options.camera_info,
        '--bag': options.bag,
        '--intrinsics': options.intrinsics,
        '--topic': '' if options.bag else options.topic,
    }
    given = [name for name, value in sources.items() if value]
    if len(given) != 1:
        options.wrong_usage(
            f'the camera is given by {", ".join(given) or "nothing"}; '
            f'expected one of {", ".join(sources)}'
        )
    if options.camera_info:
        return cameras.camera_from_file(options.camera_info)
    if options.bag:
        return cameras.camera_from_bag(options.bag, options.topic)
    if options.topic:
        return cameras.camera_from_topic(options.topic)
    if options.size is None:
        options.wrong_usage('--intrinsics needs --size WIDTHxHEIGHT')
    return Camera(*options.size, *options.intrinsics)


def _yaml(costmap: Costmap, layer: str) -> str:
    """Return the text, held against the contracts before anybody gets it."""
    import yaml

    from fcrn_ros.navigation.contract import Facts, check
    from fcrn_ros.navigation.layout import costmap_yaml

    text = costmap_yaml(costmap, layer)
    facts = Facts(costmap.tallest, costmap.node.obstacle_min_height)
    problems = check(yaml.safe_load(text), facts)
    if problems:
        raise ValueError(f'these numbers give no costmap that works: {"; ".join(problems)}')
    return text


def _write(options: argparse.Namespace, text: str) -> None:
    if options.out is None or str(options.out) == '-':
        print(text, end='')
        return
    if options.out.exists() and not options.force:
        raise ValueError(f'{options.out} exists; --force overwrites it')
    options.out.write_text(text, encoding='utf-8')

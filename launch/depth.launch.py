"""
Depth from one camera: our node, and RViz with our layout when asked.

    ros2 launch fcrn_ros depth.launch.py camera:=/camera/color rviz:=true

An argument that is left empty leaves the parameter to ``params_file``. The camera's driver sends
large images too and needs the Fast DDS profile as well; see config/fastdds_large_messages.xml.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.substitutions import LaunchConfiguration, TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(__file__).absolute().parents[1]  # share/fcrn_ros, or the source tree
CONFIG = SHARE / 'config'

ARGUMENTS = {  # name: (default, meaning)
    'camera': ('/camera/color', 'namespace of the camera topics'),
    'image': ('image_raw', 'image topic below camera, or an absolute name'),
    'camera_info': ('camera_info', 'camera_info topic below camera, or an absolute name'),
    'image_transport': ('', 'raw, or compressed to read <image>/compressed'),
    'model': ('', 'name of a shipped model, or a path to a .safetensors file'),
    'backend': ('', 'what runs the network: auto, torch, ...'),
    'scale': ('', 'focal, none, or ground, which takes the scale from the floor'),
    'camera_height': ('', 'of the camera above the floor [m]'),
    'camera_pitch': ('', 'of the camera, downwards [rad]'),
    'base_frame': ('', 'a TF frame on the floor that tells height and pitch instead'),
    'params_file': (str(CONFIG / 'depth.yaml'), 'YAML file of node parameters'),
    'namespace': ('', 'namespace of the node and of its topics'),
    'use_sim_time': ('', 'true to take the time from /clock'),
    'rviz': ('false', 'true to open RViz'),
    'fixed_frame': ('', "RViz's fixed frame, where it is not the one of the layout"),
    'fastdds_profile': (
        'true',
        'true to send through a 64 MB shared-memory segment (Fast DDS); a profile that the '
        'environment names already is kept',
    ),
}

# launch arguments that override a node parameter when they are not empty
OVERRIDES = {
    'image_transport': str,
    'model': str,
    'backend': str,
    'scale': str,
    'camera_height': float,
    'camera_pitch': float,
    'base_frame': str,
    'use_sim_time': bool,
}
# Fast DDS 2 reads the first variable only; ROS on Fast DDS 3 reads both and warns about the first
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
FAST_DDS_2 = ('humble', 'iron', 'jazzy')
# topics of config/depth.rviz
DISPLAYED = ('points', 'points/marking', 'scan', 'color/image_raw', 'depth/image_color')

Parameters = dict[str, ParameterValue]


def topic_below(camera: str, topic: str) -> str:
    """Return a camera's topic; an absolute name stands for itself."""
    if topic.startswith('/') or not camera:
        return topic
    return f'{camera.rstrip("/")}/{topic}'


def overrides(values: dict[str, str], names: Iterable[str] = OVERRIDES) -> list[Parameters]:
    """Return what the arguments that are not empty set, for a node's parameters."""
    given = {
        name: ParameterValue(TextSubstitution(text=values[name]), value_type=OVERRIDES[name])
        for name in names
        if values[name]
    }
    return [given] if given else []


def profile_environment(context: LaunchContext) -> dict[str, str]:
    """Return the variable that makes Fast DDS read our profile, unless another one is set."""
    asked = IfCondition(LaunchConfiguration('fastdds_profile')).evaluate(context)
    if not asked or any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    variable = PROFILE_VARIABLES[os.environ.get('ROS_DISTRO') not in FAST_DDS_2]
    return {variable: str(CONFIG / 'fastdds_large_messages.xml')}


def depth_node(values: dict[str, str], environment: dict[str, str]) -> Node:
    """Return the node; it is a lifecycle node that starts itself unless autostart is false."""
    file = [values['params_file']] if values['params_file'] else []
    topics = [(t, topic_below(values['camera'], values[t])) for t in ('image', 'camera_info')]
    return Node(
        package='fcrn_ros',
        executable='depth_node',
        name='fcrn_depth',
        namespace=values['namespace'],
        parameters=[*file, *overrides(values)],
        remappings=topics,
        additional_env=environment,
        output='screen',
    )


def rviz(values: dict[str, str]) -> Node:
    """Return RViz; the layout's topics are those of the root namespace, hence the remappings."""
    frame = ['--fixed-frame', values['fixed_frame']] if values['fixed_frame'] else []
    space = values['namespace'].strip('/')
    return Node(
        package='rviz2',
        executable='rviz2',
        name='fcrn_rviz',
        arguments=['--display-config', str(CONFIG / 'depth.rviz'), *frame],
        parameters=overrides(values, ['use_sim_time']),
        remappings=[(f'/{t}', f'/{space}/{t}') for t in DISPLAYED if space],
        condition=IfCondition(LaunchConfiguration('rviz')),
        output='screen',
    )


def start(context: LaunchContext) -> list[Node]:
    """Return the processes for the arguments given."""
    values = {name: context.launch_configurations[name] for name in ARGUMENTS}
    # RViz first: where it is not installed, launch stops there and must leave no node behind
    return [rviz(values), depth_node(values, profile_environment(context))]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the processes."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])

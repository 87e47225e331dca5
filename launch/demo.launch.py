"""
The bundled clip as a camera, and depth from it.

    ros2 launch fcrn_ros demo.launch.py rviz:=true

Takes the arguments of depth.launch.py; ``camera`` has no effect here.
"""

from __future__ import annotations

from pathlib import Path

from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.launch_description_sources.python_launch_file_utilities import (
    load_python_launch_file_as_module,
)
from launch_ros.actions import Node

DEPTH = str(Path(__file__).absolute().with_name('depth.launch.py'))
CAMERA = '/camera/color'


def depth() -> IncludeLaunchDescription:
    """Return depth.launch.py, reading the clip."""
    source = PythonLaunchDescriptionSource(DEPTH)
    return IncludeLaunchDescription(source, launch_arguments={'camera': CAMERA}.items())


def camera(context: LaunchContext) -> list[Node]:
    """Return the clip's player, which sends large images and takes the same Fast DDS profile."""
    player = Node(
        package='fcrn_ros',
        executable='demo_camera',
        name='demo_camera',
        namespace=CAMERA,
        additional_env=load_python_launch_file_as_module(DEPTH).profile_environment(context),
        output='screen',
    )
    return [player]


def generate_launch_description() -> LaunchDescription:
    """Return both; depth comes first because it declares the arguments."""
    return LaunchDescription([depth(), OpaqueFunction(function=camera)])

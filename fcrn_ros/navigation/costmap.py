"""
The numbers of a Nav2 costmap for one kind of camera on one robot.

Worked numbers: a depth error of 20 % displaces an obstacle at 2.75 m by 0.55 m, which is how far a
robot of 0.25 m radius has its obstacles inflated: farther ones are not marked. A grid that has to
reach to 2 m in 16 voxels takes voxels of 0.125 m.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.views import View
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.contract import MOST_VOXELS
from fcrn_ros.navigation.eye import Eye, eye_of
from fcrn_ros.navigation.sight import sight_of
from fcrn_ros.settings import Settings

RESOLUTION = 0.05  # of the costmap [m]
INFLATION = 0.3  # beyond the robot's radius [m]
CLEARANCE = 0.1  # above the robot [m], of what it passes under
HEADROOM = 0.1  # of the voxel grid above the camera [m], for a robot that rocks
VOXEL_STEP = 0.025  # of the grid's resolution [m]
CLEARS_BEYOND = 0.5  # of the marking range [m]
DEPTH_ERROR = 0.2  # mean relative error of the shipped model in rooms it has not met
SLOWEST = 1.0  # [s], a frame's time on a slow computer


@dataclass(frozen=True)
class Robot:
    """
    What the costmap is for.

    :param radius: [m].
    :param height: with all that it carries [m]; None: as high as the node looks for obstacles.
    :param base_frame: its frame in TF.
    :param global_frame: the costmap's, whose z = 0 is the floor.
    :raises ValueError: a size is not positive.
    """

    radius: float = 0.25
    height: float | None = None
    base_frame: str = 'base_link'
    global_frame: str = 'odom'

    def __post_init__(self) -> None:
        for name, value in (('radius', self.radius), ('height', self.height)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"the robot's {name} is {value:g} m; expected a positive length")


@dataclass(frozen=True)
class Costmap:
    """
    What the YAML is written from.

    :param eyes: one for each camera.
    :param node: the depth node's parameters.
    :param robot: see there.
    :param depth_error: relative.
    :param mark_range: obstacles are marked up to this distance [m].
    :param mark_high: and up to this height [m].
    :param clear_range: rays clear up to this distance [m].
    :param z_resolution: of the voxel grid [m].
    :param z_voxels: in a column of it.
    """

    eyes: tuple[Eye, ...]
    node: Settings
    robot: Robot
    depth_error: float
    mark_range: float
    mark_high: float
    clear_range: float
    z_resolution: float
    z_voxels: int

    @property
    def inflation(self) -> float:
        """How far obstacles are inflated [m]."""
        return round(self.robot.radius + INFLATION, 3)

    @property
    def size(self) -> int:
        """Width and height of the rolling window [m]."""
        return math.ceil(2 * self.clear_range)

    @property
    def period(self) -> float:
        """Without a cloud for so long, the costmap is stale [s]."""
        rate = self.node.max_rate
        return max(SLOWEST, round(2 / rate, 1)) if rate > 0 else SLOWEST

    @property
    def tallest(self) -> float:
        """Height of the highest camera above the floor [m]."""
        return max(eye.mounting.height for eye in self.eyes)

    def remarks(self) -> list[str]:
        """Return what the robot's maker has to know, in sentences."""
        far = self.node.max_range
        return [
            (f'{eye.namespace}: ' if eye.namespace else '') + eye.remark(far, self.mark_range)
            for eye in self.eyes
        ]


def plan_costmap(
    camera: Camera,
    mountings: Mapping[str, Mounting],
    node: Settings | None = None,
    robot: Robot | None = None,
    views: Sequence[View] = (),
    depth_error: float = DEPTH_ERROR,
    mark_range: float | None = None,
) -> Costmap:
    """
    Derive the numbers of a costmap.

    :param camera: of the raw image; all cameras are of this kind.
    :param mountings: how each is held, by the namespace of its topics ('' for none).
    :param node: the depth node's parameters; None: the defaults.
    :param robot: None: the defaults.
    :param views: that the node makes depth from; none: that of camera_info's R and P.
    :param depth_error: mean relative error of depth, as ``fcrn evaluate`` gives it (absrel).
    :param mark_range: up to where obstacles are marked [m]; None: where the depth error is as
        large as the inflation.
    :raises ValueError: numbers that do not fit together; the message names them.
    """
    node, robot = node or Settings(), robot or Robot()
    if not mountings:
        raise ValueError('there is no camera; expected one mounting at least')
    if not 0 < depth_error < 1:
        raise ValueError(f'depth error is {depth_error:g}; expected a share between 0 and 1')
    tallest = max(mounting.height for mounting in mountings.values())
    marks = _mark_range(mark_range, depth_error, node, robot)
    mark_high = _mark_high(tallest, node, robot)
    resolution, voxels = _grid(max(mark_high, tallest + HEADROOM))
    sight = sight_of(camera, views)
    return Costmap(
        tuple(
            eye_of(name, camera, sight, mounting, node, robot.radius)
            for name, mounting in mountings.items()
        ),
        node,
        robot,
        depth_error,
        marks,
        mark_high,
        round(min(marks + CLEARS_BEYOND, node.max_range), 3),
        resolution,
        voxels,
    )


def _mark_range(wanted: float | None, depth_error: float, node: Settings, robot: Robot) -> float:
    derived = math.floor((robot.radius + INFLATION) / depth_error / RESOLUTION + 1e-6) * RESOLUTION
    marks = round(min(derived, node.max_range), 3) if wanted is None else wanted
    if not node.min_range < marks <= node.max_range:
        raise ValueError(
            f'the marking range is {marks:g} m; expected one above min_range '
            f'{node.min_range:g} m and not above max_range {node.max_range:g} m'
        )
    return marks


def _mark_high(tallest: float, node: Settings, robot: Robot) -> float:
    if robot.height is None:
        return node.obstacle_max_height
    if robot.height < tallest:
        raise ValueError(
            f"the robot's height is {robot.height:g} m; expected at least the camera's "
            f'{tallest:g} m'
        )
    if robot.height > node.obstacle_max_height:
        raise ValueError(
            f'obstacle_max_height is {node.obstacle_max_height:g} m; expected at least the '
            f"robot's height, {robot.height:g} m, or it drives under what is too low"
        )
    high = round(min(robot.height + CLEARANCE, node.obstacle_max_height), 3)
    if high <= node.obstacle_min_height:
        raise ValueError(
            f'obstacle_min_height is {node.obstacle_min_height:g} m; expected it below '
            f"{high:g} m, the top of the robot's obstacles"
        )
    return high


def _grid(top: float) -> tuple[float, int]:
    """Return resolution [m] and number of the voxels from the floor to a height."""
    steps = math.ceil(round(top / MOST_VOXELS / VOXEL_STEP, 6))
    resolution = round(max(steps * VOXEL_STEP, RESOLUTION), 3)
    return resolution, math.ceil(round(top / resolution, 6))

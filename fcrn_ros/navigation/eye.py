"""One camera of a costmap: what it sees of the floor, and which of its rays clear."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.coverage import Frustum, floor_seen, frustum_of
from fcrn_ros.navigation.sight import Sight
from fcrn_ros.settings import Settings


@dataclass(frozen=True)
class Eye:
    """
    What one camera adds.

    :param namespace: of its topics, '' for none.
    :param camera: of its rectified image.
    :param mounting: of it.
    :param lowest: what stands less high is not told from the floor [m].
    :param frustum: in which the spatio-temporal voxel layer forgets.
    :param clear_low: a ray to a lower point does not clear [m].
    :param clear_high: nor one to a higher point [m].
    :param blind: the floor nearer than this is not seen straight ahead of the camera [m]; None:
        no floor is.
    :param blind_wide: the same over the robot's width.
    """

    namespace: str
    camera: Camera
    mounting: Mounting
    lowest: float
    frustum: Frustum
    clear_low: float
    clear_high: float
    blind: float | None
    blind_wide: float | None

    def remark(self, far: float, mark_range: float) -> str:
        """
        Return what the robot's maker has to know of the floor, in a sentence.

        :param far: the largest z-depth that is measured [m].
        :param mark_range: obstacles are marked up to this distance [m].
        """
        if self.blind is None:
            return (
                f'no floor is seen within {far:g} m: it clears nothing, gives no scale, '
                'and what lies on it is not seen; turn the camera down'
            )
        seen = f'the floor nearer than {self.blind:.2f} m is not seen'
        if self.blind_wide is None:
            seen += ", over the robot's width nowhere"
        elif self.blind_wide > self.blind + 0.005:
            seen += f", over the robot's width nearer than {self.blind_wide:.2f} m"
        seen += f' (from below the camera); what is lower than {self.lowest:.2f} m is not marked'
        if math.hypot(self.blind, self.mounting.height) > mark_range:
            seen += (
                f'; obstacles are marked up to {mark_range:g} m from the camera, so low '
                'ones never are: turn the camera down'
            )
        return seen


def eye_of(
    namespace: str,
    camera: Camera,
    sight: Sight,
    mounting: Mounting,
    node: Settings,
    radius: float,
) -> Eye:
    """
    Return what a mounted camera adds to a costmap.

    :param namespace: of its topics.
    :param camera: of the raw image.
    :param sight: of it.
    :param mounting: of it.
    :param node: the depth node's parameters.
    :param radius: of the robot [m].
    """
    near, far = node.min_range, node.max_range
    lines = [
        floor_seen(sight.window, mounting, aside, near, far) for aside in (0.0, -radius, radius)
    ]
    starts = [line[0] for line in lines if line is not None]
    high = max(sight.highest(mounting, far), node.obstacle_max_height)
    return Eye(
        namespace,
        camera.pinhole(),
        mounting,
        _lowest(mounting, node),
        frustum_of(sight.window),
        clear_low=-_up(mounting.height),
        clear_high=_up(high),
        blind=lines[0][0] if lines[0] else None,
        blind_wide=max(starts) if len(starts) == len(lines) else None,
    )


def _lowest(mounting: Mounting, node: Settings) -> float:
    """Return the height [m] from which on the node's band of obstacles holds a point."""
    band = node.obstacle_band()
    return round((band.low + band.depth_error * mounting.height) / (1 + band.depth_error), 3)


def _up(metres: float) -> float:
    """Round up to 0.1 m."""
    return round(math.ceil(round(metres * 10, 6)) / 10, 1)

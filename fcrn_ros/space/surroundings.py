"""
What one image tells a robot: points, obstacles, free space, a scan.

Everything is made when it is first asked for, once, and kept for whoever else needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.cloud import colored_points, trusted_depth
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.mounting import Mounting
from fcrn_ros.scaling.scale_keeper import ground_of
from fcrn_ros.settings import Settings
from fcrn_ros.space.obstacles import clearing_points, marking_points, on_floor, ray_ends
from fcrn_ros.space.scan import laser_scan
from fcrn_ros.space.sweep import ScanLimits, Sweep, lay_out

Cloud = NDArray[np.float32]


class Surroundings:
    """
    The products of one image; clouds are (..., 4) float32 as ``colored_points`` returns them.

    :param frames: its views, the front one first; of a known camera for all but ``front``.
    :param mounting: how its camera is held; None where that is not known.
    :param settings: thresholds.
    :ivar settings: as given.
    :ivar mounting: as given.
    """

    def __init__(
        self, frames: Sequence[DepthFrame], mounting: Mounting | None, settings: Settings
    ) -> None:
        self.settings = settings
        self.mounting = mounting
        self._frames = frames

    @property
    def front(self) -> DepthFrame:
        """The front view."""
        return self._frames[0]

    @cached_property
    def points(self) -> Cloud:
        """All points: (h, w, 4), organised, of one view; (n, 4) of several, NaN where none is."""
        return self._clouds[0] if len(self._clouds) == 1 else _joined(self._clouds)

    @cached_property
    def marking(self) -> Cloud:
        """What stands above the floor, (n, 4)."""
        s = self.settings
        return marking_points(self._all, self.floor_T_optical, s.obstacle_band(), s.voxel_size)

    @cached_property
    def clearing(self) -> Cloud:
        """Where rays have been free up to, (n, 4)."""
        return clearing_points(self._ends, self.settings.voxel_size)

    @cached_property
    def scan(self) -> NDArray[np.float32]:
        """The ranges of ``sweep`` [m], as ``laser_scan`` returns them."""
        limits = self.settings.scan_limits()
        return laser_scan(self._all, self._ends, self.floor_T_optical, self.sweep, limits)

    @property
    def sweep(self) -> Sweep:
        """The bearings of the scan."""
        assert isinstance(self._swept, Sweep)
        return self._swept

    @cached_property
    def floor_T_optical(self) -> NDArray[np.float64]:
        """Where the floor of this depth lies; as the camera is held where it is not seen."""
        front, held = self.front, self.mounting
        assert held is not None
        ground = front.ground
        if ground is None and front.scale.source != 'ground':  # then it was looked for
            ground = ground_of(
                front.depth, front.confidence, front.require_camera(), front.camera_R_view, held
            )
        if ground is None:
            return held.floor_T_optical
        return on_floor(held.floor_T_optical, ground.up, ground.middle)

    # -- what an output may lack, in words; '' where it lacks nothing ---------------------------

    def lacks_nothing(self) -> str:
        """Return what depth lacks."""
        return ''

    def lacks_confidence(self) -> str:
        """Return what confidence lacks."""
        return '' if self.front.confidence is not None else 'the model tells no confidence'

    def lacks_camera(self) -> str:
        """Return what points lack."""
        return '' if self.front.camera is not None else 'there is no camera_info'

    def lacks_floor(self) -> str:
        """Return what everything above the floor lacks."""
        if self.lacks_camera() or self.mounting is not None:
            return self.lacks_camera()
        return 'there is no camera_height, nor a base_frame with its transform'

    def lacks_scan(self) -> str:
        """Return what the scan lacks."""
        lacks = self.lacks_floor()
        return lacks or (self._swept if isinstance(self._swept, str) else '')

    # -- on the way ----------------------------------------------------------------------------

    @cached_property
    def _swept(self) -> Sweep | str:
        assert self.mounting is not None
        lenses = tuple(_lens(frame) for frame in self._frames)
        return _sweep(lenses, self.mounting, self.settings.scan_limits())

    @cached_property
    def _depths(self) -> list[NDArray[np.float32]]:
        s = self.settings
        return [trusted_depth(f, s.min_confidence, s.edge_filter) for f in self._frames]

    @cached_property
    def _clouds(self) -> list[Cloud]:
        pairs = zip(self._frames, self._depths, strict=True)
        return [colored_points(frame, depth) for frame, depth in pairs]

    @cached_property
    def _all(self) -> Cloud:
        return _joined(self._clouds)

    @cached_property
    def _ends(self) -> Cloud:
        triples = zip(self._frames, self._clouds, self._depths, strict=True)
        return _joined([_ends(*triple, self.settings.max_range) for triple in triples])


def _joined(clouds: Sequence[Cloud]) -> Cloud:
    return np.concatenate([cloud.reshape(-1, 4) for cloud in clouds])


def _ends(frame: DepthFrame, points: Cloud, depth: NDArray[np.float32], limit: float) -> Cloud:
    if frame.camera_R_view is None:
        return ray_ends(points, depth, frame.require_camera(), limit)
    result = points.copy()
    free = frame.require_camera().unproject(np.minimum(depth, np.float32(limit)))
    result[..., :3] = frame.turned(free)
    return result


# camera, its rotation and its own pixels as bytes, so that they can be compared
_Lens = tuple[Camera, bytes, bytes]


def _lens(frame: DepthFrame) -> _Lens:
    turn, own = frame.camera_R_view, frame.own
    return (
        frame.require_camera(),
        b'' if turn is None else turn.astype(np.float64).tobytes(),
        b'' if own is None else own.tobytes(),
    )


@lru_cache(maxsize=8)
def _sweep(lenses: tuple[_Lens, ...], mounting: Mounting, limits: ScanLimits) -> Sweep | str:
    """Lay out the scan of some views; return why that cannot be, where it cannot."""
    views = []
    for camera, turn, own in lenses:
        rays = camera.rays()
        if turn:
            rays = rays @ np.frombuffer(turn).reshape(3, 3).T.astype(np.float32)
        if own:
            rays[~np.frombuffer(own, np.bool_).reshape(rays.shape[:2])] = np.nan
        views.append(rays)
    try:
        return lay_out(views, mounting.floor_T_optical, limits)
    except ValueError as err:
        return str(err)

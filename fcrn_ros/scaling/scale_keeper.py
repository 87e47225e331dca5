"""What the scale of one camera's depth was, and what it is for the next frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.scale import Scale
from fcrn_ros.scaling.flicker import Flicker
from fcrn_ros.scaling.ground import Ground, find_ground
from fcrn_ros.scaling.ground_scale import GroundScale

USUAL_GAP = 1 / 30  # [s] between frames that have no time
NO_HEIGHT = 'ground needs camera_height, or base_frame and its transform'


def ground_of(
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32] | None,
    camera: Camera,
    camera_R_view: NDArray[np.float64] | None,
    mounting: Mounting,
) -> Ground | None:
    """
    Find the floor in the depth of a view.

    :param depth: (h, w) float32, z-depth [m]; likewise ``confidence``.
    :param camera: pinhole camera of the view.
    :param camera_R_view: as in ``DepthFrame``.
    :param mounting: of the camera.
    :return: with ``up`` in the camera's optical frame; None where no floor is seen.
    """
    if camera_R_view is None:
        return find_ground(depth, camera, mounting, confidence)
    ground = find_ground(depth, camera, mounting.turned(camera_R_view), confidence)
    return ground and replace(ground, up=camera_R_view @ ground.up)


class ScaleKeeper:
    """The memory of one camera's scale: its flicker, and the floors that were seen."""

    def __init__(self) -> None:
        self._flicker = Flicker(0.0)
        self._ground = GroundScale()
        self._time = 0.0

    def steady(self, depth: NDArray[np.float32], time: float | None, smoothing: float) -> float:
        """
        Return the factor that takes flicker out of a frame's depth.

        :param depth: (h, w) float32, z-depth [m], as the network gave it.
        :param time: of the frame [s]; None: a thirtieth of a second after the one before.
        :param smoothing: time constant [s]; 0: the factor is 1.
        """
        self._time = self._time + USUAL_GAP if time is None else time
        self._flicker.time_constant = smoothing
        return self._flicker.factor(depth, self._time)

    def on_ground(
        self, scale: Scale, ground: Ground | None, mounting: Mounting | None
    ) -> tuple[Scale, Ground | None]:
        """
        Return the scale by the floor of the frame that was last steadied.

        :param scale: that its depth has already.
        :param ground: in that depth; None where none is seen.
        :param mounting: None where the camera's height is not known.
        :return: the whole factor, and the floor in metres of the depth that has it.
        """
        if mounting is None:
            return replace(scale, doubt=NO_HEIGHT), None
        correction = self._ground.update(ground, mounting.height, self._time)
        found = ground and ground.scaled(correction.factor)
        doubt = correction.doubt or scale.doubt
        return replace(correction, factor=correction.factor * scale.factor, doubt=doubt), found

"""
How a camera is held above the floor.

Convention: the floor frame has its origin on the floor, x ahead, y to the left, z up (REP 103);
the optical frame has x right, y down, z ahead. floor_R_optical = Rz(yaw) Ry(pitch) Rx(roll) B,
where B takes the optical axes to the body's: (x, y, z) -> (z, -x, -y). A positive pitch looks
down, a positive roll leans to the right, a positive yaw looks to the left [rad].

Worked number: a camera 1 m above the floor that looks down by 30 degrees sees the floor on its
axis at 1 / sin(30 deg) = 2 m; that point, (0, 0, 2) in the optical frame, is (1.732, 0, 0) in the
floor's.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

BODY_R_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Mounting:
    """
    The camera's place in the floor frame. Immutable and hashable.

    :param height: of the optical centre above the floor [m].
    :param pitch: downwards, of the optical axis [rad].
    :param roll: to the right [rad].
    :param yaw: to the left [rad].
    :param x: of the optical centre in the floor frame [m].
    :param y: likewise.
    :raises ValueError: a number is not finite, or the height is not positive.
    """

    height: float
    pitch: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    x: float = 0.0
    y: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.height, self.pitch, self.roll, self.yaw, self.x, self.y)
        if not all(math.isfinite(n) for n in numbers) or self.height <= 0:
            raise ValueError(
                f'mounting is {numbers}; expected finite numbers and a height above 0'
            )

    @classmethod
    def from_transform(cls, floor_T_optical: NDArray[np.float64]) -> Mounting:
        """
        Read a transform, as TF has it between a base frame on the floor and the camera.

        :param floor_T_optical: (4, 4) float64, from the optical frame to the floor frame [m].
        :raises ValueError: the camera is not above the floor.
        """
        r = floor_T_optical[:3, :3] @ BODY_R_OPTICAL.T
        x, y, height = (float(n) for n in floor_T_optical[:3, 3])
        return cls(
            height,
            pitch=-math.asin(max(-1.0, min(1.0, float(r[2, 0])))),
            roll=math.atan2(float(r[2, 1]), float(r[2, 2])),
            yaw=math.atan2(float(r[1, 0]), float(r[0, 0])),
            x=x,
            y=y,
        )

    def rounded(self) -> Mounting:
        """Return the mounting to a tenth of a millimetre and of a milliradian, without noise."""
        return Mounting(*(round(number, 4) for number in astuple(self)))

    def turned(self, camera_R_view: NDArray[np.float64]) -> Mounting:
        """
        Return the mounting of a view from the camera's place.

        :param camera_R_view: (3, 3) float64, from the view's optical frame to the camera's.
        """
        floor_T_view = self.floor_T_optical
        floor_T_view[:3, :3] = floor_T_view[:3, :3] @ camera_R_view
        return Mounting.from_transform(floor_T_view)

    @property
    def up(self) -> NDArray[np.float64]:
        """The direction away from the floor in the optical frame, (3,) float64 of length 1."""
        return self.floor_R_optical[2]

    @property
    def floor_R_optical(self) -> NDArray[np.float64]:
        """The rotation from the optical frame to the floor frame, (3, 3) float64."""
        (cr, sr), (cp, sp), (cy, sy) = (
            (math.cos(a), math.sin(a)) for a in (self.roll, self.pitch, self.yaw)
        )
        turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        tilt = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        lean = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        result: NDArray[np.float64] = turn @ tilt @ lean @ BODY_R_OPTICAL
        return result

    @property
    def floor_T_optical(self) -> NDArray[np.float64]:
        """The transform from the optical frame to the floor frame, (4, 4) float64 [m]."""
        result = np.eye(4)
        result[:3, :3] = self.floor_R_optical
        result[:3, 3] = self.x, self.y, self.height
        return result

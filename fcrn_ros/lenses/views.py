"""
Which pinhole pictures cover what a lens sees.

A pinhole picture of 150 degrees shows little but its stretched edges, and one of 180 cannot be. A
wide lens is therefore seen through several views: pinhole cameras in one place, turned about the
vertical, each not much wider than the camera that the network has learned from.

Convention: pixels and frames as in :mod:`fcrn_ros.camera`. A view's frame is an optical frame with
the camera's origin. Angles are to the right of the axis of the rectified frame, and down from it.
The views lie side by side in one band: of a lens that sees more in height, what is above and below
is lost.

Worked number: the point 2 m ahead of a view that looks 60 degrees to the right, (0, 0, 2) there,
is (2 sin 60, 0, 2 cos 60) = (1.732, 0, 1) in the camera's frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import IDENTITY, Camera
from fcrn_ros.lenses.field import FieldOfView, field_of_view, pinhole_field

Axis = tuple[float, float, float]

# beyond it, a pinhole picture's focal length is half of a 63 degree training camera's
ORDINARY = 100.0  # [degrees]
# what the rectified image of camera_info may lose of an ordinary lens
LOST = 20.0  # [degrees]
# of each of several views [degrees]. In the rendered room, views of 75 to 80 gave the least error,
# at their seams too: narrower ones see too little of a room, wider ones are too stretched
ANGLE = 80.0
OVERLAP = 8.0  # of two neighbours, at least [degrees]
SIDES = (('left', 'right'), ('far_left', 'far_right'))  # beside the front, from it on


@dataclass(frozen=True)
class View:
    """
    A pinhole picture of what a camera sees. Immutable and hashable.

    :param name: ``front``, ``left``, ``right``, ``far_left`` or ``far_right``.
    :param camera: of the picture.
    :param rotation: row-major 3x3 from the view's frame to the camera's optical frame.
    :param others: the axes of the other views of the camera, in this view's frame.
    """

    name: str
    camera: Camera
    rotation: tuple[float, ...] = IDENTITY
    others: tuple[Axis, ...] = ()

    @property
    def camera_R_view(self) -> NDArray[np.float64]:
        """The rotation from the view's frame to the camera's optical frame, (3, 3) float64."""
        return np.array(self.rotation).reshape(3, 3)

    @property
    def angles(self) -> tuple[float, float]:
        """Width and height of the field of view [degrees]."""
        field = pinhole_field(self.camera)
        return field.horizontal, field.vertical

    def rays(self) -> NDArray[np.float64]:
        """Return every pixel's direction in the camera's frame, (H, W, 3) float64."""
        view = self.camera
        x = (np.arange(view.width) - view.cx) / view.fx
        y = (np.arange(view.height) - view.cy) / view.fy
        rays = np.stack((*np.meshgrid(x, y), np.ones((view.height, view.width))), -1)
        turned: NDArray[np.float64] = rays @ self.camera_R_view.T
        return turned

    def own(self, width: int, height: int) -> NDArray[np.bool_]:
        """
        Return the pixels to whose rays no other view's axis is nearer.

        Each direction that several views show is one's own, so that a cloud of all has it once.

        :param width: of the picture or of an image resized from it [px].
        :param height: likewise [px].
        :return: (height, width) bool.
        """
        rays = self.camera.resized(width, height).rays()
        mine = np.ones((height, width), np.bool_)
        for axis in self.others:  # both axes have length 1, and this one's product is z = 1
            mine &= rays @ np.array(axis, np.float32) <= 1
        return mine


def rectified_view(camera: Camera) -> View:
    """Return the one view that camera_info's R and P describe."""
    rotation = np.array(camera.rotation).reshape(3, 3).T
    return View('front', camera.pinhole(), tuple(rotation.ravel().tolist()))


def plan_views(camera: Camera, network: Camera, angle: float = ANGLE) -> tuple[View, ...]:
    """
    Choose the views of a camera, the one nearest to its axis first.

    An ordinary lens has one, of camera_info's R and P. A wider one has a front view along the axis
    of that one and as few to each side as reach the border; what would be left over is overlap.
    Their pixels are about as fine as those of the raw image are on its axis.

    :param camera: of the raw image.
    :param network: the camera that the network's input had in training; views have its shape.
    :param angle: width of each of several views [degrees].
    :raises ValueError: the angle is not above 8 and at most 100, or more than five views would be
        needed.
    """
    if not OVERLAP < angle <= ORDINARY:
        raise ValueError(f'angle of a view is {angle:g}; expected 8..100 degrees')
    front, field = rectified_view(camera), field_of_view(camera)
    if _is_ordinary(front, field):
        return (front,)
    beyond = [max(side - angle / 2, OVERLAP) for side in (field.left, field.right)]
    pairs = math.ceil(max(beyond) / (angle - OVERLAP))
    if pairs > len(SIDES):
        raise ValueError(
            f'{field.horizontal:.0f} degrees need {1 + 2 * pairs} views of {angle:g} degrees; '
            f'expected at most {1 + 2 * len(SIDES)}'
        )
    headings = {'front': 0.0}
    for pair, (left, right) in enumerate(SIDES[:pairs], 1):
        headings |= {left: -beyond[0] * pair / pairs, right: beyond[1] * pair / pairs}
    turns = [front.camera_R_view @ _turn_right(heading) for heading in headings.values()]
    pinhole = _pinhole(camera, network, angle)
    return tuple(_view(name, pinhole, i, turns) for i, name in enumerate(headings))


def _is_ordinary(front: View, field: FieldOfView) -> bool:
    shown = pinhole_field(front.camera)
    width = min(shown.left, field.left) + min(shown.right, field.right)
    return field.horizontal <= ORDINARY or (width <= ORDINARY and field.horizontal <= width + LOST)


def _pinhole(camera: Camera, network: Camera, angle: float) -> Camera:
    """Return a pinhole of an angle [degrees]: square pixels, the field shaped as the network's."""
    shape = (network.height / network.fy) / (network.width / network.fx)
    half = math.tan(math.radians(angle) / 2)
    width = max(1, round(2 * half * math.sqrt(camera.fx * camera.fy)))
    height = max(1, round(width * shape))
    focal = width / 2 / half
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _turn_right(degrees: float) -> NDArray[np.float64]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _view(name: str, pinhole: Camera, index: int, turns: list[NDArray[np.float64]]) -> View:
    turn = turns[index]
    axes = (turn.T @ other[:, 2] for i, other in enumerate(turns) if i != index)
    others = tuple((float(x), float(y), float(z)) for x, y, z in axes)
    return View(name, pinhole, tuple(turn.ravel().tolist()), others)


def describe_views(camera: Camera, views: tuple[View, ...]) -> str:
    """Say in one line what a lens sees and how it is looked at."""
    field, (width, height) = field_of_view(camera), views[0].angles
    return (
        f'{field.horizontal:.0f} x {field.vertical:.0f} degrees: '
        f'{len(views)} view{"s" if len(views) > 1 else ""} of {width:.0f} x {height:.0f}'
    )

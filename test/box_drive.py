"""
A robot before a box: the room it has recorded, the box 2 m ahead, and what its outputs owe it.

Points are in the floor frame of ``fcrn_ros.mounting``, ranges and bearings along the floor from
below the camera. The box turns its front to the camera, so that the front's middle is at the
range and at the bearing that it is put at.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from box_scene import BOX, FLOOR, Box, Scene, render

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting

CAMERA = Camera(320, 240, 330.0, 336.0, 163.0, 117.0)
MOUNTING = Mounting(0.6, pitch=math.radians(12))
RANGE, BEARING = 2.0, 0.16  # of the front of the box: [m], [rad] to the left
SIZE = (0.4, 0.6, 0.6)  # depth, width, height [m]
WALL_AHEAD = 4.2  # [m]
RECORDED = 40  # pictures
CLEAR_OF = (0.04, 0.1)  # no recorded box is as near as this to where the box is: [rad], [m]


def room(distance=RANGE, bearing=BEARING):
    """Return the room with its furniture and the box at a place."""
    middle = distance + SIZE[0] / 2
    box = Box(middle * math.cos(bearing), middle * math.sin(bearing), SIZE, bearing, 'wood')
    cupboard = Box(3.95, -1.6, (0.5, 0.9, 1.8), look='paint')
    sideboard = Box(3.4, 1.55, (1.2, 0.5, 0.8), look='paint')
    low, high = (-1.5, -2.1, 0.0), (WALL_AHEAD, 1.9, 2.6)
    return Scene((box, cupboard, sideboard), low, high, floor='tiles', seed=27)


def places():
    """Return the ranges and bearings at which the box is recorded: anywhere but where it is."""
    rng, found = np.random.default_rng(0), []
    while len(found) < RECORDED:
        distance, bearing = rng.uniform(1.5, 2.6), rng.uniform(-0.3, 0.3)
        if abs(bearing - BEARING) > CLEAR_OF[0] or abs(distance - RANGE) > CLEAR_OF[1]:
            found.append((distance, bearing))
    return found


def record(folder):
    """Write a recording of the room as a folder of pairs; return the folder."""
    for name in ('rgb', 'depth'):
        (folder / name).mkdir(parents=True)
    c = CAMERA
    (folder / 'K.txt').write_text(f'{c.fx} 0 {c.cx}\n0 {c.fy} {c.cy}\n0 0 1\n')
    for i, place in enumerate(places()):
        view = render(room(*place), CAMERA, MOUNTING, noise=i)
        millimetres = np.round(1000 * view.depth).astype(np.uint16)
        assert cv2.imwrite(str(folder / 'rgb' / f'{i:02}.png'), view.picture[..., ::-1])
        assert cv2.imwrite(str(folder / 'depth' / f'{i:02}.png'), millimetres)
    return folder


class Truth:
    """
    What is where in a depth image of the room.

    :param size: columns and rows of the depth image.
    """

    def __init__(self, size):
        self.camera = CAMERA.resized(*size)
        view = render(room(), self.camera, MOUNTING)
        self.depth, self.label = view.depth, view.label
        self.range = self.ranges(self.camera.unproject(view.depth))

    @staticmethod
    def ranges(points):
        """Return the ranges of (..., 3 or more) points of the optical frame [m]."""
        t = MOUNTING.floor_T_optical
        place = points[..., :3] @ t[:3, :3].T + t[:3, 3]
        return np.hypot(place[..., 0], place[..., 1])

    def seen_at(self, cloud):
        """Return the rows and columns of the pixels that an (n, 4) cloud's points come from."""
        column, row = np.rint(self.camera.project(cloud[:, :3])).astype(int).T
        return row, column

    def on_box(self, cloud):
        """Return the points of a cloud at pixels that show the box well inside its outline."""
        inside = cv2.erode((self.label == BOX).astype(np.uint8), np.ones((5, 5)))
        return cloud[inside[self.seen_at(cloud)] > 0]

    def beside_box(self, cloud):
        """Return the points of a cloud at pixels that show neither the box nor its outline."""
        spread = cv2.dilate((self.label == BOX).astype(np.uint8), np.ones((5, 5)))
        return cloud[spread[self.seen_at(cloud)] == 0]

    # -- what the outputs owe ------------------------------------------------------------------

    def range_of_box(self, marking):
        """Return the median range of the box in a marking cloud [m]; NaN where it is absent."""
        box = self.on_box(marking)
        return float(np.median(self.ranges(box))) if len(box) else math.nan

    def share_of_box(self, marking):
        """Return the share of the box's inner pixels, higher than 0.3 m, that are marked."""
        every = self.camera.unproject(self.depth).reshape(-1, 3)
        up = MOUNTING.floor_T_optical[2]
        high = every[every @ up[:3] + up[3] > 0.3]
        mine = self.on_box(marking)
        mine = mine[mine[:, :3] @ up[:3] + up[3] > 0.3]
        return len(mine) / len(self.on_box(high))

    def share_of_floor(self, marking, within=3.0):
        """Return the share of the floor's pixels up to a range [m] that are marked."""
        floor = (self.label == FLOOR) & (self.range < within)
        return floor[self.seen_at(marking)].sum() / floor.sum()

    def reach(self, clearing):
        """Return how far rays beside the box, and rays on it, clear at most [m]."""
        beside, on_box = self.beside_box(clearing), self.on_box(clearing)
        return tuple(float(np.percentile(self.ranges(p), 90)) for p in (beside, on_box))


def bearing_of_box(angles, ranges):
    """Return the middle of the bearings [rad] of what is nearer than all furniture, or NaN."""
    near = ranges < 2.5  # False for NaN
    return float(np.mean(angles[near])) if near.any() else math.nan

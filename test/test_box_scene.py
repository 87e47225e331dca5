"""The rendered room: depths by hand, pictures that show what depth says, checks that can fail."""

import math

import numpy as np
import pytest
from box_drive import (
    BEARING,
    CAMERA,
    CLEAR_OF,
    MOUNTING,
    RANGE,
    Truth,
    bearing_of_box,
    places,
    room,
)
from box_scene import BOX, CEILING, FLOOR, WALL, Box, Scene, render
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.mounting import Mounting
from fcrn_ros.scale import Scale
from fcrn_ros.settings import Settings
from fcrn_ros.space.surroundings import Surroundings

SMALL = Camera(80, 60, 74.0, 70.0, 37.0, 31.0)


def _at_axis(scene, mounting, camera=SMALL):
    view = render(scene, camera, mounting)
    return view.depth[31, 37], view.label[31, 37]


def test_floor_on_the_axis():
    """1 m up, 30 degrees down: the floor is at 1 / sin(30 deg) = 2 m."""
    depth, label = _at_axis(Scene(), Mounting(1.0, pitch=math.radians(30)))
    assert depth == pytest.approx(2.0, abs=1e-5) and label == FLOOR


def test_wall_on_the_axis():
    """Level at x = 0.5, the wall is 5 - 0.5 = 4.5 m ahead."""
    depth, label = _at_axis(Scene(), Mounting(1.0, x=0.5))
    assert depth == pytest.approx(4.5, abs=1e-5) and label == WALL


def test_ceiling_on_the_axis():
    """0.6 m up, 45 degrees up: the ceiling is at (2.6 - 0.6) sqrt(2) = 2.8284 m."""
    depth, label = _at_axis(Scene(), Mounting(0.6, pitch=-math.pi / 4))
    assert depth == pytest.approx(2.8284, abs=1e-4) and label == CEILING


def test_front_of_a_box_on_the_axis():
    """Centre 2.2 m ahead, 0.4 m deep: its front is at 2 m."""
    depth, label = _at_axis(Scene((Box(2.2, 0),)), Mounting(0.3))
    assert depth == pytest.approx(2.0, abs=1e-5) and label == BOX


def test_edge_of_a_turned_box_on_the_axis():
    """A cube of 0.4 m turned by 45 degrees has an edge 0.2 sqrt(2) = 0.2828 m before 2.2 m."""
    box = Box(2.2, 0, (0.4, 0.4, 0.5), yaw=math.pi / 4)
    depth, label = _at_axis(Scene((box,)), Mounting(0.3))
    assert depth == pytest.approx(1.9172, abs=1e-4) and label == BOX


def test_what_is_behind_a_box_is_hidden():
    boxes = Box(3.0, 0), Box(1.7, 0)
    depth, label = _at_axis(Scene(boxes), Mounting(0.3))
    assert depth == pytest.approx(1.5, abs=1e-5) and label == BOX + 1


def test_corners_stand_on_the_floor():
    """Turned by 90 degrees, depth 0.4 lies along y and width 0.6 along x."""
    corners = Box(1.0, 2.0, (0.4, 0.6, 0.5), yaw=math.pi / 2).corners
    assert corners.min(0) == pytest.approx([0.7, 1.8, 0.0])
    assert corners.max(0) == pytest.approx([1.3, 2.2, 0.5])
    assert (corners[:4, 2] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 1.5), st.floats(-0.2, 0.7), st.floats(-0.3, 0.3), st.floats(-0.5, 0.5))
def test_every_point_lies_on_the_surface_of_its_label(height, pitch, roll, yaw):
    mounting, scene = Mounting(height, pitch, roll, yaw), room()
    view = render(scene, SMALL, mounting)
    t = mounting.floor_T_optical
    points = SMALL.unproject(view.depth) @ t[:3, :3].T + t[:3, 3]
    low, high = np.array(scene.low), np.array(scene.high)
    gap = np.minimum(points - low, high - points)
    assert gap.min() > -1e-3
    room_itself = view.label < BOX
    assert np.abs(gap[room_itself].min(-1)).max() < 1e-3
    assert np.abs(points[view.label == FLOOR][:, 2]).max(initial=0) < 1e-3
    for i, box in enumerate(scene.boxes):
        local = (points[view.label == BOX + i] - (box.x, box.y, box.size[2] / 2)) @ box.floor_R_box
        outside = np.abs(local) - np.array(box.size) / 2
        assert np.abs(outside.max(-1)).max(initial=0) < 1e-3


def test_the_same_seeds_make_the_same_picture_and_other_noise_another():
    views = [render(room(), SMALL, MOUNTING, noise=n) for n in (1, 1, 2)]
    assert np.array_equal(views[0].picture, views[1].picture)
    assert not np.array_equal(views[0].picture, views[2].picture)
    assert np.array_equal(views[0].depth, views[2].depth)


def test_the_floor_is_darker_beside_a_box():
    """The lamp is before the box and to its left: its shadow lies at its right."""
    mounting, boxes = Mounting(1.2, pitch=0.5), (Box(2.2, 0),)
    empty, full = (render(Scene(b, floor='carpet'), CAMERA, mounting) for b in ((), boxes))
    both = (empty.label == FLOOR) & (full.label == FLOOR)
    t = mounting.floor_T_optical
    place = CAMERA.unproject(full.depth) @ t[:3, :3].T + t[:3, 3]
    right = both & (np.abs(place[..., 0] - 2.2) < 0.2) & (np.abs(place[..., 1] + 0.33) < 0.06)
    far = both & (place[..., 0] < 1.6)
    change = [full.picture[m].mean() / empty.picture[m].mean() for m in (right, far)]
    assert change[0] < 0.8 * change[1]


def test_no_recorded_box_stands_where_the_box_will():
    found = np.array(places())
    near = np.abs(found - (RANGE, BEARING)) < CLEAR_OF[::-1]
    assert len(found) == 40 and not near.all(1).any()


# -- the checks of a drive, on exact depth ----------------------------------------------------

ROBOT = Settings(camera_height=MOUNTING.height, camera_pitch=MOUNTING.pitch)


@pytest.fixture(scope='module')
def truth():
    return Truth((128, 96))


def _surroundings(truth, depth):
    color = np.zeros((*depth.shape, 3), np.uint8)
    frame = DepthFrame(depth, None, color, truth.camera, Scale(1.0, 'none'))
    return Surroundings([frame], MOUNTING, ROBOT)


def test_exact_depth_does_all_that_a_drive_needs(truth):
    """The front is 2 m away at 0.16 rad; its sides are seen up to 0.4 m farther."""
    seen = _surroundings(truth, truth.depth.copy())
    assert truth.range_of_box(seen.marking) == pytest.approx(RANGE, rel=0.03)
    assert truth.share_of_box(seen.marking) > 0.9
    assert truth.share_of_floor(seen.marking) == 0
    beside, on_box = truth.reach(seen.clearing)
    assert beside > 3.9 and on_box < 2.5
    angles = seen.sweep.angle_min + np.arange(seen.sweep.count) * seen.sweep.angle_increment
    assert bearing_of_box(angles, seen.scan) == pytest.approx(BEARING, abs=math.radians(0.5))


def test_a_box_at_the_wall_does_not_pass(truth):
    """Depth that does not see the box has the wall there, about 4.2 m away."""
    scene = room()
    without = render(Scene(scene.boxes[1:], scene.low, scene.high), truth.camera, MOUNTING).depth
    seen = _surroundings(truth, without)
    assert truth.range_of_box(seen.marking) > 1.5 * RANGE
    assert truth.reach(seen.clearing)[1] > 3
    angles = seen.sweep.angle_min + np.arange(seen.sweep.count) * seen.sweep.angle_increment
    assert math.isnan(bearing_of_box(angles, seen.scan))


def test_a_floor_that_rises_does_not_pass(truth):
    """Depth cut at 1.2 m makes a wall of the floor that is farther."""
    seen = _surroundings(truth, np.minimum(truth.depth, np.float32(1.2)))
    assert truth.share_of_floor(seen.marking) > 0.1
    assert truth.reach(seen.clearing)[0] < 2

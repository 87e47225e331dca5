"""Coloured points: what lies in the bytes of a cloud."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.cloud import colored_points, trusted_depth
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.scale import Scale

CAMERA = Camera(4, 3, 2.0, 5.0, 1.0, 0.5)


def _frame(camera=CAMERA, confidence=True):
    """Return a 4 x 3 frame at 2 m with a hole, a far pixel, and confidence by column."""
    depth = np.full((3, 4), 2.0, np.float32)
    depth[0, 1], depth[2, 3] = math.nan, math.inf
    color = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
    shares = np.tile(np.float32([0.1, 0.4, 0.5, 0.9]), (3, 1))
    return DepthFrame(depth, shares if confidence else None, color, camera, Scale(1.0, 'none'))


def test_points_lie_in_the_optical_frame():
    """Column 3, row 1 at 2 m: x = 2 (3 - 1) / 2 = 2 m; y = 2 (1 - 0.5) / 5 = 0.2 m."""
    points = colored_points(_frame())
    assert points.shape == (3, 4, 4) and points.dtype == np.float32
    assert points[1, 3, :3].tolist() == pytest.approx([2.0, 0.2, 2.0])


def test_colour_is_packed_as_0x00rrggbb():
    """Pixel (u 2, v 1) is number 6: red 18 * 7 = 126, green 133, blue 140: 0x007E858C."""
    bits = np.ascontiguousarray(colored_points(_frame())[..., 3]).view(np.uint32)
    assert bits[1, 2] == 0x007E858C


def test_every_colour_survives():
    frame = _frame()
    bits = np.ascontiguousarray(colored_points(frame)[..., 3]).view(np.uint32)
    unpacked = np.stack((bits >> 16, bits >> 8 & 255, bits & 255), -1)
    assert np.array_equal(unpacked, frame.color)
    assert np.isfinite(colored_points(frame)[..., 3]).all()


def test_no_depth_is_no_point():
    """A hole and a pixel beyond range are NaN in x, y and z; they keep their colour."""
    points = colored_points(_frame())
    assert np.isnan(points[0, 1, :3]).all() and np.isnan(points[2, 3, :3]).all()
    assert np.isfinite(points[..., 2]).sum() == 10
    assert points[0, 1, 3] != 0


def test_low_confidence_is_no_depth():
    """0.5 is not below 0.5: columns 2 and 3 stay; the far pixel stays far."""
    depth = trusted_depth(_frame(), min_confidence=0.5)
    assert np.isnan(depth[:, :2]).all()
    assert (depth[:, 2:].ravel()[:-1] == 2).all() and depth[2, 3] == math.inf


def test_min_confidence_has_no_effect_without_confidence():
    found = trusted_depth(_frame(confidence=False), min_confidence=0.99)
    assert np.array_equal(found, _frame().depth, equal_nan=True)


def test_pixels_between_two_surfaces_are_no_depth():
    """A row melts from 1 m over 2 m to 4 m: 2 m belongs to neither."""
    depth = np.repeat(np.float32([[1, 1, 1, 1, 2, 4, 4, 4, 4]]), 7, axis=0)
    camera = Camera(9, 7, 5.0, 6.0, 3.0, 2.0)
    frame = DepthFrame(depth, None, np.zeros((7, 9, 3), np.uint8), camera, Scale(1.0, 'none'))
    assert np.isnan(trusted_depth(frame, edge_filter=1.0)[3]).tolist() == 4 * [False] + [
        True
    ] + 4 * [False]
    assert np.array_equal(trusted_depth(frame), depth)


def test_what_another_view_sees_better_is_no_depth():
    own = np.ones((3, 4), bool)
    own[1, 2] = False
    depth = trusted_depth(replace(_frame(), own=own))
    assert np.isnan(depth[1, 2]) and np.isfinite(depth).sum() == 9


def test_points_are_of_the_depth_that_is_given():
    points = colored_points(_frame(), trusted_depth(_frame(), 0.5))
    assert np.isnan(points[:, :2, :3]).all() and np.isfinite(points[..., 2]).sum() == 5


def test_points_of_a_turned_view_lie_in_the_image_s_frame():
    """
    A view that looks to the right by 90 degrees.

    Its point (2, 0.2, 2) is 2 m to the right and 2 m behind: (x, y, z) -> (z, y, -x).
    """
    turn = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])
    points = colored_points(replace(_frame(), camera_R_view=turn))
    assert points[1, 3, :3].tolist() == pytest.approx([2.0, 0.2, -2.0])


def test_frame_is_left_alone():
    frame = _frame()
    colored_points(frame, trusted_depth(frame, 0.5, 1.0))
    assert np.array_equal(frame.depth, _frame().depth, equal_nan=True)
    assert np.array_equal(frame.color, _frame().color)


def test_unknown_camera_is_refused():
    with pytest.raises(ValueError, match='the camera is not known; expected a Camera'):
        colored_points(_frame(camera=None))

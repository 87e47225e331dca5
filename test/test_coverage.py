"""What a mounted camera sees of the floor, and the frustum that fits into its view."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.coverage import Frustum, Window, floor_seen, frustum_of

WINDOW = Window(-0.6, 0.4, -0.3, 0.5)
# the same sides: (0 - 0.5 - 119.5) / 200 = -0.6, (200 - 0.5 - 119.5) / 200 = 0.4, and in height
# (-0.5 - 74.5) / 250 = -0.3, (200 - 0.5 - 74.5) / 250 = 0.5
CAMERA = Camera(200, 200, 200.0, 250.0, 119.5, 74.5)


def _floor(mounting, aside=0.0, near=0.1, far=10.0, window=WINDOW):
    return floor_seen(window, mounting, aside, near, far)


def test_level_camera_sees_the_floor_from_height_over_the_lower_tangent():
    """1 m / 0.5 = 2 m; the farthest measured depth, 10 m, is 10 m ahead of a level camera."""
    assert _floor(Mounting(1.0)) == pytest.approx((2.0, 10.0))


def test_pitched_camera_sees_nearer_floor():
    """
    30 degrees down: the lower side is at 30 + atan 0.5 = 56.565 degrees, 1 / tan = 0.6603 m.

    The upper side is at 30 - atan 0.3 = 13.301 degrees below the horizon: 1 / tan = 4.230 m.
    """
    assert _floor(Mounting(1.0, math.radians(30))) == pytest.approx((0.6603, 4.230), abs=1e-3)


def test_min_range_hides_near_floor():
    """A level camera measures from z-depth 2.5 m on, beyond the 2 m at which its view begins."""
    assert _floor(Mounting(1.0), near=2.5) == pytest.approx((2.5, 10.0))


def test_camera_that_looks_up_sees_no_floor():
    """Atan 0.5 = 26.6 degrees down from an axis 30 degrees up: all of the view is above it."""
    assert _floor(Mounting(1.0, math.radians(-30))) is None


def test_floor_beyond_the_range_is_not_seen():
    """From 6 m up, the view meets the floor at 6 / 0.5 = 12 m."""
    assert _floor(Mounting(6.0)) is None


@pytest.mark.parametrize(('aside', 'nearest'), [(1.5, 2.5), (-1.5, 3.75)])
def test_floor_aside_is_seen_later_on_the_narrower_side(aside, nearest):
    """1.5 m to the left at 1.5 / 0.6 = 2.5 m, to the right at 1.5 / 0.4 = 3.75 m."""
    assert _floor(Mounting(1.0), aside)[0] == pytest.approx(nearest)


def test_where_the_camera_is_and_heads_does_not_matter():
    here = Mounting(1.1, 0.2, 0.1)
    assert _floor(replace(here, yaw=1.3, x=4.0, y=-2.0)) == _floor(here)


def test_roll_to_the_right_shows_floor_on_the_other_side_later():
    """
    Leaning by 0.2 rad, the image's lower side is no longer level on the floor.

    A camera that leans to the right has its right side low: the floor comes into view sooner
    there than on the left.
    """
    tilted = Mounting(1.0, roll=0.2)
    assert _floor(tilted, -0.3)[0] < _floor(Mounting(1.0), -0.3)[0] < _floor(tilted, 0.3)[0]


@given(st.floats(0.1, 3), st.floats(-0.3, 1.2), st.floats(-0.4, 0.4), st.floats(-0.5, 0.5))
def test_floor_begins_where_a_projection_enters_the_image(height, pitch, roll, aside):
    mounting = Mounting(height, pitch, roll)
    seen = _floor(mounting, aside)
    assume(seen is not None and seen[1] - seen[0] > 0.02)
    optical_R_floor = mounting.floor_R_optical.T

    def visible(ahead):
        point = optical_R_floor @ np.array([ahead, aside, -height])
        if not 0.1 <= point[2] <= 10.0:
            return False
        u, v = CAMERA.project(point)
        return -0.5 <= u <= 199.5 and -0.5 <= v <= 199.5

    assert visible(seen[0] + 0.005) and visible(seen[1] - 0.005)
    assert not visible(seen[1] + 0.005)
    assert seen[0] == 0 or not visible(seen[0] - 0.005)


def _layers_corners(frustum, distance):
    """Return the corners that the layer makes: Z turned about y, then about x, times a range."""
    corners = []
    for v in (-frustum.vertical / 2, frustum.vertical / 2):
        for h in (-frustum.horizontal / 2, frustum.horizontal / 2):
            turned = np.array([math.sin(h), 0.0, math.cos(h)])
            about_x = np.array(
                [[1, 0, 0], [0, math.cos(v), -math.sin(v)], [0, math.sin(v), math.cos(v)]]
            )
            corners.append(distance * about_x @ turned)
    return np.array(corners)


def test_frustum_is_the_window_in_the_layers_terms():
    """The narrower halves, 0.4 sideways and 0.3 in height, as the layer builds it of angles."""
    frustum = frustum_of(WINDOW)
    corners = _layers_corners(frustum, 1.0)
    np.testing.assert_allclose(abs(corners[:, 0] / corners[:, 2]), 0.4)
    np.testing.assert_allclose(abs(corners[:, 1] / corners[:, 2]), 0.3)
    assert frustum.vertical == pytest.approx(2 * math.atan(0.3))
    assert frustum.horizontal < 2 * math.atan(0.4)


def test_ranges_along_the_corner_put_the_planes_at_their_depth():
    frustum = frustum_of(WINDOW)
    corners = _layers_corners(frustum, frustum.along_corner(3.25))
    np.testing.assert_allclose(corners[:, 2], 3.25)


def test_worked_number_of_the_frustum():
    """90 and 90 degrees: sides at tan 45 / cos 45 = 1.414, and 2 m deep along 2 / 0.5 = 4 m."""
    frustum = Frustum(math.pi / 2, math.pi / 2)
    assert frustum.side == pytest.approx(math.sqrt(2))
    assert frustum.along_corner(2.0) == pytest.approx(4.0)


def test_window_without_the_axis_is_refused():
    with pytest.raises(ValueError, match='from 0.10 to 0.40 .*expected the optical axis inside'):
        Window(0.1, 0.4, -0.3, 0.5)

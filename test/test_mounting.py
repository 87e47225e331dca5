"""Where a camera is above the floor: angles by hand, and the way back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcrn_ros.mounting import Mounting


def _floor(mounting, point):
    return (mounting.floor_T_optical @ [*point, 1.0])[:3]


def test_the_axis_of_a_tilted_camera_meets_the_floor():
    """1 m up, 30 degrees down: the axis meets the floor after 2 m, 2 cos(30) = 1.7321 m ahead."""
    mounting = Mounting(1.0, pitch=math.radians(30))
    assert _floor(mounting, (0, 0, 2)) == pytest.approx([1.7321, 0, 0], abs=1e-4)


def test_up_of_a_level_camera_is_against_y():
    assert Mounting(0.4).up == pytest.approx([0, -1, 0])


def test_a_camera_that_looks_down_has_up_against_its_axis():
    """Pitch 30 degrees: up = (0, -cos 30, -sin 30)."""
    assert Mounting(0.4, pitch=math.radians(30)).up == pytest.approx([0, -0.8660, -0.5], abs=1e-4)


def test_a_camera_that_leans_right_sees_up_at_its_left():
    """Roll 90 degrees to the right: the sky is at the left of the image, against x."""
    assert Mounting(0.4, roll=math.pi / 2).up == pytest.approx([-1, 0, 0])


def test_a_camera_that_looks_left_sees_what_is_at_the_left():
    """Yaw 90 degrees, at (0.2, 0.1, 0.4): 3 m ahead of the camera is (0.2, 3.1, 0.4)."""
    mounting = Mounting(0.4, yaw=math.pi / 2, x=0.2, y=0.1)
    assert _floor(mounting, (0, 0, 3)) == pytest.approx([0.2, 3.1, 0.4])


@given(
    st.floats(0.05, 3),
    st.floats(-1.5, 1.5),
    st.floats(-3.1, 3.1),
    st.floats(-3.1, 3.1),
    st.floats(-2, 2),
    st.floats(-2, 2),
)
def test_a_transform_gives_its_mounting_back(height, pitch, roll, yaw, x, y):
    mounting = Mounting(height, pitch, roll, yaw, x, y)
    back = Mounting.from_transform(mounting.floor_T_optical)
    assert np.allclose(back.floor_T_optical, mounting.floor_T_optical, atol=1e-6)


def test_a_view_to_the_right_of_a_level_camera_has_that_yaw():
    """camera_R_view of 60 degrees to the right: its axis (0, 0, 1) is (0.866, 0, 0.5) there."""
    c, s = 0.5, math.sqrt(0.75)
    view = Mounting(1.2, x=0.3).turned(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]))
    assert (view.height, view.x, view.pitch) == pytest.approx((1.2, 0.3, 0.0))
    assert view.yaw == pytest.approx(-math.radians(60))


def test_noise_is_rounded_away():
    assert Mounting(0.40001, 0.19998, x=-0.30004).rounded() == Mounting(0.4, 0.2, x=-0.3)


def test_a_rotation_is_one():
    r = Mounting(1.0, 0.3, -0.2, 0.7).floor_R_optical
    assert np.allclose(r @ r.T, np.eye(3)) and np.linalg.det(r) == pytest.approx(1)


@pytest.mark.parametrize('height', [0.0, -0.3, math.nan, math.inf])
def test_a_height_that_is_none_is_refused(height):
    with pytest.raises(ValueError, match='expected finite numbers and a height above 0'):
        Mounting(height)

"""What a camera sees through the views that its depth is made from."""

import math

import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.field import sees
from fcrn_ros.lenses.views import plan_views
from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.sight import sight_of

CAMERA = Camera(320, 200, 250.0, 240.0, 149.5, 119.5)
NETWORK = Camera(256, 192, 230.0, 231.0, 127.0, 95.0)
FISHEYE = Camera(640, 400, 180.0, 182.0, 321.0, 203.0, 'equidistant', (0.02, -0.003, 0.0, 0.0))


def _sides(window):
    return window.left, window.right, window.top, window.bottom


def test_pinhole_sees_to_the_edges_of_its_image():
    """(-0.5 - 149.5) / 250 = -0.6, (319.5 - 149.5) / 250 = 0.68; -120 / 240, 80 / 240."""
    assert _sides(sight_of(CAMERA).window) == pytest.approx((-0.6, 0.68, -0.5, 1 / 3))


def test_highest_is_on_the_upper_edge():
    """A level camera 1.2 m up sees at 10 m depth to 1.2 + 10 * 0.5 = 6.2 m."""
    assert sight_of(CAMERA).highest(Mounting(1.2), 10.0) == pytest.approx(6.2)


def test_distorted_camera_sees_what_its_lens_shows_of_the_rectified_image():
    """
    A rectified image of half of the focal length is larger than what the lens shows.

    The barrel distortion is weak, so the window is that of the raw image to some percent, where
    the rectified image alone would be twice as wide.
    """
    raw = Camera(
        *(320, 200, 250.0, 240.0, 149.5, 119.5, 'plumb_bob', (-0.02, 0.0, 0.0, 0.0, 0.0)),
        rectified=(125.0, 120.0, 149.5, 119.5),
    )
    window = sight_of(raw).window
    assert _sides(window) == pytest.approx(_sides(sight_of(CAMERA).window), rel=0.04)


@pytest.mark.parametrize('views', [(), plan_views(FISHEYE, NETWORK)])
def test_all_of_a_window_is_seen(views):
    camera = (
        FISHEYE
        if views
        else Camera(
            *(640, 400, 400.0, 390.0, 300.0, 210.0, 'plumb_bob', (-0.3, 0.1, 0.001, 0.0, 0.0)),
            rectified=(330.0, 320.0, 310.0, 205.0),
        )
    )
    window = sight_of(camera, views).window
    x, y = np.meshgrid(
        np.linspace(window.left, window.right, 31), np.linspace(window.top, window.bottom, 29)
    )
    assert sees(camera, np.stack((x, y, np.ones_like(x)), -1)).all()


def test_several_views_see_wider_than_one():
    """The lens sees 640 / 180 rad = 204 degrees; a window of them ends at 60 degrees a side."""
    views = plan_views(FISHEYE, NETWORK)
    window = sight_of(FISHEYE, views).window
    assert len(views) > 1
    assert math.degrees(math.atan(window.right)) == pytest.approx(60, abs=0.2)
    assert window.right > sight_of(views[0].camera).window.right


def test_camera_that_does_not_see_along_its_axis_is_refused():
    with pytest.raises(ValueError, match='principal point outside of the image'):
        sight_of(Camera(320, 200, 250.0, 240.0, 400.0, 119.5))

"""The focal-length correction, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.scale import Scale, focal_scale

TRAINING = Camera(304, 228, 200.0, 220.0, 150.0, 116.0)


def _network(x, y):
    """Return a camera whose focal lengths are x and y times the training camera's."""
    return Camera(304, 228, 200.0 * x, 220.0 * y, 140.0, 118.0)


def test_longer_lens_makes_depth_larger():
    """300 / 200 = 330 / 220 = 1.5."""
    assert focal_scale(_network(1.5, 1.5), TRAINING) == Scale(pytest.approx(1.5), 'focal')


def test_training_camera_needs_no_correction():
    assert focal_scale(TRAINING, TRAINING) == Scale(1.0, 'focal', '')


def test_principal_point_does_not_matter():
    moved = Camera(304, 228, 200.0, 220.0, 12.0, 200.0)
    assert focal_scale(moved, TRAINING).factor == 1


def test_stretched_image_takes_the_geometric_mean():
    """fx 1.44 times, fy once: sqrt(1.44) = 1.2; stretch 1.44 is within 1.5."""
    assert focal_scale(_network(1.44, 1.0), TRAINING) == Scale(pytest.approx(1.2), 'focal')
    assert focal_scale(_network(1.0, 1.44), TRAINING).factor == pytest.approx(1.2)


@pytest.mark.parametrize('ratio', [0.45, 2.1])
def test_focal_length_far_from_training_is_doubted(ratio):
    scale = focal_scale(_network(ratio, ratio), TRAINING)
    assert scale.factor == pytest.approx(ratio)
    assert scale.doubt == f"the focal length is {ratio:.2f} times the training camera's"


@pytest.mark.parametrize('ratio', [0.5, 2.0])
def test_bounds_themselves_are_trusted(ratio):
    assert focal_scale(_network(ratio, ratio), TRAINING).doubt == ''


@pytest.mark.parametrize(('x', 'y'), [(1.28, 0.8), (0.8, 1.28)])
def test_strong_stretch_is_doubted(x, y):
    """1.28 / 0.8 = 1.6, either way."""
    scale = focal_scale(_network(x, y), TRAINING)
    assert scale.doubt == 'the image is stretched by 1.60 against the training images'
    assert scale.factor == pytest.approx(math.sqrt(1.024))


def test_other_image_size_is_refused():
    """Focal lengths in pixels of different images cannot be compared."""
    with pytest.raises(ValueError, match='network image is 640x480; expected 304x228, as in tr'):
        focal_scale(Camera(640, 480, 500.0, 500.0, 320.0, 240.0), TRAINING)


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_there_and_back_is_one(x, y):
    network = _network(x, y)
    there, back = focal_scale(network, TRAINING), focal_scale(TRAINING, network)
    assert there.factor * back.factor == pytest.approx(1)
    assert bool(there.doubt) == bool(back.doubt)

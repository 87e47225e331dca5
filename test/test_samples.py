"""A sample at another width: its pictures, its depth, its camera."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample

CAMERA = Camera(12, 9, 10.0, 11.0, 5.0, 4.5)
POSE = np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]])


def _sample():
    """Return 12 x 9: red by column, green by row, blue 7; depth 1 + v + u / 100, one hole."""
    image = np.zeros((9, 12, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = np.arange(12) * 6, np.arange(9)[:, None] * 9, 7
    depth = (1 + np.arange(9)[:, None] + np.arange(12) / 100).astype(np.float32)
    depth[4, 7] = np.nan
    return Sample('a', image, CAMERA, depth, 1.5, 'walk', POSE, image[:, ::-1].copy(), 0.12)


def test_shrunk_pictures_are_means_of_areas():
    """By 3: the first column is the mean of 0, 6, 12, the first row that of 0, 9, 18."""
    small = _sample().resized(4)
    assert (small.image.shape, small.image.dtype) == ((3, 4, 3), np.uint8)
    assert small.image[0, :, 0].tolist() == [6, 24, 42, 60]
    assert small.image[:, 0, 1].tolist() == [9, 36, 63]
    assert small.right[0, :, 0].tolist() == [60, 42, 24, 6]


def test_shrunk_depth_is_that_of_the_nearest_pixel():
    """By 3: pixel (1, 0) lies on the old (4, 1), 1 + 1 + 0.04 m; (2, 1) on the hole (7, 4)."""
    depth = _sample().resized(4).depth
    assert depth.dtype == np.float32
    assert depth[0, 1] == np.float32(2.04)
    assert np.argwhere(np.isnan(depth)).tolist() == [[1, 2]]


def test_shrunk_sample_has_the_shrunk_camera():
    """By 3: fx = 10 / 3, cx = (5 + 0.5) / 3 - 0.5 = 1.333, cy = (4.5 + 0.5) / 3 - 0.5 = 1.167."""
    camera = _sample().resized(4).camera
    assert (camera.width, camera.height) == (4, 3)
    found = (camera.fx, camera.fy, camera.cx, camera.cy)
    assert found == pytest.approx((10 / 3, 11 / 3, 4 / 3, 7 / 6))


def test_all_else_is_kept():
    sample = _sample()
    small = sample.resized(4)
    kept = ('name', 'time', 'sequence', 'baseline', 'world_T_camera')
    assert all(getattr(small, name) is getattr(sample, name) for name in kept)


def test_what_is_absent_stays_absent():
    small = replace(_sample(), depth=None, right=None, world_T_camera=None).resized(4)
    assert (small.depth, small.right, small.world_T_camera) == (None, None, None)


def test_the_same_width_changes_nothing():
    sample = _sample()
    assert sample.resized(12) is sample


@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 40))
def test_every_array_is_of_the_cameras_size(width):
    small = _sample().resized(width)
    shape = (small.camera.height, small.camera.width)
    assert small.camera.width == width
    assert (small.image.shape, small.right.shape) == ((*shape, 3), (*shape, 3))
    assert small.depth.shape == shape


@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 40))
def test_no_depth_is_made_up(width):
    """Each depth of the new sample is one of the old, so none is a mean over an edge."""
    sample = _sample()
    depth = sample.resized(width).depth
    known = depth[~np.isnan(depth)]
    assert np.isin(known, sample.depth).all()

"""What one image tells a robot: made from what is trusted, once, and only when it is asked for."""

from dataclasses import replace

import numpy as np
import pytest
from level_scene import BOX, CAMERA, MOUNTING, exact_depth, floor_points

from fcrn_ros.cloud import colored_points
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.mounting import Mounting
from fcrn_ros.scale import Scale
from fcrn_ros.scaling.ground import Ground
from fcrn_ros.settings import Settings
from fcrn_ros.space import surroundings
from fcrn_ros.space.surroundings import Surroundings

WALL = (3.0, -9.0, 0.0, 3.5, 9.0, 3.0)
SETTINGS = Settings(obstacle_depth_error=0.0, scan_range_max=4.0)
TURN_RIGHT = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])  # of a view, by 90 degrees


def _frame(depth=None, **more):
    depth = exact_depth(boxes=(BOX, WALL)) if depth is None else depth
    depth = np.where(depth > 10, np.float32(np.inf), depth)
    color = np.full((*depth.shape, 3), 77, np.uint8)
    return DepthFrame(depth, np.full_like(depth, 0.8), color, CAMERA, Scale(1.0, 'focal'), **more)


def _of(frame=None, mounting=MOUNTING, settings=SETTINGS):
    return Surroundings([frame or _frame()], mounting, settings)


def _bearings(found):
    return found.sweep.angle_min + np.arange(found.sweep.count) * found.sweep.angle_increment


# -- what they are


def test_points_of_one_view_are_organised():
    frame = _frame()
    assert np.array_equal(
        _of(frame, settings=replace(SETTINGS, edge_filter=0.0)).points,
        colored_points(frame),
        equal_nan=True,
    )


def test_box_and_wall_mark_and_the_floor_does_not():
    """The floor frame has the box 2 m and the wall 3 m ahead, all above 0.15 m."""
    ahead, _, up = floor_points(_of().marking).T
    assert up.min() > 0.14
    box = np.abs(ahead - 2.0) < 0.02
    assert box.any() and ((np.abs(ahead - 3.0) < 0.02) | (ahead < 2.41)).all()


def test_clearing_reaches_the_floor_and_the_wall():
    ahead, _, up = floor_points(_of().clearing).T
    assert (np.abs(up) < 0.01).any() and ahead.max() == pytest.approx(3.0, abs=0.02)


def test_the_scan_sees_box_and_wall():
    found = _of()
    ahead = found.scan * np.cos(_bearings(found))
    at = np.argmin(np.abs(_bearings(found) - np.radians(12)))
    assert ahead[at] == pytest.approx(2.0, abs=0.02)
    assert np.nanmax(ahead) == pytest.approx(3.0, abs=0.04)


def test_voxels_thin_both_clouds_and_not_the_points():
    thin = _of(settings=replace(SETTINGS, voxel_size=0.2))
    assert len(thin.marking) < len(_of().marking) / 2
    assert len(thin.clearing) < len(_of().clearing) / 2
    assert np.array_equal(thin.points, _of().points, equal_nan=True)


def test_what_is_not_trusted_is_in_none_of_them():
    """Nothing is as sure as 0.9: no point marks or clears, and the scan knows nothing."""
    found = _of(settings=replace(SETTINGS, min_confidence=0.9))
    assert np.isnan(found.points[..., :3]).all()
    assert len(found.marking) == len(found.clearing) == 0
    assert np.isnan(found.scan).all()


# -- the floor


def test_the_floor_of_the_depth_counts_where_it_is_seen():
    """Depth 10 % too small lifts the floor by 0.06 m: the found floor rises with it."""
    found = _of(_frame(exact_depth(boxes=(BOX,)) * np.float32(0.7)))
    height = MOUNTING.height * 0.7
    assert found.floor_T_optical[2, 3] == pytest.approx(height, abs=0.01)
    assert len(found.marking) and found.marking[:, 2].max() < 3


def test_the_mounting_counts_where_no_floor_is_seen():
    """A wall fills the picture."""
    wall = np.full((60, 80), 1.0, np.float32)
    found = _of(_frame(wall))
    assert np.array_equal(found.floor_T_optical, MOUNTING.floor_T_optical)


def test_a_floor_that_the_scale_found_is_not_looked_for_again(monkeypatch):
    monkeypatch.setattr(surroundings, 'ground_of', None)
    ground = Ground(MOUNTING.up, 0.6, 0.55, 0.3, 0.01, 0.05)
    found = _of(replace(_frame(), ground=ground, scale=Scale(1.0, 'ground')))
    assert found.floor_T_optical[2, 3] == 0.55
    none = _of(replace(_frame(), scale=Scale(1.0, 'ground')))
    assert none.floor_T_optical[2, 3] == MOUNTING.height


# -- several views


def test_views_of_a_wide_lens_become_one_cloud():
    """A view that is turned to the right by 90 degrees: its (x, y, z) is (z, y, -x)."""
    front = _frame()
    right = replace(front, camera_R_view=TURN_RIGHT)
    found = Surroundings([front, right], MOUNTING, replace(SETTINGS, edge_filter=0.0))
    one = colored_points(front).reshape(-1, 4)
    assert found.points.shape == (2 * 60 * 80, 4)
    np.testing.assert_array_equal(found.points[:4800], one)
    np.testing.assert_allclose(found.points[4800:, 0], one[:, 2], atol=1e-6)
    np.testing.assert_allclose(found.points[4800:, 2], -one[:, 0], atol=1e-6)


def test_the_scan_of_two_views_reaches_over_both():
    """One view spans 57 degrees; the other one, to the right, ends at least 90 farther."""
    front = _frame()
    right = replace(front, camera_R_view=TURN_RIGHT)
    alone = _of(front).sweep
    both = Surroundings([front, right], MOUNTING, SETTINGS).sweep
    assert both.angle_max == pytest.approx(alone.angle_max, abs=0.05)
    assert both.angle_min < alone.angle_min - 1.4


def test_pixels_of_another_view_are_in_none():
    own = np.zeros((60, 80), bool)
    own[:, 40:] = True
    found = _of(_frame(own=own))
    assert np.isnan(found.points[:, :40, :3]).all()
    # the right half alone: no bearing more than 0.1 rad to the left
    assert _bearings(found).max() < 0.1 < _bearings(_of()).max()


# -- when they are made


def test_nothing_is_made_before_it_is_asked_for(monkeypatch):
    for name in ('trusted_depth', 'colored_points', 'ground_of', 'laser_scan', 'marking_points'):
        monkeypatch.setattr(surroundings, name, None)
    assert _of().front.depth.shape == (60, 80)


def test_points_alone_look_for_no_floor(monkeypatch):
    for name in ('ground_of', 'laser_scan', 'marking_points', 'clearing_points', 'ray_ends'):
        monkeypatch.setattr(surroundings, name, None)
    assert _of().points.shape == (60, 80, 4)


def test_each_is_made_once(monkeypatch):
    calls = []
    real = surroundings.trusted_depth
    monkeypatch.setattr(surroundings, 'trusted_depth', lambda *a: calls.append(1) or real(*a))
    found = _of()
    for product in ('points', 'marking', 'clearing', 'scan', 'points'):
        assert getattr(found, product) is getattr(found, product)
    assert len(calls) == 1


# -- what they lack


def test_what_is_lacking_is_said():
    depth_alone = replace(_frame(), camera=None, confidence=None)
    assert _of(depth_alone).lacks_nothing() == ''
    assert _of(depth_alone).lacks_confidence() == 'the model tells no confidence'
    for lacks in ('lacks_camera', 'lacks_floor', 'lacks_scan'):
        assert getattr(_of(depth_alone), lacks)() == 'there is no camera_info'
        assert getattr(_of(), lacks)() == ''
    assert _of(mounting=None).lacks_camera() == ''
    assert 'camera_height' in _of(mounting=None).lacks_floor()


def test_a_camera_that_sees_no_band_has_no_scan():
    """It looks straight up."""
    found = _of(mounting=Mounting(0.6, pitch=-1.55))
    assert found.lacks_floor() == ''
    assert 'no pixel sees heights of 0.1 to 1 m within 4 m' in found.lacks_scan()

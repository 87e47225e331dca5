"""
The floor in rendered and recorded depth.

Rendered rooms are exact: z-depth of a plane is its distance along up, divided by the drop of the
ray. The camera has fx != fy and lies off the centre.
"""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.scaling.ground import find_ground

CAMERA = Camera(128, 96, 105.0, 110.0, 60.0, 44.0)
HELD = Mounting(1.2, pitch=math.radians(20), roll=math.radians(-3))


def _directions(mounting, camera=CAMERA):
    """Return metres ahead, left and up for each metre of z-depth."""
    return np.moveaxis(camera.rays() @ mounting.floor_R_optical.T, -1, 0)


def _room(mounting=HELD, wall=5.0, table=None, camera=CAMERA):
    """
    Return the depth of a floor and a wall ahead.

    :param table: its height above the floor [m], 1 to 2 m ahead, from the middle to the left.
    """
    ahead, left, up = _directions(mounting, camera)
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.minimum(
            np.where(up < 0, -mounting.height / up, np.inf),
            np.where(ahead > 0, wall / ahead, np.inf),
        )
        if table is not None:
            top = (table - mounting.height) / up
            hit = (top > 0) & (top * ahead > 1) & (top * ahead < 2) & (top * left > 0)
            depth[hit] = top[hit]
    return depth.astype(np.float32)


def _degrees(a, b):
    return math.degrees(math.acos(min(1.0, float(a @ b))))


def test_one_pixel_by_hand():
    """Level, 1.2 m up: 55 rows below the principal point the ray drops 55 / 110 = 0.5: 2.4 m."""
    assert _room(Mounting(1.2), wall=9.0)[44 + 51, 60] == pytest.approx(1.2 / (51 / 110))


@pytest.mark.parametrize('held', [HELD, Mounting(0.3), Mounting(1.6, math.radians(40))])
def test_the_floor_is_found_at_its_height(held):
    ground = find_ground(_room(held), CAMERA, held)
    assert ground.height == pytest.approx(held.height, rel=0.005)
    assert _degrees(ground.up, held.up) < 0.3
    assert ground.spread < 0.005


@given(st.floats(0.3, 3), st.floats(0.3, 1.8), st.floats(10, 40), st.floats(-8, 8))
@settings(max_examples=40, deadline=None)
def test_height_goes_with_the_scale_of_depth(scale, height, pitch, roll):
    held = Mounting(height, math.radians(pitch), math.radians(roll))
    ground = find_ground(np.float32(scale) * _room(held, wall=4 * height), CAMERA, held)
    assert ground.height == pytest.approx(scale * height, rel=0.01)


@pytest.mark.parametrize('scale', [0.5, 1.0, 2.0])
def test_a_table_top_is_not_the_floor(scale):
    """At twice the scale the table, 0.5 m below the camera, lies near the floor's true height."""
    depth = _room(table=0.7)
    assert (depth < _room() - 0.1).mean() > 0.1
    ground = find_ground(np.float32(scale) * depth, CAMERA, HELD)
    assert ground.height == pytest.approx(scale * 1.2, rel=0.02)


def test_a_wall_alone_is_no_floor():
    """At 0.8 m the wall fills the picture of a level camera."""
    held = Mounting(1.2)
    depth = np.full((96, 128), 0.8, np.float32)
    assert find_ground(depth, CAMERA, held) is None


def test_a_camera_that_looks_up_sees_no_floor():
    """Pitch -60 degrees: the lowest ray, atan(51 / 110) = 25 degrees below the axis, rises."""
    held = Mounting(1.2, pitch=math.radians(-60))
    _, _, up = _directions(held)
    depth = (1.2 / up).astype(np.float32)  # a ceiling
    assert (up > 0).all()
    assert find_ground(depth, CAMERA, held) is None


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, -1.0, 1e30])
def test_pixels_without_depth_do_not_count(value):
    depth = _room()
    depth[:, 40:70] = value
    assert find_ground(depth, CAMERA, HELD).height == pytest.approx(1.2, rel=0.005)
    assert find_ground(np.full_like(depth, value), CAMERA, HELD) is None


def test_the_plane_is_found_though_the_mounting_is_off_by_two_degrees():
    """
    What a wrong angle does to the height: 2 degrees at 2.5 m ahead are 9 cm of 1.2 m, 7 %.

    The fit takes back more than half of both.
    """
    off = Mounting(1.2, HELD.pitch + math.radians(2), HELD.roll)
    ground = find_ground(_room(), CAMERA, off)
    assert _degrees(ground.up, HELD.up) < 1.2
    assert ground.height == pytest.approx(1.2, rel=0.05)


def test_a_ramp_is_not_the_floor():
    """The mounting says 20 degrees of pitch, and all that is level leans by 12."""
    leaning = Mounting(1.2, HELD.pitch - math.radians(12), HELD.roll)
    assert find_ground(_room(leaning), CAMERA, HELD) is None


def test_confidence_that_is_not_a_number_is_none():
    confidence = np.full((96, 128), 0.9, np.float32)
    confidence[:, :60] = np.nan
    ground = find_ground(_room(), CAMERA, HELD, confidence)
    assert ground.height == pytest.approx(1.2, rel=0.005)
    assert find_ground(_room(), CAMERA, HELD, np.full_like(confidence, np.nan)) is None


def test_a_floor_that_melts_into_things_is_taken_where_it_is_sure():
    """The left two thirds of the floor are 25 % too near, at a confidence of 0.5."""
    depth, confidence = _room(), np.full((96, 128), 0.9, np.float32)
    depth[:, :85] *= 0.75
    confidence[:, :85] = 0.5
    assert find_ground(depth, CAMERA, HELD, confidence).height == pytest.approx(1.2, rel=0.01)


def test_the_height_is_that_of_the_upper_fifth():
    """
    A floor whose log heights are spread evenly from -0.1 to 0.1 about 1.2 m.

    Their 80th percentile is +0.06: 1.2 * exp(0.06) = 1.274. Each column has one height, so that
    the surface stays level along it; the columns are shuffled in threes.
    """
    held = Mounting(1.2, pitch=math.radians(35))
    levels = np.linspace(-0.1, 0.1, 43).astype(np.float32)
    shuffled = np.repeat(np.random.default_rng(3).permutation(levels), 3)[:128]
    ground = find_ground(_room(held) * np.exp(shuffled), CAMERA, held)
    assert ground.height == pytest.approx(1.274, rel=0.02)
    assert ground.middle == pytest.approx(1.2, rel=0.02)
    assert ground.spread == pytest.approx(0.2 / math.sqrt(12), rel=0.2)


def test_evidence_is_the_share_of_sure_pixels():
    """Confidence 0.8 weighs 0.8^8 = 0.168 of 1; half of it is below a thousandth at 0.3."""
    sure = find_ground(_room(), CAMERA, HELD)
    less = find_ground(_room(), CAMERA, HELD, np.full((96, 128), 0.8, np.float32))
    assert less.evidence == pytest.approx(0.168 * sure.evidence, rel=0.01)
    assert less.error > sure.error
    assert find_ground(_room(), CAMERA, HELD, np.full((96, 128), 0.3, np.float32)) is None


def test_a_large_image_gives_the_same():
    camera = CAMERA.resized(640, 480)
    ground = find_ground(_room(camera=camera), camera, HELD)
    small = find_ground(_room(), CAMERA, HELD)
    assert ground.height == pytest.approx(1.2, rel=0.005)
    assert ground.evidence == pytest.approx(small.evidence, rel=0.1)


def test_nothing_is_left_behind():
    depth, confidence = _room(), np.full((96, 128), 0.8, np.float32)
    before = depth.copy()
    first = find_ground(depth, CAMERA, HELD, confidence)
    again = find_ground(depth, CAMERA, HELD, confidence)
    assert np.array_equal(depth, before) and (confidence == 0.8).all()
    assert first.height == again.height and np.array_equal(first.up, again.up)


def test_a_floor_scales_with_its_depth():
    ground = find_ground(_room(), CAMERA, HELD)
    other = ground.scaled(1.5)
    assert other.height == pytest.approx(1.5 * ground.height)
    assert other.middle == pytest.approx(1.5 * ground.middle)
    assert other.evidence == ground.evidence and other.up is ground.up


def test_depth_of_another_size_is_refused():
    with pytest.raises(
        ValueError, match=r"depth is \(48, 64\); expected the camera's \(96, 128\)"
    ):
        find_ground(np.ones((48, 64), np.float32), CAMERA, HELD)


@pytest.mark.parametrize('index', [0, 60, 120])
def test_a_recorded_kitchen_has_its_floor_where_the_poses_say(data_folder, index):
    """
    The floor's plane, fitted to the cloud of all 240 frames, is up . x = -1.640 m.

    So a camera at x is up . x + 1.640 above it: 1.475 m in frame 0, 1.408 m in frame 60.
    """
    up = np.array([0.0280, -0.8790, -0.4760])
    up /= np.linalg.norm(up)
    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5).resized(128, 96)
    stem = data_folder / 'kitchen_video' / f'frame-{index:06d}'
    raw = cv2.imread(f'{stem}.depth.png', cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
    raw[raw > 60] = np.nan
    depth = cv2.resize(raw, (128, 96), interpolation=cv2.INTER_NEAREST_EXACT)
    pose = np.loadtxt(f'{stem}.pose.txt')
    height = float(up @ pose[:3, 3]) + 1.640
    # the hint is 20 cm off, and the angles are the poses'
    ground = find_ground(depth, camera, _held(pose[:3, :3].T @ up, height + 0.2))
    assert ground.height == pytest.approx(height, rel=0.025)
    assert _degrees(ground.up, pose[:3, :3].T @ up) < 1.5


def _held(up, height):
    """Return the mounting with such an up: (-cos(pitch) sin(roll), -cos cos, -sin(pitch))."""
    return Mounting(height, -math.asin(up[2]), math.atan2(-up[0], -up[1]))

"""Stereo pairs out of motion: on a rendered plane exactly, on real videos by photometric error."""

from dataclasses import replace

import numpy as np
import plane_scene
import pytest
import recorded_video
import torch

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.motion_stereo import sideways_pairs, stereo_pair
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.objectives.picture_losses import stereo_loss

pytestmark = pytest.mark.usefixtures('one_thread')

CAMERA = Camera(160, 120, 150.0, 140.0, 74.0, 63.0)
TURN = 0.03, -0.08, 0.05


def _sample(name, translation, axis_angle=(0.0, 0, 0), time=0.0):
    pose = plane_scene.pose(translation, axis_angle)
    picture, depth = plane_scene.render(pose, CAMERA)
    image = np.rint(255 * picture).astype(np.uint8)
    return Sample(name, image, CAMERA, depth.astype(np.float32), time, 'walk', pose)


def _two():
    return _sample('a', (0, 0, 0)), _sample('b', (0.12, -0.02, 0.03), TURN, 1.0)


def _rendered(sample, place):
    """Render what a pair's left camera sees, or the right one, ``place`` along its x."""
    pose = sample.world_T_camera.copy()
    pose[:3, 3] += place * pose[:3, 0]
    return plane_scene.render(pose, sample.camera)


def _loss(pair, scale):
    camera = pair.camera
    pictures = [
        torch.from_numpy(np.array(p)).permute(2, 0, 1)[None] / 255
        for p in (pair.image, pair.right)
    ]
    intrinsics = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]).float()
    depth = torch.from_numpy(pair.depth)[None] * scale
    return stereo_loss(*pictures, depth, None, intrinsics, torch.tensor([pair.baseline])).item()


def test_a_pair_is_what_a_stereo_camera_sees():
    """
    Both pictures are rendered again from the pair's own camera: they differ by interpolation.

    The baseline is sqrt(0.12^2 + 0.02^2 + 0.03^2) = 0.12530 m.
    """
    pair = stereo_pair(*_two())
    assert pair.baseline == pytest.approx(0.12530, abs=1e-5)
    for found, place in ((pair.image, 0), (pair.right, pair.baseline)):
        expected = 255 * _rendered(pair, place)[0]
        assert np.abs(found - expected).max() < 4
    assert np.abs(pair.image.astype(int) - pair.right).mean() > 10


def test_depth_is_that_of_the_turned_camera():
    """
    The nearest reading is at most half a pixel away on either axis, where the plane's depth has
    changed by (0.5 * 0.2 / 150 + 0.5 * 0.1 / 140) = 0.1 %.

    Without the division by r_z the depth is off by up to 10 %.
    """
    one, other = _two()
    pair = stereo_pair(one, other)
    expected = _rendered(pair, 0)[1]
    assert np.abs(pair.depth / expected - 1).max() < 2e-3
    first = np.abs(one.depth[:10, :10] / _rendered(pair, 0)[1][:10, :10] - 1)
    assert first.max() > 0.02


def test_a_turn_of_ten_degrees_by_hand():
    """
    A reading of 2 m at the old pixel cx + 150 tan(10 degrees) is 2 / cos(10 degrees) = 2.031 m.

    The camera, turned by -10 degrees, moves along its x turned back by 10: along the world's x.
    """
    turn = (0, np.deg2rad(-10), 0)
    one = replace(_sample('a', (0, 0, 0), turn), depth=np.full((120, 160), 2.0, np.float32))
    pair = stereo_pair(one, _sample('b', (0.2, 0, 0), turn))
    column, row = round(pair.camera.cx), round(pair.camera.cy)
    assert pair.depth[row, column] == pytest.approx(2 / np.cos(np.deg2rad(10)), rel=1e-3)
    assert pair.world_T_camera[:3, :3] == pytest.approx(np.eye(3), abs=1e-9)


def test_the_left_one_is_left_whatever_the_order():
    one, other = _two()
    there, back = stereo_pair(one, other), stereo_pair(other, one)
    assert there.name == back.name == 'a+b'
    assert (there.image == back.image).all() and (there.right == back.right).all()


def test_both_pictures_fill_the_window():
    """No black border: a rendered plane has no pixel of 0, 0, 0."""
    pair = stereo_pair(*_two())
    assert pair.image.shape == pair.right.shape == (pair.camera.height, pair.camera.width, 3)
    assert pair.camera.width > 80
    assert pair.image.sum(-1).min() > 0 and pair.right.sum(-1).min() > 0
    assert pair.camera.fx == CAMERA.fx and pair.camera.fy == CAMERA.fy


def test_missing_readings_stay_missing():
    one, other = _two()
    holes = np.where(np.arange(160) % 4 == 0, np.nan, one.depth).astype(np.float32)
    pair = stereo_pair(replace(one, depth=holes), other)
    assert np.isnan(pair.depth).mean() == pytest.approx(0.25, abs=0.05)
    assert stereo_pair(replace(one, depth=None), other).depth is None


def test_motion_that_is_not_sideways_is_refused():
    with pytest.raises(ValueError, match='a, b: rectified, both fill .* not sideways enough'):
        stereo_pair(_sample('a', (0, 0, 0)), _sample('b', (0.02, 0, 0.2)))


def test_pose_and_one_camera_are_needed():
    one, other = _two()
    with pytest.raises(ValueError, match='a, b: a pose is not known; expected both'):
        stereo_pair(one, replace(other, world_T_camera=None))
    with pytest.raises(ValueError, match='a, b: two cameras; expected one'):
        stereo_pair(one, replace(other, camera=replace(CAMERA, fx=151.0)))


def test_sideways_pairs_take_the_most_sideways_motion():
    """
    Seen from frame 0: 1 is too near, 2 goes as far ahead as aside, 3 goes 0.2 m aside and 0.02 up.

    From 1 both later ones move ahead or aside: 3 again. From 2 to 3 it is (0.1, -0.02, -0.1). 4
    lies 0.2 m aside of 3 but comes 9 s later.
    """
    frames = [
        _sample('0', (0, 0, 0)),
        _sample('1', (0.03, 0, 0), time=1),
        _sample('2', (0.1, 0, 0.1), time=2),
        _sample('3', (0.2, -0.02, 0), time=3),
        _sample('4', (0.4, -0.02, 0), time=12),
    ]
    assert list(sideways_pairs(frames)) == [(0, 3), (1, 3)]


def test_sideways_pairs_leave_out_frames_without_pose_and_turned_ones():
    frames = [
        _sample('0', (0, 0, 0)),
        replace(_sample('1', (0.2, 0, 0)), world_T_camera=None),
        _sample('2', (0.2, 0, 0), (0, 0.3, 0)),  # 17 degrees
    ]
    assert list(sideways_pairs(frames)) == []


def test_a_pair_teaches_the_depth_that_it_holds():
    pair = stereo_pair(*_two())
    right = _loss(pair, 1.0)
    assert right < 0.01
    assert 5 * right < min(_loss(pair, 0.8), _loss(pair, 1.25))


@pytest.mark.parametrize(
    ('video', 'indices'),
    [
        (recorded_video.headset, (99, 100)),
        (recorded_video.headset, (98, 99)),
        (recorded_video.kitchen, (230, 238)),
        (recorded_video.kitchen, (231, 239)),
    ],
)
def test_recorded_depth_explains_a_pair_of_a_real_video(data_folder, video, indices):
    """Rows, baseline and depth agree: a fifth more or less depth explains it worse by far."""
    samples = [video(data_folder, i) for i in indices]
    assert list(sideways_pairs(samples)) == [(0, 1)]
    pair = stereo_pair(*samples)
    assert 1.4 * _loss(pair, 1.0) < min(_loss(pair, 0.8), _loss(pair, 1.25))

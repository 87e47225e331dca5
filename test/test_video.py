"""Videos with poses: their two layouts, their depth, and poses that are none."""

import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.training.sources.video import (
    VideoSource,
    find_frames,
    is_rigid,
    read_pose,
    read_poses,
)

K = '10 0 5\n0 11 4.5\n0 0 1\n'
CAMERA = Camera(12, 9, 10.0, 11.0, 5.0, 4.5)


def _pose(i=0):
    """Return camera i: x of the camera is y of the world, y its -x; i m along the world's x."""
    return np.array([[0, -1, 0, i], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]])


def _write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def _picture(i):
    return np.full((9, 12, 3), 50 + i, np.uint8)


def _millimetres(i):
    return np.full((9, 12), 1000 + i, np.uint16)


def _shared(root):
    """Write three frames and their poses into one folder."""
    for i in range(3):
        _write(root / f'frame-{i:06d}.color.png', _picture(i))
        _write(root / f'frame-{i:06d}.depth.png', _millimetres(i))
        np.savetxt(root / f'frame-{i:06d}.pose.txt', _pose(i))
    (root / 'camera-intrinsics.txt').write_text(K)


def _split(root):
    """Write three frames into two folders, their poses into one file."""
    for i in range(3):
        _write(root / 'rgb' / f'{9 + i}.png', _picture(i))  # 9, 10, 11: not the order of letters
        _write(root / 'depth' / f'{9 + i}.png', _millimetres(i))
    np.savetxt(root / 'poses.txt', [_pose(i).ravel() for i in range(3)])
    (root / 'K.txt').write_text(K)


@pytest.fixture(params=[_shared, _split])
def folder(request, tmp_path):
    """Return a video of three frames in each layout."""
    request.param(tmp_path / 'walk')
    return tmp_path / 'walk'


@pytest.fixture
def shared(tmp_path):
    _shared(tmp_path / 'walk')
    return tmp_path / 'walk'


@pytest.fixture
def apart(tmp_path):
    _split(tmp_path / 'walk')
    return tmp_path / 'walk'


def test_frames_come_in_order_with_their_depth_and_pose(folder):
    source = VideoSource(folder)
    samples = list(source.samples())
    assert (source.name, len(source)) == ('walk', 3)
    for i, sample in enumerate(samples):
        assert sample.image[4, 6].tolist() == [50 + i] * 3
        assert sample.depth[4, 6] == np.float32((1000 + i) / 1000)
        np.testing.assert_array_equal(sample.world_T_camera, _pose(i))
        assert (sample.sequence, sample.camera) == ('walk', CAMERA)


def test_time_is_the_frames_number_over_the_rate(folder):
    times = [s.time for s in VideoSource(folder, rate=4.0).samples()]
    assert times == [0.0, 0.25, 0.5]


def test_given_camera_and_unit_go_before_the_folders(folder):
    sample = next(VideoSource(folder, (20.0, 21.0, 6.0, 3.0), 0.0002).samples())
    assert sample.camera == Camera(12, 9, 20.0, 21.0, 6.0, 3.0)
    assert sample.depth[0, 0] == np.float32(0.2)


def test_depth_may_be_absent(folder):
    for file in folder.rglob('*'):
        if file.is_file() and 'depth' in str(file.relative_to(folder)):
            file.unlink()
    source = VideoSource(folder)
    samples = list(source.samples())
    assert [s.depth for s in samples] == [None] * 3
    assert '3 frames without depth' in source.report()


def test_frame_without_depth_among_others_keeps_its_pose(apart):
    (apart / 'depth' / '10.png').unlink()
    source = VideoSource(apart)
    samples = list(source.samples())
    assert [s.depth is None for s in samples] == [False, True, False]
    np.testing.assert_array_equal(samples[1].world_T_camera, _pose(1))
    assert '1 frames without depth' in source.report()


def test_damaged_frame_is_skipped_and_the_next_keeps_its_own_pose(folder):
    second = find_frames(folder)[1]
    second.image.write_bytes(b'damaged')
    source = VideoSource(folder)
    samples = list(source.samples())
    assert [s.world_T_camera[0, 3] for s in samples] == [0, 2]
    assert [s.time for s in samples] == [0, 2 / 30]
    assert source.report()[-1].startswith('1 skipped; the first: ')


def test_report_says_what_was_found(folder):
    source = VideoSource(folder)
    list(source.samples())
    assert source.report() == ['a video with poses: 3 samples', 'depth from 1.00 to 1.00 m']


# Poses that are none


def _changed(row, column, number):
    pose = _pose()
    pose[row, column] = number
    return pose


BAD = {
    'nan': np.full((4, 4), np.nan),
    'infinite': _changed(0, 3, np.inf),
    'scaled': _pose() * [[1.1, 1.1, 1.1, 1]],
    'mirrored': _pose() * [[1, 1, -1, 1]],
    'sheared': _changed(0, 0, 0.1),
    'last row': _changed(3, 0, 0.5),
    'zero': np.zeros((4, 4)),
}


@pytest.mark.parametrize('bad', BAD.values(), ids=BAD.keys())
def test_what_is_no_rigid_motion_is_no_pose(shared, bad):
    np.savetxt(shared / 'frame-000001.pose.txt', bad)
    source = VideoSource(shared)
    poses = [s.world_T_camera for s in source.samples()]
    assert [p is None for p in poses] == [False, True, False]
    assert '1 frames without a valid pose' in source.report()


def test_line_that_is_no_rigid_motion_is_no_pose(apart):
    lines = (apart / 'poses.txt').read_text().splitlines()
    lines[1] = ' '.join(['nan'] * 16)
    (apart / 'poses.txt').write_text('\n'.join(lines))
    source = VideoSource(apart)
    assert [s.world_T_camera is None for s in source.samples()] == [False, True, False]
    assert '1 frames without a valid pose' in source.report()


@pytest.mark.parametrize('text', ['', '-1.#IND ' * 16, 'lost', '1 2 3'])
def test_file_that_holds_no_matrix_is_no_pose(tmp_path, text):
    (tmp_path / 'a.pose.txt').write_text(text)
    assert read_pose(tmp_path / 'a.pose.txt') is None


def test_frame_without_a_pose_file_has_no_pose(shared):
    (shared / 'frame-000002.pose.txt').unlink()
    poses = [s.world_T_camera for s in VideoSource(shared).samples()]
    assert [p is None for p in poses] == [False, False, True]


def test_12_numbers_are_the_upper_rows(tmp_path):
    np.savetxt(tmp_path / 'poses.txt', [_pose(7)[:3].ravel()])
    (found,) = read_poses(tmp_path / 'poses.txt', 12)
    np.testing.assert_array_equal(found, _pose(7))


@settings(max_examples=50, deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1),
    angle=st.floats(-3, 3),
    shift=st.tuples(*[st.floats(-100, 100)] * 3),
)
def test_every_rotation_and_translation_is_rigid_also_rounded(axis, angle, shift):
    rotation, _ = cv2.Rodrigues(np.array(axis) / np.linalg.norm(axis) * angle)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, shift
    assert is_rigid(pose)
    assert is_rigid(np.round(pose, 4))
    assert not is_rigid(pose * [[-1, 1, 1, 1]])
    assert not is_rigid(pose[:3])


# Errors


def test_another_number_of_poses_than_images_is_an_error(apart):
    np.savetxt(apart / 'poses.txt', [_pose().ravel()] * 2)
    with pytest.raises(ValueError, match='poses.txt: 2 poses; expected 3, one an image'):
        VideoSource(apart)


def test_line_of_another_length_is_an_error(apart):
    (apart / 'poses.txt').write_text('1 2 3\n' * 3)
    with pytest.raises(ValueError, match='poses.txt: line 1 has 3 numbers; expected 16'):
        VideoSource(apart)


def test_no_poses_is_an_error(apart):
    (apart / 'poses.txt').unlink()
    with pytest.raises(FileNotFoundError, match='K.txt, depth/, rgb/; expected images, and poses'):
        VideoSource(apart)


def test_no_images_is_an_error(tmp_path):
    (tmp_path / 'poses.txt').touch()
    with pytest.raises(FileNotFoundError, match='poses.txt; expected images'):
        VideoSource(tmp_path)


def test_no_camera_is_an_error(apart):
    (apart / 'K.txt').unlink()
    with pytest.raises(FileNotFoundError, match='no camera; expected K.txt'):
        VideoSource(apart)


@pytest.mark.parametrize('part', ['rgb/10.png', 'depth/10.png', 'poses.txt'])
def test_signature_changes_with_a_file(apart, part):
    before = VideoSource(apart).signature()
    assert VideoSource(apart).signature() == before
    later = (apart / part).stat().st_mtime_ns + 10**9
    os.utime(apart / part, ns=(later, later))
    assert VideoSource(apart).signature() != before


def test_signature_changes_with_the_options(apart):
    sources = VideoSource(apart), VideoSource(apart, rate=5.0), VideoSource(apart, depth_unit=0.1)
    assert len({s.signature() for s in sources}) == 3


# Recorded data


def test_kitchen_video_has_a_pose_for_each_frame(data_folder):
    source = VideoSource(data_folder / 'kitchen_video')
    assert len(source) == 240
    samples = source.samples()
    first, second = next(samples), next(samples)
    assert first.camera == Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
    assert first.world_T_camera[:3, 3] == pytest.approx([-0.34045634, 0.01646982, 0.29656917])
    assert second.time == pytest.approx(1 / 30)


@pytest.mark.parametrize(('video', 'later'), [('kitchen_video', 100), ('headset_video', 8)])
def test_poses_bring_the_points_of_one_frame_onto_another(data_folder, video, later):
    """
    The depth that a moved point has is the recorded one, within 3 % for most points.

    A pose read the wrong way round, or none, misses by more than twice as much.
    """
    source = VideoSource(data_folder / video)
    first, last = (source.read(source.entries[i]) for i in (0, later))
    last_T_first = np.linalg.inv(last.world_T_camera) @ first.world_T_camera
    error = _error(first, last, last_T_first)
    assert error < 0.03
    assert _error(first, last, np.eye(4)) > 2 * error
    assert _error(first, last, np.linalg.inv(last_T_first)) > 2 * error


def _error(first, last, last_T_first):
    """Return the median relative error of the depth of moved points."""
    points = first.camera.unproject(first.depth).reshape(-1, 3)
    moved = points[np.isfinite(points).all(1)] @ last_T_first[:3, :3].T + last_T_first[:3, 3]
    moved = moved[moved[:, 2] > 0]
    u, v = np.round(last.camera.project(moved)).T
    seen = (u >= 0) & (u < last.camera.width) & (v >= 0) & (v < last.camera.height)
    recorded = last.depth[v[seen].astype(int), u[seen].astype(int)]
    return np.nanmedian(np.abs(moved[seen, 2] - recorded) / recorded)

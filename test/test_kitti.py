"""KITTI: its calibration files, its LiDAR, and the layouts of its two benchmarks."""

import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.training.sources.kitti import KittiDepthSource
from fcrn_ros.training.sources.kitti_odometry import KittiOdometrySource
from fcrn_ros.training.sources.rig import Calibration, project_lidar, read_lidar

CAMERA = Camera(12, 9, 10.0, 11.0, 5.0, 4.0)
# fx, 0, cx, fx tx + cx tz; 0, fy, cy, fy ty + cy tz; 0, 0, 1, tz: t = (0.2, 0.1, 0.5) m
P2 = (10, 0, 5, 4.5, 0, 11, 4, 3.1, 0, 0, 1, 0.5)
# the same with t = (-0.34, 0.1, 0.5) m: 0.54 m to the right of camera 2
P3 = (10, 0, 5, -0.9, 0, 11, 4, 3.1, 0, 0, 1, 0.5)
# camera 0 sees the LiDAR's -y as x, its -z as y, its x as z; and lies 0.25 m in front of it
TR = (0, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, -0.25)


def _row(name, numbers):
    return f'{name}: {" ".join(f"{x:e}" for x in numbers)}\n'


def _write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def _picture(value):
    """Return (9, 12, 3) BGR: blue 10, green by column, red ``value``."""
    image = np.zeros((9, 12, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, np.arange(12) * 5, value
    return image


# Calibration


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / 'calib.txt'
    path.write_text('calib_time: 09-Jan-2012 13:57:47\n' + _row('P2', P2) + _row('P3', P3))
    with path.open('a') as file:
        file.write(_row('Tr', TR) + '\n')
    return Calibration.read(path)


def test_shift_from_camera_0_is_that_of_the_matrix(calibration):
    """K^-1 (4.5, 3.1, 0.5): z = 0.5; x = (4.5 - 5 * 0.5) / 10 = 0.2; y = (3.1 - 4 * 0.5) / 11."""
    expected = np.eye(4)
    expected[:3, 3] = 0.2, 0.1, 0.5
    np.testing.assert_allclose(calibration.camera_T_camera0('P2'), expected, atol=1e-6)


def test_baseline_is_the_distance_of_the_cameras(calibration):
    """(4.5 + 0.9) / 10 = 0.54 m."""
    assert calibration.baseline('P2', 'P3') == pytest.approx(0.54)


def test_cameras_in_the_wrong_order_are_an_error(calibration):
    with pytest.raises(ValueError, match='P3 and P2 are -0.54 m apart.*a positive distance'):
        calibration.baseline('P3', 'P2')


def test_absent_matrix_is_an_error(calibration):
    with pytest.raises(ValueError, match='calib.txt: P1 has 0 numbers; expected 12 finite ones'):
        calibration.matrix('P1')


@pytest.mark.parametrize(('numbers', 'found'), [(P2[:11], 11), ((*P2[:11], np.nan), 12)])
def test_damaged_matrix_is_an_error(tmp_path, numbers, found):
    (tmp_path / 'calib.txt').write_text(_row('P2', numbers))
    with pytest.raises(ValueError, match=f'P2 has {found} numbers; expected 12 finite ones'):
        Calibration.read(tmp_path / 'calib.txt').matrix('P2')


# LiDAR


def test_point_is_seen_where_the_matrices_say(calibration):
    """
    The LiDAR's (4.75, 1, -0.4) is (-1, 0.4, 4.5) in camera 0 and (-0.8, 0.5, 5) in camera 2.

    u = 10 * -0.8 / 5 + 5 = 3.4, v = 11 * 0.5 / 5 + 4 = 5.1: pixel (3, 5), 5 m.
    """
    points = np.array([[4.75, 1, -0.4]], np.float32)
    depth = project_lidar(points, calibration.camera_T_lidar('P2'), CAMERA)
    assert (depth.shape, depth.dtype) == ((9, 12), np.float32)
    assert np.argwhere(np.isfinite(depth)).tolist() == [[5, 3]]
    assert depth[5, 3] == pytest.approx(5)


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_nearest_point_of_a_pixel_counts(order):
    """On the axis, (0, 0, z), all points are seen at (cx, cy) = (5, 4)."""
    points = np.array([[0, 0, 9], [0, 0, 3], [0, 0, 6]], np.float32)[list(order)]
    depth = project_lidar(points, np.eye(4), CAMERA)
    assert depth[4, 5] == 3
    assert np.isfinite(depth).sum() == 1


def test_points_behind_the_camera_or_in_it_are_dropped():
    points = np.array([[0, 0, -3], [0, 0, 0], [0.1, 0.2, -1e-9]], np.float32)
    assert np.isnan(project_lidar(points, np.eye(4), CAMERA)).all()


def test_points_beside_the_picture_are_dropped():
    """
    At z = 10 m, u = x + 5: -0.51 and 11.51 lie outside the columns -0.5 to 11.5, -0.49 inside.

    v = 1.1 y + 4: 8.6 outside the rows -0.5 to 8.5.
    """
    beside = [[-5.51, 0, 10], [6.51, 0, 10], [0, 4.2, 10], [0, -5, 10], [1e30, 0, 1e-30]]
    assert np.isnan(project_lidar(np.array(beside, np.float32), np.eye(4), CAMERA)).all()
    inside = np.array([[-5.49, 0, 10], [6.49, 0, 10]], np.float32)
    depth = project_lidar(inside, np.eye(4), CAMERA)
    assert np.argwhere(np.isfinite(depth)).tolist() == [[4, 0], [4, 11]]


def test_no_point_is_no_depth():
    assert np.isnan(project_lidar(np.empty((0, 3), np.float32), np.eye(4), CAMERA)).all()


@settings(max_examples=50, deadline=None)
@given(depths=st.lists(st.floats(0.5, 80, width=32), min_size=108, max_size=108))
def test_depth_lifted_to_points_and_projected_is_itself(depths):
    depth = np.array(depths, np.float32).reshape(9, 12)
    points = CAMERA.unproject(depth).reshape(-1, 3)
    np.testing.assert_array_equal(project_lidar(points, np.eye(4), CAMERA), depth)


def test_lidar_is_rows_of_x_y_z_intensity(tmp_path):
    rows = np.array([[1, 2, 3, 0.5], [np.nan, 0, 0, 0], [4, 5, 6, np.nan]], np.float32)
    rows.tofile(tmp_path / '0.bin')
    points = read_lidar(tmp_path / '0.bin')
    assert points.dtype == np.float32
    assert points.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize('size', [0, 15, 18, 20])
def test_lidar_of_part_rows_is_an_error(tmp_path, size):
    (tmp_path / '0.bin').write_bytes(bytes(size))
    with pytest.raises(ValueError, match=f'0.bin: {size} bytes; expected rows of 4 float32'):
        read_lidar(tmp_path / '0.bin')


# Odometry


def _world_T_camera0(i):
    """Return camera 0 turned by 90 degrees about y (its z is the world's x), i m along x."""
    return np.array([[0, 0, 1, i], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


@pytest.fixture
def odometry(tmp_path):
    """Return two sequences of two pictures: all there is of 00, pictures and LiDAR of 11."""
    for name in ('00', '11'):
        folder = tmp_path / 'dataset' / 'sequences' / name
        for i in range(2):
            _write(folder / 'image_2' / f'{i:06d}.png', _picture(100 + int(name) + i))
            (folder / 'velodyne').mkdir(exist_ok=True)
            np.array([[4.75 + i, 1, -0.4, 0]], np.float32).tofile(
                folder / 'velodyne' / f'{i:06d}.bin'
            )
            if name == '00':
                _write(folder / 'image_3' / f'{i:06d}.png', _picture(200 + i))
        (folder / 'calib.txt').write_text(_row('P2', P2) + _row('P3', P3) + _row('Tr', TR))
        (folder / 'times.txt').write_text('0.000000e+00\n1.037700e-01\n')
    poses = tmp_path / 'dataset' / 'poses'
    poses.mkdir()
    np.savetxt(poses / '00.txt', [_world_T_camera0(i)[:3].ravel() for i in range(2)])
    return tmp_path / 'dataset'


def test_odometry_yields_the_pictures_of_all_sequences(odometry):
    source = KittiOdometrySource(odometry)
    samples = list(source.samples())
    assert (source.name, source.licence, len(source)) == ('dataset', 'CC BY-NC-SA 3.0', 4)
    assert [s.name for s in samples] == ['00/000000', '00/000001', '11/000000', '11/000001']
    assert [s.sequence for s in samples] == ['00', '00', '11', '11']
    assert [s.time for s in samples] == [0, 0.10377, 0, 0.10377]
    assert [s.image[0, 2].tolist() for s in samples] == [
        [red, 10, 10] for red in (100, 101, 111, 112)
    ]
    assert all(s.camera == CAMERA for s in samples)


def test_odometry_projects_its_lidar(odometry):
    """As above (3.4, 5.1) at 5 m; in the next turn z = 6 m: u = -8 / 6 + 5 = 3.67, v = 4.92."""
    samples = list(KittiOdometrySource(odometry).samples())
    first, second = samples[0].depth, samples[1].depth
    assert np.argwhere(np.isfinite(first)).tolist() == [[5, 3]]
    assert np.argwhere(np.isfinite(second)).tolist() == [[5, 4]]
    assert (first[5, 3], second[5, 4]) == (pytest.approx(5), pytest.approx(6))


def test_odometry_poses_are_those_of_camera_2(odometry):
    """
    Camera 2's centre is -t = (-0.2, -0.1, -0.5) in camera 0; in the world (z, y, -x) + (i, 0, 0).

    For i = 1 that is (-0.5 + 1, -0.1, 0.2).
    """
    pose = list(KittiOdometrySource(odometry).samples())[1].world_T_camera
    np.testing.assert_allclose(pose[:3, 3], (0.5, -0.1, 0.2), atol=1e-6)
    np.testing.assert_allclose(pose[:3, :3], _world_T_camera0(1)[:3, :3])


def test_odometry_has_the_right_picture_and_its_baseline(odometry):
    samples = list(KittiOdometrySource(odometry).samples())
    assert samples[1].right[0, 2].tolist() == [201, 10, 10]
    assert samples[1].baseline == pytest.approx(0.54)
    assert (samples[2].right, samples[2].baseline) == (None, 0.0)


def test_odometry_without_stereo_reads_no_right_picture(odometry):
    source = KittiOdometrySource(odometry, stereo=False)
    assert [s.right for s in source.samples()] == [None] * 4
    assert source.signature() != KittiOdometrySource(odometry).signature()


def test_odometry_reports_what_is_absent(odometry):
    (odometry / 'sequences/11/velodyne/000001.bin').unlink()
    source = KittiOdometrySource(odometry)
    samples = list(source.samples())
    assert (samples[2].world_T_camera, samples[3].depth) == (None, None)
    assert source.report() == [
        "KITTI's odometry benchmark: 4 samples",
        'depth from 5.00 to 6.00 m',
        '1 pictures without LiDAR',
        '2 pictures without a valid pose',
    ]


def test_odometry_without_times_goes_by_10_hz(odometry):
    (odometry / 'sequences/00/times.txt').unlink()
    samples = KittiOdometrySource(odometry, ['00']).samples()
    assert [s.time for s in samples] == [0, 0.1]


def test_named_sequences_alone_are_read(odometry):
    samples = KittiOdometrySource(odometry, ['11']).samples()
    assert [s.name for s in samples] == ['11/000000', '11/000001']


def test_pose_belongs_to_the_number_of_the_picture(odometry):
    (odometry / 'sequences/00/image_2/000000.png').unlink()
    (sample,) = KittiOdometrySource(odometry, ['00']).samples()
    assert sample.world_T_camera[0, 3] == pytest.approx(0.5)
    assert sample.time == 0.10377


def test_lidar_without_its_calibration_is_an_error(odometry):
    """The colour pictures' own calib.txt has no Tr; that of the calibration archive has."""
    for name in ('00', '11'):
        (odometry / f'sequences/{name}/calib.txt').write_text(_row('P2', P2) + _row('P3', P3))
    with pytest.raises(ValueError, match='none of 4 samples .* Tr has 0 numbers; expected 12'):
        list(KittiOdometrySource(odometry).samples())


def test_damaged_lidar_is_skipped(odometry):
    (odometry / 'sequences/00/velodyne/000000.bin').write_bytes(bytes(15))
    source = KittiOdometrySource(odometry)
    assert len(list(source.samples())) == 3
    assert '000000.bin: 15 bytes' in source.report()[-1]


def test_odometry_of_nothing_is_an_error(tmp_path):
    (tmp_path / 'notes').mkdir()
    with pytest.raises(FileNotFoundError, match='notes/; expected sequences/NN/image_2/N.png'):
        KittiOdometrySource(tmp_path)


def test_absent_sequence_is_an_error(odometry):
    with pytest.raises(FileNotFoundError, match='sequences/05: expected image_2/N.png'):
        KittiOdometrySource(odometry, ['05'])


@pytest.mark.parametrize(
    'part',
    [
        'sequences/00/image_2/000001.png',
        'sequences/00/image_3/000001.png',
        'sequences/00/velodyne/000001.bin',
        'sequences/00/calib.txt',
        'sequences/00/times.txt',
        'poses/00.txt',
    ],
)
def test_odometry_signature_changes_with_a_file(odometry, part):
    before = KittiOdometrySource(odometry).signature()
    assert KittiOdometrySource(odometry).signature() == before
    later = (odometry / part).stat().st_mtime_ns + 10**9
    os.utime(odometry / part, ns=(later, later))
    assert KittiOdometrySource(odometry).signature() != before


def test_odometry_signature_changes_when_poses_arrive(odometry):
    before = KittiOdometrySource(odometry).signature()
    np.savetxt(odometry / 'poses/11.txt', [_world_T_camera0(0)[:3].ravel()] * 2)
    assert KittiOdometrySource(odometry).signature() != before


# Depth prediction


DRIVE = '2011_09_26_drive_0001_sync'
TRUTH = 'proj_depth/groundtruth/image_02'


def _numbers(i):
    """Return (9, 12) uint16: 256 v + 64 u + 512 i, that is v + u / 4 + 2 i m; 0 at (0, 0)."""
    numbers = 256 * np.arange(9)[:, None] + 64 * np.arange(12) + 512 * i
    numbers[0, 0] = 0
    return numbers.astype(np.uint16)


def _day(raw):
    (raw / '2011_09_26').mkdir(parents=True, exist_ok=True)
    size = _row('S_rect_02', (12, 9))
    text = size + _row('P_rect_02', P2) + _row('P_rect_03', P3)
    (raw / '2011_09_26' / 'calib_cam_to_cam.txt').write_text(text)


def _prediction(root, raw):
    """Write two depth images and their pictures for training, one for validation."""
    for part, drive, numbers in (
        ('train', DRIVE, (5, 6)),
        ('val', DRIVE.replace('1_s', '2_s'), (7,)),
    ):
        for i in numbers:
            _write(root / part / drive / TRUTH / f'{i:010d}.png', _numbers(i))
            for camera in ('image_02', 'image_03'):
                file = raw / drive[:10] / drive / camera / 'data' / f'{i:010d}.png'
                _write(file, _picture(i + 100 * (camera == 'image_03')))
    _day(raw)


@pytest.fixture
def prediction(tmp_path):
    _prediction(tmp_path / 'kitti', tmp_path / 'kitti')
    return tmp_path / 'kitti'


def test_depth_benchmark_pairs_depth_with_the_raw_pictures(prediction):
    source = KittiDepthSource(prediction)
    samples = list(source.samples())
    assert (source.name, source.licence, len(source)) == ('kitti', 'CC BY-NC-SA 3.0', 2)
    assert [s.name for s in samples] == [f'{DRIVE}/0000000005', f'{DRIVE}/0000000006']
    assert [s.time for s in samples] == [0.5, 0.6]
    assert [s.sequence for s in samples] == [DRIVE] * 2
    assert [s.image[0, 2].tolist() for s in samples] == [[5, 10, 10], [6, 10, 10]]
    assert all(s.camera == CAMERA and s.world_T_camera is None for s in samples)


def test_depth_benchmark_counts_in_256ths_of_a_metre(prediction):
    """Pixel (u, v) = (7, 3) of number 5: 3 + 7 / 4 + 10 = 14.75 m."""
    depth = next(KittiDepthSource(prediction).samples()).depth
    assert depth.dtype == np.float32
    assert depth[3, 7] == 14.75
    assert np.argwhere(np.isnan(depth)).tolist() == [[0, 0]]


def test_far_depth_is_not_taken_for_a_hole(prediction):
    """65535 / 256 = 255.996 m is a depth here; 0 alone is a hole."""
    numbers = _numbers(5)
    numbers[2, 2] = 65535
    _write(prediction / 'train' / DRIVE / TRUTH / '0000000005.png', numbers)
    assert next(KittiDepthSource(prediction).samples()).depth[2, 2] == np.float32(65535 / 256)


def test_depth_benchmark_has_the_right_picture(prediction):
    sample = next(KittiDepthSource(prediction).samples())
    assert sample.right[0, 2].tolist() == [105, 10, 10]
    assert sample.baseline == pytest.approx(0.54)
    assert next(KittiDepthSource(prediction, stereo=False).samples()).right is None


def test_validation_drives_are_read_by_their_own_name(prediction):
    (sample,) = KittiDepthSource(prediction / 'val').samples()
    assert sample.name == '2011_09_26_drive_0002_sync/0000000007'


@pytest.mark.parametrize('place', ['depth/raw', '.', 'raw'])
def test_raw_recordings_are_found_beside_the_depth(tmp_path, place):
    _prediction(tmp_path / 'depth', tmp_path / place)
    assert len(list(KittiDepthSource(tmp_path / 'depth').samples())) == 2


def test_raw_recordings_may_be_elsewhere(tmp_path):
    _prediction(tmp_path / 'depth', tmp_path / 'else' / 'where')
    source = KittiDepthSource(tmp_path / 'depth', tmp_path / 'else' / 'where')
    assert len(list(source.samples())) == 2
    with pytest.raises(FileNotFoundError, match=f'no raw pictures; expected 2011_09_26/{DRIVE}'):
        KittiDepthSource(tmp_path / 'depth')


def test_picture_that_was_not_downloaded_is_skipped(prediction):
    (prediction / '2011_09_26' / DRIVE / 'image_02/data/0000000005.png').unlink()
    source = KittiDepthSource(prediction)
    assert [s.name for s in source.samples()] == [f'{DRIVE}/0000000006']
    assert source.report()[-1].startswith('1 skipped; the first: ')


def test_picture_of_another_size_than_the_calibration_says_is_an_error(prediction):
    """Pictures that were shrunk after the calibration; depth images may have been shrunk too."""
    for i in (5, 6):
        file = prediction / '2011_09_26' / DRIVE / f'image_02/data/{i:010d}.png'
        _write(file, np.zeros((5, 8, 3), np.uint8))
    with pytest.raises(ValueError, match='none of 2 .*8x5; expected 12x9, the size of the camera'):
        list(KittiDepthSource(prediction).samples())


def test_depth_image_of_another_size_than_its_picture_is_skipped(prediction):
    _write(prediction / 'train' / DRIVE / TRUTH / '0000000005.png', np.ones((12, 9), np.uint16))
    source = KittiDepthSource(prediction)
    assert len(list(source.samples())) == 1
    assert 'image_02/0000000005.png: 9x12; expected 12x9' in source.report()[-1]


def test_depth_benchmark_of_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing; expected DRIVE_sync/proj_depth/ground'):
        KittiDepthSource(tmp_path)


@pytest.mark.parametrize(
    'part',
    [
        f'train/{DRIVE}/{TRUTH}/0000000005.png',
        f'2011_09_26/{DRIVE}/image_02/data/0000000005.png',
        f'2011_09_26/{DRIVE}/image_03/data/0000000005.png',
        '2011_09_26/calib_cam_to_cam.txt',
    ],
)
def test_depth_benchmarks_signature_changes_with_a_file(prediction, part):
    before = KittiDepthSource(prediction).signature()
    later = (prediction / part).stat().st_mtime_ns + 10**9
    os.utime(prediction / part, ns=(later, later))
    assert KittiDepthSource(prediction).signature() != before

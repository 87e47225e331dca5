"""Pairs on disk: how they are matched, read, shrunk, cached and split."""

import os

import cv2
import numpy as np
import pytest

from fcrn_ros.camera import Camera
from fcrn_ros.training import datasets
from fcrn_ros.training.datasets import (
    Pair,
    decode,
    find_pairs,
    load_pair,
    read_depth,
    read_image,
    split,
)

CAMERA = Camera(12, 9, 10.0, 11.0, 5.0, 4.5)


def _write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def _colour(value=0):
    """Return (9, 12, 3) uint8 BGR: blue 10, green by column, red 200 + value."""
    image = np.zeros((9, 12, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, np.arange(12) * 5, 200 + value
    return image


def _depth():
    """Return (9, 12) uint16 in mm: 1000 + 100 v + u, with a hole and a far pixel."""
    depth = (1000 + 100 * np.arange(9)[:, None] + np.arange(12)).astype(np.uint16)
    depth[1, 1], depth[4, 7] = 0, 65535
    return depth


@pytest.fixture
def pairs(tmp_path):
    """Return three pairs a, b, c whose red is 200, 201, 202."""
    for i, stem in enumerate('abc'):
        _write(tmp_path / 'rgb' / f'{stem}.png', _colour(i))
        _write(tmp_path / 'depth' / f'{stem}.png', _depth())
    return find_pairs(tmp_path / 'rgb', tmp_path / 'depth')


# Matching


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pairs_match_by_stem_and_are_sorted(tmp_path):
    images = _touch(tmp_path / 'rgb', '0010.jpg', '0002.JPG', '0003.png', 'notes.txt', '0004.jpg')
    depths = _touch(tmp_path / 'depth', '0003.png', '0010.png', '0002.png', '0009.png')
    assert find_pairs(images, depths) == [
        Pair('0002', images / '0002.JPG', depths / '0002.png'),
        Pair('0003', images / '0003.png', depths / '0003.png'),
        Pair('0010', images / '0010.jpg', depths / '0010.png'),
    ]


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_pairs_match_in_one_shared_folder(tmp_path, suffix):
    roles = (f'color.{suffix}', 'depth.png', 'pose.txt')
    folder = _touch(tmp_path / 'video', *(f'frame-0{i}.{role}' for i in (1, 0) for role in roles))
    assert find_pairs(folder, folder) == [
        Pair(
            f'frame-0{i}', folder / f'frame-0{i}.color.{suffix}', folder / f'frame-0{i}.depth.png'
        )
        for i in (0, 1)
    ]


def test_time_stamps_in_names_are_kept_whole(tmp_path):
    """TUM RGB-D names its files by seconds; two images of one second are two stems."""
    stems = ['1305031102.175304', '1305031102.211214']
    names = [f'{stem}.png' for stem in stems]
    images, depths = _touch(tmp_path / 'rgb', *names), _touch(tmp_path / 'depth', *names)
    assert [p.stem for p in find_pairs(images, depths)] == stems


def test_absent_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='rgb is not a folder; expected one with image'):
        find_pairs(tmp_path / 'rgb', tmp_path)


def test_folders_without_a_match_are_an_error(tmp_path):
    images = _touch(tmp_path / 'rgb', 'a.jpg', 'b.jpg')
    depths = _touch(tmp_path / 'depth', 'c.png')
    expected = r'\(2 images\) has the stem of a depth PNG of .* \(1 files\)'
    with pytest.raises(FileNotFoundError, match=expected):
        find_pairs(images, depths)


# Reading


def test_image_is_read_as_rgb(tmp_path):
    image = read_image(_write(tmp_path / 'a.png', _colour()))
    assert (image.shape, image.dtype) == ((9, 12, 3), np.uint8)
    assert image[3, 4].tolist() == [200, 20, 10]


def test_depth_is_read_in_metres_with_holes_as_nan(tmp_path):
    """Pixel (u, v) = (7, 3) holds 1000 + 300 + 7 mm = 1.307 m; 0 and 65535 are no readings."""
    depth = read_depth(_write(tmp_path / 'a.png', _depth()))
    assert (depth.shape, depth.dtype) == ((9, 12), np.float32)
    assert depth[3, 7] == np.float32(1.307)
    assert np.argwhere(np.isnan(depth)).tolist() == [[1, 1], [4, 7]]


def test_unreadable_image_is_an_error(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(b'not a picture')
    with pytest.raises(ValueError, match='a.jpg: not a readable image; expected JPEG or PNG'):
        read_image(path)


def test_8_bit_depth_is_an_error(tmp_path):
    path = _write(tmp_path / 'a.png', np.zeros((9, 12), np.uint8))
    with pytest.raises(ValueError, match=r'a.png: uint8 \(9, 12\); expected a 16-bit depth PNG'):
        read_depth(path)


def test_absent_depth_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='a.png: nothing readable; expected a 16-bit depth PNG'):
        read_depth(tmp_path / 'a.png')


def test_pair_of_another_size_is_an_error(pairs):
    with pytest.raises(ValueError, match='a.png: 12x9; expected 24x18, the size of the camera'):
        load_pair(pairs[0], CAMERA.resized(24, 18))


def test_depth_of_another_size_than_its_image_is_an_error(pairs):
    _write(pairs[0].depth, np.ones((12, 9), np.uint16))
    with pytest.raises(ValueError, match='depth/a.png: 9x12; expected 12x9, the size of the'):
        load_pair(pairs[0], CAMERA)


# Decoding


def test_decoded_samples_hold_every_pair(pairs, tmp_path):
    """12 x 9 shrunk to a width of 4: height 9 * 4 / 12 = 3, fx 10 / 3."""
    samples = decode(pairs, CAMERA, 4, tmp_path / 'cache')
    assert samples.stems == ('a', 'b', 'c')
    assert (samples.images.shape, samples.images.dtype) == ((3, 3, 4, 3), np.uint8)
    assert (samples.depths.shape, samples.depths.dtype) == ((3, 3, 4), np.uint16)
    assert samples.camera == CAMERA.resized(4, 3)
    assert samples.images[:, 0, 0, 0].tolist() == [200, 201, 202]
    assert samples.images[0, 0, :, 1].tolist() == [5, 20, 35, 50]  # means of columns 0-2, 3-5, ...


def test_decoded_depth_is_that_of_the_nearest_pixel(pairs, tmp_path):
    """
    Shrunk by 3, the new pixel (0, 0) shows the old pixels 0 to 2, and (1, 1) lies in their middle.

    There the file has a hole: 0. The new (1, 0) lies on the old (4, 1): 1000 + 100 + 4 mm. The new
    (2, 1) lies on the old (7, 4), the 65535: 0.
    """
    depths = decode(pairs, CAMERA, 4, tmp_path / 'cache').depths[0]
    assert depths.tolist() == [
        [0, 1104, 1107, 1110],
        [1401, 1404, 0, 1410],
        [1701, 1704, 1707, 1710],
    ]


def test_decoding_at_full_width_changes_nothing(pairs, tmp_path):
    samples = decode(pairs, CAMERA, 12, tmp_path / 'cache')
    np.testing.assert_array_equal(samples.images[0], _colour()[..., ::-1])
    expected = _depth()
    expected[expected == 65535] = 0
    np.testing.assert_array_equal(samples.depths[0], expected)


def test_second_call_reads_no_file_again(pairs, tmp_path, monkeypatch):
    first = decode(pairs, CAMERA, 4, tmp_path / 'cache')

    def refuse(*_):
        raise AssertionError('a file was read again')

    monkeypatch.setattr(datasets, 'read_image', refuse)
    monkeypatch.setattr(datasets, 'read_depth', refuse)
    second = decode(pairs, CAMERA, 4, tmp_path / 'cache')
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.depths, second.depths)
    assert isinstance(second.images, np.memmap)
    with pytest.raises(AssertionError, match='read again'):
        decode(pairs[:2], CAMERA, 4, tmp_path / 'cache')
    with pytest.raises(AssertionError, match='read again'):
        decode(pairs, CAMERA, 8, tmp_path / 'cache')


def _rewrite(path, array):
    """Write a file anew, a second later."""
    later = path.stat().st_mtime_ns + 10**9
    os.utime(_write(path, array), ns=(later, later))


def test_changed_image_is_decoded_again(pairs, tmp_path):
    decode(pairs, CAMERA, 4, tmp_path / 'cache')
    _rewrite(pairs[0].image, _colour(40))
    samples = decode(pairs, CAMERA, 4, tmp_path / 'cache')
    assert samples.images[:, 0, 0, 0].tolist() == [240, 201, 202]


def test_changed_depth_is_decoded_again(pairs, tmp_path):
    decode(pairs, CAMERA, 4, tmp_path / 'cache')
    _rewrite(pairs[0].depth, _depth() + np.uint16(500))
    samples = decode(pairs, CAMERA, 4, tmp_path / 'cache')
    assert samples.depths[:, 0, 1].tolist() == [1604, 1104, 1104]


def test_wrong_camera_is_an_error_although_the_arrays_exist(pairs, tmp_path):
    decode(pairs, CAMERA, 4, tmp_path / 'cache')
    with pytest.raises(ValueError, match='12x9; expected 24x18'):
        decode(pairs, CAMERA.resized(24, 18), 4, tmp_path / 'cache')


def test_failed_decoding_leaves_no_arrays(pairs, tmp_path):
    pairs[2].image.write_bytes(b'damaged')
    with pytest.raises(ValueError, match='c.png: not a readable image'):
        decode(pairs, CAMERA, 4, tmp_path / 'cache')
    assert not list((tmp_path / 'cache').iterdir())


# Splitting


def test_split_takes_the_named_pairs_out(pairs):
    rest, named = split(pairs, ['c', 'a'])
    assert [p.stem for p in rest] == ['b']
    assert [p.stem for p in named] == ['a', 'c']


def test_split_by_nothing_keeps_all(pairs):
    assert split(pairs, []) == (pairs, [])


def test_split_refuses_names_without_a_pair(pairs):
    with pytest.raises(ValueError, match='2 held-out stems have no pair; the first: x'):
        split(pairs, ['a', 'y', 'x'])


# Recorded data


def test_nyu_frames_pair_up(data_folder):
    pairs = find_pairs(data_folder / 'nyu_v2_train/rgb', data_folder / 'nyu_v2_train/depth')
    assert len(pairs) == 795
    image, depth = load_pair(pairs[0], Camera(640, 480, 518.8579, 519.4696, 325.5824, 253.7362))
    assert image.std() > 20
    assert 0.5 < np.nanmin(depth) < np.nanmax(depth) < 10.1


def test_kitchen_frames_pair_up_in_their_one_folder(data_folder):
    pairs = find_pairs(data_folder / 'kitchen_video', data_folder / 'kitchen_video')
    assert len(pairs) == 240
    assert (pairs[0].stem, pairs[0].image.name) == ('frame-000000', 'frame-000000.color.jpg')
    _, depth = load_pair(pairs[7], Camera(640, 480, 585.0, 585.0, 320.0, 240.0))
    assert 0 < np.isnan(depth).mean() < 0.5
    assert np.nanmax(depth) < 20

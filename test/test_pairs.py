"""Folders of pairs: how they are matched, read, given a camera, split, and made samples of."""

import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcrn_ros.camera import Camera
from fcrn_ros.training.sources.intrinsics import find_intrinsics, read_intrinsics
from fcrn_ros.training.sources.pairs import (
    Pair,
    PairsSource,
    find_folders,
    find_pairs,
    load_pair,
    read_depth,
    read_image,
    read_numbers,
    split,
)

INTRINSICS = (10.0, 11.0, 5.0, 4.5)
CAMERA = Camera(12, 9, *INTRINSICS)
NYU = (518.8579, 519.4696, 325.5824, 253.7362)


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
def root(tmp_path):
    """Return a folder of three pairs a, b, c whose red is 200, 201, 202, without a camera."""
    for i, stem in enumerate('abc'):
        _write(tmp_path / 'kitchen' / 'rgb' / f'{stem}.png', _colour(i))
        _write(tmp_path / 'kitchen' / 'depth' / f'{stem}.png', _depth())
    return tmp_path / 'kitchen'


def _source(root, camera=INTRINSICS, **options):
    return PairsSource(root / 'rgb', root / 'depth', camera, **options)


# Matching


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pairs_match_by_stem_and_are_sorted(tmp_path):
    images = _touch(tmp_path / 'rgb', '0010.jpg', '0002.JPG', '0003.png', 'notes.txt', '0004.jpg')
    depths = _touch(tmp_path / 'depth', '0003.png', '0010.npy', '0002.png', '0009.png')
    assert find_pairs(images, depths) == [
        Pair('0002', images / '0002.JPG', depths / '0002.png'),
        Pair('0003', images / '0003.png', depths / '0003.png'),
        Pair('0010', images / '0010.jpg', depths / '0010.npy'),
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
    expected = r'\(2 images\) has the stem of a depth PNG or NPY of .* \(1 files\)'
    with pytest.raises(FileNotFoundError, match=expected):
        find_pairs(images, depths)


@pytest.mark.parametrize('colour', ['rgb', 'color', 'colour', 'image', 'images'])
@pytest.mark.parametrize('depth', ['depth', 'depths'])
def test_folders_are_found_below_a_root(tmp_path, colour, depth):
    expected = _touch(tmp_path / colour), _touch(tmp_path / depth)
    assert find_folders(tmp_path) == expected


def test_root_without_such_folders_is_both(tmp_path):
    assert find_folders(tmp_path) == (tmp_path, tmp_path)


def test_one_folder_without_the_other_is_an_error(tmp_path):
    _touch(tmp_path / 'rgb')
    expected = r'rgb/; expected a folder rgb\|color\|colour\|image\|images and a folder depth'
    with pytest.raises(FileNotFoundError, match=expected):
        find_folders(tmp_path)


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


def test_depth_has_the_unit_that_is_told(tmp_path):
    """In units of 0.2 mm, as TUM RGB-D has them, 1307 is 0.2614 m."""
    depth = read_depth(_write(tmp_path / 'a.png', _depth()), 0.0002)
    assert depth[3, 7] == np.float32(0.2614)


@settings(max_examples=50, deadline=None)
@given(
    millimetres=arrays(np.uint16, st.tuples(st.integers(1, 8), st.integers(1, 8))),
)
def test_depth_read_back_is_the_depth_written(tmp_path_factory, millimetres):
    path = _write(tmp_path_factory.mktemp('depth') / 'a.png', millimetres)
    found = np.nan_to_num(read_depth(path) * 1000, nan=0).round().astype(np.uint16)
    np.testing.assert_array_equal(found, np.where(millimetres == 65535, 0, millimetres))


def test_npy_is_metres_and_what_is_no_depth_is_nan(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([[1.25, 0, -1], [np.inf, np.nan, 70]]))
    depth = read_depth(tmp_path / 'a.npy', unit=0.5)
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, [[1.25, np.nan, np.nan], [np.nan, np.nan, 70]])


@pytest.mark.parametrize(
    ('array', 'found'),
    [(np.ones((2, 3), np.uint16), r'uint16 \(2, 3\)'), (np.ones(6), r'float64 \(6,\)')],
)
def test_npy_of_something_else_is_an_error(tmp_path, array, found):
    np.save(tmp_path / 'a.npy', array)
    with pytest.raises(ValueError, match=rf'a.npy: {found}; expected \(H, W\) floating-point'):
        read_depth(tmp_path / 'a.npy')


def test_npy_of_objects_runs_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'run'),)

    np.save(tmp_path / 'a.npy', np.array([[Harmful()]], object), allow_pickle=True)
    with pytest.raises(ValueError, match='a.npy: not a readable NPY file'):
        read_depth(tmp_path / 'a.npy')
    assert not (tmp_path / 'run').exists()


def test_unreadable_image_is_an_error(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(b'not a picture')
    with pytest.raises(ValueError, match='a.jpg: not a readable image; expected JPEG or PNG'):
        read_image(path)


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@pytest.mark.parametrize('kept', [0.0, 0.5, 0.95])
def test_cut_image_is_an_error(tmp_path, suffix, kept):
    """OpenCV reads what is there and fills the rest with grey."""
    noise = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    path = _write(tmp_path / f'a.{suffix}', noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match=f'a.{suffix}: not a readable image'):
        read_image(path)


def test_image_with_padding_behind_it_is_read(tmp_path):
    path = _write(tmp_path / 'a.jpg', _colour())
    whole = read_image(path)
    path.write_bytes(path.read_bytes() + bytes(512))
    np.testing.assert_array_equal(read_image(path), whole)


def test_8_bit_depth_is_an_error(tmp_path):
    path = _write(tmp_path / 'a.png', np.zeros((9, 12), np.uint8))
    with pytest.raises(
        ValueError, match=r'a.png: uint8 \(9, 12\); expected a depth PNG of 16 bits'
    ):
        read_depth(path)


def test_16_bit_depth_where_8_bits_are_meant_is_an_error(tmp_path):
    path = _write(tmp_path / 'a.png', _depth())
    with pytest.raises(
        ValueError, match=r'a.png: uint16 \(9, 12\); expected a depth PNG of 8 bits'
    ):
        read_numbers(path, np.uint8)


@pytest.mark.parametrize('read', [read_image, read_depth])
def test_absent_file_is_an_error(tmp_path, read):
    with pytest.raises(FileNotFoundError, match='a.png'):
        read(tmp_path / 'a.png')


def test_pair_of_another_size_is_an_error(root):
    pairs = find_pairs(root / 'rgb', root / 'depth')
    with pytest.raises(ValueError, match='a.png: 12x9; expected 24x18, the size of the camera'):
        load_pair(pairs[0], CAMERA.resized(24, 18))


def test_depth_of_another_size_than_its_image_is_an_error(root):
    pairs = find_pairs(root / 'rgb', root / 'depth')
    _write(pairs[0].depth, np.ones((12, 9), np.uint16))
    with pytest.raises(ValueError, match='depth/a.png: 9x12; expected 12x9, the size of the'):
        load_pair(pairs[0], CAMERA)


# The camera


K = '10 0 5\n0 11 4.5\n0 0 1\n'


@pytest.mark.parametrize('place', ['rgb/K.txt', 'K.txt', 'camera-intrinsics.txt'])
def test_camera_lies_with_the_images_or_above(root, place):
    (root / place).write_text(K)
    assert find_intrinsics(root / 'rgb') == INTRINSICS


def test_nearest_camera_counts(root):
    (root / 'K.txt').write_text(K.replace('10', '99'))
    (root / 'rgb' / 'K.txt').write_text(K)
    assert find_intrinsics(root / 'rgb') == INTRINSICS


def test_no_camera_is_an_error(root):
    expected = 'rgb: no camera; expected K.txt or camera-intrinsics.txt .* --camera FX,FY,CX,CY'
    with pytest.raises(FileNotFoundError, match=expected):
        find_intrinsics(root / 'rgb')


@pytest.mark.parametrize('text', [K, K.replace(' ', ',\t'), '10, 0, 5, 0, 11, 4.5, 0, 0, 1'])
def test_matrix_is_read_however_it_is_set(tmp_path, text):
    (tmp_path / 'K.txt').write_text(text)
    assert read_intrinsics(tmp_path / 'K.txt') == INTRINSICS


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'K.txt: not a 3x3 matrix K'),
        ('10 11 5 4.5', 'K.txt: not a 3x3 matrix K'),
        ('fx: 10', 'K.txt: not a 3x3 matrix K'),
        (K + '0 0 0', 'K.txt: not a 3x3 matrix K'),
        ('nan 0 5 0 11 4.5 0 0 1', 'K.txt: not a 3x3 matrix K .*not finite'),
        ('-10 0 5 0 11 4.5 0 0 1', 'K.txt: not a 3x3 matrix K .*expected both positive'),
        ('10 2 5 0 11 4.5 0 0 1', r'K.txt: \[\[10.0, 2.0, .*expected K, \[\[fx, 0, cx\]'),
        ('10 0 0 0 11 0 5 4.5 1', r'K.txt: .*5.0, 4.5, 1.0\]\]; expected K'),
    ],
)
def test_what_is_no_matrix_k_is_an_error(tmp_path, text, message):
    (tmp_path / 'K.txt').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_intrinsics(tmp_path / 'K.txt')


# The source


def test_source_yields_every_pair(root):
    source = _source(root, licence='CC0')
    samples = list(source.samples())
    assert (source.name, source.licence, len(source)) == ('kitchen', 'CC0', 3)
    assert [s.name for s in samples] == ['a', 'b', 'c']
    assert [s.image[0, 0, 0] for s in samples] == [200, 201, 202]
    assert all(s.camera == CAMERA for s in samples)
    assert samples[2].depth[3, 7] == np.float32(1.307)
    assert (samples[0].world_T_camera, samples[0].right) == (None, None)


def test_source_of_one_shared_folder_has_its_name(tmp_path):
    folder = tmp_path / 'walk'
    _write(folder / 'f-0.color.png', _colour())
    _write(folder / 'f-0.depth.png', _depth())
    source = PairsSource(folder, folder, INTRINSICS)
    assert (source.name, [s.name for s in source.samples()]) == ('walk', ['f-0'])


def test_source_takes_the_camera_of_the_folder(root):
    (root / 'K.txt').write_text(K)
    assert next(_source(root, None).samples()).camera == CAMERA


def test_given_camera_goes_before_the_folders(root):
    (root / 'K.txt').write_text(K.replace('10', '99'))
    assert next(_source(root).samples()).camera == CAMERA


def test_camera_of_another_size_is_an_error(root):
    """A principal point at (320, 240) is no point of a picture of 12 x 9."""
    expected = r'none of 3 samples .*a.png: 12x9; expected the size .* principal point \(320, 240'
    with pytest.raises(ValueError, match=expected):
        list(_source(root, (585.0, 585.0, 320.0, 240.0)).samples())


def test_report_says_what_was_found_and_how_deep(root):
    """The nearest is 1000 mm, pixel (0, 0); the farthest 1000 + 800 + 11 mm."""
    source = _source(root)
    list(source.samples())
    assert source.report() == [
        'pairs of colour and depth: 3 samples',
        'depth from 1.00 to 1.81 m',
    ]


def test_bad_files_are_skipped_and_counted(root):
    (root / 'rgb' / 'a.png').write_bytes(b'damaged')
    _write(root / 'depth' / 'c.png', np.ones((12, 9), np.uint16))
    source = _source(root)
    assert [s.name for s in source.samples()] == ['b']
    (line,) = [x for x in source.report() if 'skipped' in x]
    assert line.startswith('2 skipped; the first: ')
    assert 'rgb/a.png: not a readable image' in line


def test_file_that_goes_away_is_skipped(root):
    source = _source(root)
    (root / 'depth' / 'b.png').unlink()
    assert [s.name for s in source.samples()] == ['a', 'c']
    assert '1 skipped; the first: ' in source.report()[-1]


def test_second_reading_counts_anew(root):
    (root / 'rgb' / 'a.png').write_bytes(b'damaged')
    source = _source(root)
    reports = []
    for _ in range(2):
        list(source.samples())
        reports.append(source.report())
    assert reports[0] == reports[1]


def test_no_readable_pair_is_an_error(root):
    for file in (root / 'rgb').iterdir():
        file.write_bytes(b'damaged')
    expected = 'kitchen: none of 3 samples is readable; the first: .*a.png: not a readable image'
    with pytest.raises(ValueError, match=expected):
        list(_source(root).samples())


def test_pictures_of_another_size_than_the_first_are_skipped(root):
    _write(root / 'rgb' / 'b.png', np.zeros((18, 24, 3), np.uint8))
    source = _source(root)
    assert [s.name for s in source.samples()] == ['a', 'c']
    assert 'b.png: 24x18; expected 12x9' in source.report()[-1]


def test_signature_stays_while_nothing_changes(root):
    assert _source(root).signature() == _source(root).signature()


@pytest.mark.parametrize('part', ['rgb/b.png', 'depth/b.png'])
def test_signature_changes_with_a_file(root, part):
    before = _source(root).signature()
    later = (root / part).stat().st_mtime_ns + 10**9
    os.utime(root / part, ns=(later, later))
    assert _source(root).signature() != before


def test_signature_changes_with_a_pair_more(root):
    before = _source(root).signature()
    _write(root / 'rgb' / 'd.png', _colour())
    _write(root / 'depth' / 'd.png', _depth())
    assert _source(root).signature() != before


def test_signature_changes_with_the_options(root):
    signatures = {
        _source(root).signature(),
        _source(root, (99.0, *INTRINSICS[1:])).signature(),
        _source(root, depth_unit=0.0002).signature(),
    }
    assert len(signatures) == 3


# Splitting


@pytest.fixture
def pairs(root):
    return find_pairs(root / 'rgb', root / 'depth')


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


def test_nyu_frames_are_samples(data_folder):
    folder = data_folder / 'nyu_v2_train'
    source = PairsSource(folder / 'rgb', folder / 'depth', NYU)
    assert (source.name, len(source)) == ('nyu_v2_train', 795)
    samples = source.samples()
    first, _ = next(samples), next(samples)
    assert first.image.std() > 20
    assert 0.5 < np.nanmin(first.depth) < np.nanmax(first.depth) < 10.1


def test_kitchen_frames_pair_up_in_their_one_folder(data_folder):
    source = PairsSource(data_folder / 'kitchen_video', data_folder / 'kitchen_video')
    assert len(source) == 240
    sample = next(source.samples())
    assert (sample.name, sample.camera) == (
        'frame-000000',
        Camera(640, 480, 585.0, 585.0, 320.0, 240.0),
    )
    assert 0 < np.isnan(sample.depth).mean() < 0.5


def test_headset_frames_have_their_camera_one_folder_above(data_folder):
    folder = data_folder / 'headset_video'
    sample = next(PairsSource(folder / 'rgb', folder / 'depth').samples())
    assert (sample.camera.width, sample.camera.height) == (540, 360)
    assert sample.camera.fx == pytest.approx(495.56776)
    assert sample.camera.cy == pytest.approx(169.19411)

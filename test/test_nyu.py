"""NYU Depth v2: the labelled file, its axes, and the folders of public ports."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from fcrn_ros.training.sources.nyu import CAMERA, LICENCE, NyuFolderSource, NyuSource

h5py = pytest.importorskip('h5py', reason="needs h5py: pip install 'fcrn_ros[train]'")

SCENES = ('kitchen_0001', 'office_0003b')


def _image(number=0):
    """Return (480, 640, 3): red by column, green by row, blue 7 + number."""
    image = np.zeros((480, 640, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(640) // 4, np.arange(480)[:, None] // 3
    image[..., 2] = 7 + number
    return image


def _depth():
    """Return (480, 640) float32 [m]: 1 + v / 100 + u / 1000, a hole at column 9 of row 2."""
    depth = 1 + np.arange(480)[:, None] / 100 + np.arange(640) / 1000
    depth[2, 9] = 0
    return depth.astype(np.float32)


def _require_scene(sample, number=0):
    """Check the axes: pixel (u, v) = (600, 30) is (150, 10) and 1 + 0.3 + 0.6 = 1.9 m."""
    assert (sample.image.shape, sample.depth.shape) == ((480, 640, 3), (480, 640))
    assert (sample.image.dtype, sample.depth.dtype) == (np.uint8, np.float32)
    assert abs(sample.image[30, 600].astype(int) - (150, 10, 7 + number)).max() <= 3  # JPEG
    assert sample.depth[30, 600] == pytest.approx(1.9, abs=0.02)
    assert sample.camera == CAMERA


@pytest.fixture
def labelled(tmp_path):
    """Return a labelled set of two images: MATLAB 7.3 stores its axes in reverse."""
    path = tmp_path / 'nyu_depth_v2_labeled.mat'
    filled = np.where(_depth() == 0, 4.5, _depth())
    with h5py.File(path, 'w', userblock_size=512) as file:
        images = np.stack([_image(i) for i in range(2)])  # N, H, W, 3
        file['images'] = images.transpose(0, 3, 2, 1)
        file['rawDepths'] = np.stack([_depth().T] * 2)
        file['depths'] = np.stack([filled.T] * 2)
        cells = np.empty((1, 2), h5py.ref_dtype)
        for i, scene in enumerate(SCENES):
            letters = np.array([list(map(ord, scene))], np.uint16).T
            cells[0, i] = file.create_dataset(f'#refs#/{i}', data=letters).ref
        file['scenes'] = cells
    return path


def test_labelled_image_and_depth_have_their_axes(labelled):
    samples = list(NyuSource(labelled).samples())
    assert len(samples) == 2
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.image, _image(number))
        _require_scene(sample, number)


def test_labelled_samples_are_named_by_their_index_and_ordered_by_scene(labelled):
    samples = list(NyuSource(labelled).samples())
    assert [s.name for s in samples] == ['0000', '0001']
    assert tuple(s.sequence for s in samples) == SCENES


def test_raw_depth_has_its_holes(labelled):
    depth = next(NyuSource(labelled).samples()).depth
    assert np.argwhere(np.isnan(depth)).tolist() == [[2, 9]]


def test_filled_depth_has_none(labelled):
    source = NyuSource(labelled, raw=False)
    depth = next(source.samples()).depth
    assert depth[2, 9] == 4.5
    assert not np.isnan(depth).any()
    assert source.signature() != NyuSource(labelled).signature()


def test_labelled_source_tells_its_licence_and_what_it_found(labelled):
    source = NyuSource(labelled)
    assert (source.licence, len(source)) == (LICENCE, 2) == ('NYU Depth v2: research use', 2)
    assert source.report() == ['the labelled set of NYU Depth v2 (rawDepths): 2 samples']


def test_labelled_set_without_scenes_has_no_sequences(labelled):
    with h5py.File(labelled, 'a') as file:
        del file['scenes']
    assert [s.sequence for s in NyuSource(labelled).samples()] == ['', '']


def test_damaged_image_is_skipped_and_counted(labelled):
    """The second depth is compressed, and its bytes in the file are overwritten."""
    with h5py.File(labelled, 'a') as file:
        raw = np.stack([_depth().T, _depth().T + 1])
        del file['rawDepths']
        chunks = {'chunks': (1, 640, 480), 'compression': 'gzip'}
        _, second = file.create_dataset('rawDepths', data=raw, **chunks).id.read_direct_chunk(
            (1, 0, 0)
        )
    whole = labelled.read_bytes()
    assert whole.count(second) == 1
    labelled.write_bytes(whole.replace(second, b'\xff' * len(second)))
    source = NyuSource(labelled)
    assert [s.name for s in source.samples()] == ['0000']
    assert source.report()[-1].startswith('1 skipped; the first: ')


@pytest.mark.parametrize('content', [b'', b'MATLAB 5.0 MAT-file' + bytes(600), b'PK\x03\x04'])
def test_file_that_is_not_hdf5_is_an_error(tmp_path, content):
    path = tmp_path / 'nyu.mat'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='nyu.mat: not an HDF5 file; expected MATLAB 7.3'):
        NyuSource(path)


def test_cut_file_is_an_error(labelled):
    labelled.write_bytes(labelled.read_bytes()[:-1000])
    with pytest.raises(ValueError, match='nyu_depth_v2_labeled.mat: not an HDF5 file'):
        NyuSource(labelled)


def test_another_hdf5_file_is_an_error(tmp_path):
    with h5py.File(tmp_path / 'other.mat', 'w') as file:
        file['weights'] = np.zeros(3)
    expected = r'other.mat: weights; expected NYU Depth v2: images \(N, 3, 640, 480\), rawDepths'
    with pytest.raises(ValueError, match=expected):
        NyuSource(tmp_path / 'other.mat')


def test_axes_in_another_order_are_an_error(labelled):
    with h5py.File(labelled, 'a') as file:
        images = file['images'][()]
        del file['images']
        file['images'] = images.transpose(0, 3, 2, 1)
    with pytest.raises(ValueError, match=r'images \(2, 480, 640, 3\), rawDepths .*; expected NYU'):
        NyuSource(labelled)


def test_absent_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='nyu.mat: no such file'):
        NyuSource(tmp_path / 'nyu.mat')


def test_module_is_imported_without_h5py():
    """A subprocess in which h5py cannot be imported."""
    code = 'import sys; sys.modules["h5py"] = None; import fcrn_ros.training.sources.nyu'
    subprocess.run([sys.executable, '-c', code], check=True)


# Folders


def _write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def _write_h5(path, number=0, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {'rgb': _image(number).transpose(2, 0, 1), 'depth': _depth()} | changes
    with h5py.File(path, 'w') as file:
        for name, array in content.items():
            file[name] = array


def _write_synced(folder, name, number=0):
    _write(folder / f'rgb_{name}.jpg', _image(number)[..., ::-1])
    _write(folder / f'sync_depth_{name}.png', (_depth() * 1000).round().astype(np.uint16))


def _write_bytes(folder, name, number=0):
    _write(folder / f'{name}.jpg', _image(number)[..., ::-1])
    _write(folder / f'{name}.png', (_depth() * 25.5).round().astype(np.uint8))


def _write_colours(folder, name, number=0):
    _write(folder / f'{name}_colors.png', _image(number)[..., ::-1])
    _write(folder / f'{name}_depth.png', (_depth() * 1000).round().astype(np.uint16))


LAYOUTS = {
    'train/kitchen_0001/00001.h5': lambda root, scene, i: _write_h5(
        root / 'train' / scene / f'0000{i}.h5', i
    ),
    'kitchen_0001/rgb_00001.jpg': lambda root, scene, i: _write_synced(
        root / scene, f'0000{i}', i
    ),
    'nyu2_train/kitchen_0001_out/1.jpg': lambda root, scene, i: _write_bytes(
        root / 'nyu2_train' / f'{scene}_out', i, i
    ),
}


@pytest.fixture(params=LAYOUTS)
def folder(request, tmp_path):
    """Return a folder of two scenes with frames 2 and 10, in each layout of a training set."""
    for scene in SCENES:
        for i in (10, 2):
            LAYOUTS[request.param](tmp_path / 'nyu', scene, i)
    return tmp_path / 'nyu'


def test_folder_yields_image_and_depth_with_their_axes(folder):
    for sample, number in zip(NyuFolderSource(folder).samples(), (2, 10, 2, 10), strict=True):
        _require_scene(sample, number)
        assert np.argwhere(np.isnan(sample.depth)).tolist() == [[2, 9]]


def test_folder_has_a_sequence_for_each_scene_in_the_order_of_its_numbers(folder):
    """2 comes before 10; a frame's blue, 7 + number, tells which it is."""
    samples = list(NyuFolderSource(folder).samples())
    scenes = [s.sequence for s in samples]
    assert scenes == sorted(scenes)
    assert [SCENES[i] in scene for i, scene in zip((0, 0, 1, 1), scenes, strict=True)] == [
        True
    ] * 4
    blue = [round(float(s.image[..., 2].mean())) for s in samples]
    assert blue == [9, 17, 9, 17]


def test_folders_names_are_unique_and_its_licence_known(folder):
    source = NyuFolderSource(folder)
    assert len({s.name for s in source.samples()}) == len(source) == 4
    assert source.licence == LICENCE


def test_frame_without_depth_is_skipped(folder):
    for file in folder.rglob('*'):
        if file.is_file() and '10' in file.name and file.suffix in ('.png', '.h5'):
            file.unlink() if file.suffix == '.png' else file.write_bytes(b'damaged')
    source = NyuFolderSource(folder)
    assert len(list(source.samples())) == 2
    assert source.report()[-1].startswith('2 skipped; the first: ')


def test_8_bit_depth_means_10_m_at_255(tmp_path):
    """The byte of 1.9 m is round(1.9 * 25.5) = 48, which is 48 / 255 * 10 = 1.882 m."""
    _write_bytes(tmp_path / 'a_out', 1)
    assert next(NyuFolderSource(tmp_path).samples()).depth[30, 600] == np.float32(480 / 255)


def test_test_set_of_coloured_names_is_read(tmp_path):
    _write_colours(tmp_path / 'nyu2_test', '00000')
    sample = next(NyuFolderSource(tmp_path / 'nyu2_test').samples())
    _require_scene(sample)
    assert (sample.name, sample.sequence) == ('00000_colors', '')


def test_test_set_beside_the_training_set_is_not_read(tmp_path):
    _write_h5(tmp_path / 'train' / 'kitchen' / '00001.h5')
    _write_h5(tmp_path / 'val' / 'official' / '00002.h5')
    assert [s.name for s in NyuFolderSource(tmp_path).samples()] == ['kitchen/00001']
    assert [s.name for s in NyuFolderSource(tmp_path / 'val').samples()] == ['official/00002']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'rgb': _image()}, r'rgb uint8 \(480, 640, 3\), depth .*expected uint8 \(3, H, W\)'),
        ({'rgb': np.zeros((3, 480, 640))}, r'rgb float64 \(3, 480, 640\)'),
        ({'depth': np.ones((240, 320))}, '320x240; expected 640x480'),
        ({'rgb': np.zeros((3, 240, 320), np.uint8)}, '320x240; expected 640x480'),
    ],
)
def test_h5_of_something_else_is_an_error(tmp_path, change, message):
    _write_h5(tmp_path / 'a' / '1.h5', **change)
    with pytest.raises(ValueError, match=f'none of 1 samples is readable; the first: .*{message}'):
        list(NyuFolderSource(tmp_path).samples())


def test_h5_without_depth_is_an_error(tmp_path):
    with h5py.File(tmp_path / '1.h5', 'w') as file:
        file['rgb'] = np.zeros(3)
    with pytest.raises(ValueError, match='1.h5: rgb; expected rgb and depth'):
        list(NyuFolderSource(tmp_path).samples())


def test_folder_of_something_else_is_an_error(tmp_path):
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(
        FileNotFoundError, match='notes.txt; expected one of one HDF5 file a frame'
    ):
        NyuFolderSource(tmp_path)

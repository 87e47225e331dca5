"""What a path holds: recognised, opened, weighted, or refused with what is known."""

import logging

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.training.sources.kitti import KittiDepthSource
from fcrn_ros.training.sources.kitti_odometry import KittiOdometrySource
from fcrn_ros.training.sources.nyu import NyuFolderSource, NyuSource
from fcrn_ros.training.sources.openers import (
    Options,
    Weighted,
    open_samples,
    open_weighted,
    parse_weighted,
    recognise,
)
from fcrn_ros.training.sources.pairs import PairsSource
from fcrn_ros.training.sources.video import VideoSource

NYU = (518.8579, 519.4696, 325.5824, 253.7362)
INTRINSICS = (10.0, 11.0, 5.0, 4.5)
POSE = ' '.join('1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1'.split())
P2, P3 = 'P2: 10 0 5 0 0 11 4 0 0 0 1 0\n', 'P3: 10 0 5 -5 0 11 4 0 0 0 1 0\n'
DRIVE = '2011_09_26_drive_0001_sync'


def _picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((9, 12, 3), 90, np.uint8))


def _depth(path, kind=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((9, 12), 200, kind))


def _text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _pairs(root):
    _picture(root / 'image' / 'a.png')
    _depth(root / 'depths' / 'a.png')


def _shared_pairs(root):
    _picture(root / 'a.color.jpg')
    _depth(root / 'a.depth.png')


def _video(root):
    _shared_pairs(root)
    _text(root / 'a.pose.txt', POSE)


def _headset(root):
    _picture(root / 'rgb' / 'a.jpg')
    _depth(root / 'depth' / 'a.png')
    _text(root / 'poses.txt', POSE)


def _odometry(root):
    _picture(root / 'sequences' / '00' / 'image_2' / '000000.png')
    _text(root / 'sequences' / '00' / 'calib.txt', P2 + P3)


def _kitti_depth(root):
    _depth(root / 'train' / DRIVE / 'proj_depth/groundtruth/image_02/0000000005.png')
    raw = root / '2011_09_26'
    _picture(raw / DRIVE / 'image_02/data/0000000005.png')
    _text(raw / 'calib_cam_to_cam.txt', P2.replace('P2', 'P_rect_02'))


def _synced(root):
    _picture(root / 'kitchen' / 'rgb_00001.jpg')
    _depth(root / 'kitchen' / 'sync_depth_00001.png')


def _bytes(root):
    _picture(root / 'kitchen_out' / '1.jpg')
    _depth(root / 'kitchen_out' / '1.png', np.uint8)


def _colours(root):
    _picture(root / '00000_colors.png')
    _depth(root / '00000_depth.png')


def _h5(root):
    _text(root / 'train' / 'kitchen' / '00001.h5', '')


FOLDERS = [
    (_pairs, PairsSource),
    (_shared_pairs, PairsSource),
    (_video, VideoSource),
    (_headset, VideoSource),
    (_odometry, KittiOdometrySource),
    (_kitti_depth, KittiDepthSource),
    (_synced, NyuFolderSource),
    (_bytes, NyuFolderSource),
    (_colours, NyuFolderSource),
    (_h5, NyuFolderSource),
]


@pytest.mark.parametrize(('write', 'kind'), FOLDERS)
def test_folder_is_recognised_by_what_lies_in_it(tmp_path, write, kind):
    write(tmp_path / 'data')
    source = open_samples(tmp_path / 'data', Options(camera=INTRINSICS))
    assert (type(source), len(source), source.name) == (kind, 1, 'data')


@pytest.mark.parametrize('write', [_pairs, _shared_pairs, _video, _headset, _odometry])
def test_opened_folder_yields_its_sample(tmp_path, write):
    write(tmp_path / 'data')
    source = open_samples(tmp_path / 'data', Options(camera=INTRINSICS))
    (sample,) = source.samples()
    assert sample.image.shape == (9, 12, 3)


def test_one_odometry_sequence_is_opened_alone(tmp_path):
    _odometry(tmp_path)
    _picture(tmp_path / 'sequences' / '01' / 'image_2' / '000000.png')
    (sample,) = open_samples(tmp_path / 'sequences' / '00').samples()
    assert sample.name == '00/000000'


def test_labelled_file_is_recognised_by_its_suffix(tmp_path):
    h5py = pytest.importorskip('h5py', reason="needs h5py: pip install 'fcrn_ros[train]'")
    with h5py.File(tmp_path / 'nyu.mat', 'w') as file:
        file['images'] = np.zeros((1, 3, 640, 480), np.uint8)
        file['rawDepths'] = np.full((1, 640, 480), 2, np.float32)
        file['depths'] = np.full((1, 640, 480), 3, np.float32)
    for filled, expected in ((False, 2), (True, 3)):
        source = open_samples(tmp_path / 'nyu.mat', Options(filled=filled))
        assert type(source) is NyuSource
        assert next(source.samples()).depth[0, 0] == expected


def test_damaged_labelled_file_is_an_error_in_one_line(tmp_path):
    (tmp_path / 'nyu.mat').write_bytes(b'damaged')
    with pytest.raises(ValueError, match='nyu.mat: not an HDF5 file') as caught:
        open_samples(tmp_path / 'nyu.mat')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['walk.bag', 'walk.mcap', 'walk_0.db3', 'walk/metadata.yaml'])
def test_bag_is_recognised(tmp_path, name):
    _text(tmp_path / name, '')
    path = tmp_path / name
    path = path.parent if path.name == 'metadata.yaml' else path
    assert recognise(path).name == 'a bag'


def test_folder_of_bags_is_recognised(tmp_path):
    for name in ('a.bag', 'b.bag'):
        _text(tmp_path / name, '')
    assert recognise(tmp_path).name == 'a bag'


def test_bag_is_opened():
    pytest.importorskip(
        'fcrn_ros.training.sources.bags', reason='needs fcrn_ros.training.sources.bags'
    )
    from fcrn_ros.share import share_folder
    from fcrn_ros.training.sources.bags import BagSource

    source = open_samples(share_folder() / 'demo' / 'room')
    assert type(source) is BagSource
    assert next(source.samples()).image.ndim == 3


def test_options_reach_the_source(tmp_path):
    """200 units of 5 mm are 1 m; the first frame is at 0 s, whatever the rate."""
    _video(tmp_path / 'data')
    options = Options(camera=INTRINSICS, depth_unit=0.005, rate=2.0)
    source = open_samples(tmp_path / 'data', options)
    (sample,) = source.samples()
    assert sample.camera == Camera(12, 9, *INTRINSICS)
    assert sample.depth[0, 0] == 1
    other = open_samples(tmp_path / 'data', Options(camera=INTRINSICS, depth_unit=0.005))
    assert source.signature() != other.signature()


def test_raw_recordings_and_stereo_reach_kitti(tmp_path):
    _kitti_depth(tmp_path / 'data')
    (tmp_path / 'data' / '2011_09_26').rename(tmp_path / 'elsewhere')
    (tmp_path / 'raw').mkdir()
    (tmp_path / 'elsewhere').rename(tmp_path / 'raw' / '2011_09_26')
    (tmp_path / 'raw').rename(tmp_path / 'recordings')
    options = Options(raw=tmp_path / 'recordings', stereo=False)
    source = open_samples(tmp_path / 'data', options)
    (sample,) = source.samples()
    assert sample.right is None
    assert (
        source.signature()
        != open_samples(tmp_path / 'data', Options(raw=tmp_path / 'recordings')).signature()
    )


def test_one_line_says_what_was_found(tmp_path, caplog):
    _headset(tmp_path / 'data')
    with caplog.at_level(logging.INFO, 'fcrn_ros'):
        open_samples(tmp_path / 'data', Options(camera=INTRINSICS))
    assert caplog.messages == [f'{tmp_path / "data"}: a video with poses, 1 samples']


# What is refused


def test_absent_path_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent: no such file or folder'):
        open_samples(tmp_path / 'absent')


def test_unknown_folder_is_an_error_that_says_what_it_has_and_what_is_known(tmp_path):
    for i in range(10):
        (tmp_path / f'notes_{i}.txt').touch()
    (tmp_path / 'a_folder').mkdir()
    expected = (
        r'a_folder/, notes_0.txt, .*notes_6.txt and 3 more; expected one of: a bag .*'
        r"the labelled set of NYU .*KITTI's odometry .*KITTI's depth .*a video .*a folder of NYU"
        r'.*pairs of colour and depth'
    )
    with pytest.raises(ValueError, match=expected) as caught:
        open_samples(tmp_path)
    assert '\n' not in str(caught.value)


def test_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='nothing; expected one of'):
        open_samples(tmp_path)


@pytest.mark.parametrize(('name', 'found'), [('a.zip', 'a .zip file'), ('a', 'a nameless file')])
def test_unknown_file_is_an_error(tmp_path, name, found):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f'{name}: {found}; expected one of'):
        open_samples(tmp_path / name)


def test_images_without_depth_are_an_error_that_names_the_folder_missing(tmp_path):
    _picture(tmp_path / 'rgb' / 'a.png')
    with pytest.raises(FileNotFoundError, match=r'rgb/; expected .*and a folder depth\|depths'):
        open_samples(tmp_path)


def test_pairs_without_a_camera_are_an_error_that_asks_for_it(tmp_path):
    _pairs(tmp_path)
    with pytest.raises(FileNotFoundError, match='no camera; .* or --camera FX,FY,CX,CY'):
        open_samples(tmp_path)


# Weights


@pytest.mark.parametrize(
    ('text', 'path', 'weight'),
    [
        ('data/nyu', 'data/nyu', 1.0),
        ('data/nyu=2', 'data/nyu', 2.0),
        ('a=b/nyu=0.25', 'a=b/nyu', 0.25),
        ('nyu=1e-3', 'nyu', 0.001),
    ],
)
def test_weight_follows_the_last_equals_sign(text, path, weight):
    found, number = parse_weighted(text)
    assert (str(found), number) == (path, weight)


@settings(max_examples=50, deadline=None)
@given(weight=st.floats(1e-6, 1e6))
def test_any_positive_weight_is_read_back(weight):
    assert parse_weighted(f'nyu={weight}')[1] == weight


def test_path_that_exists_is_taken_whole(tmp_path):
    (tmp_path / 'walk=2').mkdir()
    assert parse_weighted(f'{tmp_path}/walk=2') == (tmp_path / 'walk=2', 1.0)
    assert parse_weighted(f'{tmp_path}/walk=2=3') == (tmp_path / 'walk=2', 3.0)


@pytest.mark.parametrize('weight', ['0', '-1', 'nan', 'inf', 'many', ''])
def test_weight_that_is_no_positive_number_is_an_error(weight):
    with pytest.raises(ValueError, match=f"nyu={weight}: weight '{weight}'; expected PATH or"):
        parse_weighted(f'nyu={weight}')


def test_weight_without_a_path_is_an_error():
    with pytest.raises(ValueError, match='expected PATH or PATH=WEIGHT'):
        parse_weighted('=2')


def test_weighted_source_is_opened(tmp_path):
    _pairs(tmp_path / 'data')
    found = open_weighted(f'{tmp_path / "data"}=3', Options(camera=INTRINSICS))
    assert type(found) is Weighted
    assert (type(found.source), found.weight) == (PairsSource, 3.0)


# Recorded data


@pytest.mark.parametrize(
    ('name', 'kind', 'camera', 'count'),
    [
        ('nyu_v2_train', PairsSource, NYU, 795),
        ('kitchen_video', VideoSource, None, 240),
        ('headset_video', VideoSource, None, 120),
    ],
)
def test_recorded_folders_are_opened(data_folder, name, kind, camera, count):
    source = open_samples(data_folder / name, Options(camera=camera))
    assert (type(source), len(source)) == (kind, count)
    sample = next(source.samples())
    assert sample.image.shape == (sample.camera.height, sample.camera.width, 3)
    assert np.isfinite(sample.depth).mean() > 0.3

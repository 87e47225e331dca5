"""
Bags as frames: real recordings, and small bags written here whose pixels and stamps are known.

The camera of the written bags has 4 x 3 pixels; the red of an image is its number.
"""

from itertools import islice

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from fcrn_ros.camera import Camera
from fcrn_ros.recording import Topics, find_topics, info_topic, plain_topic, read_bag

STORE = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
COMPRESSED, CLOUD = 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/PointCloud2'
COLOUR, CAMERA_INFO, DEPTH = '/cam/color/image', '/cam/color/camera_info', '/cam/depth/image'
PLUGINS = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}


def _header(seconds):
    time = STORE.types['builtin_interfaces/msg/Time']
    stamp = time(int(seconds), round(seconds % 1 * 1e9))
    return STORE.types['std_msgs/msg/Header'](stamp, 'optical')


def _image(seconds, pixels, encoding):
    data = np.ascontiguousarray(pixels)
    rows, columns = data.shape[:2]
    step = data.nbytes // rows
    flat = data.view(np.uint8).ravel()
    return STORE.types[IMAGE](_header(seconds), rows, columns, encoding, 0, step, flat)


def _colour(number, seconds):
    """Return a 4 x 3 rgb8 image: red is the number, green 20, blue the column."""
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = number, 20, np.arange(4)
    return COLOUR, _image(seconds, pixels, 'rgb8'), seconds


def _depth(number, seconds):
    """Return a 4 x 3 16UC1 image: 1000 mm times the number, a hole at the top left."""
    pixels = np.full((3, 4), 1000 * number, np.uint16)
    pixels[0, 0] = 0
    return DEPTH, _image(seconds, pixels, '16UC1'), seconds


def _info(seconds, fx=5.0):
    k = np.array([fx, 0, 1.5, 0, 6, 1.25, 0, 0, 1], float)
    p = np.array([fx, 0, 1.5, 0, 0, 6, 1.25, 0, 0, 0, 1, 0], float)
    roi = STORE.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    message = STORE.types[INFO](
        _header(seconds), 3, 4, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, roi
    )
    return CAMERA_INFO, message, seconds


def _write(folder, entries, plugin='mcap', declared=()):
    """
    Write a rosbag2 folder.

    :param entries: (topic, message, time of recording [s]).
    :param declared: (topic, type) of topics without a message.
    """
    with Writer(folder, version=9, storage_plugin=PLUGINS[plugin]) as writer:
        connections = {}
        kinds = [*declared, *((topic, message.__msgtype__) for topic, message, _ in entries)]
        for topic, kind in kinds:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
        for topic, message, seconds in entries:
            data = STORE.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], round(seconds * 1e9), data)
    return folder


def _summary(frames):
    """Return per frame its number, the number of its depth, and its time in ms."""
    rows = []
    for frame in frames:
        depth = None if frame.depth is None else float(np.nanmedian(frame.depth))
        rows.append((int(frame.image[0, 0, 0]), depth, round(frame.time * 1000)))
    return rows


def _three_frames():
    """Return the usual order of a camera: info, colour, depth, at 10 Hz from 50 s on."""
    entries = []
    for i in range(3):
        seconds = 50 + i / 10
        entries += [_info(seconds), _colour(i + 1, seconds), _depth(i + 1, seconds + 0.01)]
    return entries


# Topics


def test_topics_are_found_by_type():
    types = {COLOUR: IMAGE, CAMERA_INFO: INFO, DEPTH: IMAGE, '/scan': 'sensor_msgs/msg/LaserScan'}
    assert find_topics(types) == Topics(COLOUR, CAMERA_INFO, DEPTH)


def test_depth_is_not_taken_for_colour():
    types = {'/a/depth/image': IMAGE, '/z/rgb': COMPRESSED}
    assert find_topics(types) == Topics('/z/rgb', '', '/a/depth/image')


def test_camera_info_is_that_of_the_chosen_image():
    types = {
        '/left/image_raw': IMAGE,
        '/left/camera_info': INFO,
        '/right/image_raw/compressed': COMPRESSED,
        '/right/camera_info': INFO,
        '/right/depth/image': IMAGE,
        '/left/depth/image': IMAGE,
    }
    right = find_topics(types, '/right/image_raw/compressed')
    assert right == Topics(
        '/right/image_raw/compressed', '/right/camera_info', '/right/depth/image'
    )
    assert find_topics(types) == Topics(
        '/left/image_raw', '/left/camera_info', '/left/depth/image'
    )


def test_depth_aligned_to_the_colour_camera_is_preferred():
    """image_rect_raw shares as much of its name with the colour topic."""
    types = {
        '/camera/color/image_raw': IMAGE,
        '/camera/depth/image_rect_raw': IMAGE,
        '/camera/aligned_depth_to_color/image_raw': IMAGE,
        '/camera/aligned_depth_to_infra1/image_raw': IMAGE,
    }
    found = find_topics(types, '/camera/color/image_raw')
    assert found.depth == '/camera/aligned_depth_to_color/image_raw'
    assert find_topics(types).depth == found.depth


def test_depth_that_is_given_is_not_taken_for_colour():
    types = {'/a/stereo': IMAGE, '/b/rgb': IMAGE, '/depth': IMAGE}
    assert find_topics(types, depth='/a/stereo') == Topics('/b/rgb', '', '/a/stereo')


def test_transports_belong_to_one_topic():
    """The camera_info lies beside the plain topic."""
    info = {'/cam/depth/camera_info': INFO}
    assert info_topic(info, '/cam/depth/image/compressedDepth') == '/cam/depth/camera_info'
    assert info_topic(info, '/cam/depth/image/other') == ''
    assert plain_topic('/cam/depth/image/compressedDepth') == '/cam/depth/image'
    assert plain_topic('/cam/compressed') == '/cam' and plain_topic('/image') == '/image'


def test_topics_that_are_not_there_are_empty():
    assert find_topics({'/image': COMPRESSED}) == Topics('/image', '', '')


@pytest.mark.parametrize(
    ('types', 'image', 'message'),
    [
        (
            {'/points': CLOUD, '/camera_info': INFO},
            '',
            r'image topic \(none\) is not in the bag; it has '
            rf'/camera_info \({INFO}\), /points \({CLOUD}\)$',
        ),
        ({COLOUR: IMAGE}, '/front', rf'image topic /front is .*; it has {COLOUR} \({IMAGE}\)$'),
        ({'/points': CLOUD}, '/points', 'image topic /points is not in the bag'),
        ({DEPTH: IMAGE}, '', rf'image topic \(none\) is not in the bag; it has {DEPTH}'),
        ({}, '', 'it has no topics'),
    ],
)
def test_missing_topic_lists_what_the_bag_has(types, image, message):
    with pytest.raises(ValueError, match=message):
        find_topics(types, image)


# Bags written here


@pytest.mark.parametrize('plugin', PLUGINS)
def test_frames_of_a_folder(tmp_path, plugin):
    """Times count from the first message; 16UC1 millimetres become metres, 0 becomes NaN."""
    bag = _write(tmp_path / 'bag', _three_frames(), plugin)
    frames = list(read_bag(bag))
    assert _summary(frames) == [(1, 1.0, 0), (2, 2.0, 100), (3, 3.0, 200)]
    frame = frames[1]
    assert frame.image.shape == (3, 4, 3) and frame.image.dtype == np.uint8
    assert frame.image[2, 3].tolist() == [2, 20, 3]
    assert frame.camera == Camera(4, 3, 5.0, 6.0, 1.5, 1.25)
    assert frame.depth.dtype == np.float32 and np.isnan(frame.depth[0, 0])
    assert np.isfinite(frame.depth).sum() == 11


@pytest.mark.parametrize(('plugin', 'suffix'), [('sqlite3', 'db3'), ('mcap', 'mcap')])
def test_single_file_without_its_metadata(tmp_path, plugin, suffix):
    bag = _write(tmp_path / 'bag', _three_frames(), plugin)
    (bag / 'metadata.yaml').unlink()
    (file,) = bag.glob(f'*.{suffix}')
    assert _summary(read_bag(file)) == [(1, 1.0, 0), (2, 2.0, 100), (3, 3.0, 200)]
    assert _summary(read_bag(bag)) == _summary(read_bag(file))


def test_chosen_image_topic(tmp_path):
    other = '/rear/image', _image(50.05, np.full((3, 4, 3), 77, np.uint8), 'rgb8'), 50.05
    bag = _write(tmp_path / 'bag', [*_three_frames(), other])
    assert [row[0] for row in _summary(read_bag(bag, '/rear/image'))] == [77]


def test_missing_topic_of_a_bag_lists_its_topics(tmp_path):
    bag = _write(tmp_path / 'bag', [_info(1.0), _depth(1, 1.0)])
    with pytest.raises(ValueError, match=rf'image topic \(none\).*{CAMERA_INFO}.*{DEPTH}'):
        list(read_bag(bag))


def test_depth_is_paired_by_stamp(tmp_path):
    """
    20 ms at most lie between a colour image and its depth.

    Image 1 has its depth before it; image 2 has none; image 3's comes 15 ms later; image 4's
    nearest is 50 ms away.
    """
    entries = [
        _info(1.0),
        _depth(1, 0.99),
        _colour(1, 1.0),
        _colour(2, 1.1),
        _colour(3, 1.2),
        _depth(3, 1.215),
        _colour(4, 1.3),
        _depth(4, 1.35),
    ]
    bag = _write(tmp_path / 'bag', entries)
    found = [(image, depth) for image, depth, _ in _summary(read_bag(bag))]
    assert found == [(1, 1.0), (2, None), (3, 3.0), (4, None)]


def test_stamp_counts_and_not_the_time_of_recording(tmp_path):
    """Depth was recorded 80 ms late, but has the stamp of its image."""
    topic, message, _ = _depth(1, 1.0)
    bag = _write(
        tmp_path / 'bag', [_info(1.0), _colour(1, 1.0), (topic, message, 1.08), _colour(2, 1.1)]
    )
    assert _summary(read_bag(bag)) == [(1, 1.0, 0), (2, None, 100)]


def test_zero_stamp_takes_the_time_of_recording(tmp_path):
    entries = []
    for number, seconds in ((1, 70.0), (2, 70.5)):
        topic, message, _ = _colour(number, 0.0)
        entries.append((topic, message, seconds))
    assert _summary(read_bag(_write(tmp_path / 'bag', entries))) == [(1, None, 0), (2, None, 500)]


def test_first_image_waits_for_its_camera(tmp_path):
    entries = [_colour(1, 1.0), _depth(1, 1.0), _info(1.01), _colour(2, 1.1), _depth(2, 1.1)]
    frames = list(read_bag(_write(tmp_path / 'bag', entries)))
    assert [f.camera is not None for f in frames] == [True, True]
    assert [row[:2] for row in _summary(frames)] == [(1, 1.0), (2, 2.0)]


def test_newest_camera_counts(tmp_path):
    entries = [_info(1.0), _colour(1, 1.0), _info(1.05, fx=9.0), _colour(2, 1.1)]
    frames = read_bag(_write(tmp_path / 'bag', entries))
    assert [f.camera.fx for f in frames] == [5.0, 9.0]


def test_bag_without_camera_and_depth(tmp_path):
    frames = list(read_bag(_write(tmp_path / 'bag', [_colour(1, 1.0), _colour(2, 1.2)])))
    assert _summary(frames) == [(1, None, 0), (2, None, 200)]
    assert [f.camera for f in frames] == [None, None]


def test_topics_without_a_message_do_not_hold_images_back(tmp_path):
    entries = [_colour(1, 1.0), _colour(2, 1.2)]
    declared = [(CAMERA_INFO, INFO), (DEPTH, IMAGE)]
    frames = list(read_bag(_write(tmp_path / 'bag', entries, declared=declared)))
    assert _summary(frames) == [(1, None, 0), (2, None, 200)]


def test_bag_with_the_topic_but_no_image_is_empty(tmp_path):
    bag = _write(tmp_path / 'bag', [_info(1.0)], declared=[(COLOUR, IMAGE)])
    assert list(read_bag(bag)) == []


def test_reading_stops_when_the_caller_stops(tmp_path):
    frames = read_bag(_write(tmp_path / 'bag', _three_frames()))
    assert _summary(islice(frames, 1)) == [(1, 1.0, 0)]
    frames.close()


# Damage


def _one_line(path, message):
    with pytest.raises(ValueError, match=message) as error:
        list(read_bag(path))
    text = str(error.value)
    assert '\n' not in text and str(path) in text


@pytest.mark.parametrize('share', [0.3, 0.7, 0.98])
def test_truncated_mcap_is_one_line(tmp_path, share):
    bag = _write(tmp_path / 'bag', _three_frames())
    (file,) = bag.glob('*.mcap')
    data = file.read_bytes()
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(data[: int(share * len(data))])
    _one_line(cut, 'cut.mcap: not a readable bag: ')


@pytest.mark.parametrize('suffix', ['mcap', 'db3', 'bag'])
@pytest.mark.parametrize('content', [b'', b'no bag at all\n' * 40], ids=['empty', 'text'])
def test_file_that_is_no_bag_is_one_line(tmp_path, suffix, content):
    path = tmp_path / f'file.{suffix}'
    path.write_bytes(content)
    _one_line(path, rf'file.{suffix}: not a readable bag: ')


def test_name_that_is_no_text_is_one_line(tmp_path):
    """0xFF is never part of UTF-8; a topic's name has it."""
    (file,) = _write(tmp_path / 'bag', _three_frames()).glob('*.mcap')
    file.write_bytes(file.read_bytes().replace(b'/cam/', b'\xffcam/'))
    _one_line(file, "mcap: not a readable bag: 'utf-8' codec can't decode")


def test_damaged_metadata_is_one_line(tmp_path):
    bag = _write(tmp_path / 'bag', _three_frames())
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information:\n  version: [\n')
    _one_line(bag, 'bag: not a readable bag: ')


def test_truncated_sqlite_is_one_line(tmp_path):
    bag = _write(tmp_path / 'bag', _three_frames(), 'sqlite3')
    (file,) = bag.glob('*.db3')
    file.write_bytes(file.read_bytes()[:5000])
    _one_line(bag, 'bag: not a readable bag: ')


def test_damaged_message_names_what_is_wrong(tmp_path):
    """An encoding that nobody knows is the image's own error, not a damaged bag."""
    entry = COLOUR, _image(1.0, np.zeros((3, 4, 3), np.uint8), 'rgb9'), 1.0
    with pytest.raises(ValueError, match='rgb9'):
        list(read_bag(_write(tmp_path / 'bag', [entry])))


def test_absent_bag_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing was not found; expected a bag'):
        list(read_bag(tmp_path / 'nothing'))


def test_folder_without_a_bag_is_not_found(tmp_path):
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(FileNotFoundError, match='has neither metadata.yaml nor .mcap or .db3'):
        list(read_bag(tmp_path))


# Real recordings


def test_real_mcap_with_compressed_colour_and_depth(data_folder):
    """90 frames of a Kinect: fx 585, kitchen some metres deep, 30 Hz."""
    frames = list(islice(read_bag(data_folder / 'bags' / 'kitchen_compressed_mcap'), 4))
    assert len(frames) == 4
    for index, frame in enumerate(frames):
        assert frame.image.shape == (480, 640, 3)
        assert frame.camera == Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
        assert frame.depth.shape == (480, 640)
        assert 0.5 < np.nanmedian(frame.depth) < 4
        assert 0.5 < np.isfinite(frame.depth).mean() < 1
        assert frame.time == pytest.approx(index / 30, abs=0.005)


def test_cut_real_mcap_is_one_line(data_folder, tmp_path):
    (file,) = (data_folder / 'bags' / 'kitchen_compressed_mcap').glob('*.mcap')
    with file.open('rb') as source:
        (tmp_path / 'cut.mcap').write_bytes(source.read(1 << 20))
    _one_line(tmp_path / 'cut.mcap', 'cut.mcap: not a readable bag: ')


def test_real_humble_recording_without_metadata(data_folder):
    (frame,) = read_bag(data_folder / 'bags' / 'real_humble_recording', '/image')
    assert frame.image.shape == (480, 640, 3) and frame.image.std() > 20
    assert frame.camera == Camera(640, 480, 500.0, 500.0, 320.0, 240.0)
    assert frame.depth is None


def test_real_ros1_bag(data_folder):
    (frame,) = read_bag(data_folder / 'bags' / 'ros1_one_image.bag')
    assert frame.image.shape == (124, 123, 3) and not frame.image.any()  # it is a black one
    assert frame.camera is None and frame.depth is None and frame.time == 0

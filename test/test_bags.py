"""
Bags as samples: bags of every storage written here, faults in them, and the recorded ones.

The red of a picture is its number, its depth the number in metres unless a test says otherwise.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_files import NO_TURN, Bag, compressed_depth, jpeg

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources import bags
from fcrn_ros.training.sources.bags import BagOptions, BagSource

CAMERA = Camera(16, 12, 14.0, 15.0, 7.0, 6.5)
IMAGE, INFO = '/cam/color/image_raw', '/cam/color/camera_info'
DEPTH, DEPTH_INFO = '/cam/depth/image_raw', '/cam/depth/camera_info'
RIGHT, LEFT = '/cam/right/image_rect', '/cam/left/image_rect'
START = 50.0
HALF = math.sqrt(0.5)


def picture(number: int, camera: Camera = CAMERA) -> np.ndarray:
    """Return an RGB image: red is the number, green the row, blue the column."""
    pixels = np.zeros((camera.height, camera.width, 3), np.uint8)
    rows, columns = np.indices(pixels.shape[:2])
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = number, rows, columns
    return pixels


def millimetres(number: int, camera: Camera = CAMERA) -> np.ndarray:
    """Return a depth image of 1000 mm times the number, with a hole at the top left."""
    pixels = np.full((camera.height, camera.width), 1000 * number, np.uint16)
    pixels[0, 0] = 0
    return pixels


def add_colour(bag: Bag, number: int, seconds: float, frame: str = 'eye') -> None:
    bag.add(IMAGE, bag.image(seconds, picture(number), 'rgb8', frame), seconds)


def add_depth(bag: Bag, number: int, seconds: float, **of: Any) -> None:
    """Add a depth image and its camera_info; ``of`` may name frame and camera."""
    camera, frame = of.get('camera', CAMERA), of.get('frame', 'eye')
    bag.add(DEPTH_INFO, bag.info(seconds, camera, frame), seconds)
    pixels = millimetres(number, camera)
    bag.add(DEPTH, bag.image(seconds, pixels, '16UC1', frame), seconds)


def recording(count: int = 3, depth: bool = True, ros1: bool = False, **of: Any) -> Bag:
    """Return a bag at 10 Hz from 50 s on; depth comes 4 ms after its picture."""
    bag = Bag(ros1)
    for i in range(count):
        seconds = START + i / 10
        bag.add(INFO, bag.info(seconds, CAMERA), seconds)
        add_colour(bag, i + 1, seconds)
        if depth:
            add_depth(bag, i + 1, seconds + 0.004, **of)
    return bag


def read(path: Path, **options: Any) -> tuple[list[Sample], str]:
    """Return the samples and the report."""
    source = BagSource(path, BagOptions(**options))
    return list(source.samples()), '\n'.join(source.report())


def numbers(samples: list[Sample]) -> list[int]:
    return [int(sample.image[0, 0, 0]) for sample in samples]


def metres(samples: list[Sample]) -> list[float | None]:
    return [None if s.depth is None else float(np.nanmedian(s.depth)) for s in samples]


def one_line(path: Path, **options: Any) -> str:
    """Return the one line that reading a bag fails with; it names the bag."""
    with pytest.raises(ValueError) as error:
        list(BagSource(path, BagOptions(**options)).samples())
    text = str(error.value)
    assert '\n' not in text and str(path) in text
    return text


# ---- every storage


STORAGES: dict[str, Callable[[Path], Path]] = {
    'ros1': lambda path: recording(ros1=True).write(path),
    'sqlite3': lambda path: recording().write(path, 'sqlite3'),
    'sqlite3 files': lambda path: recording().write(path, 'sqlite3', 'file'),
    'sqlite3 messages': lambda path: recording().write(path, 'sqlite3', 'message'),
    'mcap': lambda path: recording().write(path),
    'mcap files': lambda path: recording().write(path, 'mcap', 'file'),
    'mcap chunks': lambda path: recording().write(path, 'mcap', 'storage'),
    'one mcap': lambda path: next(recording().write(path).glob('*.mcap')),
    'one db3': lambda path: next(recording().write(path, 'sqlite3').glob('*.db3')),
}


@pytest.mark.parametrize('storage', STORAGES)
def test_samples_of_every_storage(tmp_path: Path, storage: str) -> None:
    source = BagSource(STORAGES[storage](tmp_path / 'walk'))
    assert (source.name, source.licence, len(source)) == ('walk', '', 3)
    samples = list(source.samples())
    assert [s.name for s in samples] == ['000000.000', '000000.100', '000000.200']
    assert [s.time for s in samples] == pytest.approx([0, 0.1, 0.2])
    assert {s.sequence for s in samples} == {'walk'}
    assert metres(samples) == [1, 2, 3]
    second = samples[1]
    np.testing.assert_array_equal(second.image, picture(2))
    assert second.camera == CAMERA
    assert second.depth is not None and second.depth.dtype == np.float32
    assert np.isnan(second.depth[0, 0]) and np.isfinite(second.depth).sum() == 16 * 12 - 1
    assert second.world_T_camera is None and second.right is None
    assert source.report() == [
        f'walk: read image {IMAGE}, depth {DEPTH}',
        'walk: 3 pairs of colour and depth, mean offset 4.0 ms; '
        'without a partner: 0 colour, 0 depth',
    ]


@pytest.mark.parametrize('form', ['16UC1; compressedDepth png', '16UC1; compressedDepth rvl'])
def test_compressed_colour_and_depth(tmp_path: Path, form: str) -> None:
    """JPEG moves a colour by a few units; PNG and RVL keep every millimetre."""
    bag = Bag()
    bag.add(INFO, bag.info(START, CAMERA), START)
    smooth = np.full((12, 16, 3), (200, 90, 40), np.uint8)
    bag.add(f'{IMAGE}/compressed', bag.compressed(START, jpeg(smooth), 'rgb8; jpeg'), START)
    data = compressed_depth(millimetres(2), form)
    bag.add(f'{DEPTH}/compressedDepth', bag.compressed(START, data, form), START)
    bag.add(DEPTH_INFO, bag.info(START, CAMERA), START)
    ((sample,), report) = read(bag.write(tmp_path / 'bag'))
    assert np.abs(sample.image.astype(int) - (200, 90, 40)).max() <= 3
    np.testing.assert_array_equal(np.isnan(sample.depth), millimetres(2) == 0)
    np.testing.assert_array_equal(sample.depth[1:], 2)
    assert f'depth {DEPTH}/compressedDepth' in report


def test_metres_with_infinity(tmp_path: Path) -> None:
    """32FC1 says inf where it is too far, 0 or less where it is faulty: all become NaN."""
    bag = recording(1, depth=False)
    depth = np.full((12, 16), 2.5, np.float32)
    depth[0, :4] = np.inf, -np.inf, 0, -1
    bag.add(DEPTH, bag.image(START, depth, '32FC1'), START)
    ((sample,), _) = read(bag.write(tmp_path / 'bag'))
    assert np.isnan(sample.depth[0, :4]).all() and np.isnan(sample.depth).sum() == 4
    assert np.nanmax(sample.depth) == 2.5


# ---- pairs


def test_pairs_are_the_nearest_stamps(tmp_path: Path) -> None:
    """
    Tolerance 20 ms; a depth image serves one picture only.

    Picture 1 at 0 ms and 2 at 16 ms: depth 1 at 10 ms is nearer to 2. Picture 3 at 100 ms has
    depth 2 at 95 ms and 3 at 120 ms: 2 is nearer. Depth 4 at 300 ms is alone, and 3 too. The mean
    of -6 and -5 ms is -5.5 ms.
    """
    bag = Bag()
    bag.add(INFO, bag.info(START, CAMERA), START)
    for number, offset in ((1, 0), (2, 0.016), (3, 0.1)):
        add_colour(bag, number, START + offset)
    for number, offset in ((1, 0.01), (2, 0.095), (3, 0.12), (4, 0.3)):
        add_depth(bag, number, START + offset)
    samples, report = read(bag.write(tmp_path / 'bag'))
    assert numbers(samples) == [2, 3] and metres(samples) == [1, 2]
    assert samples[0].name == '000000.016'
    assert (
        '2 pairs of colour and depth, mean offset -5.5 ms; without a partner: 1 colour, 2 depth'
    ) in report


def test_tolerance_is_an_option(tmp_path: Path) -> None:
    """4 ms between picture and depth: 5 ms are enough, 3 ms are not."""
    path = recording().write(tmp_path / 'bag')
    assert len(read(path, tolerance=0.005)[0]) == 3
    assert 'no /cam/depth/image_raw within 3 ms of /cam/color/image_raw' in one_line(
        path, tolerance=0.003
    )


def test_wanted_depth_is_no_condition(tmp_path: Path) -> None:
    """Picture 2 has no depth: it is left out where depth is needed, kept where it is wanted."""
    bag = recording(1)
    add_colour(bag, 2, START + 0.1)
    path = bag.write(tmp_path / 'bag')
    assert metres(read(path)[0]) == [1]
    bag.add('/odom', bag.odometry(START, (0, 0, 0), child='eye'), START)
    bag.add('/odom', bag.odometry(START + 0.2, (2, 0, 0), child='eye'), START)
    posed = bag.write(tmp_path / 'posed')
    assert metres(read(posed, need=('pose',))[0]) == [1, None]
    assert metres(read(posed, need=('pose',), want=())[0]) == [None, None]


def test_late_recording_does_not_break_pairs(tmp_path: Path) -> None:
    """Depth is recorded half a second after its picture, and pictures out of order."""
    bag = Bag()
    bag.add(INFO, bag.info(START, CAMERA), START)
    for number, seconds in ((1, START), (3, START + 0.2), (2, START + 0.1)):
        bag.add(IMAGE, bag.image(seconds, picture(number), 'rgb8'), START + number / 100)
        depth = bag.image(seconds, millimetres(number), '16UC1')
        bag.add(DEPTH, depth, START + 0.5 + number / 100)
    samples, _ = read(bag.write(tmp_path / 'bag'))
    assert numbers(samples) == [1, 2, 3] and metres(samples) == [1, 2, 3]


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Six pictures of 576 bytes and a header come before their depth; 3000 bytes hold four of them.

    With the fifth, the first is given up, and with the sixth the second.
    """
    bag = Bag()
    bag.add(INFO, bag.info(START, CAMERA), START)
    for i in range(6):
        bag.add(IMAGE, bag.image(START + i / 10, picture(i), 'rgb8'), START + i / 100)
    for i in range(6):
        depth = bag.image(START + i / 10, millimetres(i + 1), '16UC1')
        bag.add(DEPTH, depth, START + 1 + i / 100)
    path = bag.write(tmp_path / 'bag')
    monkeypatch.setattr(bags, 'WAITING_BYTES', 3000)
    samples, report = read(path)
    assert numbers(samples) == [2, 3, 4, 5] and metres(samples) == [3, 4, 5, 6]
    assert '2 moments left out: their pictures were recorded too far apart' in report


def test_memory_does_not_grow_with_the_bag(tmp_path: Path) -> None:
    """Sixty frames of 240 x 180 have 13 MB; reading them holds less than 6."""
    camera = Camera(240, 180, 200.0, 210.0, 120.0, 91.0)
    bag = Bag()
    bag.add(INFO, bag.info(START, camera), START)
    for i in range(60):
        seconds = START + i / 10
        bag.add(IMAGE, bag.image(seconds, picture(i, camera), 'rgb8'), seconds)
        bag.add(DEPTH, bag.image(seconds, millimetres(2, camera), '16UC1'), seconds)
    source = BagSource(bag.write(tmp_path / 'bag', 'sqlite3'))
    del bag
    tracemalloc.start()
    count = sum(1 for _ in source.samples())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60 and peak < 6e6


def test_different_clocks_are_named(tmp_path: Path) -> None:
    """The depth camera's clock is 2.5 s ahead."""
    bag = recording(3, depth=False)
    for i in range(3):
        add_depth(bag, i + 1, START + 2.5 + i / 10)
    text = one_line(bag.write(tmp_path / 'bag'))
    assert 'within 20 ms' in text and 'their stamps differ by 2.4' in text
    assert 'set both clocks alike, or give a greater tolerance' in text


def test_stamps_of_zero_take_the_time_of_recording(tmp_path: Path) -> None:
    bag = Bag()
    bag.add(INFO, bag.info(0, CAMERA), 70)
    for i in range(2):
        bag.add(IMAGE, bag.image(0, picture(i), 'rgb8'), 70 + i / 2)
        bag.add(DEPTH, bag.image(0, millimetres(i + 1), '16UC1'), 70.01 + i / 2)
    samples, _ = read(bag.write(tmp_path / 'bag'))
    assert [s.name for s in samples] == ['000000.000', '000000.500']
    assert metres(samples) == [1, 2]


def test_repeated_stamp_is_left_out(tmp_path: Path) -> None:
    bag = recording(2, depth=False)
    add_colour(bag, 9, START + 0.1)
    samples, report = read(bag.write(tmp_path / 'bag'))
    assert numbers(samples) == [1, 2]
    assert '1 pictures left out: their stamp repeats another' in report


# ---- several bags


def test_several_bags_are_sequences(tmp_path: Path) -> None:
    """Two bags of one name, in folders a and b, are told apart."""
    paths = [
        recording(2).write(tmp_path / f / 'walk') for f in ('a', 'b') if _folder(tmp_path / f)
    ]
    paths.append(recording(1).write(tmp_path / 'stairs'))
    source = BagSource(paths)
    samples = list(source.samples())
    assert (source.name, len(source)) == ('walk-1+2', 5)
    assert [s.name for s in samples[1:4]] == [
        'walk-1/000000.100',
        'walk-2/000000.000',
        'walk-2/000000.100',
    ]
    assert [s.sequence for s in samples] == ['walk-1'] * 2 + ['walk-2'] * 2 + ['stairs']
    assert len({s.name for s in samples}) == 5
    assert [line.split(':')[0] for line in source.report()[::2]] == ['walk-1', 'walk-2', 'stairs']


def _folder(path: Path) -> bool:
    path.mkdir()
    return True


def test_no_bag_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match='no bag; expected the path of at least one'):
        BagSource([])


def test_signature_changes_with_files_and_options(tmp_path: Path) -> None:
    path = recording().write(tmp_path / 'bag')
    first = BagSource(path).signature()
    assert BagSource(path).signature() == first
    assert BagSource(path, BagOptions(tolerance=0.01)).signature() != first
    with next(path.glob('*.mcap')).open('ab') as file:
        file.write(b'x')
    assert BagSource(path).signature() != first


# ---- cameras


def test_camera_at_the_time_counts(tmp_path: Path) -> None:
    """The lens zooms between the second and third picture."""
    bag = recording(2)
    bag.add(INFO, bag.info(START + 0.2, replace(CAMERA, fx=20.0)), START + 0.2)
    add_colour(bag, 3, START + 0.2)
    add_depth(bag, 3, START + 0.2)
    samples, _ = read(bag.write(tmp_path / 'bag'))
    assert [s.camera.fx for s in samples] == [14, 14, 20]


def test_smaller_depth_of_the_same_view_is_enlarged(tmp_path: Path) -> None:
    """Half the size and half the focal length: each reading covers four pixels, none is mixed."""
    bag = recording(1, camera=CAMERA.resized(8, 6), frame='eye')
    ((sample,), _) = read(bag.write(tmp_path / 'bag'))
    hole = np.zeros((12, 16), bool)
    hole[:2, :2] = True
    np.testing.assert_array_equal(np.isnan(sample.depth), hole)
    assert set(sample.depth[~hole]) == {1.0}


def test_other_intrinsics_in_the_same_frame_are_registered(tmp_path: Path) -> None:
    """
    Depth with half the focal length sees twice as wide.

    Its hole, pixel (0, 0), looks outside the colour image, whose every pixel has depth.
    """
    wide = replace(CAMERA, fx=7.0, fy=7.5)
    ((sample,), _) = read(recording(1, camera=wide, frame='eye').write(tmp_path / 'bag'))
    np.testing.assert_array_equal(sample.depth, 1)


def depth_apart(bag: Bag, ros1_dynamic: bool = False) -> None:
    """Put the depth camera 0.5 m behind the colour camera, by way of a body frame."""
    topic = '/tf' if ros1_dynamic else '/tf_static'
    transforms = [
        ('body', 'eye', START, (0.5, 0, 0), (0.5, -0.5, 0.5, -0.5)),
        ('body', 'depth_eye', START, (0, 0, 0), (0.5, -0.5, 0.5, -0.5)),
    ]
    for transform in transforms:  # an optical frame: z is the body's x
        bag.add(topic, bag.transforms(transform), START)


@pytest.mark.parametrize('ros1', [False, True])
def test_depth_of_another_camera_is_registered(tmp_path: Path, ros1: bool) -> None:
    """A wall 2 m before the depth camera is 1.5 m before the colour camera, all over."""
    bag = Bag(ros1)
    bag.add(INFO, bag.info(START, CAMERA), START)
    add_colour(bag, 1, START)
    add_depth(bag, 2, START, frame='depth_eye')
    depth_apart(bag, ros1_dynamic=ros1)
    ((sample,), report) = read(bag.write(tmp_path / 'bag'))
    assert np.isfinite(sample.depth).mean() > 0.95
    np.testing.assert_allclose(sample.depth[np.isfinite(sample.depth)], 1.5, rtol=1e-6)
    assert 'bad' not in report


def test_cameras_without_frames_must_be_alike(tmp_path: Path) -> None:
    """Images that name no frame may be of one camera if their intrinsics are."""
    for name, camera in (('same', CAMERA), ('other', replace(CAMERA, fx=20.0))):
        bag = Bag()
        bag.add(INFO, bag.info(START, CAMERA, ''), START)
        add_colour(bag, 1, START, '')
        add_depth(bag, 2, START, frame='', camera=camera)
        bag.write(tmp_path / name)
    assert metres(read(tmp_path / 'same')[0]) == [2]
    text = one_line(tmp_path / 'other')
    assert f'{IMAGE} and {DEPTH} name no frame, and their cameras differ' in text


def test_missing_extrinsics_name_both_frames(tmp_path: Path) -> None:
    bag = recording(1, frame='depth_eye')
    bag.add('/tf_static', bag.transforms(('body', 'eye', START, (0, 0, 0), NO_TURN)), START)
    path = bag.write(tmp_path / 'bag')
    text = one_line(path)
    assert "connects the frames 'eye' and 'depth_eye'; static: body, eye; moving: none" in text
    samples, report = read(path, want=('pose',))
    assert metres(samples) == [None] and 'no pose' in report


def test_aligned_depth_needs_no_extrinsics(tmp_path: Path) -> None:
    """It is preferred to the raw depth, which here shows another distance."""
    aligned = '/cam/aligned_depth_to_color/image_raw'
    bag = recording(1, frame='depth_eye')
    bag.add(aligned, bag.image(START, millimetres(3), '16UC1', 'aligned_eye'), START)
    info = bag.info(START, CAMERA, 'aligned_eye')
    bag.add('/cam/aligned_depth_to_color/camera_info', info, START)
    samples, report = read(bag.write(tmp_path / 'bag'))
    assert metres(samples) == [3] and f'depth {aligned}' in report


def test_depth_without_camera_info(tmp_path: Path) -> None:
    """In colour's frame it is taken as colour's; from another frame it is refused."""
    bag = recording(1, depth=False)
    bag.add(DEPTH, bag.image(START, millimetres(2), '16UC1'), START)
    samples, report = read(bag.write(tmp_path / 'same'))
    assert metres(samples) == [2]
    assert 'depth has no camera_info, and is taken as the colour camera sees it' in report
    other = recording(1, depth=False)
    other.add(DEPTH, other.image(START, millimetres(2), '16UC1', 'depth_eye'), START)
    depth_apart(other)
    text = one_line(other.write(tmp_path / 'other'))
    assert f'no usable camera_info of {DEPTH}; name one with depth_info' in text


def test_distorted_pictures_are_rectified(tmp_path: Path) -> None:
    """
    With k1 = 0.2, x = (15 - 7) / 14 = 0.571 and y = (6 - 6.5) / 15 = -0.033 in the last column.

    r^2 = 0.328: it comes from x (1 + 0.0655) = 0.609, column 15.52, which is outside; column 13, x
    = 0.4286, r^2 = 0.185, from 0.4444: column 13.22, blue 13.22, and the depth of column 13.
    """
    bent = replace(CAMERA, distortion_model='plumb_bob', distortion=(0.2, 0.0, 0.0, 0.0, 0.0))
    bag = Bag()
    bag.add(INFO, bag.info(START, bent), START)
    add_colour(bag, 1, START)
    depth = np.tile(np.arange(1, 17, dtype=np.uint16) * 100, (12, 1))
    bag.add(DEPTH, bag.image(START, depth, '16UC1'), START)
    bag.add(DEPTH_INFO, bag.info(START, bent), START)
    ((sample,), _) = read(bag.write(tmp_path / 'bag'))
    assert sample.camera == CAMERA
    assert sample.image[6, 13, 2] == 13
    assert sample.depth[6, 13] == np.float32(1.4)
    assert np.isnan(sample.depth[6, 15])
    kept = sample.depth[~np.isnan(sample.depth)]
    assert set(np.round(kept * 10)) <= set(range(1, 17))


def test_rectified_topic_is_not_rectified_again(tmp_path: Path) -> None:
    """image_rect has the camera of P; D is of the raw image."""
    bent = replace(CAMERA, distortion_model='plumb_bob', distortion=(0.2, 0.0, 0.0, 0.0, 0.0))
    bag = Bag()
    bag.add(INFO, bag.info(START, bent), START)
    bag.add('/cam/color/image_rect', bag.image(START, picture(1), 'rgb8'), START)
    ((sample,), _) = read(bag.write(tmp_path / 'bag'))
    assert sample.camera == CAMERA
    np.testing.assert_array_equal(sample.image, picture(1))


# ---- poses


def drive(bag: Bag, topic: str = '/odom') -> None:
    """Drive base from x = 0 at the start to x = 2 one second later, turning left by 90 degrees."""
    poses = [(0.0, (0, 0, 0), NO_TURN), (1.0, (2, 0, 0), (0, 0, HALF, HALF))]
    for offset, place, turn in poses:
        seconds = START + offset
        if topic == '/odom':
            message = bag.odometry(seconds, place, turn)
        else:
            message = bag.transforms(('odom', 'base', seconds, place, turn))
        bag.add(topic, message, seconds)
    mount = bag.transforms(('base', 'eye', START, (0.2, 0, 1), NO_TURN))
    bag.add('/tf_static', mount, START)


@pytest.mark.parametrize('topic', ['/odom', '/tf'])
@pytest.mark.parametrize('ros1', [False, True])
def test_pose_between_two_readings(tmp_path: Path, topic: str, ros1: bool) -> None:
    """
    The camera is 0.2 m ahead and 1 m up on base.

    0.1 s after the start base is at x = 0.2, turned by 9 degrees: the camera is at 0.2 + 0.2 cos 9
    = 0.3975, 0.2 sin 9 = 0.0313, 1.
    """
    bag = recording(2, ros1=ros1)
    drive(bag, topic)
    samples, report = read(bag.write(tmp_path / 'bag'), need=('pose',))
    np.testing.assert_allclose(samples[0].world_T_camera[:3, 3], [0.2, 0, 1], atol=1e-9)
    np.testing.assert_allclose(samples[1].world_T_camera[:3, 3], [0.3975, 0.0313, 1], atol=1e-4)
    ahead = samples[1].world_T_camera[:3, 0]
    np.testing.assert_allclose(ahead, [math.cos(0.05 * math.pi), math.sin(0.05 * math.pi), 0])
    assert f"poses of 'eye' in 'odom', from {topic}" in report
    assert metres(samples) == [1, 2]


def test_pose_outside_the_recorded_time_is_unknown(tmp_path: Path) -> None:
    """Odometry ends 1 s after the start; a picture comes 0.1 s later."""
    bag = recording(1)
    drive(bag)
    add_colour(bag, 2, START + 1.1)
    add_depth(bag, 2, START + 1.1)
    path = bag.write(tmp_path / 'bag')
    samples, report = read(path)
    assert [s.world_T_camera is not None for s in samples] == [True, False]
    assert '1 pictures without a known pose were kept' in report
    samples, report = read(path, need=('depth', 'pose'))
    assert numbers(samples) == [1]
    assert '1 pictures without a known pose were left out' in report


def test_pose_is_of_the_rectified_camera(tmp_path: Path) -> None:
    """
    The rectifying rotation turns the frame by 90 degrees about z: its x is the frame's -y.

    R takes (x, y) of the frame to (-y, x), so the rectified x axis is (0, -1, 0) in the frame.
    """
    turned = replace(
        CAMERA,
        distortion_model='plumb_bob',
        distortion=(1e-6, 0.0, 0.0, 0.0, 0.0),
        rotation=(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    )
    bag = Bag()
    bag.add(INFO, bag.info(START, turned), START)
    add_colour(bag, 1, START)
    drive(bag)
    ((sample,), _) = read(bag.write(tmp_path / 'bag'), need=('pose',))
    np.testing.assert_allclose(sample.world_T_camera[:3, 0], [0, -1, 0], atol=1e-9)


def test_odometry_that_does_not_reach_the_camera(tmp_path: Path) -> None:
    """/tf does: it is taken instead, unless the odometry was asked for."""
    bag = recording(2)
    drive(bag, '/tf')
    for offset in (0, 1):
        pose = bag.odometry(START + offset, (9, 9, 9), child='elsewhere')
        bag.add('/odom', pose, START + offset)
    path = bag.write(tmp_path / 'bag')
    samples, report = read(path, need=('pose',))
    assert samples[0].world_T_camera[0, 3] == pytest.approx(0.2) and 'from /tf' in report
    text = one_line(path, need=('pose',), odometry='/odom')
    assert "/odom moves the frame 'elsewhere', to which no transform connects" in text
    assert text.endswith("the camera frame 'eye'")


def test_camera_that_nothing_moves_has_no_pose(tmp_path: Path) -> None:
    bag = recording(1)
    bag.add('/tf_static', bag.transforms(('base', 'eye', START, (0, 0, 0), NO_TURN)), START)
    path = bag.write(tmp_path / 'bag')
    assert "no transform moves the frame 'eye'" in one_line(path, need=('pose',))
    samples, report = read(path)
    assert samples[0].world_T_camera is None
    assert "no pose: no transform moves the frame 'eye'" in report


# ---- stereo


def stereo(shift: float = -0.12, right: Camera = CAMERA, ros1: bool = False) -> Bag:
    """Return two pairs; ``shift`` is the right camera's P[3] / P[0] [m]."""
    bag = Bag(ros1)
    for i in range(2):
        seconds = START + i / 10
        for topic, camera, p in ((LEFT, CAMERA, 0.0), (RIGHT, right, shift)):
            info = bag.info(seconds, camera, shift=p)
            bag.add(topic.replace('image_rect', 'camera_info'), info, seconds)
            red = i + (100 if topic == RIGHT else 0)
            bag.add(topic, bag.image(seconds, picture(red, camera), 'rgb8'), seconds)
    return bag


@pytest.mark.parametrize('ros1', [False, True])
def test_stereo_pair(tmp_path: Path, ros1: bool) -> None:
    """P[3] = -fx * 0.12; no option is needed."""
    samples, report = read(stereo(ros1=ros1).write(tmp_path / 'bag'))
    assert numbers(samples) == [0, 1]
    np.testing.assert_array_equal(samples[1].right, picture(101))
    assert [s.baseline for s in samples] == pytest.approx([0.12] * 2)
    assert '2 pairs of left and right, mean offset 0.0 ms; without a partner: 0 left' in report


def test_right_picture_takes_the_left_intrinsics(tmp_path: Path) -> None:
    """
    The right image is 20 x 14 with fx = 7, cx = 9 and fy = 15, cy = 7.5.

    Column 11 of the left view is x = (11 - 7) / 14, column 9 + 7 * 4 / 14 = 11 of the right image;
    column 3 is 9 - 2 = 7, and row 4 is one lower, 5.
    """
    wide = Camera(20, 14, 7.0, 15.0, 9.0, 7.5)
    samples, _ = read(stereo(right=wide).write(tmp_path / 'bag'))
    right = samples[0].right
    assert right.shape == (12, 16, 3)
    assert right[4, 11].tolist() == [100, 5, 11]
    assert right[4, 3].tolist() == [100, 5, 7]


@pytest.mark.parametrize(('shift', 'found'), [(0.0, '0 m'), (0.12, '-0.12 m')])
def test_stereo_without_a_baseline_is_named(tmp_path: Path, shift: float, found: str) -> None:
    path = stereo(shift).write(tmp_path / 'bag')
    text = one_line(path)
    assert f'the baseline of {LEFT} and {RIGHT} is {found} by P' in text
    samples, report = read(path, need=(), want=('depth', 'pose'))
    assert [s.right for s in samples] == [None, None]


def test_needed_stereo_chooses_the_left_camera(tmp_path: Path) -> None:
    """With a colour camera in the bag, whose name comes first."""
    bag = stereo()
    bag.entries += recording(2).entries
    path = bag.write(tmp_path / 'bag')
    samples, _ = read(path, need=('stereo',))
    assert numbers(samples) == [0, 1] and samples[0].right is not None
    assert numbers(read(path)[0]) == [1, 2]


# ---- bad messages


BAD: dict[str, tuple[Callable[[Bag], Any], str]] = {
    'encoding': (
        lambda bag: bag.image(START + 0.1, picture(9), 'rgb9'),
        "encoding 'rgb9' is not known",
    ),
    'size': (
        lambda bag: bag.image(START + 0.1, picture(9)[:8], 'rgb8'),
        'image is 16x8; expected 16x12, the size of its camera_info',
    ),
    'bytes': (lambda bag: ('sensor_msgs/msg/Image', b'\x00\x01\x00\x00??'), ''),
    'empty': (lambda bag: ('sensor_msgs/msg/Image', b''), ''),
}


@pytest.mark.parametrize('fault', BAD)
def test_bad_picture_is_counted_and_skipped(tmp_path: Path, fault: str) -> None:
    make, cause = BAD[fault]
    bag = Bag()
    bag.add(INFO, bag.info(START, CAMERA), START)
    for i in (0, 1, 2):
        seconds = START + i / 10
        message = make(bag) if i == 1 else bag.image(seconds, picture(i + 1), 'rgb8')
        bag.add(IMAGE, message, seconds)
        add_depth(bag, i + 1, seconds)
    samples, report = read(bag.write(tmp_path / 'bag'))
    assert numbers(samples) == [1, 3] and metres(samples) == [1, 3]
    (line,) = (line for line in report.splitlines() if 'bad' in line)
    assert line.startswith(f'bag: 1 bad on {IMAGE}, the first: {cause}')
    assert len(line) > len(f'bag: 1 bad on {IMAGE}, the first: ')


def test_truncated_jpeg_is_counted(tmp_path: Path) -> None:
    bag = Bag()
    for i in range(3):
        data = jpeg(picture(9))
        data = data[: len(data) // 2] if i == 1 else data
        bag.add('/eye/image', bag.compressed(START + i / 10, data, 'jpeg'), START + i / 10)
    bag.add('/eye/camera_info', bag.info(START, CAMERA), START)
    samples, report = read(bag.write(tmp_path / 'bag'))
    assert [s.name for s in samples] == ['000000.000', '000000.200']
    assert '1 bad on /eye/image, the first: ' in report
    assert "bytes of 'jpeg' do not decode; expected a whole JPEG or PNG" in report


def test_bad_depth_is_counted_and_skipped(tmp_path: Path) -> None:
    """An empty image (all zero), colours in place of depth, and a size without a camera_info."""
    bag = recording(2)
    for i, (pixels, encoding) in enumerate(
        [(millimetres(0), '16UC1'), (picture(1), 'rgb8'), (millimetres(1)[:6], '16UC1')], 2
    ):
        add_colour(bag, i + 1, START + i / 10)
        bag.add(DEPTH, bag.image(START + i / 10, pixels, encoding), START + i / 10)
    path = bag.write(tmp_path / 'bag')
    samples, report = read(path)
    assert metres(samples) == [1, 2]
    assert f'3 bad on {DEPTH}, the first: depth image without a reading in the colour' in report


def test_uncalibrated_camera_is_counted(tmp_path: Path) -> None:
    """One camera_info of K = 0 is skipped; where there is no other, the bag has no camera."""
    bag = Bag()
    zero = bag.info(START, CAMERA)
    zero.k[:] = 0
    bag.add(INFO, zero, START)
    good = Bag(entries=[*bag.entries, *recording(2).entries]).write(tmp_path / 'good')
    samples, report = read(good)
    assert [s.camera for s in samples] == [CAMERA] * 2
    assert f'1 bad on {INFO}, the first: camera_info has an all-zero K' in report
    add_colour(bag, 1, START)
    text = one_line(bag.write(tmp_path / 'zero'))
    assert f'no usable camera_info on {INFO} (camera_info has an all-zero K' in text
    assert 'name another with camera_info' in text


def test_bad_transforms_and_odometry_are_counted(tmp_path: Path) -> None:
    """A rotation of length 0, a second parent, a pose of NaN; the rest is read."""
    bag = recording(2)
    drive(bag)
    bag.add('/tf', bag.transforms(('eye', 'a', START, (0, 0, 0), (0, 0, 0, 0))), START)
    bag.add('/tf', bag.transforms(('b', 'eye', START, (0, 0, 0), NO_TURN)), START)
    bag.add('/odom', bag.odometry(START + 0.5, (math.nan, 0, 0)), START)
    samples, report = read(bag.write(tmp_path / 'bag'), need=('pose',))
    assert len(samples) == 2
    assert '2 bad on /tf, the first: transform is' in report
    assert '1 bad on /odom, the first: transform is [nan' in report


# ---- damaged files


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_truncated_mcap_is_one_line(tmp_path: Path, share: float) -> None:
    (file,) = recording().write(tmp_path / 'bag').glob('*.mcap')
    file.write_bytes(file.read_bytes()[: round(share * file.stat().st_size)])
    assert 'not a readable bag: ' in one_line(file)
    with pytest.raises(ValueError, match='not a readable bag'):
        len(BagSource(file))


@pytest.mark.parametrize('share', [0.2, 0.5, 0.9])
def test_truncated_sqlite_is_one_line(tmp_path: Path, share: float) -> None:
    """SQLite refuses a database that lacks pages, wherever it was cut."""
    (file,) = recording(40).write(tmp_path / 'bag', 'sqlite3').glob('*.db3')
    data = file.read_bytes()
    file.write_bytes(data[: round(share * len(data))])
    one_line(file)


def test_damaged_chunk_ends_an_mcap(tmp_path: Path) -> None:
    """
    Forty pictures of 58 kB fill chunks of 1 MiB, 19 in the first; 200 kB are lost after 60 %.

    What lies before the damaged chunk is read, and the report says that there is more.
    """
    camera = Camera(160, 120, 140.0, 150.0, 70.0, 65.0)
    random = np.random.default_rng(5)
    bag = Bag()
    bag.add(INFO, bag.info(START, camera), START)
    for i in range(40):
        noise = random.integers(0, 256, (120, 160, 3), np.uint8)
        bag.add(IMAGE, bag.image(START + i, noise, 'rgb8'), START + i)
    (file,) = bag.write(tmp_path / 'bag', 'mcap', 'storage').glob('*.mcap')
    data = bytearray(file.read_bytes())
    place = len(data) * 6 // 10
    data[place : place + 200_000] = bytes(200_000)
    file.write_bytes(data)
    samples, report = read(file)
    assert 19 <= len(samples) < 40
    assert 'the bag cannot be read to its end: ' in report


def test_absent_bag_is_not_found(tmp_path: Path) -> None:
    source = BagSource(tmp_path / 'nothing.bag')
    with pytest.raises(FileNotFoundError, match=r'nothing.bag was not found; expected a bag'):
        list(source.samples())
    with pytest.raises(FileNotFoundError, match=r'nothing.bag was not found'):
        source.signature()


# ---- what is not there


def test_empty_bag_is_named(tmp_path: Path) -> None:
    text = one_line(Bag().write(tmp_path / 'bag'))
    assert 'it has no topics; name one with the option image' in text


@pytest.mark.parametrize(
    ('options', 'what', 'option'),
    [
        ({'need': ('depth',)}, 'depth image', 'depth'),
        ({'need': ('stereo',)}, 'right picture', 'right'),
        ({'need': ('pose',)}, 'odometry or transform', 'odometry'),
    ],
)
def test_missing_topic_lists_the_bag_and_the_option(
    tmp_path: Path, options: dict[str, Any], what: str, option: str
) -> None:
    path = recording(1, depth=False).write(tmp_path / 'bag')
    text = one_line(path, **options)
    assert f'has no topic that looks like a {what} for {IMAGE}; name one with the option' in text
    assert f'the option {option}; it has {INFO} (sensor_msgs/msg/CameraInfo), {IMAGE} (' in text


def test_named_topic_must_be_there_and_fit(tmp_path: Path) -> None:
    path = recording(1).write(tmp_path / 'bag')
    text = one_line(path, depth='/rear/depth')
    assert 'depth topic /rear/depth is not in the bag as sensor_msgs/msg/Image or' in text
    text = one_line(path, odometry=IMAGE)
    assert f'odometry topic {IMAGE} is not in the bag as nav_msgs/msg/Odometry; it has' in text
    assert len(read(path, image=IMAGE, camera_info=INFO, depth=DEPTH, depth_info=DEPTH_INFO)[0])


def test_topics_that_are_named_are_taken(tmp_path: Path) -> None:
    """A depth topic that nothing in its name tells, and the camera_info of another folder."""
    bag = recording(1)
    bag.add('/a/stereo', bag.image(START, millimetres(7), '16UC1'), START)
    bag.add('/b/lens', bag.info(START, replace(CAMERA, fx=19.0)), START)
    path = bag.write(tmp_path / 'bag')
    samples, _ = read(path, depth='/a/stereo', camera_info='/b/lens', depth_info='/b/lens')
    assert metres(samples) == [7] and samples[0].camera.fx == 19


def test_topic_without_a_message_is_named(tmp_path: Path) -> None:
    """All of its messages are bad, so there is none to read; the cause of the first is said."""
    bag = recording(1)
    bag.entries = [e for e in bag.entries if e[0] != IMAGE]
    bag.add(IMAGE, ('sensor_msgs/msg/Image', b''), START)
    text = one_line(bag.write(tmp_path / 'bag'))
    assert f'no readable message on {IMAGE} (' in text
    assert f'the option image; it has {INFO} (' in text


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        ({'tolerance': 0.0}, 'tolerance is 0 s; expected a positive time'),
        ({'tolerance': math.nan}, 'tolerance is nan s'),
        ({'need': ('colour',)}, "'colour' cannot be read; expected one of depth, stereo, pose"),
    ],
)
def test_faulty_options_are_named(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        BagOptions(**options)


# ---- real recordings


def test_kitchen_has_ninety_pairs(data_folder: Path) -> None:
    """30 Hz, a kitchen some metres deep; the same frames lie as files beside the bag."""
    source = BagSource(data_folder / 'bags' / 'kitchen_compressed_mcap', BagOptions())
    assert len(source) == 90
    medians = []
    for index, sample in enumerate(source.samples()):
        assert sample.time == pytest.approx(index / 30, abs=0.001)
        assert sample.image.shape == (480, 640, 3) and sample.camera.fx == 585
        medians.append(float(np.nanmedian(sample.depth)))
    assert len(medians) == 90 and 1 < min(medians) < max(medians) < 3
    assert '90 pairs of colour and depth, mean offset 0.0 ms' in source.report()[1]


def test_kitchen_depth_is_that_of_the_files(data_folder: Path) -> None:
    import cv2

    source = BagSource(data_folder / 'bags' / 'kitchen_compressed_mcap')
    sample = next(source.samples())
    raw = cv2.imread(
        str(data_folder / 'kitchen_video' / 'frame-000000.depth.png'), cv2.IMREAD_UNCHANGED
    )
    known = (raw > 0) & (raw < 65535)
    np.testing.assert_array_equal(np.isfinite(sample.depth), known)
    np.testing.assert_allclose(sample.depth[known], raw[known] / 1000, rtol=1e-6)


def test_real_bags_without_depth_say_what_they_have(data_folder: Path) -> None:
    humble = data_folder / 'bags' / 'real_humble_recording'
    text = one_line(humble, need=('depth',))
    assert 'looks like a depth image for /compressed_image; name one with the option depth' in text
    assert '/image (sensor_msgs/msg/Image)' in text
    text = one_line(data_folder / 'bags' / 'ros1_one_image.bag')
    assert 'looks like a camera_info for /gym/observations' in text

"""Where the demo's pictures come from."""

from itertools import islice

import cv2
import numpy as np
import pytest

from fcrn_ros import sources
from fcrn_ros.camera import Camera
from fcrn_ros.recording import Frame
from fcrn_ros.share import share_folder
from fcrn_ros.sources import CLIP_RATE, Source, open_source

INTRINSICS = (9.0, 8.0, 3.5, 2.0)


def _picture(number):
    """Return a 8 x 6 BGR picture: blue 10, green 20, red the number."""
    return np.full((6, 8, 3), (10, 20, number), np.uint8)


def _frames(*numbers, step=0.1):
    return [
        Frame(np.full((6, 8, 3), n, np.uint8), None, None, i * step) for i, n in enumerate(numbers)
    ]


def _numbers(frames, count=99):
    return [int(f.image[0, 0, 0]) for f in islice(frames, count)]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three pictures, out of order in time of writing, and a text."""
    for number, name in ((30, 'c.PNG'), (10, 'a.png'), (20, 'b.jpg')):
        assert cv2.imwrite(str(tmp_path / name.lower()), _picture(number))
        (tmp_path / name.lower()).rename(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no picture')
    return tmp_path


# A folder


def test_folder_is_read_by_name_as_rgb(folder):
    source = open_source(images=folder)
    assert (source.name, source.rate) == (str(folder), CLIP_RATE)
    frames = list(source.frames)
    assert np.abs(np.array(_numbers(frames)) - (10, 20, 30)).max() <= 2  # one is a JPEG
    assert frames[0].image[0, 0].tolist() == [10, 20, 10]
    assert frames[0].image.flags.c_contiguous and frames[0].depth is None
    assert [f.time for f in frames] == pytest.approx([0, 1 / 30, 2 / 30])


def test_intrinsics_make_a_camera_of_the_pictures_size(folder):
    frames = open_source(images=folder, intrinsics=INTRINSICS).frames
    assert {f.camera for f in frames} == {Camera(8, 6, *INTRINSICS)}


def test_without_intrinsics_none_are_invented(folder):
    assert {f.camera for f in open_source(images=folder).frames} == {None}


def test_folder_without_a_picture_is_refused(tmp_path):
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(ValueError, match=r'no image; expected \.jpg, \.jpeg, \.png, \.bmp'):
        open_source(images=tmp_path)


def test_absent_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing is not a folder; expected one with im'):
        open_source(images=tmp_path / 'nothing')


def test_damaged_picture_is_named(folder):
    (folder / 'b.jpg').write_bytes(b'no picture')
    frames = open_source(images=folder).frames
    with pytest.raises(ValueError, match='b.jpg: not a readable image'):
        list(frames)


# A video


@pytest.fixture
def video(tmp_path):
    """Return a video of five pictures at 12 Hz, each brighter than the one before."""
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12.0, (64, 48))
    if not writer.isOpened():
        pytest.skip('needs an OpenCV that writes Motion JPEG')
    for number in range(5):
        writer.write(np.full((48, 64, 3), (0, 0, 50 * number), np.uint8))
    writer.release()
    return path


def test_video_has_its_own_rate_and_is_rgb(video):
    source = open_source(video=video, intrinsics=INTRINSICS)
    assert (source.name, source.rate) == (str(video), pytest.approx(12))
    frames = list(source.frames)
    assert np.abs(np.array(_numbers(frames)) - 50 * np.arange(5)).max() < 8
    assert frames[4].image[..., 2].max() < 30  # what was red is not blue
    assert [f.time for f in frames] == pytest.approx([i / 12 for i in range(5)])
    assert frames[0].camera == Camera(64, 48, *INTRINSICS)


def test_absent_video_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='film.mp4 was not found; expected a video file'):
        open_source(video=tmp_path / 'film.mp4')


def test_file_that_is_no_video_is_refused(tmp_path):
    (tmp_path / 'film.mp4').write_text('no film')
    with pytest.raises(ValueError, match='film.mp4 cannot be opened as a video'):
        open_source(video=tmp_path / 'film.mp4')


class NoCapture:
    """A camera that is not there, without asking the machine for one."""

    def __init__(self, number):
        self.number = number

    def isOpened(self):  # noqa: N802
        return False


def test_camera_that_is_not_there_is_refused(monkeypatch):
    """Number 0 is a camera, not the lack of one."""
    monkeypatch.setattr(sources.cv2, 'VideoCapture', NoCapture)
    with pytest.raises(ValueError, match='camera 0 cannot be opened as a video'):
        open_source(camera=0)


# A bag


def test_bag_tells_its_rate_and_loses_no_frame(monkeypatch, tmp_path):
    """0.1 s apart, with one gap: the median step counts. The frames that were peeked at come."""
    frames = _frames(*range(25))
    frames[3:] = [Frame(f.image, None, None, f.time + 4) for f in frames[3:]]
    asked = []
    monkeypatch.setattr(sources, 'read_bag', lambda *given: asked.append(given) or iter(frames))
    source = open_source(bag=tmp_path, topic='/front')
    assert asked == [(tmp_path, '/front')]
    assert source.rate == pytest.approx(10)
    assert _numbers(source.frames) == list(range(25))


@pytest.mark.parametrize('frames', [_frames(1), _frames(1, 2, 3, step=0.0)])
def test_bag_without_steps_has_the_clips_rate(monkeypatch, tmp_path, frames):
    monkeypatch.setattr(sources, 'read_bag', lambda *_: iter(frames))
    source = open_source(bag=tmp_path)
    assert source.rate == CLIP_RATE and len(list(source.frames)) == len(frames)


def test_bag_without_a_picture_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, 'read_bag', lambda *_: iter(()))
    with pytest.raises(ValueError, match='no picture; expected at least one image message'):
        open_source(bag=tmp_path)


def test_real_bag(data_folder):
    source = open_source(bag=data_folder / 'bags' / 'kitchen_compressed_mcap')
    assert source.rate == pytest.approx(30, rel=0.1)
    frame = next(iter(source.frames))
    assert frame.camera.fx == 585 and frame.depth is not None


# The bundled clip


@pytest.mark.parametrize(
    ('numbers', 'expected'),
    [((1, 2, 3, 4), [1, 2, 3, 4, 3, 2, 1, 2, 3]), ((1, 2), [1, 2, 1, 2]), ((5,), [5, 5, 5])],
)
def test_clip_goes_to_and_fro(monkeypatch, numbers, expected):
    """The camera never jumps: neighbours stay neighbours at both ends."""
    monkeypatch.setattr(sources, 'read_bag', lambda *_: iter(_frames(*numbers)))
    source = open_source()
    assert (source.name, source.rate) == ('bundled clip', CLIP_RATE)
    assert _numbers(source.frames, len(expected)) == expected


def test_bundled_clip_has_camera_and_exact_depth():
    if not (share_folder() / 'demo' / 'room').is_dir():
        pytest.skip('needs the clip in demo/room')
    source = open_source()
    assert isinstance(source, Source)
    frame = next(iter(source.frames))
    height, width = frame.image.shape[:2]
    assert (frame.camera.width, frame.camera.height) == (width, height)
    assert frame.depth.shape == (height, width)
    assert np.isfinite(frame.depth).mean() > 0.5

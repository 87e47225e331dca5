"""What is written into the recording that the page shows: read back from a file."""

import numpy as np
import pytest
from viewer_recording import Recorded

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.viewer.scene import shown_size
from fcrn_ros.viewer.top_view import OBSTACLE, ROWS

CAMERA = Camera(640, 480, fx=500.0, fy=510.0, cx=300.0, cy=250.0)


@pytest.fixture
def recorded(tmp_path):
    return Recorded(tmp_path / 'a.rrd')


def test_depth_is_in_metres_and_what_is_not_known_is_black(recorded):
    """NaN and Inf become 0, which is below the colours' range."""
    recorded.scene.at(2.5)
    recorded.scene.show_depth(np.array([[1.25, np.nan, 3], [np.inf, 4, 0.5]], np.float32))
    (row,) = recorded.read()['/depth']
    (buffer,), (image,) = row['DepthImage:buffer'], row['DepthImage:format']
    values = np.array(buffer, np.uint8).view(np.float32)
    np.testing.assert_array_equal(values, [1.25, 0, 3, 0, 4, 0.5])
    assert (image['width'], image['height']) == (3, 2)
    assert row['DepthImage:meter'] == [1.0]


@pytest.mark.parametrize(('stamp', 'nanoseconds'), [(2.5, 2_500_000_000), (1.7e9, 1.7e18)])
def test_everything_lies_at_its_stamp(recorded, stamp, nanoseconds):
    recorded.scene.at(stamp)
    recorded.scene.show_value('scale', 1.5)
    (row,) = recorded.read()['/scale']
    assert row['stamp'] == nanoseconds and row['Scalars:scalars'] == [1.5]


def test_stamps_of_one_recording_stay_of_one_kind(recorded, capfd):
    """A clock that jumps from 0 to a date does not change the time line's type."""
    for stamp in (3.0, 1.7e9):
        recorded.scene.at(stamp)
        recorded.scene.show_value('scale', stamp)
    rows = recorded.read()['/scale']
    assert sorted(r['stamp'] for r in rows) == [3_000_000_000, 1_700_000_000_000_000_000]
    assert 'WARN' not in capfd.readouterr().err


def test_points_that_are_not_known_are_left_out(recorded):
    points = np.array([[[1, 2, 3], [np.nan, np.nan, np.nan]], [[4, 5, np.inf], [7, 8, 9]]])
    colors = np.array([[[255, 1, 2], [9, 9, 9]], [[8, 8, 8], [3, 4, 5]]], np.uint8)
    recorded.scene.at(0.0)
    recorded.scene.show_points(points.astype(np.float32), colors)
    (row,) = recorded.read()['/camera/points']
    assert row['Points3D:positions'] == [[1, 2, 3], [7, 8, 9]]
    assert row['Points3D:colors'] == [0xFF0102FF, 0x030405FF]


def test_picture_is_shown_small_and_its_camera_with_it(recorded):
    """640 x 480 is halved once: fx 250, cx (300 + 0.5) / 2 - 0.5 = 149.75 px."""
    recorded.scene.at(0.0)
    color = np.zeros((480, 640, 3), np.uint8)
    color[:, :320] = 10, 200, 30
    recorded.scene.show_color(color)
    recorded.scene.show_camera(CAMERA)
    found = recorded.read()
    (image,), (camera,) = found['/camera/lens/color'], found['/camera/lens']
    pixels = np.array(image['Image:buffer'][0], np.uint8).reshape(240, 320, 3)
    assert pixels[5, 100].tolist() == [10, 200, 30] and pixels[5, 200].tolist() == [0, 0, 0]
    (matrix,) = camera['Pinhole:image_from_camera']  # column by column
    assert matrix == [250, 0, 0, 0, 255, 0, 149.75, 124.75, 1]
    assert camera['Pinhole:resolution'] == [[320, 240]] and camera['static']


def test_camera_is_written_when_it_changes(recorded):
    for camera in (CAMERA, CAMERA, CAMERA.resized(320, 240), CAMERA):
        recorded.scene.show_camera(camera)
    assert len(recorded.read()['/camera/lens']) == 3


@pytest.mark.parametrize(
    ('size', 'shown'),
    [((320, 240), (320, 240)), ((321, 241), (160, 120)), ((1280, 720), (320, 180))],
)
def test_shown_size(size, shown):
    assert shown_size(*size) == shown


def test_confidence_is_a_grey_picture(recorded):
    recorded.scene.at(0.0)
    recorded.scene.show_confidence(np.array([[0.0, 0.5, 1.0]], np.float32))
    (row,) = recorded.read()['/confidence']
    assert row['Image:buffer'] == [[0, 127, 255]]


def test_cells_are_named(tmp_path):
    recorded = Recorded(tmp_path / 'a.rrd', Mounting(1.0))
    recorded.scene.at(0.0)
    recorded.scene.show_above(np.array([[-0.31, 0.4, 2.02]], np.float32))
    found = recorded.read()
    (cells,) = found['/above/cells']
    picture = np.array(cells['SegmentationImage:buffer'][0], np.uint8).reshape(ROWS, -1)
    assert np.argwhere(picture == OBSTACLE).tolist() == [[119, 73]]
    (names,) = found['/above'][0]['AnnotationContext:context']
    assert {c['class_id']: c['class_description']['info']['label'] for c in names} == {
        0: 'unknown',
        1: 'floor: free',
        2: 'obstacle',
        3: 'something, of unknown height',
    }


def test_scan_is_drawn_where_it_hit(recorded):
    """2 m straight ahead: column 80, row 160 - 40. 1 m to the left: column 80 - 20, row 160."""
    ranges = np.array([2, np.inf, np.nan, 1], np.float32)
    angles = np.array([0, 0.1, 0.2, np.pi / 2], np.float32)
    recorded.scene.at(0.0)
    recorded.scene.show_scan(ranges, angles)
    (row,) = recorded.read()['/above/scan']
    np.testing.assert_allclose(row['Points2D:positions'], [[80, 120], [60, 160]], atol=1e-4)


def test_legend_says_what_the_colours_mean_and_changes_with_the_mounting(recorded):
    recorded.scene.hold(Mounting(0.5))
    before, after = (row['TextDocument:text'][0] for row in recorded.read()['/about'])
    assert 'a test' in before and 'Blue is something' in before and '--height' in before
    assert 'White is floor' in after and 'not free' in after

"""The pictures and figures that a demo leaves behind."""

import json
import math

import cv2
import numpy as np
import pytest

pytest.importorskip('matplotlib', reason='needs matplotlib')
pytest.importorskip('rclpy', reason='needs ROS 2 (rclpy)')

from fcrn_ros.camera import Camera  # noqa: E402
from fcrn_ros.demo import report  # noqa: E402
from fcrn_ros.demo.report import draw_cloud, draw_depth, write_summary  # noqa: E402
from fcrn_ros.demo.session import Figures, Result  # noqa: E402
from fcrn_ros.recording import Frame  # noqa: E402

pytestmark = pytest.mark.ros
CAMERA = Camera(24, 16, 20.0, 22.0, 11.0, 7.0)


def _result(truth=True, color=True, points=True, depth=2.0):
    image = np.full((32, 48, 3), 120, np.uint8)
    metres = np.full((16, 24), depth, np.float32)
    metres[0, :5], metres[1, :5] = math.nan, math.inf
    cloud = np.zeros((16, 24, 4), np.float32)
    cloud[..., :3] = CAMERA.unproject(metres)
    cloud.view(np.uint32)[..., 3] = 0x00FF8000
    return Result(
        Frame(image, CAMERA, None, 0.0),
        metres,
        np.full((16, 24), 1.6, np.float32) if truth else None,
        image[::2, ::2] if color else None,
        cloud if points else None,
        CAMERA,
    )


def _picture(path):
    image = cv2.imread(str(path))
    assert image is not None and image.std() > 5
    return image


def test_depth_is_drawn_a_row_for_each_frame(tmp_path):
    one = draw_depth(tmp_path, [_result()])
    assert one == tmp_path / 'depth.png'
    first = _picture(one)
    second = _picture(draw_depth(tmp_path, [_result(), _result(truth=False)]))
    assert second.shape[0] > 1.8 * first.shape[0]
    assert second.shape[1] == first.shape[1]


def test_depth_without_truth_has_no_error_column(tmp_path):
    both = _picture(draw_depth(tmp_path, [_result()]))
    alone = _picture(draw_depth(tmp_path, [_result(truth=False)]))
    assert alone.shape[1] == pytest.approx(both.shape[1] * 2 / 3, rel=0.02)


def test_frames_without_colour_are_left_out(tmp_path):
    assert draw_depth(tmp_path, []) is None
    assert draw_depth(tmp_path, [_result(color=False)]) is None
    assert not (tmp_path / 'depth.png').exists()


def test_depth_that_is_nowhere_finite_is_drawn(tmp_path):
    _picture(draw_depth(tmp_path, [_result(depth=math.nan)]))


def test_colours_end_behind_the_farthest_depth():
    """99 % of the pixels lie within 2 m: 2.2 m; a deep room ends at 10 m."""
    assert report._far([_result()]) == pytest.approx(2.2)
    assert report._far([_result(depth=60.0)]) == 10.0
    assert report._far([_result(depth=math.nan)]) == 10.0


def test_cloud_is_drawn(tmp_path):
    path = draw_cloud(tmp_path, [_result(), _result(points=False)])
    assert path == tmp_path / 'cloud.png'
    image = _picture(path).astype(int)  # OpenCV reads blue, green, red
    orange = (image[..., 2] > 240) & (abs(image[..., 1] - 128) < 12) & (image[..., 0] < 12)
    assert orange.sum() > 50  # 0x00FF8000: red 255, green 128, blue 0


def test_without_a_cloud_there_is_no_picture(tmp_path):
    """A source without a camera has depth and no points."""
    assert draw_cloud(tmp_path, []) is None
    assert draw_cloud(tmp_path, [_result(points=False)]) is None
    assert not (tmp_path / 'cloud.png').exists()


def test_empty_cloud_is_drawn(tmp_path):
    _picture(draw_cloud(tmp_path, [_result(depth=math.nan)]))


# Figures


def test_summary_by_hand(tmp_path):
    """
    Five images, four depths at 10, 20, 30, 40 ms within 1.5 s: 3 / 1.5 = 2 Hz, p50 25 ms.

    The node counted four images, so one was lost before it, and dropped two of its own.
    """
    figures = Figures(frames_in=5, latencies=[10.0, 20.0, 30.0, 40.0], first=100.0, last=101.5)
    figures.valid_shares, figures.points_per_frame = [0.5, 1.0], [90, 70, 110]
    figures.diagnostics = {
        'backend': 'torch',
        'model': 'tiny',
        'precision': 'fp32',
        'images in': '4',
        'dropped': '2',
        'dropped: stale': '2',
    }
    found = json.loads(write_summary(tmp_path, figures.summary()).read_text())
    assert found == {
        'backend': 'torch',
        'model': 'tiny',
        'precision': 'fp32',
        'frames_in': 5,
        'frames_out': 4,
        'dropped': {'stale': 2, 'lost before the node': 1},
        'rate_hz': 2.0,
        'latency_ms': {'p50': 25.0, 'p95': 38.5, 'p99': 39.7},
        'valid_share': 0.75,
        'absrel': None,
        'delta1': None,
        'points_per_frame': 90,
    }


def test_summary_of_nothing_is_json(tmp_path):
    path = write_summary(tmp_path, Figures(frames_in=3).summary())
    found = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert path.name == 'summary.json'
    assert (found['frames_out'], found['rate_hz'], found['valid_share']) == (0, None, None)
    assert found['latency_ms'] == {'p50': None, 'p95': None, 'p99': None}


def test_result_is_complete_when_all_has_come():
    """Without a camera no points will come."""
    assert _result().complete
    assert not _result(points=False).complete and not _result(color=False).complete
    alone = _result(points=False)
    alone.frame = Frame(alone.frame.image, None, None, 0.0)
    assert alone.complete

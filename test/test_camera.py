"""The camera: its message, and its geometry against OpenCV's resize."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import IDENTITY, Camera

K = (500.0, 0.0, 310.0, 0.0, 480.0, 250.0, 0.0, 0.0, 1.0)
P = (450.0, 0.0, 305.0, -27.0, 0.0, 440.0, 245.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PLUMB_BOB = (-0.28, 0.09, 0.001, -0.002, 0.0)
RATIONAL = (0.5, -0.2, 0.001, -0.001, 0.03, 0.8, -0.25, 0.04)
EQUIDISTANT = (-0.02, 0.01, -0.003, 0.0005)


def _info(**changes):
    """Return a camera_info of 640x480; fx != fy, K != P, centre off the middle."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    fields = {
        'width': 640,
        'height': 480,
        'distortion_model': 'plumb_bob',
        'd': (0.0,) * 5,
        'k': K,
        'r': IDENTITY,
        'p': P,
        'binning_x': 0,
        'binning_y': 0,
        'roi': roi,
    }
    return SimpleNamespace(**{**fields, **changes})


def _roi(x, y, width, height):
    return SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height, do_rectify=False)


def _numbers(camera):
    return camera.fx, camera.fy, camera.cx, camera.cy


CAMERA = Camera(64, 48, 50.0, 45.0, 30.0, 26.0)


# The message


def test_from_msg_takes_the_intrinsics_from_p():
    camera = Camera.from_msg(_info())
    assert (camera.width, camera.height) == (640, 480)
    assert _numbers(camera) == (450.0, 440.0, 305.0, 245.0)
    assert not camera.distorted


def test_from_msg_fills_a_zero_p_from_k():
    camera = Camera.from_msg(_info(p=(0.0,) * 12))
    assert _numbers(camera) == (500.0, 480.0, 310.0, 250.0)


def test_from_msg_refuses_a_zero_k():
    with pytest.raises(ValueError, match='all-zero K: the camera is not calibrated'):
        Camera.from_msg(_info(k=(0.0,) * 9))


@pytest.mark.parametrize(
    ('model', 'd'),
    [
        ('plumb_bob', PLUMB_BOB),
        ('plumb_bob', PLUMB_BOB[:4]),
        ('rational_polynomial', RATIONAL),
        ('equidistant', EQUIDISTANT),
    ],
)
def test_from_msg_keeps_the_distortion_of_a_raw_image(model, d):
    camera = Camera.from_msg(_info(distortion_model=model, d=d))
    assert camera.distorted
    assert (camera.distortion_model, camera.distortion) == (model, d)
    assert _numbers(camera) == (500.0, 480.0, 310.0, 250.0)
    assert camera.rectified == (450.0, 440.0, 305.0, 245.0)
    assert camera.pinhole() == Camera(640, 480, 450.0, 440.0, 305.0, 245.0)


def test_from_msg_keeps_the_rotation_of_a_distorted_camera():
    rotation = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert Camera.from_msg(_info(d=PLUMB_BOB, r=rotation)).rotation == rotation
    assert Camera.from_msg(_info(d=PLUMB_BOB, r=(0.0,) * 9)).rotation == IDENTITY


def test_from_msg_keeps_the_rotation_of_a_lens_that_bends_nothing():
    """The raw image has K, and P is of the image after the turn."""
    rotation = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    camera = Camera.from_msg(_info(distortion_model='', r=rotation))
    assert camera.distorted
    assert (camera.distortion, camera.rotation) == ((), rotation)
    assert _numbers(camera) == (500.0, 480.0, 310.0, 250.0)
    assert camera.pinhole() == Camera(640, 480, 450.0, 440.0, 305.0, 245.0)
    assert Camera.from_msg(_info(r=rotation), already_rectified=True) == camera.pinhole()


def test_from_msg_takes_a_rotation_of_rounding_for_none():
    rotation = (1.0, 1e-9, 0.0, -1e-9, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert Camera.from_msg(_info(r=rotation)) == Camera.from_msg(_info())
    assert Camera.from_msg(_info(r=(0.0,) * 9)) == Camera.from_msg(_info())


def test_from_msg_of_a_rectified_image_has_no_distortion():
    camera = Camera.from_msg(_info(d=PLUMB_BOB), already_rectified=True)
    assert camera == Camera(640, 480, 450.0, 440.0, 305.0, 245.0)


def test_from_msg_ignores_the_model_of_a_camera_without_coefficients():
    assert not Camera.from_msg(_info(distortion_model='none', d=())).distorted
    assert not Camera.from_msg(_info(distortion_model='', d=(0.0,) * 4)).distorted


def test_from_msg_refuses_an_unknown_model():
    expected = "distortion model 'omni' is not known; expected one of plumb_bob, rational"
    with pytest.raises(ValueError, match=expected):
        Camera.from_msg(_info(distortion_model='omni', d=PLUMB_BOB))


@pytest.mark.parametrize(
    ('model', 'd', 'expected'),
    [
        ('plumb_bob', RATIONAL, 'plumb_bob has 8 coefficients; expected 4 or 5'),
        ('rational_polynomial', PLUMB_BOB, 'has 5 coefficients; expected 8 or 12 or 14'),
        ('equidistant', PLUMB_BOB, 'equidistant has 5 coefficients; expected 4'),
    ],
)
def test_from_msg_refuses_a_wrong_number_of_coefficients(model, d, expected):
    with pytest.raises(ValueError, match=expected):
        Camera.from_msg(_info(distortion_model=model, d=d))


def test_from_msg_applies_the_region_of_interest():
    """A window at (100, 40): cx 305 - 100 = 205, cy 245 - 40 = 205."""
    camera = Camera.from_msg(_info(roi=_roi(100, 40, 320, 200)))
    assert camera == Camera(320, 200, 450.0, 440.0, 205.0, 205.0)


def test_from_msg_applies_the_region_of_interest_to_both_projections():
    camera = Camera.from_msg(_info(d=PLUMB_BOB, roi=_roi(100, 40, 320, 200)))
    assert _numbers(camera) == (500.0, 480.0, 210.0, 210.0)
    assert camera.rectified == (450.0, 440.0, 205.0, 205.0)


def test_from_msg_takes_a_full_region_of_interest_for_none():
    assert Camera.from_msg(_info(roi=_roi(0, 0, 640, 480))) == Camera.from_msg(_info())


def test_from_msg_refuses_a_region_of_interest_outside_the_image():
    expected = r'window 320x200 at \(400, 40\) does not lie inside the 640x480 image'
    with pytest.raises(ValueError, match=expected):
        Camera.from_msg(_info(roi=_roi(400, 40, 320, 200)))


def test_from_msg_applies_binning():
    """By 4 x 2: fx 450 / 4 = 112.5, cx 305.5 / 4 - 0.5 = 75.875, cy 245.5 / 2 - 0.5 = 122.25."""
    camera = Camera.from_msg(_info(binning_x=4, binning_y=2))
    assert camera == Camera(160, 240, 112.5, 220.0, 75.875, 122.25)


def test_from_msg_takes_binning_of_one_for_none():
    assert Camera.from_msg(_info(binning_x=1, binning_y=1)) == Camera.from_msg(_info())


def test_from_msg_bins_the_window():
    """The window's cx is 205; binned by 2 it is 205.5 / 2 - 0.5 = 102.25."""
    camera = Camera.from_msg(_info(roi=_roi(100, 40, 320, 200), binning_x=2, binning_y=2))
    assert camera == Camera(160, 100, 225.0, 220.0, 102.25, 102.25)


def test_from_msg_drops_the_columns_that_do_not_fill_a_bin():
    """641 / 2 = 320 bins and a column over; a bin is 2 wide all the same: fx 450 / 2 = 225."""
    camera = Camera.from_msg(_info(width=641, binning_x=2, binning_y=1))
    assert camera == Camera(320, 480, 225.0, 440.0, 152.25, 245.0)


def test_from_msg_reads_the_real_message():
    messages = pytest.importorskip('sensor_msgs.msg', reason='needs the sensor_msgs package')
    info = messages.CameraInfo(
        width=640, height=480, distortion_model='plumb_bob', d=PLUMB_BOB, k=K, r=IDENTITY, p=P
    )
    info.roi = messages.RegionOfInterest(x_offset=100, y_offset=40, width=320, height=200)
    fake = _info(d=PLUMB_BOB, roi=_roi(100, 40, 320, 200))
    assert Camera.from_msg(info) == Camera.from_msg(fake)
    assert hash(Camera.from_msg(info)) == hash(Camera.from_msg(fake))


def test_from_msg_reads_a_ros_1_message():
    typesys = pytest.importorskip('rosbags.typesys', reason='needs rosbags for the ROS 1 message')
    types = typesys.get_typestore(typesys.Stores.ROS1_NOETIC).types
    stamp = types['builtin_interfaces/msg/Time'](0, 0)
    info = types['sensor_msgs/msg/CameraInfo'](
        header=types['std_msgs/msg/Header'](0, stamp, 'camera'),
        height=480,
        width=640,
        distortion_model='plumb_bob',
        D=np.array(PLUMB_BOB),
        K=np.array(K),
        R=np.array(IDENTITY),
        P=np.array(P),
        binning_x=2,
        binning_y=2,
        roi=types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )
    camera = Camera.from_msg(info)
    assert camera == Camera.from_msg(_info(d=PLUMB_BOB, binning_x=2, binning_y=2))


# The constructor


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'width': 0}, 'camera is 0x480; expected a positive size'),
        ({'fx': 0.0}, 'focal length is fx=0, fy=440; expected both positive'),
        ({'fy': -1.0}, 'focal length is fx=450, fy=-1; expected both positive'),
        ({'cx': float('nan')}, 'not finite'),
        ({'distortion': (float('inf'),)}, 'not finite'),
    ],
)
def test_impossible_cameras_are_refused(changes, expected):
    fields = {'width': 640, 'height': 480, 'fx': 450.0, 'fy': 440.0, 'cx': 305.0, 'cy': 245.0}
    with pytest.raises(ValueError, match=expected):
        Camera(**{**fields, **changes})


def test_matrix_is_k():
    expected = [[50, 0, 30], [0, 45, 26], [0, 0, 1]]
    assert CAMERA.matrix.tolist() == expected


# Resizing and cropping


def test_resized_scales_about_the_image_corner():
    """640 -> 320: fx 500 / 2, cx 320 / 2 - 0.5 = 159.5; 480 -> 160: cy 240 / 3 - 0.5 = 79.5."""
    camera = Camera(640, 480, 500.0, 510.0, 319.5, 239.5).resized(320, 160)
    assert camera == Camera(320, 160, 250.0, 170.0, 159.5, 79.5)


def test_cropped_moves_the_principal_point():
    assert CAMERA.cropped(10, 4, 32, 40) == Camera(32, 40, 50.0, 45.0, 20.0, 22.0)


@pytest.mark.parametrize(
    'window', [(-1, 0, 10, 10), (0, -1, 10, 10), (60, 0, 5, 10), (0, 40, 10, 9)]
)
def test_cropped_refuses_a_window_outside(window):
    with pytest.raises(ValueError, match='does not lie inside the 64x48 image'):
        CAMERA.cropped(*window)


def _ramps(width, height):
    """Return (H, W, 2) float32 whose value is each pixel's own (u, v)."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack((u, v), -1).astype(np.float32)


@pytest.mark.parametrize(
    ('width', 'height', 'how'),
    [(32, 16, cv2.INTER_AREA), (96, 60, cv2.INTER_LINEAR), (41, 37, cv2.INTER_LINEAR)],
)
def test_resized_follows_opencv(width, height, how):
    """A resized ramp tells which old pixel each new one shows; both must lie on one ray."""
    small = cv2.resize(_ramps(64, 48), (width, height), interpolation=how)[2:-2, 2:-2]
    camera = CAMERA.resized(width, height)
    old = (small - (CAMERA.cx, CAMERA.cy)) / (CAMERA.fx, CAMERA.fy)
    np.testing.assert_allclose(old, camera.rays()[2:-2, 2:-2, :2], atol=1e-5)


def test_cropped_follows_slicing():
    window = _ramps(64, 48)[4:44, 10:42]
    camera = CAMERA.cropped(10, 4, 32, 40)
    old = (window - (CAMERA.cx, CAMERA.cy)) / (CAMERA.fx, CAMERA.fy)
    np.testing.assert_allclose(old, camera.rays()[..., :2], atol=1e-6)


def test_resized_and_cropped_keep_the_distortion():
    camera = Camera.from_msg(_info(d=PLUMB_BOB)).resized(320, 480).cropped(1, 2, 300, 400)
    assert camera.distortion == PLUMB_BOB
    assert camera.fx == 250.0
    assert camera.rectified == (225.0, 440.0, 151.25, 243.0)


cameras = st.builds(
    Camera,
    st.integers(1, 20),
    st.integers(1, 20),
    st.floats(5, 500),
    st.floats(5, 500),
    st.floats(-5, 25),
    st.floats(-5, 25),
)


@settings(deadline=None, max_examples=60)
@given(cameras, st.integers(1, 900), st.integers(1, 900))
def test_resizing_back_restores_the_camera(camera, width, height):
    back = camera.resized(width, height).resized(camera.width, camera.height)
    assert (back.width, back.height) == (camera.width, camera.height)
    assert _numbers(back) == pytest.approx(_numbers(camera), rel=1e-9, abs=1e-9)


# Rays and points


def test_rays_have_z_one():
    """At (u, v) = (40, 8): x = (40 - 30) / 50 = 0.2, y = (8 - 26) / 45 = -0.4."""
    rays = CAMERA.rays()
    assert rays.shape == (48, 64, 3)
    assert rays.dtype == np.float32
    np.testing.assert_allclose(rays[8, 40], (0.2, -0.4, 1.0), rtol=1e-6)


def test_rays_are_the_callers_own():
    CAMERA.rays()[0, 0] = 0
    assert CAMERA.rays()[0, 0, 2] == 1


def test_unproject_writes_into_the_array_it_is_given():
    cloud = np.zeros((48, 64, 4), np.float32)
    points = CAMERA.unproject(np.full((48, 64), 2.5, np.float32), out=cloud[..., :3])
    assert np.shares_memory(points, cloud)
    np.testing.assert_allclose(cloud[8, 40], (0.5, -1.0, 2.5, 0.0), rtol=1e-6)


def test_unproject_scales_the_rays():
    """At (40, 8) and 2.5 m: (0.2, -0.4, 1) * 2.5 = (0.5, -1, 2.5) m."""
    points = CAMERA.unproject(np.full((48, 64), 2.5, np.float32))
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[8, 40], (0.5, -1.0, 2.5), rtol=1e-6)


def test_unproject_keeps_nan():
    depth = np.ones((48, 64), np.float32)
    depth[3, 5] = np.nan
    points = CAMERA.unproject(depth)
    assert np.isnan(points[3, 5]).all()
    assert np.isnan(points).sum() == 3


def test_unproject_refuses_a_depth_of_another_size():
    with pytest.raises(ValueError, match=r"depth is \(64, 48\); expected the camera's \(48, 64\)"):
        CAMERA.unproject(np.ones((64, 48), np.float32))


def test_project_divides_by_z():
    """u = 50 * 0.5 / 2.5 + 30 = 40, v = 45 * -1 / 2.5 + 26 = 8."""
    pixels = CAMERA.project(np.array([0.5, -1.0, 2.5], np.float32))
    assert pixels.dtype == np.float64
    assert pixels.tolist() == [40.0, 8.0]


def test_project_gives_nan_behind_the_camera():
    pixels = CAMERA.project(np.array([[1.0, 1.0, 0.0], [1, 1, -2], [0, 0, 1], [1, 1, np.nan]]))
    assert np.isnan(pixels).all(-1).tolist() == [True, True, False, True]


@settings(deadline=None, max_examples=60)
@given(cameras, st.floats(0.125, 100.0, width=32))
def test_project_undoes_unproject(camera, depth):
    points = camera.unproject(np.full((camera.height, camera.width), depth, np.float32))
    expected = _ramps(camera.width, camera.height)
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-4)


@pytest.mark.parametrize('call', [Camera.rays, lambda c: c.project(np.ones(3))])
def test_distorted_cameras_have_no_rays(call):
    camera = Camera.from_msg(_info(d=PLUMB_BOB))
    with pytest.raises(ValueError, match='camera has plumb_bob; expected a pinhole: rectify'):
        call(camera)


def test_rotated_cameras_have_no_rays():
    rotation = tuple(cv2.Rodrigues(np.array([0.0, 0.1, 0.0]))[0].ravel())
    camera = Camera(640, 480, 500.0, 480.0, 310.0, 250.0, rotation=rotation)
    with pytest.raises(ValueError, match='camera has a rectifying rotation; expected a pinhole'):
        camera.rays()

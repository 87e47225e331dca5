"""
The pinhole camera: its intrinsics, its rays, its projection.

Convention: optical frame (REP 103: x right, y down, z forward), metres. Pixels are (u, v) =
(column, row), and the centre of the top-left pixel is (0, 0), so an image reaches from -0.5 to
width - 0.5. Worked number: fx = 500 px, cx = 319.5 px. A point at x = 1 m, z = 2 m is seen at u =
500 * 1 / 2 + 319.5 = 569.5 px; halving the image makes fx 250 px and cx (319.5 + 0.5) / 2 - 0.5 =
159.5 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.lenses.lens import require_model

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# a rectifying rotation nearer to none than this moves nothing by a hundredth of a pixel [rad]
LEAST_ROTATION = 1e-6


@dataclass(frozen=True)
class Camera:
    """
    A pinhole camera, with or without lens distortion. Immutable and hashable.

    :param width: image width [px].
    :param height: image height [px].
    :param fx: horizontal focal length [px].
    :param fy: vertical focal length [px].
    :param cx: principal point, column [px].
    :param cy: principal point, row [px].
    :param distortion_model: one of ``lens.DISTORTION_MODELS``, or '' for none.
    :param distortion: its coefficients, in camera_info's order.
    :param rotation: row-major 3x3 from this camera's frame to its rectified frame (camera_info R).
    :param rectified: the (fx, fy, cx, cy) [px] that the rectified image shall have (camera_info
        P).
    :raises ValueError: a size or focal length is not positive, or a number is not finite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = ''
    distortion: tuple[float, ...] = ()
    rotation: tuple[float, ...] = IDENTITY
    rectified: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f'camera is {self.width}x{self.height}; expected a positive size')
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion, *self.rotation)
        if not all(math.isfinite(x) for x in numbers):
            raise ValueError(f'camera has a number that is not finite: {numbers}')
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(
                f'focal length is fx={self.fx:g}, fy={self.fy:g}; expected both positive'
            )
        require_model(self.distortion_model, self.distortion)

    @classmethod
    def from_msg(cls, info: Any, already_rectified: bool = False) -> Camera:
        """
        Read a sensor_msgs/CameraInfo, live or from a bag.

        Consumers of a rectified image take the intrinsics from P; a driver that leaves P zero gets
        K. Region of interest and binning are applied, so the result is the camera of the image
        that the message came with.

        :param info: the message (``k`` or ``K`` and so on: ROS 2 or ROS 1).
        :param already_rectified: the image is a rectified one (``image_rect``): ignore D and use
            P.
        :return: the camera of the raw image, or of the rectified one.
        :raises ValueError: K is all zero (an uncalibrated camera), or the model is not known.
        """
        k = _floats(info, 'k')
        if not any(k):
            raise ValueError(
                'camera_info has an all-zero K: the camera is not calibrated; '
                'calibrate it or give its driver a calibration file'
            )
        p, rotation = _floats(info, 'p'), _floats(info, 'r')
        intrinsics = (k[0], k[4], k[2], k[5])
        projection = (p[0], p[5], p[2], p[6]) if p[0] > 0 and p[5] > 0 else intrinsics
        distortion = _floats(info, 'd')
        bent = any(distortion) and not already_rectified
        turned = any(rotation) and not np.allclose(rotation, IDENTITY, rtol=0, atol=LEAST_ROTATION)
        raw = bent or (turned and not already_rectified)
        camera = cls(
            int(info.width),
            int(info.height),
            *(intrinsics if raw else projection),
            distortion_model=info.distortion_model if bent else '',
            distortion=distortion if bent else (),
            rotation=rotation if raw and any(rotation) else IDENTITY,
            rectified=projection if raw else None,
        )
        return camera._with_roi_and_binning(info)

    def _with_roi_and_binning(self, info: Any) -> Camera:
        roi, camera = info.roi, self
        if roi.width and roi.height and (roi.width, roi.height) != (self.width, self.height):
            camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
        bx, by = max(1, int(info.binning_x)), max(1, int(info.binning_y))
        if (bx, by) != (1, 1):
            # a binning sensor drops the columns and rows that do not fill a bin
            width, height = camera.width // bx, camera.height // by
            camera = camera.cropped(0, 0, width * bx, height * by).resized(width, height)
        return camera

    @property
    def distorted(self) -> bool:
        """Whether the image must be rectified before it is a pinhole image."""
        return any(self.distortion) or self.rotation != IDENTITY

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, (3, 3) float64 [px]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def resized(self, width: int, height: int) -> Camera:
        """
        Return the camera of this image after ``cv2.resize`` to another size.

        Focal lengths scale by sx and sy; the principal point by c' = (c + 0.5) s - 0.5.

        :param width: new width [px].
        :param height: new height [px].
        """
        sx, sy = width / self.width, height / self.height

        def scaled(
            fx: float, fy: float, cx: float, cy: float
        ) -> tuple[float, float, float, float]:
            return fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5

        return self._moved(width, height, scaled)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """
        Return the camera of a window of this image.

        :param x: first column of the window [px].
        :param y: first row of the window [px].
        :param width: its width [px].
        :param height: its height [px].
        :raises ValueError: the window does not lie inside the image.
        """
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f'window {width}x{height} at ({x}, {y}) does not lie inside '
                f'the {self.width}x{self.height} image'
            )
        return self._moved(width, height, lambda fx, fy, cx, cy: (fx, fy, cx - x, cy - y))

    def _moved(self, width: int, height: int, change: Any) -> Camera:
        fx, fy, cx, cy = change(self.fx, self.fy, self.cx, self.cy)
        rectified = change(*self.rectified) if self.rectified else None
        return replace(
            self, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy, rectified=rectified
        )

    def pinhole(self) -> Camera:
        """Return the camera of the rectified image: no distortion, no rotation."""
        fx, fy, cx, cy = self.rectified or (self.fx, self.fy, self.cx, self.cy)
        return Camera(self.width, self.height, fx, fy, cx, cy)

    def rays(self) -> NDArray[np.float32]:
        """
        Return the direction of every pixel, scaled to z = 1.

        :return: (H, W, 3) float32 in the optical frame.
        :raises ValueError: the camera is distorted; rectify first.
        """
        return self.unproject(np.ones((self.height, self.width), np.float32))

    def unproject(
        self, depth: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """
        Lift a depth image to one 3-D point per pixel.

        :param depth: (H, W) float32, z-depth [m]; NaN marks an invalid pixel.
        :param out: (H, W, 3) float32 to write into; None makes a new array.
        :return: (H, W, 3) float32, points [m] in the optical frame; NaN is kept, and Inf in z.
        :raises ValueError: ``depth`` is not (height, width), or the camera is distorted.
        """
        if depth.shape != (self.height, self.width):
            raise ValueError(
                f"depth is {depth.shape}; expected the camera's ({self.height}, {self.width})"
            )
        x, y = _axes(self)
        points = np.empty((*depth.shape, 3), np.float32) if out is None else out
        with np.errstate(invalid='ignore'):  # infinity times zero on the axes
            np.multiply(depth, x, out=points[..., 0])
            np.multiply(depth, y, out=points[..., 1])
        points[..., 2] = depth
        return points

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """
        Project points to pixels.

        :param points: (..., 3), points [m] in the optical frame.
        :return: (..., 2) float64, (u, v) [px]; NaN where z is not positive.
        :raises ValueError: the camera is distorted; rectify first.
        """
        self._require_pinhole()
        x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
        z = np.where(z > 0, z, np.nan)
        return np.stack((self.fx * x / z + self.cx, self.fy * y / z + self.cy), -1)

    def _require_pinhole(self) -> None:
        if self.distorted:
            raise ValueError(
                f'camera has {self.distortion_model or "a rectifying rotation"}; expected '
                'a pinhole: rectify the image and use the camera of that'
            )


def is_rectified(topic: str) -> bool:
    """Whether an image topic's name says that its images are rectified (``image_rect``)."""
    return 'rect' in topic.removesuffix('/compressed').rsplit('/', 1)[-1]


def _floats(info: Any, name: str) -> tuple[float, ...]:
    values = getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
    return tuple(float(x) for x in values)


@lru_cache(maxsize=8)
def _axes(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x / z of every column, (W,), and y / z of every row, (H, 1); read-only."""
    camera._require_pinhole()
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)[:, None]
    x.flags.writeable = y.flags.writeable = False
    return x, y

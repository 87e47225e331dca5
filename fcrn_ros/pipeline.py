"""
From a colour image and its camera to metric depth: rectify, resize, infer, scale, mask.

The way of one frame: image (camera's size) -> rectified -> network's input -> engine -> depth [m]
on the output grid -> range and lens masks -> ``DepthFrame``. Everything that depends on the camera
alone is computed when a new camera is seen.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.engine import DepthEngine, open_engine
from fcrn_ros.rectify import Rectifier
from fcrn_ros.scale import SCALES, Scale, focal_scale

RESOLUTIONS = ('native', 'camera')
# a depth counts as right when the truth lies within this share of it (about delta1's bound)
RIGHT_WITHIN = 0.25
CAMERAS_KEPT = 4


@dataclass(frozen=True)
class Options:
    """
    How depth is made.

    :param resolution: ``native``: the network's output grid; ``camera``: the camera's size.
    :param scale: ``focal`` or ``none``.
    :param min_range: nearer z-depth is NaN [m].
    :param max_range: farther z-depth is +Inf [m].
    :raises ValueError: a value is not one of the choices, or the ranges are not in order.
    """

    resolution: str = 'native'
    scale: str = 'focal'
    min_range: float = 0.3
    max_range: float = 10.0

    def __post_init__(self) -> None:
        for name, choices in (('resolution', RESOLUTIONS), ('scale', SCALES)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name} is {getattr(self, name)!r}; expected one of {", ".join(choices)}'
                )
        if not 0 <= self.min_range < self.max_range:
            raise ValueError(
                f'min_range is {self.min_range:g}, max_range {self.max_range:g}; '
                'expected 0 <= min_range < max_range'
            )


@dataclass(frozen=True)
class DepthFrame:
    """
    Depth of one image, with the camera of that very depth.

    :param depth: (h, w) float32, z-depth [m]; NaN invalid or too near, +Inf beyond ``max_range``.
    :param confidence: (h, w) float32, 0..1: the estimated probability that the depth is within 25
        % of the truth; 0 where depth is NaN. None where the model has no uncertainty.
    :param color: (h, w, 3) uint8 RGB, rectified, pixel for pixel the depth's.
    :param camera: pinhole camera of the depth; None where the image's camera is not known.
    :param scale: the factor in the depth, and its source.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32] | None
    color: NDArray[np.uint8]
    camera: Camera | None
    scale: Scale

    def points(
        self, min_confidence: float = 0.0, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """
        Return one point per pixel.

        :param min_confidence: pixels below it become NaN; 0 keeps all. It has no effect on a frame
            without confidence.
        :param out: (h, w, 3) float32 to write into; None makes a new array.
        :return: (h, w, 3) float32 [m], optical frame; NaN where depth is not finite.
        :raises ValueError: the camera is not known.
        """
        if self.camera is None:
            raise ValueError('the camera is not known; expected a Camera beside the image')
        known = np.isfinite(self.depth)
        if min_confidence > 0 and self.confidence is not None:
            known &= self.confidence >= min_confidence
        return self.camera.unproject(np.where(known, self.depth, np.float32(np.nan)), out)

    @property
    def valid_share(self) -> float:
        """Share of pixels with a finite depth."""
        return float(np.isfinite(self.depth).mean())


@dataclass(frozen=True)
class _View:
    """What follows from a camera alone: rectification, the output's camera, lens mask, scale."""

    rectifier: Rectifier | None
    camera: Camera | None
    scale: Scale
    outside: NDArray[np.bool_] | None


class DepthPipeline:
    """
    Depth from images; one engine, any number of cameras.

    :param engine: runs the network.
    :param options: may be replaced between frames.
    """

    def __init__(self, engine: DepthEngine, options: Options | None = None) -> None:
        self.engine = engine
        self.options = options or Options()
        self._views: OrderedDict[object, _View] = OrderedDict()

    @classmethod
    def open(
        cls,
        model: str = '',
        backend: str = 'auto',
        device: str = 'auto',
        precision: str = 'auto',
        options: Options | None = None,
        threads: int = 0,
    ) -> DepthPipeline:
        """Open the engine of a model; arguments and errors as in ``open_engine``."""
        return cls(open_engine(model, backend, device, precision, threads), options)

    def __call__(self, image: NDArray[np.uint8], camera: Camera | None = None) -> DepthFrame:
        """
        Estimate depth.

        :param image: (H, W, 3) uint8 RGB.
        :param camera: of this image, distorted or not; None: depth in the training camera's scale.
        :raises ValueError: the image is not such an array, or not of the camera's size.
        :raises EngineError: the network did not run.
        """
        options = self.options
        view = self._view(image, camera, options)
        if view.rectifier is not None:
            image = view.rectifier(image)
        rows, columns = self.engine.spec.input_size
        small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        output = self.engine.infer(small[None])[0]  # type: ignore[arg-type]
        size = self._output_size(image, output, options)
        depth = _resized(output[0], size)
        depth *= view.scale.factor
        trusted = _mask(depth, options, view.outside)
        confidence = None
        if len(output) > 1:
            confidence = right_probability(_resized(output[1], size))
            confidence[~trusted] = 0
        # the network's input is the smaller picture of the two that hold the same view
        picture = small if size[0] <= columns and size[1] <= rows else image
        color = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return DepthFrame(depth, confidence, color, view.camera, view.scale)  # type: ignore[arg-type]

    @staticmethod
    def _output_size(
        image: NDArray[np.uint8], output: NDArray[np.float32], options: Options
    ) -> tuple[int, int]:
        grid = image if options.resolution == 'camera' else output[0]
        return grid.shape[1], grid.shape[0]

    def _view(self, image: NDArray[np.uint8], camera: Camera | None, options: Options) -> _View:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'image is {image.shape} {image.dtype}; expected (H, W, 3) uint8 RGB')
        if camera is None:
            return _View(None, None, Scale(1.0, 'none', 'the camera is not known'), None)
        if image.shape[:2] != (camera.height, camera.width):
            raise ValueError(
                f'image is {image.shape[1]}x{image.shape[0]}; expected '
                f'{camera.width}x{camera.height}, the size in camera_info'
            )
        key = camera, options.resolution, options.scale
        if key not in self._views:
            self._views[key] = self._new_view(camera, options)
            if len(self._views) > CAMERAS_KEPT:
                self._views.popitem(last=False)
        return self._views[key]

    def _new_view(self, camera: Camera, options: Options) -> _View:
        rectifier = Rectifier(camera) if camera.distorted else None
        pinhole = rectifier.camera if rectifier else camera
        training = self.engine.spec.network_camera
        rows, columns = self.engine.spec.input_size
        scale = focal_scale(pinhole.resized(columns, rows), training)
        if options.scale == 'none':
            scale = Scale(1.0, 'none')
        output = pinhole
        if options.resolution == 'native':
            height, width = self.engine.spec.output_size
            output = pinhole.resized(width, height)
        outside = None
        if rectifier is not None and not rectifier.valid.all():
            inside = cv2.resize(rectifier.valid.astype(np.uint8), (output.width, output.height))
            outside = inside == 0
        return _View(rectifier, output, scale, outside)


def _resized(array: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if (array.shape[1], array.shape[0]) == size:
        return array
    return cv2.resize(array, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _mask(
    depth: NDArray[np.float32], options: Options, outside: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Write NaN and +Inf into depth, in place; return where it is not NaN."""
    trusted = (depth >= options.min_range) & (depth > 0)  # False for NaN
    if outside is not None:
        trusted &= ~outside
    depth[depth > options.max_range] = np.inf
    depth[~trusted] = np.nan
    return trusted


def right_probability(log_scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Return the probability that the truth lies within 25 % of the depth.

    The relative error is modelled as Laplace-distributed with scale b: P(|e| < t) = 1 - exp(-t /
    b). Worked number: b = 0.25 gives 1 - 1/e = 0.632.

    :param log_scale: (h, w) float32, log(b).
    :return: the same shape, 0..1.
    """
    probability: NDArray[np.float32] = -np.expm1(-RIGHT_WITHIN * np.exp(-log_scale))
    return probability

"""
From a colour image and its camera to metric depth: rectify, resize, infer, scale, mask.

The way of one picture: image (camera's size) -> rectified, one view or several -> network's input
-> engine -> depth on the output grid -> metres by focal length and floor -> range and lens masks
-> one ``DepthFrame`` a view. Several pictures share one run of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.depth_frame import RIGHT_WITHIN, DepthFrame, right_probability
from fcrn_ros.engine import DepthEngine, open_engine
from fcrn_ros.mounting import Mounting
from fcrn_ros.optics import Optic, Optics
from fcrn_ros.scale import SCALES, Scale

__all__ = ['RIGHT_WITHIN', 'DepthFrame', 'DepthPipeline', 'Options', 'Picture', 'Prepared']
RESOLUTIONS = ('native', 'camera')
VIEWS = ('auto', 'front')


@dataclass(frozen=True)
class Options:
    """
    How depth is made.

    :param resolution: ``native``: the network's output grid; ``camera``: the camera's size.
    :param scale: ``focal``, ``none``, or ``ground``, which needs a mounting.
    :param min_range: nearer z-depth is NaN [m].
    :param max_range: farther z-depth is +Inf [m].
    :param views: ``auto`` cuts a very wide lens into several views, ``front`` takes its middle.
    :param scale_smoothing: time over which changes of scale are smoothed [s]; 0: not.
    :raises ValueError: a value is not one of the choices, or the ranges are not in order.
    """

    resolution: str = 'native'
    scale: str = 'focal'
    min_range: float = 0.3
    max_range: float = 10.0
    views: str = 'auto'
    scale_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (('resolution', RESOLUTIONS), ('scale', SCALES), ('views', VIEWS)):
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
class Picture:
    """
    One image on its way in.

    :param image: (H, W, 3) uint8 RGB.
    :param camera: of this image, distorted or not; None: depth in the training camera's scale.
    :param mounting: how the camera is held; None where it is not known.
    :param time: of the image [s]; None: a thirtieth of a second after the one before.
    :param stream: which camera's pictures it belongs to; what a stream's scale was is remembered.
    """

    image: NDArray[np.uint8]
    camera: Camera | None = None
    mounting: Mounting | None = None
    time: float | None = None
    stream: str = ''


@dataclass(frozen=True)
class Prepared:
    """
    A picture as the network takes it.

    :param picture: as it came.
    :param optics: one for each view.
    :param images: of the views, rectified.
    :param inputs: (views, rows, columns, 3) uint8 RGB at the network's input size.
    """

    picture: Picture
    optics: tuple[Optic, ...]
    images: list[NDArray[np.uint8]]
    inputs: NDArray[np.uint8]


class DepthPipeline:
    """
    Depth from images; one engine, any number of cameras.

    :param engine: runs the network.
    :param options: may be replaced between frames.
    """

    def __init__(self, engine: DepthEngine, options: Options | None = None) -> None:
        self.engine = engine
        self.options = options or Options()
        self._optics = Optics(engine.spec)

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

    def __call__(
        self,
        image: NDArray[np.uint8],
        camera: Camera | None = None,
        mounting: Mounting | None = None,
        time: float | None = None,
    ) -> DepthFrame:
        """
        Estimate depth; of a lens that is cut into several views, the front one's.

        :param image: (H, W, 3) uint8 RGB.
        :param camera: of this image, distorted or not; None: depth in the training camera's scale.
        :param mounting: how the camera is held, for ``scale: ground``.
        :param time: of the image [s], for the smoothing of scale.
        :raises ValueError: the image is not such an array, or not of the camera's size.
        :raises EngineError: the network did not run.
        """
        return self.views(Picture(image, camera, mounting, time))[0]

    def views(self, picture: Picture) -> list[DepthFrame]:
        """Estimate the depth of every view of a picture; errors as above."""
        prepared = self.prepare(picture)
        return self.finish(prepared, self.engine.infer(prepared.inputs))

    def prepare(self, picture: Picture) -> Prepared:
        """
        Make the network's inputs of a picture.

        :raises ValueError: the image is not (H, W, 3) uint8 or not of the camera's size.
        """
        _require_image(picture)
        options = self.options
        optics = self._optics.of(
            picture.camera,
            options.resolution == 'native',
            options.scale != 'none',
            options.views == 'auto',
        )
        images = [o.rectifier(picture.image) if o.rectifier else picture.image for o in optics]
        rows, columns = self.engine.spec.input_size
        inputs = [cv2.resize(i, (columns, rows), interpolation=cv2.INTER_AREA) for i in images]
        return Prepared(picture, optics, images, np.stack(inputs))  # type: ignore[arg-type]

    def infer(self, prepared: Sequence[Prepared]) -> list[NDArray[np.float32]]:
        """
        Run the network once on all inputs.

        :return: (views, C, h, w) float32 of each picture, as the engine gives it.
        :raises EngineError: the network did not run.
        """
        outputs = self.engine.infer(np.concatenate([p.inputs for p in prepared]))
        return np.split(outputs, np.cumsum([len(p.inputs) for p in prepared])[:-1])

    def finish(self, prepared: Prepared, outputs: NDArray[np.float32]) -> list[DepthFrame]:
        """
        Make depth in metres of the network's outputs for one picture.

        :param outputs: (views, C, h, w) float32, owned by this call.
        :return: one frame a view, the front one first.
        """
        sizes = [self._output_size(*pair) for pair in zip(prepared.images, outputs, strict=True)]
        depths = [_resized(output[0], size) for output, size in zip(outputs, sizes, strict=True)]
        for depth, optic in zip(depths, prepared.optics, strict=True):
            depth *= optic.scale.factor
        return [
            self._frame(prepared, index, depth, output, prepared.optics[index].scale)
            for index, (depth, output) in enumerate(zip(depths, outputs, strict=True))
        ]

    def _frame(
        self,
        prepared: Prepared,
        index: int,
        depth: NDArray[np.float32],
        output: NDArray[np.float32],
        scale: Scale,
    ) -> DepthFrame:
        optic, size = prepared.optics[index], depth.shape[::-1]
        trusted = _mask(depth, self.options, optic.outside)
        confidence = None
        if len(output) > 1:
            confidence = right_probability(_resized(output[1], size))
            confidence[~trusted] = 0
        # the network's input is the smaller picture of the two that hold the same view
        small = prepared.inputs[index]
        fits = size[0] <= small.shape[1] and size[1] <= small.shape[0]
        color = cv2.resize(
            small if fits else prepared.images[index], size, interpolation=cv2.INTER_AREA
        )
        return DepthFrame(
            depth,
            confidence,
            color,  # type: ignore[arg-type]
            optic.camera,
            scale,
            camera_R_view=optic.camera_R_view,
            own=optic.own,
        )

    def _output_size(
        self, image: NDArray[np.uint8], output: NDArray[np.float32]
    ) -> tuple[int, int]:
        grid = image if self.options.resolution == 'camera' else output[0]
        return grid.shape[1], grid.shape[0]


def _require_image(picture: Picture) -> None:
    image, camera = picture.image, picture.camera
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'image is {image.shape} {image.dtype}; expected (H, W, 3) uint8 RGB')
    if camera is not None and image.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'image is {image.shape[1]}x{image.shape[0]}; expected '
            f'{camera.width}x{camera.height}, the size in camera_info'
        )


def _resized(array: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
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

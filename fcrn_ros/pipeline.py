"""
From a colour image and its camera to metric depth: rectify, resize, infer, scale, mask.

The way of one picture: image (camera's size) -> rectified, one view or several -> network's input
-> engine -> depth on the output grid -> metres by focal length and floor -> range and lens masks
-> one ``DepthFrame`` a view. Several pictures share one run of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.depth_frame import DepthFrame, right_probability
from fcrn_ros.engine import DepthEngine, open_engine
from fcrn_ros.mounting import Mounting
from fcrn_ros.optics import Optic, Optics
from fcrn_ros.options import Options
from fcrn_ros.scale import Scale
from fcrn_ros.scaling.ground import Ground
from fcrn_ros.scaling.scale_keeper import ScaleKeeper, ground_of


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
        self._keepers: dict[str, ScaleKeeper] = {}

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
        depths, confidences = [], []
        for image, output, optic in zip(prepared.images, outputs, prepared.optics, strict=True):
            size = self._output_size(image, output)
            depths.append(_resized(output[0], size) * np.float32(optic.scale.factor))
            unsure = len(output) < 2
            confidences.append(None if unsure else right_probability(_resized(output[1], size)))
        scale, ground = self._scale(prepared, depths, confidences[0])
        return [
            self._frame(prepared, index, depth, confidence, scale, ground)
            for index, (depth, confidence) in enumerate(zip(depths, confidences, strict=True))
        ]

    def _scale(
        self,
        prepared: Prepared,
        depths: list[NDArray[np.float32]],
        confidence: NDArray[np.float32] | None,
    ) -> tuple[Scale, Ground | None]:
        """Bring depths to their final scale, in place; the front view tells it for all."""
        picture, optic, options = prepared.picture, prepared.optics[0], self.options
        keeper = self._keepers.setdefault(picture.stream, ScaleKeeper())
        factor = keeper.steady(depths[0], picture.time, options.scale_smoothing)
        scale, ground = replace(optic.scale, factor=optic.scale.factor * factor), None
        if options.scale == 'ground' and optic.camera is not None:
            if picture.mounting is not None:
                ground = ground_of(
                    depths[0] * np.float32(factor),
                    confidence,
                    optic.camera,
                    optic.camera_R_view,
                    picture.mounting,
                )
            scale, ground = keeper.on_ground(scale, ground, picture.mounting)
        for depth in depths:
            depth *= np.float32(scale.factor / optic.scale.factor)
        return scale, ground

    def _frame(
        self,
        prepared: Prepared,
        index: int,
        depth: NDArray[np.float32],
        confidence: NDArray[np.float32] | None,
        scale: Scale,
        ground: Ground | None,
    ) -> DepthFrame:
        optic, size = prepared.optics[index], depth.shape[::-1]
        unmasked, depth = depth, depth.copy()
        trusted = _mask(depth, self.options, optic.outside)
        if confidence is not None:
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
            ground,
            optic.camera_R_view,
            optic.own,
            unmasked,
            max(1, round(size[0] / self.engine.spec.output_size[1])),
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

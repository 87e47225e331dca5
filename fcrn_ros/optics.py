"""What follows from a camera alone, kept while it is in use: rectification, lens mask, scale."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.lenses.rectify import Rectifier
from fcrn_ros.lenses.views import View, plan_views, rectified_view
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.scale import Scale, focal_scale

CAMERAS_KEPT = 8
UNKNOWN = Scale(1.0, 'none', 'the camera is not known')


@dataclass(frozen=True)
class Optic:
    """
    How one view of a camera becomes depth.

    :param rectifier: makes the view of the image; None where the image is the view.
    :param camera: of the depth; None where the image's camera is not known.
    :param scale: the focal-length correction.
    :param outside: (h, w) bool: pixels of the depth that the lens does not see; None: none.
    :param camera_R_view: as in ``DepthFrame``.
    :param own: as in ``DepthFrame``.
    """

    rectifier: Rectifier | None = None
    camera: Camera | None = None
    scale: Scale = UNKNOWN
    outside: NDArray[np.bool_] | None = None
    camera_R_view: NDArray[np.float64] | None = None
    own: NDArray[np.bool_] | None = None


class Optics:
    """
    Builds what follows from a camera when it is first seen.

    :param spec: of the model, for the sizes and the camera of the network.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._kept: OrderedDict[object, tuple[Optic, ...]] = OrderedDict()

    def of(
        self, camera: Camera | None, native: bool, focal: bool, several: bool
    ) -> tuple[Optic, ...]:
        """
        Return one optic for each view of a camera, the front one first.

        :param camera: of the image; None where it is not known.
        :param native: depth has the network's output size, else the camera's.
        :param focal: correct scale by the focal length.
        :param several: cut a very wide lens into several views.
        :raises ValueError: it is too wide for that.
        """
        if camera is None:
            return (Optic(),)
        key = camera, native, focal, several
        if key not in self._kept:
            network = self._spec.network_camera
            views = plan_views(camera, network) if several else (rectified_view(camera),)
            self._kept[key] = tuple(
                self._built(camera, v if len(views) > 1 else None, native, focal) for v in views
            )
            if len(self._kept) > CAMERAS_KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _built(self, camera: Camera, view: View | None, native: bool, focal: bool) -> Optic:
        """Build the optic of one of several views, or of the whole picture where it is None."""
        rectifier = Rectifier(camera, view) if view or camera.distorted else None
        pinhole = rectifier.camera if rectifier else camera
        rows, columns = self._spec.input_size
        scale = focal_scale(pinhole.resized(columns, rows), self._spec.network_camera)
        output = pinhole
        if native:
            height, width = self._spec.output_size
            output = pinhole.resized(width, height)
        outside = None
        if rectifier is not None and not rectifier.valid.all():
            inside = cv2.resize(rectifier.valid.astype(np.uint8), (output.width, output.height))
            outside = inside == 0
        return Optic(
            rectifier,
            output,
            scale if focal else Scale(1.0, 'none'),
            outside,
            _turn(camera, view),
            _own(view, output, outside),
        )


def _turn(camera: Camera, view: View | None) -> NDArray[np.float64] | None:
    """Return the rotation from a view to the rectified frame; None for the front one."""
    if view is None or view.name == 'front':
        return None
    turn: NDArray[np.float64] = rectified_view(camera).camera_R_view.T @ view.camera_R_view
    return turn


def _own(
    view: View | None, output: Camera, outside: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    own = view.own(output.width, output.height) if view else None
    if outside is None:
        return own
    return ~outside if own is None else own & ~outside

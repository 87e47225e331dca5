"""Depth of one picture, with the camera of that very depth: what the pipeline gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.scale import Scale

if TYPE_CHECKING:
    from fcrn_ros.scaling.ground import Ground

# a depth counts as right when the truth lies within this share of it (about delta1's bound)
RIGHT_WITHIN = 0.25


@dataclass(frozen=True)
class DepthFrame:
    """
    Depth of one image, or of one of the views that a wide lens is cut into.

    :param depth: (h, w) float32, z-depth [m]; NaN invalid or too near, +Inf beyond ``max_range``.
    :param confidence: (h, w) float32, 0..1: the estimated probability that the depth is within 25
        % of the truth; 0 where depth is NaN. None where the model has no uncertainty.
    :param color: (h, w, 3) uint8 RGB, rectified, pixel for pixel the depth's.
    :param camera: pinhole camera of the depth; None where the image's camera is not known.
    :param scale: the factor in the depth, and its source.
    :param ground: the floor that ``scale: ground`` found, in metres of this depth; None where
        none was found or looked for.
    :param camera_R_view: (3, 3) float64, from the frame of this depth to the image's optical
        frame; None where the two are one.
    :param own: (h, w) bool: the pixels whose direction the lens sees, and no other view of the
        image covers better; None: all.
    :param unmasked: (h, w) float32, the depth before anything of it was made NaN or Inf; None
        where it is not kept.
    :param enlarged: pixels of this depth to one of the network's output, at least 1.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32] | None
    color: NDArray[np.uint8]
    camera: Camera | None
    scale: Scale
    ground: Ground | None = None
    camera_R_view: NDArray[np.float64] | None = None
    own: NDArray[np.bool_] | None = None
    unmasked: NDArray[np.float32] | None = None
    enlarged: int = 1

    def points(
        self, min_confidence: float = 0.0, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """
        Return one point per pixel.

        :param min_confidence: pixels below it become NaN; 0 keeps all. It has no effect on a frame
            without confidence.
        :param out: (h, w, 3) float32 to write into; None makes a new array.
        :return: (h, w, 3) float32 [m], in the frame of this depth; NaN where depth is not finite.
        :raises ValueError: the camera is not known.
        """
        camera = self.require_camera()
        known = np.isfinite(self.depth)
        if min_confidence > 0 and self.confidence is not None:
            known &= self.confidence >= min_confidence
        return camera.unproject(np.where(known, self.depth, np.float32(np.nan)), out)

    def require_camera(self) -> Camera:
        """
        Return the camera of this depth.

        :raises ValueError: it is not known.
        """
        if self.camera is None:
            raise ValueError('the camera is not known; expected a Camera beside the image')
        return self.camera

    def turned(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Turn points from the frame of this depth to the image's optical frame.

        :param points: (..., 3) float32 [m], or directions; not copied where the frames are one.
        """
        if self.camera_R_view is None:
            return points
        turned: NDArray[np.float32] = points @ self.camera_R_view.T.astype(np.float32)
        return turned

    @property
    def valid_share(self) -> float:
        """Share of pixels with a finite depth."""
        return float(np.isfinite(self.depth).mean())


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

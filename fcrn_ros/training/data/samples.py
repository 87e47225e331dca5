"""
A sample: one colour picture, the camera that took it, and what else is known of the moment.

Every source of training data, a bag, a folder, a file, becomes a stream of samples; whatever comes
after knows samples only. Images are undistorted; every (H, W) array of a sample has its camera's
size. Depth is z-depth [m] in the camera's optical frame (x right, y down, z forward).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera


@dataclass(frozen=True)
class Sample:
    """
    One picture and what is known of it.

    :param name: unique in its source; people and split files name the sample by it.
    :param image: (H, W, 3) uint8 RGB, undistorted.
    :param camera: pinhole camera of that image.
    :param depth: (H, W) float32, z-depth [m], NaN where there is none; None without depth.
    :param time: [s]; samples of one sequence come in its order.
    :param sequence: samples of one name are neighbours in time.
    :param world_T_camera: (4, 4) float64, pose of the optical frame in a fixed frame [m]; None
        where it is not known.
    :param right: (H, W, 3) uint8 RGB, the right picture of a rectified stereo pair: same camera,
        ``baseline`` farther along x; None without one.
    :param baseline: [m].
    """

    name: str
    image: NDArray[np.uint8]
    camera: Camera
    depth: NDArray[np.float32] | None = None
    time: float = 0.0
    sequence: str = ''
    world_T_camera: NDArray[np.float64] | None = None
    right: NDArray[np.uint8] | None = None
    baseline: float = 0.0

    def resized(self, width: int) -> Sample:
        """
        Return this sample at another width [px]; the height keeps the aspect.

        Pictures are averaged over areas, depth takes the nearest reading: a mean of two depths
        would be a surface that is not there.
        """
        if width == self.camera.width:
            return self
        camera = self.camera.resized(width, round(self.camera.height * width / self.camera.width))
        return replace(
            self,
            image=_resized(self.image, camera, cv2.INTER_AREA),
            camera=camera,
            depth=_resized(self.depth, camera, cv2.INTER_NEAREST_EXACT),
            right=_resized(self.right, camera, cv2.INTER_AREA),
        )


def _resized(array: Any, camera: Camera, how: int) -> Any:
    if array is None:
        return None
    return cv2.resize(array, (camera.width, camera.height), interpolation=how)


class Source(Protocol):
    """
    Where samples come from.

    :param name: short, for people: the bag's or folder's name.
    :param licence: of the data; '' where it is not known.
    """

    name: str
    licence: str

    def signature(self) -> str:
        """Return a text that changes whenever the samples would: files, sizes, times, options."""

    def samples(self) -> Iterator[Sample]:
        """
        Yield every sample, in the order of time where there is one.

        :raises ValueError: the source has not what is needed; one line says what it has.
        :raises FileNotFoundError: it is not there.
        """

    def report(self) -> list[str]:
        """Return what reading found, one line each: counts, what was skipped and why."""

    def __len__(self) -> int:
        """Return about how many samples there are, for the progress bar; 0 where unknown."""

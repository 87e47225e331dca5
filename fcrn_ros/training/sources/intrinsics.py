"""
The camera of a data set: read from its matrix K, or put together from four numbers.

Convention: that of :mod:`fcrn_ros.camera`, (u, v) = (column, row), the centre of the top-left
pixel is (0, 0). K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] [px]. Worked number: with fx = 500 and
cx = 319.5 a point at x = 1 m, z = 2 m is seen at u = 569.5 px.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.sources.files import require_size

CAMERA_FILES = ('K.txt', 'camera-intrinsics.txt')

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy [px]


class SizedByPicture:
    """The camera of pictures of one size, where a file tells its focal lengths but no size."""

    def __init__(self, intrinsics: Intrinsics) -> None:
        self._intrinsics = intrinsics
        self._camera: Camera | None = None

    def of(self, path: Path, image: NDArray[np.uint8]) -> Camera:
        """
        Return the camera of an image.

        :raises ValueError: the image is not of the first one's size, or the principal point does
            not lie in it: the intrinsics are of another size.
        """
        if self._camera is None:
            self._camera = camera_of_size(path, image, self._intrinsics)
        require_size(path, image, self._camera)
        return self._camera


def camera_of_size(path: Path, image: NDArray[np.uint8], intrinsics: Intrinsics) -> Camera:
    """
    Return the camera that has these intrinsics and an image's size.

    :raises ValueError: the principal point does not lie in the image.
    """
    height, width = image.shape[:2]
    _, _, cx, cy = intrinsics
    if not (0 <= cx < width and 0 <= cy < height):
        raise ValueError(
            f'{path}: {width}x{height}; expected the size that the camera with principal point '
            f'({cx:g}, {cy:g}) was calibrated at'
        )
    return Camera(width, height, *intrinsics)


def find_intrinsics(images: Path) -> Intrinsics:
    """
    Read the camera that lies with a folder of images, or in the folder above.

    :raises FileNotFoundError: there is none.
    """
    folder = images.resolve()
    for file in (f / name for f in (folder, folder.parent) for name in CAMERA_FILES):
        if file.is_file():
            return read_intrinsics(file)
    raise FileNotFoundError(
        f'{images}: no camera; expected {" or ".join(CAMERA_FILES)} with the 3x3 matrix K there '
        'or one folder above, or --camera FX,FY,CX,CY'
    )


def read_intrinsics(path: Path) -> Intrinsics:
    """
    Read a text file with the 3x3 matrix K [px].

    :raises ValueError: it is not one: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
    """
    numbers = path.read_text(errors='replace').replace(',', ' ').split()
    try:
        k = np.array(numbers, float).reshape(3, 3)
        fx, fy, cx, cy = (float(x) for x in (k[0, 0], k[1, 1], k[0, 2], k[1, 2]))
        Camera(1, 1, fx, fy, cx, cy)
    except ValueError as err:
        raise ValueError(f'{path}: not a 3x3 matrix K of a camera ({err})') from err
    if not np.array_equal(k, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])):
        raise ValueError(
            f'{path}: {k.tolist()}; expected K, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]'
        )
    return fx, fy, cx, cy

"""
KITTI's rig: the calibration of its cameras, and its LiDAR seen by one of them.

Convention: pixels and optical frame as in :mod:`fcrn_ros.camera`; images are rectified. A 3x4
matrix P of a calibration file projects points of the rectified camera 0: P = K [I | t], so that
t = K^-1 P[:, 3] takes them to its own camera. Worked number: P2[0, 3] = 45.38, P3[0, 3] = -337.29
and fx = 718.856 px, so camera 3 lies (45.38 + 337.29) / 718.856 = 0.532 m right of camera 2.
Matrices: Geiger et al., *Vision meets Robotics: The KITTI Dataset*, IJRR 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.sources.files import require_size
from fcrn_ros.training.sources.intrinsics import camera_of_size

Matrix = NDArray[np.float64]
RETURN = 4  # x, y, z, intensity


@dataclass(frozen=True)
class Calibration:
    """
    A calibration file.

    :param path: for messages.
    :param rows: its lines that are numbers, by their names.
    """

    path: Path
    rows: dict[str, Matrix]

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """
        Read ``NAME: NUMBERS`` lines; those of words, a date say, are left out.

        :raises FileNotFoundError: the file is not there.
        """
        rows = {}
        for line in path.read_text(errors='replace').splitlines():
            name, _, words = line.partition(':')
            try:
                rows[name.strip()] = np.array(words.split(), float)
            except ValueError:
                continue
        return cls(path, rows)

    def matrix(self, name: str) -> Matrix:
        """
        Return a 3x4 matrix.

        :raises ValueError: it is not there, or not one.
        """
        row = self.rows.get(name, np.empty(0))
        if row.size != 12 or not np.isfinite(row).all():
            raise ValueError(
                f'{self.path}: {name} has {row.size} numbers; expected 12 finite ones'
            )
        return row.reshape(3, 4)

    def camera(self, name: str, path: Path, image: NDArray[np.uint8]) -> Camera:
        """
        Return the camera of a picture.

        :param name: of the camera's P.
        :param path: of the picture.
        :raises ValueError: the picture is not of the size that the file states, or that P fits.
        """
        p = self.matrix(name)
        camera = camera_of_size(path, image, (p[0, 0], p[1, 1], p[0, 2], p[1, 2]))
        size = self.rows.get(name.replace('P_', 'S_'))
        if size is not None and size.size == 2:
            width, height = (round(x) for x in size)
            require_size(path, image, Camera(width, height, camera.fx, camera.fy, 0, 0))
        return camera

    def camera_T_camera0(self, name: str) -> Matrix:
        """
        Return the transform from the rectified camera 0 to a camera.

        :return: (4, 4) float64 [m].
        """
        p = self.matrix(name)
        transform = np.eye(4)
        transform[:3, 3] = np.linalg.solve(p[:, :3], p[:, 3])
        return transform

    def camera_T_lidar(self, name: str) -> Matrix:
        """
        Return the transform from the LiDAR to a camera.

        :return: (4, 4) float64 [m].
        :raises ValueError: the file has no ``Tr``.
        """
        camera0_T_lidar = np.vstack((self.matrix('Tr'), (0, 0, 0, 1)))
        return self.camera_T_camera0(name) @ camera0_T_lidar

    def baseline(self, left: str, right: str) -> float:
        """
        Return how far one camera lies right of another [m].

        :raises ValueError: they are not a rectified pair: not of one K, or in the wrong order.
        """
        p, q = self.matrix(left), self.matrix(right)
        metres = float((p[0, 3] - q[0, 3]) / p[0, 0])
        if not np.allclose(p[:, :3], q[:, :3], rtol=1e-6) or metres <= 0:
            raise ValueError(
                f'{self.path}: {left} and {right} are {metres:g} m apart, K {p[:, :3].tolist()} '
                f'and {q[:, :3].tolist()}; expected one K and a positive distance'
            )
        return metres


def read_lidar(path: Path) -> NDArray[np.float32]:
    """
    Read one turn of the LiDAR.

    :return: (N, 3) float32, points [m] in the LiDAR's frame; those that are not finite are left
        out.
    :raises ValueError: the file is not rows of x, y, z, intensity.
    """
    numbers = np.fromfile(path, np.float32)
    if numbers.size % RETURN or path.stat().st_size != numbers.nbytes or not numbers.size:
        raise ValueError(f'{path}: {path.stat().st_size} bytes; expected rows of {RETURN} float32')
    points = numbers.reshape(-1, RETURN)[:, :3]
    return points[np.isfinite(points).all(1)]


def project_lidar(
    points: NDArray[np.float32], camera_T_lidar: Matrix, camera: Camera
) -> NDArray[np.float32]:
    """
    Return the depth image that a camera has of points; the nearest point of a pixel counts.

    :param points: (N, 3) [m] in the LiDAR's frame.
    :param camera_T_lidar: (4, 4) [m].
    :return: (H, W) float32, z-depth [m]; NaN where no point is.
    """
    seen = points @ camera_T_lidar[:3, :3].T + camera_T_lidar[:3, 3]
    seen = seen[seen[:, 2] > 0]
    column, row = np.floor(camera.project(seen) + 0.5).T  # pixel centres are whole numbers
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    pixels = (row[inside].astype(int), column[inside].astype(int))
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(depth, pixels, seen[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth

"""
KITTI's depth prediction benchmark: accumulated LiDAR, and the pictures of the raw recordings.

Layouts: Uhrig et al., *Sparsity Invariant CNNs*, 3DV 2017 (depth images); Geiger et al., *Vision
meets Robotics: The KITTI Dataset*, IJRR 2013 (raw recordings).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.files import Files, listed, require_size
from fcrn_ros.training.sources.pairs import read_image, read_numbers
from fcrn_ros.training.sources.rig import Calibration

LICENCE = 'CC BY-NC-SA 3.0'
RATE = 10.0  # [Hz]
DEPTH_UNIT = 1 / 256  # [m], of a depth PNG's numbers
TRUTH = 'proj_depth/groundtruth/image_02'


@dataclass(frozen=True)
class Truth:
    """One depth image of the depth benchmark, and the raw recording of its drive."""

    depth: Path
    drive: Path

    @property
    def image(self) -> Path:
        """Return the left colour picture."""
        return self.drive / 'image_02' / 'data' / self.depth.name

    @property
    def right(self) -> Path:
        """Return the right colour picture."""
        return self.drive / 'image_03' / 'data' / self.depth.name

    @property
    def calibration(self) -> Path:
        """Return the calibration of the day."""
        return self.drive.parent / 'calib_cam_to_cam.txt'


class KittiDepthSource(Files[Truth]):
    """
    The depth prediction benchmark: accumulated LiDAR with the raw recording's pictures.

    :param root: has ``train/DRIVE_sync/proj_depth``, or is ``train`` or ``val`` itself; of a root
        with both, ``train`` alone is read.
    :param raw: has ``DATE/DRIVE_sync/image_02/data`` and ``DATE/calib_cam_to_cam.txt``; None looks
        in the root, in the folder above, and in ``raw`` of either.
    :param stereo: take the right picture too, where there is one.
    :raises FileNotFoundError: there is no depth image, or no raw recording.
    """

    def __init__(self, root: Path, raw: Path | None = None, stereo: bool = True) -> None:
        root = root.resolve()
        depths = find_truths(root)
        if not depths:
            raise FileNotFoundError(f'{root}: {listed(root)}; expected DRIVE_sync/{TRUTH}/N.png')
        raw = raw or _find_raw(root, depths[0])
        entries = [Truth(p, raw / _drive(p)) for p in depths]
        self._stereo = stereo
        self._calibration = cache(Calibration.read)
        super().__init__(root.name, LICENCE, "KITTI's depth benchmark", entries, stereo)

    def paths(self, entry: Truth) -> list[Path]:
        """Return the files of a depth image, its pictures and its calibration."""
        right = [entry.right] if self._stereo else []
        return [entry.depth, entry.image, entry.calibration, *right]

    def read(self, entry: Truth) -> Sample:
        """Return the sample of a depth image."""
        image = read_image(entry.image)
        calibration = self._calibration(entry.calibration)
        camera = calibration.camera('P_rect_02', entry.image, image)
        depth = read_truth(entry.depth)
        require_size(entry.depth, depth, camera)
        right = read_right(entry.right, camera) if self._stereo else None
        return Sample(
            f'{entry.drive.name}/{entry.depth.stem}',
            image,
            camera,
            depth,
            int(entry.depth.stem) / RATE,
            entry.drive.name,
            right=right,
            baseline=0.0 if right is None else calibration.baseline('P_rect_02', 'P_rect_03'),
        )


def find_truths(root: Path) -> list[Path]:
    """Return the depth images of the depth benchmark, in order."""
    folder = root / 'train' if (root / 'train').is_dir() else root
    return sorted(p for p in folder.glob(f'*_sync/{TRUTH}/*.png') if p.stem.isdigit())


def read_truth(path: Path) -> NDArray[np.float32]:
    """
    Read a depth image of the depth benchmark.

    :return: (H, W) float32, z-depth [m]; NaN where the file has 0.
    :raises ValueError: it is not a 16-bit PNG.
    """
    numbers = read_numbers(path)
    depth: NDArray[np.float32] = (numbers * DEPTH_UNIT).astype(np.float32)
    depth[numbers == 0] = np.nan
    return depth


def _drive(depth: Path) -> Path:
    """Return DATE/DRIVE of a depth image: the date is the first ten letters of the drive."""
    drive = depth.parents[3].name
    return Path(drive[:10], drive)


def _find_raw(root: Path, depth: Path) -> Path:
    """Return the folder of the raw recordings: the first that has the drive of a depth image."""
    places = [p for above in (root, root.parent) for p in (above, above / 'raw')]
    for place in places:
        if (place / _drive(depth)).is_dir():
            return place
    raise FileNotFoundError(
        f'{root}: no raw pictures; expected {_drive(depth)}/image_02/data in one of '
        + ', '.join(map(str, places))
    )


def read_right(path: Path, camera: Camera) -> NDArray[np.uint8] | None:
    """
    Read the right picture of a pair; None where there is none.

    :raises ValueError: it is not of the camera's size.
    """
    if not path.is_file():
        return None
    right = read_image(path)
    require_size(path, right, camera)
    return right

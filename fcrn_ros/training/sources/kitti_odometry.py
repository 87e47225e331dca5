"""
KITTI's odometry benchmark: pictures with poses, their right neighbours, and the LiDAR.

Layout: Geiger et al., *Are we ready for Autonomous Driving?*, CVPR 2012.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.files import Files, listed
from fcrn_ros.training.sources.kitti import LICENCE, RATE, read_right
from fcrn_ros.training.sources.pairs import read_image
from fcrn_ros.training.sources.rig import Calibration, project_lidar, read_lidar
from fcrn_ros.training.sources.video import Pose, read_poses


@dataclass(frozen=True)
class Shot:
    """One picture of an odometry sequence."""

    sequence: Path
    stem: str

    @property
    def image(self) -> Path:
        """Return the left colour picture."""
        return self.sequence / 'image_2' / f'{self.stem}.png'

    @property
    def right(self) -> Path:
        """Return the right colour picture."""
        return self.sequence / 'image_3' / f'{self.stem}.png'

    @property
    def lidar(self) -> Path:
        """Return the turn of the LiDAR at that moment."""
        return self.sequence / 'velodyne' / f'{self.stem}.bin'


@dataclass(frozen=True)
class Recording:
    """
    What is known of a whole odometry sequence.

    :param poses: world_T_camera0; the world is the first frame of camera 0.
    :param times: [s].
    """

    calibration: Calibration
    poses: Sequence[Pose | None]
    times: Sequence[float]


class KittiOdometrySource(Files[Shot]):
    """
    The odometry benchmark: colour pictures with poses, one turn of the LiDAR, the right picture.

    The LiDAR sits above the camera: behind the edges of near things it sees a little of what the
    camera does not, and those points are in the depth image.

    :param root: has ``sequences/NN/{calib.txt, image_2}``; and ``image_3``, ``velodyne``,
        ``times.txt`` and ``poses/NN.txt`` where they were downloaded.
    :param sequences: names of those to read; none reads all.
    :param stereo: take the right picture too, where there is one.
    :raises FileNotFoundError: there is no sequence, or a named one is absent.
    """

    def __init__(self, root: Path, sequences: Iterable[str] = (), stereo: bool = True) -> None:
        root = root.resolve()
        self._poses, self._stereo = root / 'poses', stereo
        shots = find_shots(root, sequences)
        self._recording = cache(self._read_recording)
        super().__init__(root.name, LICENCE, "KITTI's odometry benchmark", shots, stereo)

    def paths(self, entry: Shot) -> list[Path]:
        """Return the files that a picture's sample depends on."""
        folder = entry.sequence
        own = [entry.image, entry.lidar, *([entry.right] if self._stereo else [])]
        return [*own, folder / 'calib.txt', folder / 'times.txt', self._poses_of(folder)]

    def _poses_of(self, folder: Path) -> Path:
        return self._poses / f'{folder.name}.txt'

    def read(self, entry: Shot) -> Sample:
        """Return the sample of a picture."""
        recording, index = self._recording(entry.sequence), int(entry.stem)
        image = read_image(entry.image)
        camera = recording.calibration.camera('P2', entry.image, image)
        depth = self._depth(entry, recording.calibration, camera)
        right = read_right(entry.right, camera) if self._stereo else None
        times = recording.times
        return Sample(
            f'{entry.sequence.name}/{entry.stem}',
            image,
            camera,
            depth,
            times[index] if index < len(times) else index / RATE,
            entry.sequence.name,
            self._pose(recording, index),
            right,
            0.0 if right is None else recording.calibration.baseline('P2', 'P3'),
        )

    def _pose(self, recording: Recording, index: int) -> Pose | None:
        world_T_camera0 = recording.poses[index] if index < len(recording.poses) else None
        if world_T_camera0 is None:
            self.note('pictures without a valid pose')
            return None
        return world_T_camera0 @ np.linalg.inv(recording.calibration.camera_T_camera0('P2'))

    def _depth(
        self, entry: Shot, calibration: Calibration, camera: Camera
    ) -> NDArray[np.float32] | None:
        if not entry.lidar.is_file():
            self.note('pictures without LiDAR')
            return None
        return project_lidar(read_lidar(entry.lidar), calibration.camera_T_lidar('P2'), camera)

    def _read_recording(self, folder: Path) -> Recording:
        poses, times = self._poses_of(folder), folder / 'times.txt'
        return Recording(
            Calibration.read(folder / 'calib.txt'),
            read_poses(poses, 12) if poses.is_file() else [],
            [float(t) for t in times.read_text().split()] if times.is_file() else [],
        )


def find_shots(root: Path, sequences: Iterable[str] = ()) -> list[Shot]:
    """
    Return the pictures of the odometry benchmark, sequence by sequence.

    :raises FileNotFoundError: there is none, or a named sequence has none.
    """
    folders = [root / 'sequences' / name for name in sorted(sequences)]
    shots = []
    for folder in folders or sorted(p.parent for p in root.glob('sequences/*/image_2')):
        found = sorted(p.stem for p in folder.glob('image_2/*.png') if p.stem.isdigit())
        if not found:
            raise FileNotFoundError(f'{folder}: expected image_2/N.png')
        shots += [Shot(folder, stem) for stem in found]
    if not shots:
        raise FileNotFoundError(f'{root}: {listed(root)}; expected sequences/NN/image_2/N.png')
    return shots

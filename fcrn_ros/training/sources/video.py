"""
Videos with poses: consecutive frames, each with the pose of its camera, with or without depth.

Two layouts. ``STEM.color.jpg``, ``STEM.depth.png`` and ``STEM.pose.txt`` (4x4) in one folder; or
``rgb/STEM.jpg``, ``depth/STEM.png`` and ``poses.txt``, one row-major 4x4 a line in the order of
the images. The camera's matrix K lies beside them.

Convention: a pose is world_T_camera, from the camera's optical frame (x right, y down, z forward)
to a fixed frame, metres. Worked number: with the rotation that takes z to the world's x and the
translation (1, 2, 3), a point 4 m ahead of the camera is at (1 + 4, 2, 3) m in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.files import Files, listed, require_size
from fcrn_ros.training.sources.intrinsics import Intrinsics, SizedByPicture, find_intrinsics
from fcrn_ros.training.sources.pairs import (
    COLOUR_FOLDERS,
    DEPTH_FOLDERS,
    MILLIMETRE,
    find_depths,
    find_pictures,
    first_folder,
    read_depth,
    read_image,
)

RATE = 30.0  # [Hz]
POSES = 'poses.txt'
POSE = '.pose.txt'
ROUNDING = 1e-2  # a rotation's dot products may be off by this

Pose = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """
    One frame on disk.

    :param number: of the frame, from 0, absent ones counted.
    :param depth: None without depth.
    :param pose: its own file; the one of all frames otherwise.
    """

    number: int
    stem: str
    image: Path
    depth: Path | None
    pose: Path


class VideoSource(Files[Frame]):
    """
    A folder of frames with poses as a source of samples, one sequence.

    :param folder: in one of the two layouts.
    :param camera: (fx, fy, cx, cy) [px] of the images; None reads the file beside them.
    :param depth_unit: of a depth PNG's numbers [m].
    :param rate: frames a second, which the files do not tell.
    :raises FileNotFoundError: there are no frames, no poses or no camera.
    :raises ValueError: ``poses.txt`` has not one pose for each image.
    """

    def __init__(
        self,
        folder: Path,
        camera: Intrinsics | None = None,
        depth_unit: float = MILLIMETRE,
        rate: float = RATE,
        licence: str = '',
    ) -> None:
        root = folder.resolve()
        frames = find_frames(root)
        intrinsics = camera or find_intrinsics(frames[0].image.parent)
        self._camera = SizedByPicture(intrinsics)
        self._unit, self._rate = depth_unit, rate
        table = root / POSES
        self._poses = read_poses(table, 16) if table.is_file() else None
        if self._poses is not None and len(self._poses) != len(frames):
            raise ValueError(
                f'{table}: {len(self._poses)} poses; expected {len(frames)}, one an image'
            )
        options = (intrinsics, depth_unit, rate)
        super().__init__(root.name, licence, 'a video with poses', frames, options)

    def paths(self, entry: Frame) -> list[Path]:
        """Return the frame's files."""
        return [p for p in (entry.image, entry.depth, entry.pose) if p is not None]

    def read(self, entry: Frame) -> Sample:
        """Return the sample of a frame."""
        image = read_image(entry.image)
        camera = self._camera.of(entry.image, image)
        depth = None
        if entry.depth is not None:
            depth = read_depth(entry.depth, self._unit)
            require_size(entry.depth, depth, camera)
        else:
            self.note('frames without depth')
        pose = read_pose(entry.pose) if self._poses is None else self._poses[entry.number]
        if pose is None:
            self.note('frames without a valid pose')
        time = entry.number / self._rate
        return Sample(entry.stem, image, camera, depth, time, self.name, pose)


def has_poses(folder: Path) -> bool:
    """Whether a folder is a video with poses."""
    return (folder / POSES).is_file() or any(True for _ in folder.glob(f'*{POSE}'))


def find_frames(root: Path) -> list[Frame]:
    """
    Return the frames of a video in their order.

    :raises FileNotFoundError: the folder has no images, or no poses.
    """
    images = first_folder(root, COLOUR_FOLDERS) or root
    depths = first_folder(root, DEPTH_FOLDERS) or images
    pictures = find_pictures(images)
    if not pictures or not has_poses(root):
        raise FileNotFoundError(
            f'{root}: {listed(root)}; expected images, and {POSES} or a STEM{POSE} for each'
        )
    depth = find_depths(depths, images == depths)
    return [
        Frame(i, stem, image, depth.get(stem), _pose_file(root, stem))
        for i, (stem, image) in enumerate(pictures.items())
    ]


def _pose_file(root: Path, stem: str) -> Path:
    table = root / POSES
    return table if table.is_file() else root / f'{stem}{POSE}'


def read_poses(path: Path, numbers: int) -> list[Pose | None]:
    """
    Read one row-major pose a line.

    :param numbers: of a line: 16 of a 4x4, 12 of a 3x4 matrix.
    :return: (4, 4) float64 each; None where the line is not a rigid motion.
    :raises ValueError: a line has another number of numbers.
    """
    poses = []
    for i, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
        words = line.split()
        if len(words) != numbers:
            raise ValueError(f'{path}: line {i} has {len(words)} numbers; expected {numbers}')
        poses.append(_pose(words))
    return poses


def read_pose(path: Path) -> Pose | None:
    """Read a 4x4 pose; None where there is none, or not a rigid motion."""
    if not path.is_file():
        return None
    return _pose(path.read_text(errors='replace').split())


def _pose(words: Sequence[str]) -> Pose | None:
    try:
        rows = np.array(words, float).reshape(-1, 4)
    except ValueError:  # trackers write words where they are lost
        return None
    pose = np.vstack((rows, (0, 0, 0, 1))) if len(rows) == 3 else rows
    return pose if is_rigid(pose) else None


def is_rigid(matrix: Pose) -> bool:
    """Whether a matrix is a rotation and a translation, but for the rounding of a text file."""
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    rotation = matrix[:3, :3]
    return (
        bool(np.allclose(rotation @ rotation.T, np.eye(3), rtol=0, atol=ROUNDING))
        and float(np.linalg.det(rotation)) > 0
        and bool(np.allclose(matrix[3], (0, 0, 0, 1), rtol=0, atol=1e-6))
    )

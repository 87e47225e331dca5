"""
Samples for training and evaluation: a colour image, its depth, and the camera of both.

A folder of pairs holds ``rgb/STEM.jpg|png`` and ``depth/STEM.png`` (16-bit, millimetres, 0
invalid), one camera for all. Images are decoded once and kept shrunk in memory-mapped arrays;
training reads those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from fcrn_ros.camera import Camera

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
ROLES = ('color', 'colour', 'rgb', 'depth')  # as in frame-000.color.jpg
NO_READING = (0, 65535)  # [mm], what depth cameras write where they have nothing


@dataclass(frozen=True)
class Pair:
    """One colour image and its depth image on disk."""

    stem: str
    image: Path
    depth: Path


def find_pairs(images: Path, depths: Path) -> list[Pair]:
    """
    Match images and depth images by file stem.

    ``frame-000.color`` and ``frame-000.depth`` match too: a last part that is one of ``ROLES`` is
    dropped.

    :return: sorted by stem.
    :raises FileNotFoundError: a folder is absent, or nothing matches.
    """
    for folder in (images, depths):
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder} is not a folder; expected one with image files')
    found = {_key(p): p for p in sorted(images.iterdir()) if _is_colour(p)}
    depth = {_key(p): p for p in sorted(depths.iterdir()) if _is_depth(p, images == depths)}
    pairs = [Pair(k, found[k], depth[k]) for k in sorted(found.keys() & depth.keys())]
    if not pairs:
        raise FileNotFoundError(
            f'no image of {images} ({len(found)} images) has the stem of a depth PNG '
            f'of {depths} ({len(depth)} files)'
        )
    return pairs


def _key(path: Path) -> str:
    stem, _, role = path.stem.rpartition('.')
    return stem if stem and role in ROLES else path.stem


def _is_colour(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith('.depth')


def _is_depth(path: Path, shared_folder: bool) -> bool:
    return path.suffix.lower() == '.png' and (not shared_folder or path.stem.endswith('.depth'))


def read_image(path: Path) -> NDArray[np.uint8]:
    """
    Read a colour image.

    :return: (H, W, 3) uint8 RGB.
    :raises ValueError: the file is not an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path}: not a readable image; expected JPEG or PNG')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def read_depth(path: Path) -> NDArray[np.float32]:
    """
    Read a depth image.

    :return: (H, W) float32, z-depth [m]; NaN where the file has 0 or 65535.
    :raises ValueError: the file is not a 16-bit single-channel PNG.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        found = 'nothing readable' if image is None else f'{image.dtype} {image.shape}'
        raise ValueError(f'{path}: {found}; expected a 16-bit depth PNG in millimetres')
    depth: NDArray[np.float32] = image.astype(np.float32) / np.float32(1000)
    depth[np.isin(image, NO_READING)] = np.nan
    return depth


@dataclass(frozen=True)
class Samples:
    """
    Decoded samples of one camera, in memory-mapped arrays.

    :param images: (N, H, W, 3) uint8 RGB.
    :param depths: (N, H, W) uint16, z-depth [mm]; 0 invalid.
    :param camera: of these arrays' images.
    :param stems: N names.
    """

    images: NDArray[np.uint8]
    depths: NDArray[np.uint16]
    camera: Camera
    stems: tuple[str, ...]


def decode(pairs: Sequence[Pair], camera: Camera, width: int, cache: Path) -> Samples:
    """
    Decode pairs once into arrays of a given width, or map the arrays of an earlier run.

    :param pairs: of one camera.
    :param camera: of the files' images.
    :param width: of the arrays [px]; the height keeps the camera's aspect.
    :param cache: folder for the arrays, keyed by the files' names, sizes and times.
    :raises ValueError: an image is not of the camera's size, or is unreadable.
    """
    small = camera.resized(width, round(camera.height * width / camera.width))
    shape = (len(pairs), small.height, small.width)
    source = (camera.width, camera.height, [_signature(p) for p in pairs])
    key = hashlib.sha256(repr((shape, source)).encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    files = cache / f'{key}.images.npy', cache / f'{key}.depths.npy'
    if not all(f.exists() for f in files):
        _decode_into(pairs, camera, small, files)
    images, depths = (np.load(f, mmap_mode='r') for f in files)
    return Samples(images, depths, small, tuple(p.stem for p in pairs))


def _signature(pair: Pair) -> list[tuple[str, int, int]]:
    stats = [(path, path.stat()) for path in (pair.image, pair.depth)]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def _decode_into(
    pairs: Sequence[Pair], camera: Camera, small: Camera, files: tuple[Path, Path]
) -> None:
    size = (small.width, small.height)
    images = np.empty((len(pairs), small.height, small.width, 3), np.uint8)
    depths = np.empty((len(pairs), small.height, small.width), np.uint16)
    for i, pair in enumerate(track(pairs, 'Decoding')):
        image, depth = load_pair(pair, camera)
        images[i] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        nearest = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        depths[i] = np.nan_to_num(nearest * 1000, nan=0).round()
    arrays: list[NDArray[Any]] = [images, depths]
    for file, array in zip(files, arrays, strict=True):
        part = file.with_suffix('.part.npy')
        np.save(part, array)
        part.replace(file)


def load_pair(pair: Pair, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """
    Read one pair.

    :return: (H, W, 3) uint8 RGB and (H, W) float32 z-depth [m], NaN invalid.
    :raises ValueError: a file is unreadable, or not of the camera's size.
    """
    image, depth = read_image(pair.image), read_depth(pair.depth)
    for path, found in ((pair.image, image.shape[:2]), (pair.depth, depth.shape)):
        if found != (camera.height, camera.width):
            raise ValueError(
                f'{path}: {found[1]}x{found[0]}; expected {camera.width}x{camera.height}, '
                'the size of the camera'
            )
    return image, depth


def split(pairs: Sequence[Pair], stems: Iterable[str]) -> tuple[list[Pair], list[Pair]]:
    """
    Split pairs by name.

    :return: those not named, those named.
    :raises ValueError: a name has no pair.
    """
    named = set(stems)
    missing = named - {p.stem for p in pairs}
    if missing:
        raise ValueError(f'{len(missing)} held-out stems have no pair; the first: {min(missing)}')
    return [p for p in pairs if p.stem not in named], [p for p in pairs if p.stem in named]

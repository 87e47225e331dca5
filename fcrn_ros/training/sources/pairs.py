"""
Folders of pairs: a colour image, its depth image, one camera for all.

``rgb/STEM.jpg|png`` goes with ``depth/STEM.png`` (16 bits, millimetres unless told otherwise, 0
and 65535 invalid) or ``depth/STEM.npy`` (floating point, metres). In one folder the two are
``STEM.color.jpg`` and ``STEM.depth.png``. The camera is given, or lies beside the images as a text
file with its 3x3 matrix K.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.files import Files, listed, natural, require_size
from fcrn_ros.training.sources.intrinsics import Intrinsics, SizedByPicture, find_intrinsics

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
DEPTH_SUFFIXES = ('.png', '.npy')
ROLES = ('color', 'colour', 'rgb', 'depth')  # as in frame-000.color.jpg
COLOUR_FOLDERS = ('rgb', 'color', 'colour', 'image', 'images')
DEPTH_FOLDERS = ('depth', 'depths')
NO_READING = (0, 65535)  # what depth cameras write where they have nothing
MILLIMETRE = 0.001  # [m]
ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}  # first bytes -> last
PADDING = 1024  # at most so many follow them


@dataclass(frozen=True)
class Pair:
    """One colour image and its depth image on disk."""

    stem: str
    image: Path
    depth: Path


class PairsSource(Files[Pair]):
    """
    Folders of pairs as a source of samples.

    The first picture that can be read gives the size; others of another size are skipped.

    :param images: folder of colour images.
    :param depths: folder of depth images; may be the same.
    :param camera: (fx, fy, cx, cy) [px] of the images as they lie there; None reads ``K.txt`` or
        ``camera-intrinsics.txt`` in the folder of the images or in the one above.
    :param depth_unit: of a PNG's numbers [m].
    :raises FileNotFoundError: a folder is absent, nothing matches, or there is no camera.
    :raises ValueError: the camera's file is not a matrix K.
    """

    def __init__(
        self,
        images: Path,
        depths: Path,
        camera: Intrinsics | None = None,
        depth_unit: float = MILLIMETRE,
        licence: str = '',
    ) -> None:
        pairs = find_pairs(images, depths)
        root = images.resolve()
        name = root.parent.name if root.name in COLOUR_FOLDERS else root.name
        intrinsics = camera or find_intrinsics(images)
        options = (intrinsics, depth_unit)
        super().__init__(name, licence, 'pairs of colour and depth', pairs, options)
        self._camera = SizedByPicture(intrinsics)
        self._unit = depth_unit

    def paths(self, entry: Pair) -> tuple[Path, Path]:
        """Return the pair's two files."""
        return entry.image, entry.depth

    def read(self, entry: Pair) -> Sample:
        """Return the sample of a pair."""
        image = read_image(entry.image)
        camera = self._camera.of(entry.image, image)
        depth = read_depth(entry.depth, self._unit)
        require_size(entry.depth, depth, camera)
        return Sample(entry.stem, image, camera, depth)


def find_pairs(images: Path, depths: Path) -> list[Pair]:
    """
    Match images and depth images by file stem, without a last part that is one of ``ROLES``.

    :return: sorted by stem.
    :raises FileNotFoundError: a folder is absent, or nothing matches.
    """
    for folder in (images, depths):
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder} is not a folder; expected one with image files')
    found, depth = find_pictures(images), find_depths(depths, images == depths)
    pairs = [Pair(k, found[k], depth[k]) for k in sorted(found.keys() & depth.keys())]
    if not pairs:
        raise FileNotFoundError(
            f'no image of {images} ({len(found)} images) has the stem of a depth PNG or NPY '
            f'of {depths} ({len(depth)} files)'
        )
    return pairs


def find_pictures(folder: Path) -> dict[str, Path]:
    """Return the colour images of a folder by their stem, 2 before 10."""
    files = sorted(folder.iterdir(), key=natural)
    return {_key(p): p for p in files if _is_colour(p)}


def find_depths(folder: Path, shared: bool) -> dict[str, Path]:
    """Return the depth images of a folder by their stem; ``shared`` with colour images."""
    files = (p for p in sorted(folder.iterdir()) if p.suffix.lower() in DEPTH_SUFFIXES)
    return {_key(p): p for p in files if not shared or p.stem.endswith('.depth')}


def find_folders(root: Path) -> tuple[Path, Path]:
    """
    Return the folders of images and of depth images below a root, which may be the root itself.

    :raises FileNotFoundError: the root has the one and not the other.
    """
    images, depths = (first_folder(root, names) for names in (COLOUR_FOLDERS, DEPTH_FOLDERS))
    if (images is None) != (depths is None):
        raise FileNotFoundError(
            f'{root}: {listed(root)}; expected a folder {"|".join(COLOUR_FOLDERS)} '
            f'and a folder {"|".join(DEPTH_FOLDERS)}'
        )
    return images or root, depths or root


def first_folder(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first of these folders that is below a root."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def _key(path: Path) -> str:
    stem, _, role = path.stem.rpartition('.')
    return stem if stem and role in ROLES else path.stem


def _is_colour(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith('.depth')


def read_image(path: Path) -> NDArray[np.uint8]:
    """
    Read a colour image.

    :return: (H, W, 3) uint8 RGB.
    :raises FileNotFoundError: it is not there.
    :raises ValueError: the file is not an image, or not a whole one.
    """
    image = _decoded(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path}: not a readable image; expected JPEG or PNG')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def read_depth(path: Path, unit: float = MILLIMETRE) -> NDArray[np.float32]:
    """
    Read a depth image.

    :param unit: of a PNG's numbers [m]; an NPY holds metres.
    :return: (H, W) float32, z-depth [m]; NaN where there is none: 0 and 65535 of a PNG, anything
        that is not positive and finite of an NPY.
    :raises FileNotFoundError: it is not there.
    :raises ValueError: the file is not a whole 16-bit single-channel PNG, or not such an NPY.
    """
    if path.suffix.lower() == '.npy':
        return _metres_of_npy(path)
    image = read_numbers(path)
    depth: NDArray[np.float32] = (image * unit).astype(np.float32)
    depth[np.isin(image, NO_READING)] = np.nan
    return depth


def read_numbers(path: Path, kind: type[np.generic] = np.uint16) -> NDArray[Any]:
    """
    Read the numbers of a single-channel PNG.

    :param kind: uint16 or uint8, of the file.
    :return: (H, W) of that kind.
    :raises FileNotFoundError: it is not there.
    :raises ValueError: the file is something else, or damaged.
    """
    image = _decoded(path, cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != kind or image.ndim != 2:
        found = 'nothing readable' if image is None else f'{image.dtype} {image.shape}'
        raise ValueError(f'{path}: {found}; expected a depth PNG of {8 * kind().itemsize} bits')
    return image


def _decoded(path: Path, flags: int) -> NDArray[Any] | None:
    """Decode a whole file; OpenCV fills what a cut file lacks with grey, and is content."""
    data = path.read_bytes()
    end = ENDS.get(data[:2], b'')
    if end not in data[-PADDING:] or not data:
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def _metres_of_npy(path: Path) -> NDArray[np.float32]:
    try:
        with path.open('rb') as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as err:
        raise ValueError(f'{path}: not a readable NPY file ({err})') from err
    if array.ndim != 2 or array.dtype.kind != 'f':
        raise ValueError(
            f'{path}: {array.dtype} {array.shape}; expected (H, W) floating-point metres'
        )
    depth: NDArray[np.float32] = array.astype(np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def load_pair(pair: Pair, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """
    Read one pair.

    :return: (H, W, 3) uint8 RGB and (H, W) float32 z-depth [m], NaN invalid.
    :raises ValueError: a file is unreadable, or not of the camera's size.
    """
    image, depth = read_image(pair.image), read_depth(pair.depth)
    require_size(pair.image, image, camera)
    require_size(pair.depth, depth, camera)
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

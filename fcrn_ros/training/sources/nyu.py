"""
NYU Depth v2 in the shapes it comes in: the labelled MATLAB file, and the folders of public ports.

The Kinect's colour camera at 640 x 480 is that of the data set's toolbox (Silberman et al.,
*Indoor Segmentation and Support Inference from RGBD Images*, ECCV 2012). Where a folder holds both
``train`` and a test set, ``train`` alone is read; name the other folder to get it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.sources.files import Files, listed, natural, require_size
from fcrn_ros.training.sources.pairs import read_depth, read_image, read_numbers

CAMERA = Camera(640, 480, 518.8579, 519.4696, 325.5824, 253.7362)
LICENCE = 'NYU Depth v2: research use'
FARTHEST = 10.0  # [m], what 255 means in an 8-bit depth image
FOLDERS = ('', '*/', '*/*/', '*/*/*/')  # where a layout's files may lie below a root


class NyuSource(Files[int]):
    """
    The labelled set, ``nyu_depth_v2_labeled.mat``, read image by image.

    MATLAB 7.3 writes HDF5 with its axes reversed: ``images`` is (N, 3, W, H), ``depths`` and
    ``rawDepths`` are (N, W, H) [m]. A sample is named by its index, 0-based and of four digits;
    the lists of the official split count from 1.

    :param path: the file.
    :param raw: take the depth as recorded, NaN where the Kinect saw nothing; otherwise the one
        whose holes were filled in.
    :raises ValueError: the file is not HDF5, or not this data set.
    :raises FileNotFoundError: it is not there.
    """

    def __init__(self, path: Path, raw: bool = True) -> None:
        self._path = path
        self._depths = 'rawDepths' if raw else 'depths'
        with _open(path) as file:
            count = _checked(path, file, self._depths)
            self._scenes = _scenes(file, count)
        found = f'the labelled set of NYU Depth v2 ({self._depths})'
        super().__init__(path.stem, LICENCE, found, range(count), self._depths)
        self._file: Any = None

    def paths(self, entry: int) -> tuple[Path, ...]:
        """Return the one file, for the first sample."""
        return () if entry else (self._path,)

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; the file is open meanwhile, so that its cache serves."""
        with _open(self._path) as self._file:
            yield from super().samples()

    def read(self, entry: int) -> Sample:
        """Return one sample of the open file."""
        image = np.ascontiguousarray(self._file['images'][entry].transpose(2, 1, 0))
        depth = np.ascontiguousarray(self._file[self._depths][entry].T, np.float32)
        scene = self._scenes[entry]
        return Sample(f'{entry:04d}', image, CAMERA, _cleaned(depth), sequence=scene)


def _open(path: Path) -> Any:
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        return h5py.File(path, 'r')
    except OSError as err:
        raise ValueError(f'{path}: not an HDF5 file; expected MATLAB 7.3 or HDF5') from err


def _checked(path: Path, file: Any, depths: str) -> int:
    """Return the number of images."""
    sizes = {name: tuple(getattr(file.get(name), 'shape', ())) for name in ('images', depths)}
    count = (sizes['images'] or (0,))[0]
    width, height = CAMERA.width, CAMERA.height
    if sizes != {'images': (count, 3, width, height), depths: (count, width, height)}:
        found = ', '.join(f'{name} {size}' for name, size in sizes.items() if size)
        raise ValueError(
            f'{path}: {found or ", ".join(list(file)[:8]) or "nothing"}; expected NYU Depth v2: '
            f'images (N, 3, {width}, {height}), {depths} (N, {width}, {height})'
        )
    return int(count)


def _scenes(file: Any, count: int) -> list[str]:
    """Return the scene of each image, a MATLAB cell array of strings; '' where there is none."""
    if 'scenes' not in file:
        return [''] * count
    return [''.join(map(chr, file[cell][()].ravel())) for cell in file['scenes'][()].ravel()]


def _cleaned(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


@dataclass(frozen=True)
class Layout:
    """
    How a port keeps images and depths.

    :param name: for people.
    :param pattern: of the files that are, or hold, the images.
    :param depth: from such a file to the one with its depth.
    :param read: from those two to (H, W, 3) uint8 RGB and (H, W) float32 [m], NaN invalid.
    """

    name: str
    pattern: str
    depth: Callable[[Path], Path]
    read: Callable[[Path, Path], tuple[NDArray[np.uint8], NDArray[np.float32]]]


class NyuFolderSource(Files[Path]):
    """
    A folder of NYU Depth v2 frames, one folder a scene, in one of ``LAYOUTS``.

    :raises FileNotFoundError: the folder has none of them.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        layout = find_layout(root)
        if layout is None:
            known = '; '.join(f'{x.name}: {x.pattern}' for x in LAYOUTS)
            raise FileNotFoundError(f'{root}: {listed(root)}; expected one of {known}')
        self._layout, self._root = layout, _training(root)
        files = sorted(_matches(self._root, layout), key=natural)
        super().__init__(root.name, LICENCE, f'NYU Depth v2, {layout.name}', files, layout.name)

    def paths(self, entry: Path) -> tuple[Path, ...]:
        """Return the files of an image and its depth, which may be one."""
        return tuple(dict.fromkeys((entry, self._layout.depth(entry))))

    def read(self, entry: Path) -> Sample:
        """Return one sample; its sequence is its folder."""
        depth_file = self._layout.depth(entry)
        image, depth = self._layout.read(entry, depth_file)
        require_size(entry, image, CAMERA)
        require_size(depth_file, depth, CAMERA)
        name = entry.relative_to(self._root).with_suffix('')
        scene = name.parent.as_posix()
        return Sample(
            name.as_posix(), image, CAMERA, depth, sequence='' if scene == '.' else scene
        )


def find_layout(root: Path) -> Layout | None:
    """Return the layout of a folder's frames; None where it is another data set."""
    root = _training(root)
    return next((x for x in LAYOUTS if any(True for _ in _matches(root, x))), None)


def _training(root: Path) -> Path:
    return root / 'train' if (root / 'train').is_dir() else root


def _matches(root: Path, layout: Layout) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from root.glob(folder + layout.pattern)


def _of_h5(path: Path, _: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with _open(path) as file:
        try:
            image, depth = file['rgb'][()], file['depth'][()]
        except KeyError as err:
            raise ValueError(
                f'{path}: {", ".join(file) or "nothing"}; expected rgb and depth'
            ) from err
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != np.uint8 or depth.ndim != 2:
        raise ValueError(
            f'{path}: rgb {image.dtype} {image.shape}, depth {depth.shape}; '
            'expected uint8 (3, H, W) and (H, W)'
        )
    return np.ascontiguousarray(image.transpose(1, 2, 0)), _cleaned(depth.astype(np.float32))


def _of_millimetres(image: Path, depth: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return read_image(image), read_depth(depth)


def _of_bytes(image: Path, depth: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    numbers = read_numbers(depth, np.uint8)
    return read_image(image), _cleaned((numbers * (FARTHEST / 255)).astype(np.float32))


LAYOUTS = (
    Layout('one HDF5 file a frame', '*.h5', lambda image: image, _of_h5),
    Layout(
        'rgb_N.jpg and sync_depth_N.png in mm',
        'rgb_*.jpg',
        lambda image: image.with_name(f'sync_depth_{image.stem[4:]}.png'),
        _of_millimetres,
    ),
    Layout(
        'SCENE_out/N.jpg and N.png of 8 bits',
        '*_out/*.jpg',
        lambda image: image.with_suffix('.png'),
        _of_bytes,
    ),
    Layout(
        'N_colors.png and N_depth.png in mm',
        '*_colors.png',
        lambda image: image.with_name(image.name.replace('_colors', '_depth')),
        _of_millimetres,
    ),
)

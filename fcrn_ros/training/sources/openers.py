"""
Whatever a path holds, opened as a source of samples.

A path is recognised by what lies in it, the surest marks first; nothing is decoded for that.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fcrn_ros.training.data.samples import Source
from fcrn_ros.training.sources.files import listed
from fcrn_ros.training.sources.intrinsics import Intrinsics
from fcrn_ros.training.sources.kitti import KittiDepthSource, find_truths
from fcrn_ros.training.sources.kitti_odometry import KittiOdometrySource
from fcrn_ros.training.sources.nyu import NyuFolderSource, NyuSource, find_layout
from fcrn_ros.training.sources.pairs import (
    COLOUR_FOLDERS,
    DEPTH_FOLDERS,
    MILLIMETRE,
    PairsSource,
    find_depths,
    find_folders,
    first_folder,
)
from fcrn_ros.training.sources.video import RATE, VideoSource, has_poses

if TYPE_CHECKING:
    from fcrn_ros.training.sources.bags import BagOptions

LOGGER = logging.getLogger(__name__)
BAG_SUFFIXES = ('.bag', '.mcap', '.db3')


@dataclass(frozen=True)
class Options:
    """
    What a path does not tell; each source takes what concerns it.

    :param camera: (fx, fy, cx, cy) [px] of pairs or a video; None reads the file beside them.
    :param depth_unit: of the numbers of a depth PNG of pairs or a video [m].
    :param rate: frames a second of a video.
    :param filled: take NYU's depth with its holes filled in.
    :param raw: the raw recordings of KITTI's depth benchmark; None looks beside it.
    :param stereo: take KITTI's right pictures too.
    :param bag: of a bag; None takes its defaults.
    """

    camera: Intrinsics | None = None
    depth_unit: float = MILLIMETRE
    rate: float = RATE
    filled: bool = False
    raw: Path | None = None
    stereo: bool = True
    bag: BagOptions | None = None


@dataclass(frozen=True)
class Kind:
    """
    One thing that a path may be.

    :param name: for people.
    :param marks: by what it is known.
    :param fits: whether a path is one.
    :param opened: makes the source.
    """

    name: str
    marks: str
    fits: Callable[[Path], bool]
    opened: Callable[[Path, Options], Source]


def recognise(path: Path) -> Kind:
    """
    Tell what a path holds.

    :raises FileNotFoundError: it is not there.
    :raises ValueError: it is nothing known; the message says what it has and what is known.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file or folder')
    for kind in KINDS:
        if kind.fits(path):
            return kind
    has = listed(path) if path.is_dir() else f'a {path.suffix or "nameless"} file'
    known = '; '.join(f'{kind.name} ({kind.marks})' for kind in KINDS)
    raise ValueError(f'{path}: {has}; expected one of: {known}')


def open_samples(path: Path, options: Options | None = None) -> Source:
    """
    Open whatever a path holds, and log in one line what that is.

    :raises FileNotFoundError: it is not there, or lacks a part, or the camera is not known.
    :raises ValueError: it is nothing known, or damaged.
    """
    kind = recognise(path)
    source = kind.opened(path, options or Options())
    LOGGER.info('%s: %s, %d samples', path, kind.name, len(source))
    return source


@dataclass(frozen=True)
class Weighted:
    """
    A source and its share of a mixture.

    :param weight: positive; a source of weight 2 is drawn twice as often as one of weight 1.
    """

    source: Source
    weight: float = 1.0


def parse_weighted(text: str) -> tuple[Path, float]:
    """
    Read 'PATH' or 'PATH=WEIGHT'; a path that exists is one, whatever its name.

    :raises ValueError: the weight is not a positive number.
    """
    path, equals, number = text.rpartition('=')
    if not equals or Path(text).exists():
        return Path(text), 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not (0 < weight < math.inf and path):
        raise ValueError(f'{text}: weight {number!r}; expected PATH or PATH=WEIGHT, above 0')
    return Path(path), weight


def open_weighted(text: str, options: Options | None = None) -> Weighted:
    """Open 'PATH' or 'PATH=WEIGHT'; see :func:`open_samples`."""
    path, weight = parse_weighted(text)
    return Weighted(open_samples(path, options), weight)


def _is_bag(path: Path) -> bool:
    if path.is_file():
        return path.suffix in BAG_SUFFIXES
    return (path / 'metadata.yaml').is_file() or bool(_bag_files(path))


def _bag_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in BAG_SUFFIXES and p.is_file())


def _open_bag(path: Path, options: Options) -> Source:
    from fcrn_ros.training.sources.bags import BagOptions, BagSource

    whole = path.is_file() or (path / 'metadata.yaml').is_file()
    return BagSource([path] if whole else _bag_files(path), options.bag or BagOptions())


def _is_odometry(path: Path) -> bool:
    return _is_sequence(path) or any(True for _ in path.glob('sequences/*/image_2'))


def _is_sequence(path: Path) -> bool:
    return (path / 'image_2').is_dir() and (path / 'calib.txt').is_file()


def _open_odometry(path: Path, options: Options) -> Source:
    path = path.resolve()
    if _is_sequence(path):
        return KittiOdometrySource(path.parents[1], [path.name], options.stereo)
    return KittiOdometrySource(path, (), options.stereo)


def _is_pairs(path: Path) -> bool:
    if not path.is_dir():
        return False
    folders = first_folder(path, COLOUR_FOLDERS), first_folder(path, DEPTH_FOLDERS)
    return any(folders) or bool(find_depths(path, True))


def _open_video(path: Path, options: Options) -> Source:
    return VideoSource(path, options.camera, options.depth_unit, options.rate)


def _open_pairs(path: Path, options: Options) -> Source:
    return PairsSource(*find_folders(path), options.camera, options.depth_unit)


KINDS = (
    Kind('a bag', f'*{"|*".join(BAG_SUFFIXES)}, metadata.yaml', _is_bag, _open_bag),
    Kind(
        'the labelled set of NYU Depth v2',
        '*.mat',
        lambda path: path.suffix == '.mat',
        lambda path, options: NyuSource(path, not options.filled),
    ),
    Kind(
        "KITTI's odometry benchmark",
        'sequences/NN/image_2, calib.txt',
        _is_odometry,
        _open_odometry,
    ),
    Kind(
        "KITTI's depth benchmark",
        'DRIVE_sync/proj_depth',
        lambda path: bool(find_truths(path)),
        lambda path, options: KittiDepthSource(path, options.raw, options.stereo),
    ),
    Kind(
        'a video with poses',
        'STEM.color.jpg with STEM.pose.txt, or rgb/ with poses.txt',
        has_poses,
        _open_video,
    ),
    Kind(
        'a folder of NYU Depth v2',
        'SCENE/N.h5, SCENE/rgb_N.jpg with sync_depth_N.png, SCENE_out/N.jpg, N_colors.png',
        lambda path: find_layout(path) is not None,
        lambda path, options: NyuFolderSource(path),
    ),
    Kind(
        'pairs of colour and depth',
        'rgb/ with depth/, or STEM.color.jpg with STEM.depth.png',
        _is_pairs,
        _open_pairs,
    ),
)

"""
Decoded samples on disk, read through a memory map: a source is decoded once.

A store is a folder of two files. ``pixels.bin`` has the bytes of every image and depth, one after
the other; ``index.json`` says where each lies, and everything else of the sample. Depth is kept as
float16 [m], 0 where there is none: 0.05 % of the depth at any range. A store is written under
another name and renamed when it is complete, so that one that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample, Source

FORMAT = 1
PIXELS, INDEX = 'pixels.bin', 'index.json'
CAMERA = ('width', 'height', 'fx', 'fy', 'cx', 'cy')  # samples are undistorted
ARRAYS = {'image': np.uint8, 'depth': np.float16, 'right': np.uint8}


class Store(Sequence[Sample]):
    """
    The samples of one source.

    :param folder: as :func:`write_store` made it.
    :raises ValueError: the folder has no whole store.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / INDEX).read_text())
            if index['format'] != FORMAT:
                raise ValueError(f'format {index["format"]}; expected {FORMAT}')
            self.entries: list[dict[str, Any]] = index['samples']
            self.name: str = index['name']
            self.licence: str = index['licence']
            self.report: list[str] = index['report']
            size = max(_end(entry) for entry in self.entries)
            self._pixels = np.memmap(folder / PIXELS, np.uint8, 'r')
            if self._pixels.size != size:
                raise ValueError(f'{PIXELS} has {self._pixels.size} bytes; expected {size}')
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise ValueError(
                f'{folder}: not a whole store of samples ({err}); delete it to decode it again'
            ) from err
        self.folder = folder

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Go to another process as the folder's name: pickle would take all the pixels along."""
        return Store, (self.folder,)

    @property
    def names(self) -> list[str]:
        """Return the samples' names."""
        return [entry['name'] for entry in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        entry = self.entries[index]
        depth = self._array(entry, 'depth')
        metres = None
        if depth is not None:
            metres = depth.astype(np.float32)
            metres[depth == 0] = np.nan
        return Sample(
            entry['name'],
            self._array(entry, 'image'),  # type: ignore[arg-type]
            self.camera(index),
            metres,
            entry['time'],
            entry['sequence'],
            self.pose(index),
            self._array(entry, 'right'),
            entry['baseline'],
        )

    def camera(self, index: int) -> Camera:
        """Return the camera of one sample, without reading its pixels."""
        return Camera(**self.entries[index]['camera'])

    def pose(self, index: int) -> NDArray[np.float64] | None:
        """Return world_T_camera of one sample, (4, 4) float64 [m], where it is known."""
        pose = self.entries[index]['world_T_camera']
        return None if pose is None else np.array(pose)

    def _array(self, entry: dict[str, Any], name: str) -> NDArray[Any] | None:
        offset = entry['offsets'][name]
        if offset is None:
            return None
        shape = _shape(entry['camera']['width'], entry['camera']['height'], name)
        pixels = self._pixels[offset : offset + _bytes(entry, name)]
        return pixels.view(ARRAYS[name]).reshape(shape)


def _shape(width: int, height: int, name: str) -> tuple[int, ...]:
    return (height, width) if name == 'depth' else (height, width, 3)


def _bytes(entry: dict[str, Any], name: str) -> int:
    shape = _shape(entry['camera']['width'], entry['camera']['height'], name)
    return math.prod(shape) * np.dtype(ARRAYS[name]).itemsize


def _end(entry: dict[str, Any]) -> int:
    """Return where the last array of a sample ends [bytes]."""
    offsets = entry['offsets'].items()
    return max(offset + _bytes(entry, name) for name, offset in offsets if offset is not None)


def open_store(source: Source, width: int, cache: Path) -> Store:
    """
    Return a source's store, decoding it where that has not been done yet.

    :param width: pictures wider than this are shrunk to it [px].
    :param cache: the folder of all stores.
    :raises ValueError: the source has no usable sample.
    :raises FileNotFoundError: the source is not there.
    """
    key = hashlib.sha256(f'{FORMAT} {width} {source.signature()}'.encode()).hexdigest()[:16]
    folder = cache / f'{source.name}-{key}'
    if not folder.exists():
        samples = (s.resized(min(width, s.camera.width)) for s in source.samples())
        write_store(folder, track(samples, f'Decoding {source.name}', len(source) or None), source)
    return Store(folder)


def write_store(folder: Path, samples: Iterable[Sample], source: Source) -> None:
    """
    Write samples as a store, whole or not at all.

    :param source: gives licence and report, asked for after the last sample.
    :raises ValueError: there is no sample.
    """
    part = folder.with_name(f'{folder.name}.{uuid4().hex}.part')
    part.mkdir(parents=True)
    try:
        with (part / PIXELS).open('wb') as file:
            entries = list(_written(samples, file))
        if not entries:
            raise ValueError('; '.join([f'{source.name}: no sample', *source.report()]))
        index = {
            'format': FORMAT,
            'name': source.name,
            'licence': source.licence,
            'report': source.report(),
            'samples': entries,
        }
        (part / INDEX).write_text(json.dumps(index))
        _put(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _written(samples: Iterable[Sample], file: BinaryIO) -> Iterator[dict[str, Any]]:
    for sample in samples:
        offsets: dict[str, int | None] = dict.fromkeys(ARRAYS)
        for name, kind in ARRAYS.items():
            array = getattr(sample, name)
            if array is not None:
                _require_shape(sample, name, array)
                offsets[name] = file.tell()
                known = np.where(np.isfinite(array), array, 0)
                file.write(np.ascontiguousarray(known, kind).tobytes())
        pose = sample.world_T_camera
        yield {
            'name': sample.name,
            'time': sample.time,
            'sequence': sample.sequence,
            'camera': {name: getattr(sample.camera, name) for name in CAMERA},
            'world_T_camera': None if pose is None else pose.tolist(),
            'baseline': sample.baseline,
            'offsets': offsets,
        }


def _require_shape(sample: Sample, name: str, array: NDArray[Any]) -> None:
    expected = _shape(sample.camera.width, sample.camera.height, name)
    if array.shape != expected:
        raise ValueError(
            f'{sample.name}: {name} is {array.shape}; expected {expected}, of its camera'
        )


def _put(part: Path, folder: Path) -> None:
    """Rename; where another process was faster, its store is as good."""
    try:
        part.replace(folder)
    except OSError:
        if not folder.exists():
            raise

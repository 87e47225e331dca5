"""
Samples that lie in files: each is read when it is asked for, and a bad one is skipped and counted.

What the sources of folders and data sets share. A source names its entries, the files of each and
how one is read; here they are iterated, and what was found is reported.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample

Entry = TypeVar('Entry')


class Files(ABC, Generic[Entry]):
    """
    A :class:`~fcrn_ros.training.data.samples.Source` whose samples are files.

    :param name: for people.
    :param licence: of the data; '' where it is not known.
    :param found: what the source is, for the first line of the report.
    :param entries: what :meth:`read` makes samples of, in the order of the samples.
    :param options: whatever else changes the samples.
    """

    def __init__(
        self, name: str, licence: str, found: str, entries: Sequence[Entry], options: object = None
    ) -> None:
        self.name = name
        self.licence = licence
        self.entries = entries
        self._found = found
        self._options = options
        self._restart()

    @abstractmethod
    def paths(self, entry: Entry) -> Sequence[Path]:
        """Return the files that an entry's sample depends on; one that is absent counts too."""

    @abstractmethod
    def read(self, entry: Entry) -> Sample:
        """
        Return the sample of an entry.

        :raises ValueError: a file is damaged or does not fit.
        :raises OSError: a file cannot be read.
        """

    def _restart(self) -> None:
        self._faults: list[str] = []
        self._good = 0
        self._range = (np.inf, -np.inf)
        self._noted: Counter[str] = Counter()

    def note(self, what: str) -> None:
        """Count something for the report: the line is '12 frames without a pose'."""
        self._noted[what] += 1

    def __len__(self) -> int:
        return len(self.entries)

    def signature(self) -> str:
        """Return a text that changes when a file's path, size or time, or an option changes."""
        digest = hashlib.sha256(repr((type(self).__name__, self._options)).encode())
        for entry in self.entries:
            for path in self.paths(entry):
                digest.update(_state(path).encode())
        return digest.hexdigest()

    def samples(self) -> Iterator[Sample]:
        """
        Yield every sample that can be read.

        :raises ValueError: none of them can be.
        """
        self._restart()
        for entry in self.entries:
            try:
                sample = self.read(entry)
            except (OSError, ValueError) as err:
                self._faults.append(' '.join(str(err).split()))
                continue
            self._good += 1
            self._widen(sample.depth)
            yield sample
        if not self._good:
            raise ValueError(
                f'{self.name}: none of {len(self)} samples is readable; '
                f'the first: {(self._faults or ["there is none"])[0]}'
            )

    def _widen(self, depth: NDArray[np.float32] | None) -> None:
        if depth is not None and np.isfinite(depth).any():
            low, high = self._range
            self._range = min(low, float(np.nanmin(depth))), max(high, float(np.nanmax(depth)))

    def report(self) -> list[str]:
        """Return what was found, the depths that were met, and what was skipped."""
        lines = [f'{self._found}: {len(self)} samples']
        if self._range[0] <= self._range[1]:
            lines.append('depth from {:.2f} to {:.2f} m'.format(*self._range))
        lines += [f'{count} {what}' for what, count in sorted(self._noted.items())]
        if self._faults:
            lines.append(f'{len(self._faults)} skipped; the first: {self._faults[0]}')
        return lines


def _state(path: Path) -> str:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return repr((str(path), None))
    return repr((str(path), stat.st_size, stat.st_mtime_ns))


def natural(path: Path) -> list[int | str]:
    """Return a sorting key by which 2.png comes before 10.png."""
    parts = re.split(r'(\d+)', str(path))
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def require_size(path: Path, array: NDArray[np.generic], camera: Camera) -> None:
    """
    Check that an image is of its camera's size.

    :param array: (H, W, ...).
    :raises ValueError: it is not.
    """
    height, width = array.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise ValueError(
            f'{path}: {width}x{height}; expected {camera.width}x{camera.height}, '
            'the size of the camera'
        )


def listed(folder: Path, most: int = 8) -> str:
    """Return the names in a folder, for a message that says what was found."""
    names = sorted(p.name + '/' * p.is_dir() for p in folder.iterdir())
    rest = len(names) - most
    return ', '.join(names[:most]) + (f' and {rest} more' if rest > 0 else '') or 'nothing'

"""
TensorFlow V2 checkpoints, read without TensorFlow.

``NAME.index`` is a table from variable names to ``BundleEntryProto`` (type, shape, offset, size,
masked CRC-32C); its entry of the empty name is the ``BundleHeaderProto``.
``NAME.data-00000-of-00001`` holds the tensors' bytes.

A checkpoint may hold more than the network: a saver restores the variables it asks for and leaves
optimiser slots and counters where they are. So does this reader.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.release.crc32c import masked_crc32c
from fcrn_ros.model.release.protobuf import read_fields
from fcrn_ros.model.release.table import read_table
from fcrn_ros.model.weights import ModelError

DATA_SUFFIX = '.data-00000-of-00001'
# tensorflow.DataType -> NumPy; the types that a checkpoint of this kind may hold
TYPES = {1: 'float32', 2: 'float64', 3: 'int32', 9: 'int64', 19: 'float16'}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies in the data file: a BundleEntryProto."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    sliced: bool = False


def read_checkpoint(
    index: Path, data: Path, names: Iterable[str]
) -> dict[str, NDArray[np.generic]]:
    """
    Read the named variables of a checkpoint.

    :param names: variables; one that the checkpoint lacks is left out.
    :return: arrays of the checkpoint's own types and shapes.
    :raises ModelError: a file is absent, truncated or damaged.
    """
    if not data.is_file():
        raise ModelError(f'{data.name} was not found; expected it beside {index.name}')
    table = read_table(index.read_bytes())
    _require_one_file(table)
    entries = {n: _read_entry(table[n.encode()]) for n in names if n.encode() in table}
    with data.open('rb') as file:
        return {name: _read_tensor(file, name, entry) for name, entry in entries.items()}


def _require_one_file(table: dict[bytes, bytes]) -> None:
    header = dict(read_fields(table.get(b'', b'')))
    shards, endianness = header.get(1, 0), header.get(2, 0)
    if (shards, endianness) != (1, 0):
        raise ModelError(
            f'its header says {shards!r} data files and endianness {endianness!r}; '
            'expected one data file, little-endian (0)'
        )


def _read_entry(message: bytes) -> Entry:
    fields = {1: 'dtype', 2: 'shape', 3: 'shard', 4: 'offset', 5: 'size', 6: 'crc', 7: 'sliced'}
    values = {fields[n]: v for n, v in read_fields(message) if n in fields}
    if any(isinstance(v, bytes) != (n in ('shape', 'sliced')) for n, v in values.items()):
        raise ModelError('an entry of the index is not a BundleEntryProto; the file is damaged')
    shape = values.pop('shape', b'')
    sliced = bool(values.pop('sliced', b''))
    return Entry(shape=_read_shape(shape), sliced=sliced, **values)  # type: ignore[arg-type]


def _read_shape(message: int | bytes) -> tuple[int, ...]:
    """Read a TensorShapeProto, whose dimensions of size 0 are not written."""
    assert isinstance(message, bytes)
    dimensions = (v for n, v in read_fields(message) if n == 2 and isinstance(v, bytes))
    return tuple(int(dict(read_fields(d)).get(1, 0)) for d in dimensions)


def _read_tensor(file: BinaryIO, name: str, entry: Entry) -> NDArray[np.generic]:
    dtype = np.dtype(TYPES.get(entry.dtype, 'V1')).newbyteorder('<')
    if entry.dtype not in TYPES or entry.sliced or entry.shard:
        raise ModelError(
            f'{name} has type {entry.dtype}, shard {entry.shard}, sliced {entry.sliced}; '
            'expected a whole tensor of type 1 (float32)'
        )
    if entry.size != math.prod(entry.shape) * dtype.itemsize:
        raise ModelError(f'{name} has {entry.size} bytes for {entry.shape} {dtype}')
    file.seek(0, 2)
    if entry.offset + entry.size > file.tell():
        raise ModelError(
            f'the data file has {file.tell()} bytes; expected {entry.size} of {name} at '
            f'{entry.offset}: the file is truncated'
        )
    file.seek(entry.offset)
    content = file.read(entry.size)
    if masked_crc32c(content) != entry.crc:
        raise ModelError(f'the crc32c of {name} differs: the data file is damaged')
    return np.frombuffer(content, dtype).reshape(entry.shape)

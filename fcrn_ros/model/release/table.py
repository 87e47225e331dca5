"""
The sorted table that TensorFlow keeps a checkpoint's index in: LevelDB's file format.

A file is blocks, then a footer of 48 bytes: the handles (offset, size) of a meta-index block and
of the index block, padded to 40 bytes, and a magic number. The index block's values are the
handles of the data blocks. A block is entries with prefix-compressed keys, restart points and
their count, then one byte for its compression and its masked CRC-32C.
"""

from __future__ import annotations

from collections.abc import Iterator

from fcrn_ros.model.release.crc32c import masked_crc32c
from fcrn_ros.model.release.protobuf import read_bytes, read_varint
from fcrn_ros.model.weights import ModelError

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
COMPRESSIONS = {1: 'snappy'}


def read_table(data: bytes) -> dict[bytes, bytes]:
    """
    Return every entry of a table.

    :param data: the whole file.
    :raises ModelError: it is no such table, truncated, damaged or compressed.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], 'little') != MAGIC:
        raise ModelError(
            f'its {len(data)} bytes do not end as a table of a TensorFlow V2 checkpoint; '
            'the file is truncated or something else'
        )
    meta_index, position = _read_handle(data[-FOOTER:], 0)
    _read_block(data, meta_index)
    index, _ = _read_handle(data[-FOOTER:], position)
    entries: dict[bytes, bytes] = {}
    for _, handle in _entries(_read_block(data, index)):
        entries.update(_entries(_read_block(data, _read_handle(handle, 0)[0])))
    return entries


def _read_handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def _read_block(data: bytes, handle: tuple[int, int]) -> bytes:
    offset, size = handle
    block = read_bytes(data, offset, size + 5)
    if masked_crc32c(block[:-4]) != int.from_bytes(block[-4:], 'little'):
        raise ModelError(f'the crc32c of its block at byte {offset} differs: the file is damaged')
    if block[size]:
        kind = COMPRESSIONS.get(block[size], f'type {block[size]}')
        raise ModelError(
            f'its block at byte {offset} is compressed ({kind}); expected an uncompressed index, '
            'as TensorFlow writes it'
        )
    return block[:size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(read_bytes(block, max(len(block) - 4, 0), 4), 'little')
    end = len(block) - 4 - 4 * restarts
    key, position = b'', 0
    while position < end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        key = key[:shared] + read_bytes(block, position, unshared)
        position += unshared
        yield key, read_bytes(block, position, length)
        position += length

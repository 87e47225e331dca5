"""The few lines of protocol buffers' wire format that a checkpoint's index needs."""

from __future__ import annotations

from collections.abc import Iterator

from fcrn_ros.model.weights import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """
    Read a base-128 number of at most 64 bits.

    :return: the number, and the position behind it.
    :raises ModelError: the data end, or the number does not.
    """
    value = 0
    for shift in range(0, 70, 7):
        byte = read_bytes(data, position, 1)[0]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ModelError(f'the number at byte {position} has more than 64 bits; the file is damaged')


def read_bytes(data: bytes, position: int, size: int) -> bytes:
    """Return ``size`` bytes from ``position``; :raises ModelError: the data end before."""
    if position + size > len(data):
        raise ModelError(
            f'it ends at byte {len(data)}, expected {size} bytes from {position}: '
            'the file is truncated or damaged'
        )
    return data[position : position + size]


def read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """
    Iterate over a message's fields.

    :return: (field number, value): an int for varint and fixed types, bytes for the others.
    :raises ModelError: the message is truncated or has a type that protobuf 3 does not.
    """
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        kind = tag & 7
        if kind == VARINT:
            value, position = read_varint(message, position)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            size, position = read_varint(message, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ModelError(f'a field has wire type {kind}; expected 0, 1, 2 or 5')
        content = read_bytes(message, position, size)
        position += size
        yield tag >> 3, content if kind == BYTES else int.from_bytes(content, 'little')

"""
CRC-32C (Castagnoli), vectorised in NumPy, with the mask that TensorFlow and LevelDB store.

A CRC is linear over GF(2): advancing its register over n zero bytes is a 32 x 32 bit matrix. So
thousands of words advance side by side, a row at a time, and are then folded in halves.
Worked number: the CRC-32C of b'123456789' is 0xE3069283 (RFC 3720, appendix B.4, has more).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78  # reflected
ROW = 15  # log2 of the bytes that advance side by side
MASK_DELTA = 0xA282EAD8

Words = NDArray[np.uint32]


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of some bytes."""
    raw = np.frombuffer(data, np.uint8)
    rest = len(raw) % (1 << ROW)
    # leading zeros leave a register of zero as it is
    first = np.zeros(1 << ROW, np.uint8)
    first[len(first) - rest :] = raw[:rest]
    state = first.view('<u4')
    for row in raw[rest:].reshape(-1, 1 << ROW):
        state = _advance(state, ROW) ^ row.view('<u4')
    for power in range(ROW - 1, 1, -1):
        half = len(state) // 2
        state = _advance(state[:half], power) ^ state[half:]
    register = int(_advance(state, 2)[0]) ^ _start(len(raw))
    return register ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C as TensorFlow's tables and checkpoints store it: rotated and shifted."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & 0xFFFFFFFF


def _start(length: int) -> int:
    """Return the initial register, all ones, after ``length`` zero bytes."""
    register = 0xFFFFFFFF
    for power in range(length.bit_length()):
        if length >> power & 1:
            register = _apply(_matrix(power), register)
    return register


def _advance(state: Words, power: int) -> Words:
    """Advance every register over 2**power zero bytes."""
    low, high = _tables(power)
    advanced: Words = low[state & 0xFFFF] ^ high[state >> 16]
    return advanced


def _apply(matrix: tuple[int, ...], register: int) -> int:
    result = 0
    for bit, column in enumerate(matrix):
        if register >> bit & 1:
            result ^= column
    return result


@cache
def _matrix(power: int) -> tuple[int, ...]:
    """Return the columns of the matrix that advances a register over 2**power zero bytes."""
    if power:
        half = _matrix(power - 1)
        return tuple(_apply(half, column) for column in half)
    columns = []
    for bit in range(32):
        register = 1 << bit
        for _ in range(8):
            register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
        columns.append(register)
    return tuple(columns)


@cache
def _tables(power: int) -> tuple[Words, Words]:
    """Return what the matrix makes of every low and of every high half of a register."""
    columns = _matrix(power)
    return _table(columns[:16]), _table(columns[16:])


def _table(columns: tuple[int, ...]) -> Words:
    table = np.zeros(1, np.uint32)
    for column in columns:
        table = np.concatenate((table, table ^ np.uint32(column)))
    return table

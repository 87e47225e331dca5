"""
RVL, the lossless code of 16-bit depth images that the compressedDepth transport offers.

Source: Wilson, "Fast Lossless Depth Image Compression", ISS 2017. Pixels alternate between a run
of zeros and a run of others; a run of others follows as differences to the pixel before, the
first to 0, folded to 0, -1, 1, -2, ... = 0, 1, 2, 3, .... A number is written in nibbles of three
bits, the lowest first, with 8 added where more follow; nibbles fill 32-bit words from the top.

Worked number: the pixels 0 0 10 9 are 2 zeros, 2 others, +10 = 20, -1 = 1. 20 is 4 + 2 * 8, the
nibbles C 2; all are 2 2 C 2 1, the word 0x22C21000, in the file's byte order 00 10 C2 22.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIZE_BYTES = 8  # int32 columns, int32 rows, before the code
MOST_PIXELS = 1 << 26
MOST_NIBBLES = 11  # of one number: 33 bits; a folded difference has 17
BROKEN = 'RVL data is damaged'


def encode_rvl(pixels: NDArray[np.uint16]) -> bytes:
    """
    Encode a depth image.

    :param pixels: (H, W) uint16.
    :return: columns, rows and code, as they follow the header of compressedDepth.
    """
    rows, columns = pixels.shape
    size = np.array([columns, rows], '<i4').tobytes()
    return size + _packed(_nibbles(_numbers(pixels.ravel())))


def decode_rvl(data: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """
    Decode a depth image.

    :param data: (N,) uint8, what :func:`encode_rvl` returns.
    :return: (H, W) uint16.
    :raises ValueError: the size is not sensible, or the code does not fill the image.
    """
    if data.size < SIZE_BYTES:
        raise ValueError(f'{BROKEN}: {data.size} bytes; expected at least {SIZE_BYTES}')
    columns, rows = (int(x) for x in np.frombuffer(data[:SIZE_BYTES].tobytes(), '<i4'))
    if columns < 1 or rows < 1 or columns * rows > MOST_PIXELS:
        raise ValueError(f'{BROKEN}: the image is {columns}x{rows}; expected a positive size')
    numbers = _read(_unpacked(data[SIZE_BYTES:]))
    return _pixels(numbers, rows * columns).reshape(rows, columns)


def _numbers(pixels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the lengths of the runs, and the folded differences where they belong."""
    edges = np.flatnonzero(np.diff(pixels != 0, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    if not len(ends) or ends[-1] < pixels.size:  # the last run of others may be empty
        starts, ends = np.append(starts, pixels.size), np.append(ends, pixels.size)
    others = ends - starts
    heads = 2 * np.arange(len(starts)) + np.cumsum(others) - others
    numbers = np.empty(2 * len(starts) + int(others.sum()), np.int64)
    is_head = np.zeros(numbers.size, bool)
    is_head[heads] = is_head[heads + 1] = True
    numbers[heads] = starts - np.append(0, ends[:-1])
    numbers[heads + 1] = others
    change = np.diff(pixels[pixels != 0].astype(np.int64), prepend=0)
    numbers[~is_head] = (change << 1) ^ (change >> 63)
    return numbers


def _nibbles(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    counts = np.ones(numbers.size, np.int64)
    for bits in range(3, 3 * MOST_NIBBLES, 3):
        counts += numbers >> bits > 0
    ends = np.cumsum(counts)
    place = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    nibbles = (np.repeat(numbers, counts) >> 3 * place & 7).astype(np.uint8) | 8
    nibbles[ends - 1] &= 7
    return nibbles


def _packed(nibbles: NDArray[np.uint8]) -> bytes:
    whole = np.pad(nibbles, (0, -nibbles.size % 8)).reshape(-1, 4, 2)
    return (whole[..., 0] << 4 | whole[..., 1])[:, ::-1].tobytes()


def _unpacked(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    words = data[: data.size // 4 * 4].reshape(-1, 4)[:, ::-1]
    return np.stack((words >> 4, words & 15), -1).ravel()


def _read(nibbles: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the numbers; what follows the last whole one is left out."""
    ends = np.flatnonzero(nibbles < 8) + 1
    if not len(ends):
        raise ValueError(f'{BROKEN}: it has no number')
    starts = np.append(0, ends[:-1])
    counts = ends - starts
    if counts.max() > MOST_NIBBLES:
        raise ValueError(f'{BROKEN}: a number has {counts.max()} nibbles')
    place = np.arange(ends[-1]) - np.repeat(starts, counts)
    parts = (nibbles[: ends[-1]] & 7).astype(np.int64) << 3 * place
    return np.add.reduceat(parts, starts)


def _pixels(numbers: NDArray[np.int64], count: int) -> NDArray[np.uint16]:
    heads, starts, others = (np.array(x, np.int64) for x in _runs(numbers.tolist(), count))
    before = np.repeat(np.cumsum(others) - others, others)
    inside = np.arange(int(others.sum())) - before  # place of a pixel in its run
    folded = numbers[np.repeat(heads + 2, others) + inside]
    values = np.cumsum((folded >> 1) ^ -(folded & 1))
    if values.size and not (0 <= values.min() and values.max() <= 65535):
        raise ValueError(f'{BROKEN}: a pixel is not of 16 bits')
    pixels = np.zeros(count, np.uint16)
    pixels[np.repeat(starts, others) + inside] = values
    return pixels


def _runs(
    numbers: Sequence[int], count: int
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return where in the numbers each run begins, its first other pixel, and how many others."""
    heads, starts, others = [], [], []
    head = pixel = 0
    while pixel < count:
        if head + 1 >= len(numbers):
            raise ValueError(f'{BROKEN}: it ends after {pixel} of {count} pixels')
        start, length = pixel + numbers[head], numbers[head + 1]
        following = head + 2 + length
        if start + length > count or following > len(numbers) or start + length == pixel:
            raise ValueError(f'{BROKEN}: a run of {length} at pixel {start} of {count}')
        heads.append(head)
        starts.append(start)
        others.append(length)
        head, pixel = following, start + length
    return heads, starts, others

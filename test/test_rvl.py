"""RVL: codes written by hand after the paper, the round trip, and damage."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fcrn_ros.rvl import decode_rvl, encode_rvl


def coded(columns: int, rows: int, *words: int) -> np.ndarray:
    """Return a size and words as the transport writes them, little-endian."""
    return np.frombuffer(struct.pack(f'<ii{len(words)}I', columns, rows, *words), np.uint8)


def test_rvl_by_hand() -> None:
    """
    A 4 x 1 and a 3 x 2 image.

    0 0 10 9: 2 zeros, 2 others, +10 folds to 20 = 4 + 2 * 8 = nibbles C 2, -1 folds to 1: 22C21.
    5 0 0 / 0 7 0: 0 zeros, 1 other, +5 folds to 10 = 2 + 1 * 8 = A 1; 3 zeros, 1 other, 7 - 5 = +2
    folds to 4; 1 zero, no other: 01A1 314 10, eight nibbles and a ninth in the next word.
    """
    small = coded(4, 1, 0x22C21000)
    np.testing.assert_array_equal(decode_rvl(small), np.uint16([[0, 0, 10, 9]]))
    assert encode_rvl(np.uint16([[0, 0, 10, 9]])) == small.tobytes()
    image = np.uint16([[5, 0, 0], [0, 7, 0]])
    long = coded(3, 2, 0x01A13141, 0x00000000)
    decoded = decode_rvl(long)
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, image)
    assert encode_rvl(image) == long.tobytes()


def test_rvl_reaches_both_ends_of_16_bits() -> None:
    """1 then 65535 then 1: the differences +65534 and -65534 take 17 bits, 6 nibbles, folded."""
    image = np.uint16([[1, 65535, 1]])
    np.testing.assert_array_equal(decode_rvl(np.frombuffer(encode_rvl(image), np.uint8)), image)


@settings(deadline=None, max_examples=150)
@given(
    arrays(
        np.uint16,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 0, 0, 1, 2, 900, 903, 65535]),
    )
)
def test_rvl_round_trip(image: np.ndarray) -> None:
    data = encode_rvl(image)
    assert len(data) % 4 == 0
    np.testing.assert_array_equal(decode_rvl(np.frombuffer(data, np.uint8)), image)


def test_rvl_of_a_real_image(data_folder) -> None:
    """A 640 x 480 Kinect image comes back to the bit, in less than half of its bytes."""
    path = sorted((data_folder / 'kitchen_video').glob('*depth.png'))[0]
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    data = encode_rvl(image)
    assert len(data) < image.nbytes / 2
    np.testing.assert_array_equal(decode_rvl(np.frombuffer(data, np.uint8)), image)


@pytest.mark.parametrize(
    ('data', 'error'),
    [
        (coded(4, 1)[:7], '7 bytes; expected at least 8'),
        (coded(0, 1, 0x22C21000), 'the image is 0x1; expected a positive size'),
        (coded(4, -1, 0x22C21000), 'the image is 4x-1; expected'),
        (coded(1 << 20, 1 << 20, 0x22C21000), 'the image is 1048576x1048576; expected'),
        (coded(4, 1), 'it has no number'),
        (coded(4, 1, 0xFFFFFFFF), 'it has no number'),
        (coded(4, 1, 0xFFFFFFFF, 0xFFFF0000), 'a number has 13 nibbles'),
        (coded(5, 1, 0x22C2100F), 'a run of 0 at pixel 4 of 5'),
        (coded(3, 1, 0x22C21000), 'a run of 2 at pixel 2 of 3'),
        (coded(99, 1, 0x2D200000), 'a run of 21 at pixel 2 of 99'),
        (coded(9, 1, 0x2211FFFF), 'it ends after 4 of 9 pixels'),
        (coded(4, 1, 0x22110000), 'a pixel is not of 16 bits'),
    ],
)
def test_damaged_rvl_is_named(data: np.ndarray, error: str) -> None:
    """The last one begins with the difference -1, which would be the pixel -1."""
    with pytest.raises(ValueError, match=f'^RVL data is damaged: {error}'):
        decode_rvl(data)

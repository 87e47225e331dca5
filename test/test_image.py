"""Image messages to pixels: every encoding, padded steps, both byte orders, and the faults."""

from __future__ import annotations

import array
import gc
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcrn_ros.image import (
    LAYOUTS,
    depth_from_compressed,
    depth_from_msg,
    open_cv_bridge,
    rgb_from_compressed,
    rgb_from_msg,
)
from fcrn_ros.rvl import encode_rvl

# where the samples of a packed pixel find their colour: 0 red, 1 green, 2 blue, None alpha
ORDERS = {
    'rgb': (0, 1, 2), 'bgr': (2, 1, 0), 'rgba': (0, 1, 2, None), 'bgra': (2, 1, 0, None),
    'mono': (0,), '8UC1': (0,), '8UC3': (2, 1, 0), '8UC4': (2, 1, 0, None),
}  # fmt: skip
PACKED = [f'{name}{bits}' for name in ('rgb', 'bgr', 'rgba', 'bgra', 'mono') for bits in (8, 16)]
PACKED += ['8UC1', '8UC3', '8UC4']
BAYER = [f'bayer_{p}{bits}' for p in ('rggb', 'bggr', 'gbrg', 'grbg') for bits in (8, 16)]
YUV422 = ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv']
NV = ['nv12', 'nv21']
# 2 rows, 3 columns, all 18 numbers distinct
RGB = np.arange(10, 190, 10, dtype=np.uint8).reshape(2, 3, 3)


def message(
    encoding: str, size: tuple[int, int], rows: np.ndarray, pad: int = 0, big: bool = False
) -> SimpleNamespace:
    """Build a message as rclpy holds it, rows of bytes padded by ``pad`` bytes of 0xAB."""
    height, width = size
    padded = np.pad(rows, ((0, 0), (0, pad)), constant_values=0xAB)
    data = array.array('B', padded.tobytes())
    return SimpleNamespace(
        width=width, height=height, step=padded.shape[1], encoding=encoding,
        is_bigendian=int(big), data=data,
    )  # fmt: skip


def sample_bytes(
    samples: np.ndarray, encoding: str, low: int = 0, big: bool = False
) -> np.ndarray:
    """Lay out 8-bit samples as rows of bytes; 16-bit ones get ``low`` as their low byte."""
    if encoding.endswith('16'):
        wide = samples.astype(np.uint16) * 256 + low
        samples = wide.astype('>u2' if big else '<u2').view(np.uint8)
    return samples.reshape(len(samples), -1)


def packed(rgb: np.ndarray, encoding: str, **options: Any) -> np.ndarray:
    """Encode RGB by hand; alpha is 77, grey is the red channel."""
    order = ORDERS.get(encoding) or ORDERS[encoding.rstrip('168')]
    alpha = np.full(rgb.shape[:2], 77, np.uint8)
    samples = np.stack([alpha if c is None else rgb[..., c] for c in order], -1)
    return sample_bytes(samples, encoding, **options)


def expected_packed(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """Return what must come back: grey is the red channel three times."""
    return rgb if encoding.startswith(('rgb', 'bgr', '8UC3', '8UC4')) else rgb[..., [0, 0, 0]]


def bt601(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Convert limited-range YUV by the formula of ITU-R BT.601, in float."""
    luma, u, v = 1.164 * np.maximum(y.astype(float) - 16, 0), u.astype(float) - 128, v - 128.0
    rgb = (luma + 1.596 * v, luma - 0.813 * v - 0.391 * u, luma + 2.018 * u)
    return np.clip(np.stack(rgb, -1), 0, 255)


def bayer_site(pattern: str, row: int, column: int) -> int:
    """Return the colour (0 R, 1 G, 2 B) of a pixel, from the ROS name: the top left 2x2 pixels."""
    return 'rgb'.index(pattern[2 * (row % 2) + column % 2])


def images(min_size: int = 1, even: bool = False, channels: int = 3) -> st.SearchStrategy:
    """Draw (H, W, channels) uint8 images."""
    side = st.integers(min_size, 9).map(lambda n: n + n % 2 if even else n)
    shape = st.tuples(side, side, st.just(channels))
    return shape.flatmap(lambda s: arrays(np.uint8, s))


# ---- uncompressed colour


def test_every_encoding_has_a_law_here() -> None:
    """A new encoding must enter one of the round trips below."""
    assert set(LAYOUTS) == {*PACKED, *BAYER, *YUV422, *NV}


@pytest.mark.parametrize('pad', [0, 5])
@pytest.mark.parametrize('encoding', PACKED)
def test_packed_encodings_by_hand(encoding: str, pad: int) -> None:
    """
    Decode a 3x2 image of 18 distinct samples.

    Pixel (row 1, column 2) is R = 160, G = 170, B = 180; in 16 bits 160 * 256 + 255 and so on.
    """
    for big in (False, True):
        rows = packed(RGB, encoding, low=255, big=big)
        rgb = rgb_from_msg(message(encoding, (2, 3), rows, pad, big))
        assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
        np.testing.assert_array_equal(rgb, expected_packed(RGB, encoding))
        last = [160, 160, 160] if encoding.startswith(('mono', '8UC1')) else [160, 170, 180]
        assert rgb[1, 2].tolist() == last


@pytest.mark.parametrize('encoding', PACKED)
@settings(deadline=None, max_examples=60)
@given(rgb=images(), pad=st.integers(0, 7), low=st.integers(0, 255), big=st.booleans())
def test_packed_round_trip(encoding: str, rgb: np.ndarray, pad: int, low: int, big: bool) -> None:
    """decode(encode) is the identity, whatever the low byte, the padding and the byte order."""
    rows = packed(rgb, encoding, low=low, big=big)
    decoded = rgb_from_msg(message(encoding, rgb.shape[:2], rows, pad, big))
    np.testing.assert_array_equal(decoded, expected_packed(rgb, encoding))


@pytest.mark.parametrize('encoding', BAYER)
def test_bayer_of_one_colour_by_hand(encoding: str) -> None:
    """A mosaic of the colour (200, 90, 30) decodes to that colour everywhere, borders included."""
    colour, size = (200, 90, 30), (5, 8)
    pattern = encoding[6:10]
    mosaic = np.array(
        [[colour[bayer_site(pattern, r, c)] for c in range(size[1])] for r in range(size[0])],
        np.uint8,
    )
    for big in (False, True):
        rows = sample_bytes(mosaic, encoding, low=9, big=big)
        rgb = rgb_from_msg(message(encoding, size, rows, 3, big))
        assert rgb.shape == (5, 8, 3)
        np.testing.assert_array_equal(rgb, np.broadcast_to(np.uint8(colour), (5, 8, 3)))


@pytest.mark.parametrize('encoding', BAYER)
@settings(deadline=None, max_examples=60)
@given(mosaic=images(min_size=3, channels=1), pad=st.integers(0, 5), big=st.booleans())
def test_bayer_keeps_every_measured_sample(
    encoding: str, mosaic: np.ndarray, pad: int, big: bool
) -> None:
    """Inside the border a pixel keeps its own colour; only the other two are guessed."""
    height, width = mosaic.shape[:2]
    rows = sample_bytes(mosaic, encoding, low=200, big=big)
    rgb = rgb_from_msg(message(encoding, (height, width), rows, pad, big))
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            assert rgb[r, c, bayer_site(encoding[6:10], r, c)] == mosaic[r, c, 0]


@pytest.mark.parametrize('encoding', YUV422)
def test_yuv422_by_hand(encoding: str) -> None:
    """
    Decode one pair of pixels that share U = 100, V = 180, with Y = 81 and 145.

    Y = 81: 1.164 * 65 = 75.66. R = 75.66 + 1.596 * 52 = 158.65; G = 75.66 - 0.813 * 52
    - 0.391 * -28 = 44.33; B = 75.66 + 2.018 * -28 = 19.16. Y = 145 adds 1.164 * 64 = 74.50.
    """
    uyvy = encoding in ('yuv422', 'uyvy')
    row = np.array([[100, 81, 180, 145] if uyvy else [81, 100, 145, 180]], np.uint8)
    rgb = rgb_from_msg(message(encoding, (1, 2), row, 3))
    hand = [[[158.65, 44.33, 19.16], [233.15, 118.83, 93.66]]]
    np.testing.assert_allclose(rgb, hand, atol=1)


@pytest.mark.parametrize('encoding', YUV422)
@settings(deadline=None, max_examples=60)
@given(yuv=images(), pad=st.integers(0, 5))
def test_yuv422_round_trip(encoding: str, yuv: np.ndarray, pad: int) -> None:
    """Every pixel follows BT.601; a row of odd width ends with a whole pair, half of it unseen."""
    height, width = yuv.shape[:2]
    yuv = np.pad(yuv, ((0, 0), (0, width % 2), (0, 0)), mode='edge')
    y, u, v = yuv[..., 0], yuv[:, ::2, 1], yuv[:, ::2, 2]
    quads = (u, y[:, ::2], v, y[:, 1::2])
    if encoding in ('yuv422_yuy2', 'yuyv'):
        quads = (y[:, ::2], u, y[:, 1::2], v)
    rows = np.stack(quads, -1).reshape(height, -1)
    rgb = rgb_from_msg(message(encoding, (height, width), rows, pad))
    whole = bt601(y, u.repeat(2, 1), v.repeat(2, 1))
    assert rgb.flags.c_contiguous
    np.testing.assert_allclose(rgb, whole[:, :width], atol=1)


def nv_rows(y: np.ndarray, u: np.ndarray, v: np.ndarray, encoding: str) -> np.ndarray:
    """Stack the plane of Y and the plane of pairs: U V in NV12, V U in NV21."""
    pair = (u, v) if encoding == 'nv12' else (v, u)
    return np.vstack((y, np.stack(pair, -1).reshape(len(u), -1)))


@pytest.mark.parametrize('encoding', NV)
@settings(deadline=None, max_examples=60)
@given(yuv=images(even=True, min_size=2), pad=st.integers(0, 5))
def test_nv_round_trip(encoding: str, yuv: np.ndarray, pad: int) -> None:
    """Every pixel follows BT.601 with the chroma of its 2x2 block; both planes are padded."""
    y, u, v = yuv[..., 0], yuv[::2, ::2, 1], yuv[::2, ::2, 2]
    rgb = rgb_from_msg(message(encoding, y.shape, nv_rows(y, u, v, encoding), pad))
    blocks = [x.repeat(2, 0).repeat(2, 1) for x in (u, v)]
    np.testing.assert_allclose(rgb, bt601(y, *blocks), atol=1)


@pytest.mark.parametrize('encoding', NV)
def test_nv_by_hand_and_with_the_step_of_the_whole_buffer(encoding: str) -> None:
    """
    Decode a 6x4 image of Y = 81, U = 100, V = 180: (158.65, 44.33, 19.16), as computed above.

    36 bytes in 4 rows: some drivers set step = 36 / 4 = 9 instead of 6.
    """
    y, u, v = (np.full(s, x, np.uint8) for s, x in (((4, 6), 81), ((2, 3), 100), ((2, 3), 180)))
    msg = message(encoding, (4, 6), nv_rows(y, u, v, encoding))
    for msg.step in (6, 9):
        rgb = rgb_from_msg(msg)
        assert rgb.shape == (4, 6, 3)
        assert np.abs(rgb - [158.65, 44.33, 19.16]).max() <= 1


# ---- memory


def test_tight_rgb8_is_a_read_only_view_that_outlives_its_message() -> None:
    """A view costs nothing; writing through it would change the message, so it is refused."""
    msg = message('rgb8', (2, 3), packed(RGB, 'rgb8'))
    rgb = rgb_from_msg(msg)
    assert np.shares_memory(rgb, np.frombuffer(msg.data, np.uint8))
    with pytest.raises(ValueError, match='read-only'):
        rgb[0, 0, 0] = 1
    del msg
    gc.collect()
    np.testing.assert_array_equal(rgb, RGB)


def test_padded_rgb8_is_the_callers_own_array() -> None:
    """A padded image is copied, because the result is contiguous."""
    msg = message('rgb8', (2, 3), packed(RGB, 'rgb8'), pad=4)
    rgb = rgb_from_msg(msg)
    assert rgb.flags.owndata and rgb.flags.writeable and rgb.flags.c_contiguous


@pytest.mark.parametrize('encoding', LAYOUTS)
def test_message_is_not_modified(encoding: str) -> None:
    """The data of a message is the same before and after, and its owner may still write."""
    rows = np.random.default_rng(3).integers(0, 256, (6, 50), np.uint8)
    msg = message(encoding, (4, 6), rows)
    before = bytes(msg.data)
    rgb_from_msg(msg)
    assert bytes(msg.data) == before
    msg.data[0] = 1


def test_every_kind_of_buffer_gives_the_same_pixels() -> None:
    """rclpy holds an array.array, rosbags a read-only ndarray, ROS 1 bytes."""
    rows = packed(RGB, 'bgr8')
    msg = message('bgr8', (2, 3), rows)
    frozen = rows.reshape(-1).copy()
    frozen.flags.writeable = False
    for data in (rows.tobytes(), bytearray(rows.tobytes()), frozen, memoryview(rows.tobytes())):
        msg.data = data
        np.testing.assert_array_equal(rgb_from_msg(msg), RGB)


# ---- faults


@pytest.mark.parametrize(
    ('change', 'error'),
    [
        (
            {'encoding': 'RGB8'},
            r"encoding 'RGB8' is not known; expected one of rgb8, bgr8, .*8UC4$",
        ),
        ({'width': 0}, r'image is 0x2 rgb8; expected a positive size'),
        ({'height': 0}, r'image is 3x0 rgb8; expected a positive size'),
        ({'step': 8}, r'image step is 8; expected at least 9 for 3x2 rgb8'),
        ({'data': b''}, r'image data has 0 bytes; expected at least 18 for 3x2 rgb8 with step 9'),
        ({'data': bytes(17)}, r'image data has 17 bytes; expected at least 18 for 3x2 rgb8'),
        ({'step': 10}, r'image data has 18 bytes; expected at least 20 for 3x2 rgb8 with step 10'),
        ({'encoding': 'rgb16'}, r'image step is 9; expected at least 18 for 3x2 rgb16'),
        ({'encoding': 'nv12'}, r'image is 3x2 nv12; expected an even width and height'),
        ({'encoding': 'nv21', 'width': 2, 'height': 3}, r'image is 2x3 nv21; expected an even'),
        ({'encoding': 'nv12', 'width': 4}, r'has 18 bytes; expected at least 27 for 4x2 nv12'),
        ({'encoding': 'bayer_rggb8'}, r'image is 3x2 bayer_rggb8; expected at least 3x3'),
        ({'encoding': 'yuyv', 'step': 6}, r'image step is 6; expected at least 8 for 3x2 yuyv'),
        (
            {'width': 2**32 - 1, 'height': 2**32 - 1, 'step': 2**34},
            r'image data has 18 bytes; expected at least \d{20} for',
        ),
    ],
)
def test_faulty_image_is_named_in_one_line(change: dict[str, Any], error: str) -> None:
    """Start from a good 3x2 rgb8 image of step 9 and break one thing."""
    msg = message('rgb8', (2, 3), packed(RGB, 'rgb8'))
    vars(msg).update(change)
    with pytest.raises(ValueError, match=error) as caught:
        rgb_from_msg(msg)
    assert '\n' not in str(caught.value)


# ---- compressed colour


def compressed(name: str, image: np.ndarray, kind: str = '') -> SimpleNamespace:
    """Encode a BGR image, as image_transport does."""
    done, data = cv2.imencode(name, image)
    assert done
    return SimpleNamespace(format=kind or name[1:], data=array.array('B', data.tobytes()))


def test_jpeg_keeps_the_order_of_colours() -> None:
    """A JPEG of one colour, R = 200, G = 60, B = 20, decodes to it within 3 levels."""
    msg = compressed(
        '.jpg', np.full((5, 7, 3), (20, 60, 200), np.uint8), 'rgb8; jpeg compressed bgr8'
    )
    rgb = rgb_from_compressed(msg)
    assert rgb.shape == (5, 7, 3) and rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - (200, 60, 20)).max() <= 3


def test_jpeg_orientation_tag_is_ignored() -> None:
    """
    A 7x5 JPEG with the EXIF orientation 6 (rotate) stays 7x5, as its camera_info has it.

    APP1: length 34 = 2 + 6 + 26 bytes of TIFF: 8 of header, 2 of count, 12 of one entry, 4 of end.
    """
    msg = compressed('.jpg', np.full((5, 7, 3), 128, np.uint8))
    entry = struct.pack('<HHIHH', 0x0112, 3, 1, 6, 0)
    tiff = b'II*\0' + struct.pack('<IH', 8, 1) + entry + bytes(4)
    exif = b'\xff\xe1' + struct.pack('>H', 2 + 6 + len(tiff)) + b'Exif\0\0' + tiff
    msg.data = bytes(msg.data[:2]) + exif + bytes(msg.data[2:])
    turned = cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (7, 5, 3), 'the tag of this test does not work'
    assert rgb_from_compressed(msg).shape == (5, 7, 3)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@settings(deadline=None, max_examples=60)
@given(rgb=images(), low=st.integers(0, 255))
def test_png_round_trip(dtype: type, rgb: np.ndarray, low: int) -> None:
    """Colour, colour with alpha and grey come back exactly; 16 bits by their top byte."""
    image = rgb[..., ::-1].astype(dtype)
    if dtype == np.uint16:
        image = image * np.uint16(256) + np.uint16(low)
    alpha = np.full((*rgb.shape[:2], 1), 5, dtype)
    for stored in (image, np.concatenate((image, alpha), -1)):
        np.testing.assert_array_equal(rgb_from_compressed(compressed('.png', stored)), rgb)
    grey = rgb_from_compressed(compressed('.png', np.ascontiguousarray(image[..., 2])))
    np.testing.assert_array_equal(grey, rgb[..., [0, 0, 0]])


def test_bayer_png_is_a_mosaic_and_bayer_jpeg_is_grey() -> None:
    """image_transport stores a Bayer image as it is in a PNG, but as decoded grey in a JPEG."""
    mosaic = np.random.default_rng(5).integers(0, 256, (6, 9), np.uint8)
    raw = rgb_from_msg(message('bayer_gbrg8', (6, 9), mosaic))
    png = compressed('.png', mosaic, 'bayer_gbrg8; png compressed ')
    np.testing.assert_array_equal(rgb_from_compressed(png), raw)
    grey = rgb_from_compressed(compressed('.jpg', mosaic, 'bayer_gbrg8; jpeg compressed mono8'))
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()


@pytest.mark.parametrize('share', [0, 0.02, 0.5, 0.9])
@pytest.mark.parametrize('name', ['.jpg', '.png'])
def test_truncated_compressed_image_is_refused(name: str, share: float) -> None:
    """A part of a file is no image; no grey rest is made up."""
    noise = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    msg = compressed(name, noise)
    msg.data = msg.data[: int(share * len(msg.data))]
    error = f"^{len(msg.data)} bytes of '{name[1:]}' do not decode; expected a whole JPEG or PNG$"
    with pytest.raises(ValueError, match=error):
        rgb_from_compressed(msg)


# ---- depth


@pytest.mark.parametrize('pad', [0, 3])
@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('encoding', ['16UC1', 'mono16'])
def test_millimetres_become_metres(encoding: str, big: bool, pad: int) -> None:
    """1500 mm is 1.5 m, 1 mm is 0.001 m, 65534 mm is 65.534 m; 0 and 65535 are invalid."""
    raw = np.array([[1500, 0, 1], [65535, 258, 65534]], '>u2' if big else '<u2')
    depth = depth_from_msg(message(encoding, (2, 3), raw.view(np.uint8), pad, big))
    assert depth.dtype == np.float32 and depth.flags.c_contiguous
    hand = np.float32([[1.5, np.nan, 0.001], [np.nan, 0.258, 65.534]])
    np.testing.assert_array_equal(depth, hand)


@pytest.mark.parametrize('pad', [0, 3])
@pytest.mark.parametrize('big', [False, True])
def test_float_depth_passes_through(big: bool, pad: int) -> None:
    """NaN, +Inf and -Inf keep their meaning (REP 118)."""
    hand = np.float32([[1.5, np.nan, 0.1], [np.inf, -np.inf, 7.25]])
    rows = hand.astype('>f4' if big else '<f4').view(np.uint8)
    depth = depth_from_msg(message('32FC1', (2, 3), rows, pad, big))
    assert depth.dtype == np.float32 and depth.dtype.isnative and depth.flags.c_contiguous
    np.testing.assert_array_equal(depth, hand)


@settings(deadline=None, max_examples=60)
@given(
    depth=st.tuples(st.integers(1, 7), st.integers(1, 9)).flatmap(lambda s: arrays(np.float32, s)),
    pad=st.integers(0, 5),
    big=st.booleans(),
)
def test_float_depth_round_trip(depth: np.ndarray, pad: int, big: bool) -> None:
    """decode(encode) is the identity for every float."""
    rows = depth.astype('>f4' if big else '<f4').view(np.uint8)
    np.testing.assert_array_equal(
        depth_from_msg(message('32FC1', depth.shape, rows, pad, big)), depth
    )


def test_tight_float_depth_is_a_read_only_view_and_an_unaligned_one_a_copy() -> None:
    """A bag may hold the data at an odd address; what comes back is aligned."""
    hand = np.float32([[1, 2, 3], [4, 5, 6]])
    msg = message('32FC1', (2, 3), hand.view(np.uint8))
    depth = depth_from_msg(msg)
    assert np.shares_memory(depth, np.frombuffer(msg.data, np.uint8))
    assert not depth.flags.writeable
    msg.data = np.frombuffer(b'?' + hand.tobytes(), np.uint8)[1:]
    depth = depth_from_msg(msg)
    assert depth.flags.aligned
    np.testing.assert_array_equal(depth, hand)


@pytest.mark.parametrize(
    ('change', 'error'),
    [
        (
            {'encoding': 'rgb8'},
            "encoding 'rgb8' is not known; expected one of 32FC1, 16UC1, mono16$",
        ),
        ({'step': 5}, 'image step is 5; expected at least 6 for 3x2 16UC1'),
        (
            {'data': bytes(11)},
            'image data has 11 bytes; expected at least 12 for 3x2 16UC1 with step 6',
        ),
        ({'width': 0}, 'image is 0x2 16UC1; expected a positive size'),
    ],
)
def test_faulty_depth_is_named(change: dict[str, Any], error: str) -> None:
    """Start from a good 3x2 16UC1 image of step 6 and break one thing."""
    msg = message('16UC1', (2, 3), np.ones((2, 6), np.uint8))
    vars(msg).update(change)
    with pytest.raises(ValueError, match=error):
        depth_from_msg(msg)


# ---- compressed depth


def depth_png(
    pixels: np.ndarray, kind: str, a: float = 0, b: float = 0, header: bool = True
) -> SimpleNamespace:
    """Encode as compressedDepth does: int32 format, float32 a and b, then a PNG."""
    msg = compressed('.png', pixels, kind)
    msg.data = (struct.pack('<iff', 0, a, b) if header else b'') + bytes(msg.data)
    return msg


@pytest.mark.parametrize(
    ('kind', 'header'),
    [
        ('16UC1; compressedDepth png', True),
        ('16UC1; compressedDepth', True),
        ('mono16; compressedDepth png', True),
        ('16UC1', True),
        ('16UC1; png compressed ', False),
    ],
)
def test_compressed_millimetres(kind: str, header: bool) -> None:
    """1500 mm is 1.5 m; 0 and 65535 are invalid; with the transport's header or as a plain PNG."""
    raw = np.array([[1500, 0, 1], [65535, 258, 65534]], np.uint16)
    depth = depth_from_compressed(depth_png(raw, kind, header=header))
    hand = np.float32([[1.5, np.nan, 0.001], [np.nan, 0.258, 65.534]])
    np.testing.assert_array_equal(depth, hand)


def test_compressed_inverse_depth_by_hand() -> None:
    """
    Decode with the transport's own parameters, quantisation z = 100 and 10 m at most.

    a = 100 * 101 = 10100, b = 1 - 10100 / 10 = -1009. Pixel 4041: 10100 / (4041 + 1009) = 2 m;
    pixel 1: 10100 / 1010 = 10 m; pixel 9091: 10100 / 10100 = 1 m; 0 is invalid.
    """
    pixels = np.array([[4041, 0, 1], [9091, 4041, 0]], np.uint16)
    depth = depth_from_compressed(depth_png(pixels, '32FC1; compressedDepth png', 10100, -1009))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, np.float32([[2, np.nan, 10], [1, 2, np.nan]]))


@pytest.mark.parametrize(
    ('kind', 'a', 'b', 'expected'),
    [
        ('16UC1; compressedDepth rvl', 0, 0, [[4.041, np.nan, 0.001], [9.091, np.nan, 4.041]]),
        ('32FC1; compressedDepth rvl', 10100, -1009, [[2, np.nan, 10], [1, 10100 / 66544, 2]]),
    ],
)
def test_compressed_rvl(kind: str, a: float, b: float, expected: Any) -> None:
    """As millimetres, 65535 invalid; as inverse depth, 10100 / (65535 + 1009) = 10100 / 66544."""
    pixels = np.array([[4041, 0, 1], [9091, 65535, 4041]], np.uint16)
    data = struct.pack('<iff', 1, a, b) + encode_rvl(pixels)
    depth = depth_from_compressed(SimpleNamespace(format=kind, data=data))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, np.float32(expected))


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (3, 5), elements=st.floats(0.25, 9.875, width=32)))
def test_compressed_inverse_depth_round_trip(depth: np.ndarray) -> None:
    """The encoder cuts under one unit off a / d + b, so d grows by at most d^2 / (a - d)."""
    a, b = 10100.0, -1009.0
    pixels = (a / depth.astype(float) + b).astype(np.uint16)
    error = depth_from_compressed(depth_png(pixels, '32FC1; compressedDepth png', a, b)) - depth
    assert error.min() >= -1e-5
    assert (error <= depth**2 / (a - depth) + 1e-5).all()


@pytest.mark.parametrize(
    ('kind', 'a', 'error'),
    [
        ('16UC1; compressedDepth rvl', 1.0, 'RVL data is damaged: the image is .*x'),
        ('rgb8; jpeg compressed bgr8', 1.0, "encoding 'rgb8' is not known; expected one of 32FC1"),
        ('32FC1; compressedDepth png', 0.0, 'a = 0, b = 0; expected a > 0 and b < 1'),
        ('32FC1; compressedDepth png', np.nan, 'a = nan, b = 0; expected a > 0 and b < 1'),
    ],
)
def test_faulty_compressed_depth_is_named(kind: str, a: float, error: str) -> None:
    """Start from a good PNG of one depth and break its format or its parameters."""
    with pytest.raises(ValueError, match=error):
        depth_from_compressed(depth_png(np.ones((2, 3), np.uint16), kind, a))


def test_compressed_depth_that_is_no_16_bit_png_is_refused() -> None:
    """Eight bits, three channels, and a message shorter than the header."""
    kind = '16UC1; compressedDepth png'
    with pytest.raises(ValueError, match=r'PNG is uint8 of \(2, 3\); expected uint16 of \(H, W\)'):
        depth_from_compressed(depth_png(np.ones((2, 3), np.uint8), kind))
    with pytest.raises(ValueError, match=r'PNG is uint16 of \(2, 3, 3\); expected uint16'):
        depth_from_compressed(depth_png(np.ones((2, 3, 3), np.uint16), kind))
    with pytest.raises(ValueError, match='^0 bytes of .* do not decode'):
        depth_from_compressed(SimpleNamespace(format=kind, data=bytes(7)))


# ---- cv_bridge


def test_cv_bridge_gives_the_same_pixels() -> None:
    """Both decoders agree to the bit on the encodings that cv_bridge knows, on a padded image."""
    bridge, reason = open_cv_bridge()
    if bridge is None:
        pytest.skip(f'needs a working cv_bridge (it comes with ROS, not from PyPI): {reason}')
    noise = np.random.default_rng(7).integers(0, 256, (4, 48), np.uint8)
    grey = ('mono8', *(name for name in BAYER if name.endswith('8')))
    for encoding in ('rgb8', 'bgr8', 'rgba8', 'bgra8', *grey, 'yuv422', 'yuv422_yuy2'):
        msg = message(encoding, (4, 6), noise)
        np.testing.assert_array_equal(bridge(msg), rgb_from_msg(msg), err_msg=encoding)


def test_bridge_is_used_where_it_is_exact_only() -> None:
    """It gets a tight bgr8, but neither 16 bits nor rows that end within a pixel (step 10)."""
    marker = np.full((2, 3, 3), 42, np.uint8)
    seen = []

    def bridge(msg: Any) -> np.ndarray:
        seen.append((msg.encoding, msg.step))
        return marker

    def decoded(encoding: str, pad: int) -> np.ndarray:
        return rgb_from_msg(message(encoding, (2, 3), packed(RGB, encoding), pad), bridge)

    np.testing.assert_array_equal(decoded('bgr8', 0), marker)
    np.testing.assert_array_equal(decoded('bgr8', 1), RGB)
    np.testing.assert_array_equal(decoded('bgr16', 0), RGB)
    assert seen == [('bgr8', 9)]


@pytest.mark.parametrize('answer', [TypeError('CvBridgeError'), KeyError(16), RGB[:1], RGB * 1.0])
def test_failing_bridge_costs_no_frame(answer: Any) -> None:
    """A bridge that raises, or returns another size or type, is replaced on that very frame."""

    def bridge(msg: Any) -> np.ndarray:
        if isinstance(answer, Exception):
            raise answer
        return answer

    msg = message('bgr8', (2, 3), packed(RGB, 'bgr8'))
    np.testing.assert_array_equal(rgb_from_msg(msg, bridge), RGB)


@pytest.mark.parametrize(
    ('source', 'reason'),
    [
        (
            'raise ImportError("numpy.core.multiarray failed\\nto import")',
            'ImportError.*multiarray',
        ),
        ('raise AttributeError("_ARRAY_API not found")', 'AttributeError.*_ARRAY_API not found'),
        ('raise SystemError("initialization failed")', 'SystemError'),
        ('raise RuntimeError', 'RuntimeError'),
        ('class CvBridge:\n def __init__(self):\n  raise KeyError(16)', r'KeyError\(16\)'),
        ('class CvBridge:\n def imgmsg_to_cv2(self, *_):\n  raise TypeError', 'TypeError'),
        (
            'class CvBridge:\n def imgmsg_to_cv2(self, *_):\n  return 3',
            'decodes a known image wrong',
        ),
    ],
)
def test_broken_cv_bridge_is_a_reason_in_one_line(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a build for another NumPy or OpenCV throws: at import, or at its first image."""
    (tmp_path / 'cv_bridge.py').write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)
    bridge, why = open_cv_bridge()
    monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)
    assert bridge is None and '\n' not in why
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(why)


# ---- real messages


def test_live_rclpy_message() -> None:
    """A message that went through DDS's serialisation: array.array data, is_bigendian an int."""
    needs = 'needs rclpy and sensor_msgs (ROS 2, or pip install ros-kilted-rclpy[fastrtps])'
    msgs = pytest.importorskip('sensor_msgs.msg', reason=needs)
    serialization = pytest.importorskip('rclpy.serialization', reason=needs)

    def received(msg: Any) -> Any:
        return serialization.deserialize_message(serialization.serialize_message(msg), type(msg))

    for encoding, pad in (('bgr8', 2), ('rgb16', 0), ('rgb8', 0)):
        ours = message(encoding, (2, 3), packed(RGB, encoding, big=True), pad, big=True)
        msg = received(msgs.Image(**vars(ours)))
        assert isinstance(msg.data, array.array)
        np.testing.assert_array_equal(rgb_from_msg(msg), RGB)
    png = compressed('.png', RGB[..., ::-1])
    msg = received(msgs.CompressedImage(**vars(png)))
    np.testing.assert_array_equal(rgb_from_compressed(msg), RGB)


def first_messages(path: Path) -> dict[str, Any]:
    """Return the first image message of every topic of a bag."""
    if not path.exists():
        pytest.skip(f'needs the recorded bag {path}')
    highlevel = pytest.importorskip('rosbags.highlevel', reason='needs rosbags')
    found: dict[str, Any] = {}
    with highlevel.AnyReader([path]) as reader:
        chosen = [c for c in reader.connections if c.msgtype.endswith('Image')]
        for connection, _, raw in reader.messages(connections=chosen):
            found.setdefault(connection.topic, reader.deserialize(raw, connection.msgtype))
            if len(found) == len(chosen):
                break
    return found


def test_recorded_humble_images(data_folder: Path) -> None:
    """A bag of coloured noise, recorded on humble; the pixels are read from its bytes by hand."""
    folder = data_folder / 'bags' / 'real_humble_recording'
    found = first_messages(folder / 'rosbag2_2025_09_10-13_03_56_0.mcap')
    rgb = rgb_from_msg(found['/image'])
    assert rgb.shape == (480, 640, 3) and not rgb.flags.writeable
    assert rgb[0, 0].tolist() == [219, 0, 4]
    assert rgb[100, 200].tolist() == [38, 187, 26]
    assert rgb[479, 639].tolist() == [38, 10, 107]
    jpeg = rgb_from_compressed(found['/compressed_image']).astype(int)
    assert jpeg.shape == (480, 640, 3)
    for (row, column), colour in {(0, 0): (158, 95, 166), (479, 639): (105, 151, 53)}.items():
        assert np.abs(jpeg[row, column] - colour).max() <= 4  # JPEG decoders differ a little


def test_recorded_kitchen_depth(data_folder: Path) -> None:
    """A Kinect in a kitchen: warm colours and depth between 0.5 and 5 m, a tenth of it invalid."""
    found = first_messages(data_folder / 'bags' / 'kitchen_compressed_mcap')
    rgb = rgb_from_compressed(found['/camera/color/image_raw/compressed'])
    depth = depth_from_compressed(found['/camera/depth/image_raw/compressedDepth'])
    assert rgb.shape == (480, 640, 3) and depth.shape == (480, 640)
    assert rgb[..., 0].mean() > rgb[..., 2].mean() + 10
    assert 0.5 < np.nanmin(depth) and np.nanmax(depth) < 5
    assert 0.05 < np.isnan(depth).mean() < 0.2


def test_import_needs_no_ros_and_no_torch() -> None:
    """The module stands on NumPy and OpenCV alone."""
    code = (
        'import sys, fcrn_ros.image; '
        'found = {"rclpy", "sensor_msgs", "cv_bridge", "torch"} & set(sys.modules); '
        'sys.exit(", ".join(found) or None)'
    )
    root = Path(__file__).resolve().parent.parent
    result = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

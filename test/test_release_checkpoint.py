"""TensorFlow checkpoints read without TensorFlow: the checksum, the table, the tensors, damage."""

import numpy as np
import pytest
import release_files
from release_files import slow_crc32c, varint

from fcrn_ros.model.release.checkpoint import read_checkpoint
from fcrn_ros.model.release.crc32c import crc32c, masked_crc32c
from fcrn_ros.model.release.protobuf import read_fields, read_varint
from fcrn_ros.model.release.table import read_table
from fcrn_ros.model.weights import ModelError

DATA = '.data-00000-of-00001'


# Checksum


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'123456789', 0xE3069283),
        (b'', 0),
        (bytes(32), 0x8A9136AA),
        (b'\xff' * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_has_the_published_values(data, expected):
    """123456789 is the usual check; the others are RFC 3720, appendix B.4."""
    assert crc32c(data) == crc32c(memoryview(data)) == slow_crc32c(data) == expected


@pytest.mark.parametrize('size', [1, 2, 3, 4, 5, 7, 32767, 32768, 32769, 65536, 98309])
def test_crc32c_equals_the_slow_one_at_any_length(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == slow_crc32c(data)
    assert crc32c(data) != crc32c(data[:-1] + bytes([data[-1] ^ 1]))


def test_mask_rotates_and_adds():
    """0xE3069283 rotated right by 15 is 0x2507C60D; plus 0xA282EAD8 is 0xC78AB0E5."""
    assert masked_crc32c(b'123456789') == 0xC78AB0E5
    assert release_files.mask(0xE3069283) == 0xC78AB0E5


# Wire format


def test_varint_has_seven_bits_a_byte():
    """300 = 0b10_0101100 -> 0xAC 0x02, the example of protobuf's documentation."""
    assert read_varint(b'\x00\xac\x02', 1) == (300, 3)
    assert read_varint(varint(2**63 + 5), 0)[0] == 2**63 + 5


@pytest.mark.parametrize('data', [b'', b'\x80', b'\xff' * 11])
def test_varint_without_end_is_refused(data):
    with pytest.raises(ModelError, match='it ends at byte|more than 64 bits'):
        read_varint(data, 0)


def test_fields_of_every_wire_type():
    """(1 << 3 | 0) 150; (2 << 3 | 2) 'ab'; (3 << 3 | 5) 4 bytes; (4 << 3 | 1) 8 bytes."""
    message = b'\x08\x96\x01\x12\x02ab\x1d\x01\x02\x00\x00\x21\x03' + bytes(7)
    assert list(read_fields(message)) == [(1, 150), (2, b'ab'), (3, 0x201), (4, 3)]
    for length in range(1, len(message)):
        if length not in (3, 7, 12):
            with pytest.raises(ModelError):
                list(read_fields(message[:length]))


def test_group_is_refused():
    with pytest.raises(ModelError, match='a field has wire type 3'):
        list(read_fields(b'\x0b'))


# Table


def _entries(count):
    return {f'layer{n:04}/weights'.encode(): b'v%d' % n * (n % 5) for n in range(count)}


@pytest.mark.parametrize('count', [0, 1, 16, 17, 800])
def test_table_returns_every_entry(count):
    data = release_files.table(_entries(count))
    assert read_table(data) == _entries(count)


def test_large_table_has_several_blocks_with_shared_prefixes():
    """800 keys of 17 bytes: 13,600 without prefixes, and more than 3 blocks."""
    data = release_files.table(_entries(800))
    assert data.count(b'layer') < 800 / 10
    assert len(data) > 2 * release_files.BLOCK


def test_compressed_table_is_refused():
    with pytest.raises(ModelError, match=r'block at byte \d+ is compressed \(snappy\); expected'):
        read_table(release_files.table(_entries(5), kind=1))


def test_every_flipped_byte_of_a_table_is_seen():
    """All but the footer's padding, which nothing reads."""
    data = release_files.table(_entries(20))
    handles = len(data[-48:-8].rstrip(b'\0'))
    padding = range(len(data) - 48 + handles, len(data) - 8)
    assert len(padding) > 30
    for position in set(range(len(data))) - set(padding):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(ModelError):
            read_table(bytes(damaged))


def test_every_truncated_table_is_refused():
    data = release_files.table(_entries(20))
    for length in range(len(data)):
        with pytest.raises(ModelError, match='do not end as a table of a TensorFlow V2 checkp'):
            read_table(data[:length])


# Checkpoint


@pytest.fixture
def arrays():
    rng = np.random.default_rng(1)
    return {
        'conv1/weights': rng.normal(size=(3, 2, 5, 4)).astype(np.float32),
        'conv1/biases': rng.normal(size=4).astype(np.float32),
        'conv1/weights/Adam': np.ones((3, 2, 5, 4), np.float32),
        'double': np.array([0.1, 0.2]),
        'global_step': np.array(70000),
    }


@pytest.fixture
def prefix(arrays, tmp_path):
    release_files.write_checkpoint(tmp_path / 'net.ckpt', arrays)
    return tmp_path / 'net.ckpt'


def _read(prefix, *names):
    return read_checkpoint(prefix.with_name('net.ckpt.index'), _data(prefix), names)


def _data(prefix):
    return prefix.with_name(f'net.ckpt{DATA}')


def test_named_tensors_are_read_and_others_left(prefix, arrays):
    found = _read(prefix, 'conv1/weights', 'conv1/biases', 'conv2/weights')
    assert set(found) == {'conv1/weights', 'conv1/biases'}
    for name, array in found.items():
        assert array.dtype == np.float32 and np.array_equal(array, arrays[name])


def test_types_and_scalars_are_kept(prefix, arrays):
    found = _read(prefix, 'double', 'global_step')
    assert found['double'].dtype == np.float64 and np.array_equal(found['double'], [0.1, 0.2])
    assert found['global_step'].shape == () and found['global_step'] == 70000


def test_damage_is_seen_where_it_is_read(prefix, arrays):
    """Tensors lie in the order of their names: biases 16 bytes, weights 480, Adam 480."""
    content = bytearray(_data(prefix).read_bytes())
    content[16 + 100] ^= 1
    _data(prefix).write_bytes(content)
    with pytest.raises(ModelError, match='^the crc32c of conv1/weights differs: the data file is'):
        _read(prefix, 'conv1/biases', 'conv1/weights')
    assert set(_read(prefix, 'conv1/biases', 'conv1/weights/Adam')) == {
        'conv1/biases',
        'conv1/weights/Adam',
    }


@pytest.mark.parametrize('length', [0, 15, 200])
def test_truncated_data_file_is_refused(prefix, length):
    _data(prefix).write_bytes(_data(prefix).read_bytes()[:length])
    with pytest.raises(ModelError, match=rf'data file has {length} bytes; .*is truncated$'):
        _read(prefix, 'conv1/weights', 'conv1/biases')


def test_absent_data_file_is_refused(prefix):
    _data(prefix).unlink()
    with pytest.raises(ModelError, match='was not found; expected it beside net.ckpt.index'):
        _read(prefix, 'conv1/biases')


def test_several_data_files_are_refused(tmp_path, arrays):
    release_files.write_checkpoint(tmp_path / 'net.ckpt', arrays, shards=2)
    with pytest.raises(ModelError, match='its header says 2 data files and endianness 0; exp'):
        _read(tmp_path / 'net.ckpt', 'conv1/biases')


def test_index_without_a_header_is_refused(prefix):
    index = prefix.with_name('net.ckpt.index')
    index.write_bytes(release_files.table({b'conv1/biases': b''}))
    with pytest.raises(ModelError, match='its header says 0 data files'):
        _read(prefix, 'conv1/biases')


@pytest.mark.parametrize(
    ('entry', 'expected'),
    [
        (b'', 'conv1/biases has type 0, shard 0, sliced False; expected a whole tensor'),
        (b'\x08\x07', 'has type 7'),
        (b'\x08\x01\x18\x01', 'has type 1, shard 1'),
        (b'\x08\x01\x3a\x02\x0a\x00', 'sliced True'),
        (b'\x08\x01\x28\x08', r'has 8 bytes for \(\) float32'),
        (b'\x08\x01\x10\x05', 'is not a BundleEntryProto'),
        (b'\x08\x01\x12', 'truncated or damaged'),
    ],
)
def test_entry_that_is_no_whole_float_tensor_is_refused(prefix, entry, expected):
    index = prefix.with_name('net.ckpt.index')
    index.write_bytes(release_files.table({b'': b'\x08\x01', b'conv1/biases': entry}))
    with pytest.raises(ModelError, match=expected):
        _read(prefix, 'conv1/biases')

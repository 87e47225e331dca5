"""The released .npy: what is read, and that nothing in it is executed."""

import os
import pickle
import pickletools

import numpy as np
import pytest
import release_files

from fcrn_ros.model.release.importer import import_release
from fcrn_ros.model.release.npy import read_npy
from fcrn_ros.model.weights import ModelError

LAYERS = {
    'conv1': {
        'weights': np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4),
        'biases': np.array([0.5, -1.5, 3e-8, 1e9], np.float32),
    },
    'bn_conv1': {'mean': np.linspace(0, 1, 70, dtype=np.float32)},
}


def _header(shape='()', descr='|O'):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + '\n'
    return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text.encode()


def _write(path, content):
    """Write a pickle as the one element of a .npy."""
    path.write_bytes(_header() + content)
    return path


def _same(found):
    expected = release_files.flat(LAYERS)
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize('write', [release_files.write_npy, release_files.write_python2_npy])
def test_layers_are_read(tmp_path, write):
    write(tmp_path / 'a.npy', LAYERS)
    _same(read_npy(tmp_path / 'a.npy'))


def test_python2_writer_writes_as_python2_did(tmp_path):
    """No opcode that Python 2 did not have, the old module's name, and NumPy itself reads it."""
    path = tmp_path / 'a.npy'
    release_files.write_python2_npy(path, LAYERS)
    opcodes = [o for o, _, _ in pickletools.genops(path.read_bytes()[len(_header()) :])]
    assert max(o.proto for o in opcodes) == 2
    assert {'SHORT_BINSTRING', 'BINSTRING'} <= {o.name for o in opcodes}
    assert not {'BINUNICODE', 'BINBYTES'} & {o.name for o in opcodes}
    assert b'numpy.core.multiarray' in path.read_bytes()
    content = np.load(path, allow_pickle=True, encoding='latin1').item()
    _same(release_files.flat(content))


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_every_protocol_is_read(tmp_path, protocol):
    content = pickle.dumps(np.array(LAYERS, dtype=object), protocol)
    _same(read_npy(_write(tmp_path / 'a.npy', content)))


def test_types_orders_and_layouts_are_kept(tmp_path):
    arrays = {
        'double': np.array([[0.1, 0.2, 0.3]]),
        'big': np.array([1.5, -2.0], '>f4'),
        'columns': np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        'scalar': np.array(7, np.int64),
    }
    release_files.write_npy(tmp_path / 'a.npy', {'l': arrays})
    found = read_npy(tmp_path / 'a.npy')
    for name, array in arrays.items():
        assert found[f'l/{name}'].dtype == array.dtype
        assert np.array_equal(found[f'l/{name}'], array)


class _Call:
    """Unpickling this calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('place', ['alone', 'layer', 'array'])
def test_malicious_pickle_does_not_run(tmp_path, protocol, place):
    trap = _Call(os.system, f'touch {tmp_path / "sprung"}')
    content = {'alone': trap, 'layer': {'conv1': trap}, 'array': {'conv1': {'weights': trap}}}
    path = _write(tmp_path / 'a.npy', pickle.dumps(content[place], protocol))
    with pytest.raises(ModelError, match='its pickle names posix.system; expected only dicts, '):
        read_npy(path)
    assert not (tmp_path / 'sprung').exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / 'sprung').exists(), 'the trap shall be a real one'


@pytest.mark.parametrize(
    ('function', 'arguments', 'name'),
    [
        (eval, ('1',), 'builtins.eval'),
        (getattr, (1, 'real'), 'builtins.getattr'),
        (np.load, ('x',), 'numpy.load'),
        (np.fromstring, ('x',), r'numpy\S*.fromstring'),
        (bytearray, (5,), 'builtins.bytearray'),
    ],
)
def test_every_other_name_is_refused(tmp_path, function, arguments, name):
    path = _write(tmp_path / 'a.npy', pickle.dumps({'a': _Call(function, *arguments)}, 4))
    with pytest.raises(ModelError, match=f'its pickle names {name}; expected'):
        read_npy(path)


@pytest.mark.parametrize(
    'program',
    [
        # numpy.ndarray(shape) would take 8e15 bytes
        b'cnumpy\nndarray\n(I1000000000000000\ntR.',
        # setting attributes of the stand-ins
        b'cnumpy\nndarray\nN}Vnumbers\nI1\ns\x86b.',
        b'cnumpy\ndtype\n(VO8\nI0\nI1\ntRN}Vname\nVf4\ns\x86b.',
        b'c_codecs\nencode\nN}V__call__\nI1\ns\x86b.',
        b'c_codecs\nencode\n(Vabc\nVrot13\ntR.',
        b'Pid\n.',
        b'\x80\x02X\xff\xff\xff\x7fabc.',
        b'(' * 5,
        b'0.',
        b'',
    ],
)
def test_hostile_programs_only_fail(tmp_path, program):
    with pytest.raises(ModelError, match='its pickle is '):
        read_npy(_write(tmp_path / 'a.npy', program))
    release_files.write_npy(tmp_path / 'b.npy', LAYERS)
    _same(read_npy(tmp_path / 'b.npy'))


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ([1, 2], 'its pickle is not a dict of layers'),
        ({'conv1': np.zeros(3)}, 'its pickle is not a dict of layers'),
        ({'conv1': {'weights': [1.0]}}, '^conv1/weights is not an array$'),
        ({'conv1': {'weights': np.array(['a'])}}, "it has an array of 'U1'; expected one of num"),
        ({'conv1': {'weights': np.array([{}])}}, "it has an array of 'O8'"),
    ],
)
def test_other_content_is_refused(tmp_path, content, expected):
    with pytest.raises(ModelError, match=expected):
        read_npy(_write(tmp_path / 'a.npy', pickle.dumps(content, 4)))


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'', 'it is not a .npy file'),
        (b'PK\x03\x04' + bytes(200), 'it is not a .npy file'),
        (_header('(3,)', '<f4') + bytes(12), r'it is an array \(3,\) of float32; expected one'),
        (_header('(2,)'), r'it is an array \(2,\) of object'),
    ],
)
def test_other_files_are_refused(tmp_path, data, expected):
    (tmp_path / 'a.npy').write_bytes(data)
    with pytest.raises(ModelError, match=expected):
        read_npy(tmp_path / 'a.npy')


def test_truncated_file_is_refused_with_its_path(tmp_path):
    path = tmp_path / 'a.npy'
    release_files.write_npy(path, LAYERS)
    data = path.read_bytes()
    for length in range(len(_header()), len(data) - 1, 11):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=f'^{path}: its pickle is damaged: '):
            import_release(path, tmp_path)

"""
Writers of the released file formats, from their descriptions alone.

They share no code with fcrn_ros. Layers are ``{layer: {parameter: array}}``, as
``reference.random_release`` gives them.
"""

from __future__ import annotations

import functools
import pickle
import struct

import numpy as np
import reference

MAGIC = 0xDB4775248B80FB57
BLOCK = 4096  # bytes after which TensorFlow starts another block
RESTART = 16  # entries after which a key is written whole


@functools.cache
def random_layers():
    """Return random layers of the released network, made once in a session."""
    return reference.random_release(7)


def tiny(layers):
    """Return the same layers with one number in every place of a kernel, and few channels."""
    return {
        n: {k: a[..., :2, :1].copy() if a.ndim == 4 else a[:3].copy() for k, a in layer.items()}
        for n, layer in layers.items()
    }


def flat(layers):
    """Return the arrays by ``layer/parameter``."""
    return {f'{n}/{k}': a for n, layer in layers.items() for k, a in layer.items()}


# -- .npy --------------------------------------------------------------------------------------


def write_npy(path, layers):
    """Write as NumPy of today does, in Python 3."""
    np.save(path, np.array(layers, dtype=object), allow_pickle=True)


class _Python2Pickler(pickle._Pickler):
    """Writes protocol 2 as Python 2 did: strings and bytes are the same, and numpy.core."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, content):
        short = len(content) < 256
        size = bytes([len(content)]) if short else struct.pack('<i', len(content))
        self.write((pickle.SHORT_BINSTRING if short else pickle.BINSTRING) + size + content)
        self.memoize(content)

    def save_str(self, text):
        self.save_bytes(text.encode('latin1'))

    def save_global(self, function, name=None):
        module = function.__module__.replace('numpy._core', 'numpy.core')
        self.write(pickle.GLOBAL + f'{module}\n{function.__name__}\n'.encode())
        self.memoize(function)

    dispatch[bytes], dispatch[str], dispatch[type] = save_bytes, save_str, save_global
    dispatch[type(np.save)] = dispatch[type(len)] = save_global


def write_python2_npy(path, layers):
    """Write as NumPy did in Python 2."""
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + '\n'
    with open(path, 'wb') as file:
        file.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
        _Python2Pickler(file, 2).dump(np.array(layers, dtype=object))


# -- checkpoint --------------------------------------------------------------------------------


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def slow_crc32c(data):
    """Byte by byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def mask(crc):
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
    result = b''
    while number > 127:
        result += bytes([number & 127 | 128])
        number >>= 7
    return result + bytes([number])


def _field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value) if value else b''


def _entry(array, offset, crc):
    """Return a BundleEntryProto: numbers of value 0 are not written."""
    kind = {'float32': 1, 'float64': 2, 'int64': 9}[array.dtype.name]
    shape = b''.join(_field(2, _field(1, n)) for n in array.shape)
    message = _field(1, kind) + _field(2, shape) + _field(4, offset) + _field(5, array.nbytes)
    return message + varint(6 << 3 | 5) + struct.pack('<I', crc)


class Table:
    """A LevelDB table under construction."""

    def __init__(self, kind=0):
        self.data, self.kind = b'', kind

    def add_block(self, entries):
        """Write a block; return its handle."""
        content, last, restarts = b'', b'', []
        for number, (key, value) in enumerate(entries):
            shared = 0
            if number % RESTART:
                while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                    shared += 1
            else:
                restarts.append(len(content))
            content += varint(shared) + varint(len(key) - shared) + varint(len(value))
            content += key[shared:] + value
            last = key
        restarts = restarts or [0]
        content += struct.pack(f'<{len(restarts) + 1}I', *restarts, len(restarts))
        handle = varint(len(self.data)) + varint(len(content))
        content += bytes([self.kind])
        self.data += content + struct.pack('<I', mask(slow_crc32c(content)))
        return handle

    def finish(self, index):
        """Write the index block and the footer; return the file."""
        meta_index = self.add_block([])
        footer = (meta_index + self.add_block(index)).ljust(40, b'\0')
        return self.data + footer + struct.pack('<Q', MAGIC)


def table(entries, kind=0):
    """Return a table file of sorted entries, in blocks of some 4096 bytes."""
    result, index, block = Table(kind), [], []
    for key, value in sorted(entries.items()):
        block.append((key, value))
        if sum(len(k) + len(v) + 3 for k, v in block) >= BLOCK:
            index.append((key, result.add_block(block)))
            block = []
    if block:
        index.append((block[-1][0] + b'\x01', result.add_block(block)))
    return result.finish(index)


def write_checkpoint(prefix, arrays, crc32c=slow_crc32c, shards=1, kind=0):
    """
    Write PREFIX.index and PREFIX.data-00000-of-00001.

    :param crc32c: of the tensors; a fast one for large files.
    """
    entries = {b'': _field(1, shards) + _field(3, _field(1, 1))}
    offset = 0
    with open(f'{prefix}.data-00000-of-00001', 'wb') as file:
        for name, array in sorted(arrays.items()):
            content = array.tobytes()
            file.write(content)
            entries[name.encode()] = _entry(array, offset, mask(crc32c(content)))
            offset += len(content)
    with open(f'{prefix}.index', 'wb') as file:
        file.write(table(entries, kind))


# -- MatConvNet --------------------------------------------------------------------------------


def cell(texts):
    result = np.empty((1, len(texts)), object)
    result[0, :] = texts
    return result


def records(fields, rows):
    """Return a (1, n) structure array."""
    result = np.empty((1, len(rows)), [(f, object) for f in fields])
    for index, row in enumerate(rows):
        result[0, index] = row
    return result


def squeezed(array):
    """Drop trailing dimensions of 1, as MATLAB does."""
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


class Dag:
    """
    A DagNN under construction, its decoder's layers named by numbers.

    :param layers: the released layers that it is made of.
    :param epsilon: that its moments' sigma holds.
    """

    def __init__(self, layers, epsilon=1e-4):
        self.source, self.epsilon = layers, epsilon
        self.layers, self.params = [], {}

    def add(self, name, kind, inputs, params=(), **block):
        """Add a layer; return the variable that it writes."""
        for parameter, value in params:
            self.params[parameter] = value
        output = 'prediction' if name == 'last_relu' else f'{name}x'
        block = block or {'opts': 0.0}
        struct_ = records(list(block), [tuple(block.values())])
        names = cell([p for p, _ in params])
        self.layers.append((name, kind, cell(list(inputs)), cell([output]), names, struct_))
        return output

    def conv(self, x, role, name='', pad=(0, 0, 0, 0)):
        source, name = self.source[role], name or role
        params = [(f'{name}_f', squeezed(source['weights']))]
        if 'biases' in source:  # a row in some versions, a column in others
            params.append((f'{name}_b', source['biases'].reshape((1, -1) if pad[0] else (-1, 1))))
        return self.add(name, 'dagnn.Conv', [x], params, pad=np.array([pad], float))

    def norm(self, x, role, name=''):
        source, name = self.source[role], name or role
        sigma = np.sqrt(source['variance'].astype(float) + self.epsilon)
        params = [
            (f'{name}_m', source['scale'][:, None]),
            (f'{name}_b', source['offset'][:, None]),
            (f'{name}_x', np.stack((source['mean'], sigma), 1).astype(np.float32)),
        ]
        return self.add(name, 'dagnn.BatchNorm', [x], params, epsilon=1e-5)

    def relu(self, x, name):
        return self.add(name, 'dagnn.ReLU', [x])

    def combine(self, x, role, name, swap=False):
        """Four convolutions and their normalisation; ``swap`` exchanges B and C."""
        pads = {'A': (1, 1, 1, 1), 'B': (1, 0, 1, 1), 'C': (1, 1, 1, 0), 'D': (1, 0, 1, 0)}
        parts = [self.conv(x, f'{role}_Conv{p}', f'{name}_{p}', pads[p]) for p in 'ABCD']
        if swap:
            parts[1], parts[2] = parts[2], parts[1]
        return self.norm(self.add(f'{name}_c', 'dagnn.Combine', parts), f'{role}_BN', f'{name}_n')


def dag(layers, **changes):
    """Return the released network as a DagNN."""
    net = Dag(layers, changes.get('epsilon', 1e-4))
    x = net.relu(net.norm(net.conv('data', 'conv1', pad=(3, 3, 3, 3)), 'bn_conv1'), 'conv1_relu')
    x = net.add('pool1', 'dagnn.Pooling', [x])
    for stage, letters in {2: 'abc', 3: 'abcd', 4: 'abcdef', 5: 'abc'}.items():
        for letter in letters:
            shortcut, block = x, f'{stage}{letter}'
            for branch in 'abc':
                role = f'{block}_branch2{branch}'
                x = net.norm(net.conv(x, f'res{role}'), f'bn{role}')
                x = net.relu(x, f'res{role}_relu') if branch != 'c' else x
            if letter == 'a':
                role = f'{block}_branch1'
                shortcut = net.norm(net.conv(shortcut, f'res{role}'), f'bn{role}')
            x = net.relu(net.add(f'res{block}', 'dagnn.Sum', [shortcut, x]), f'res{block}_relu')
    x = net.norm(net.conv(x, 'layer1', 'up0'), 'layer1_BN', 'up0_n')
    for number, scale in enumerate(('2x', '4x', '8x', '16x'), 1):
        role, name, swap = f'layer{scale}', f'up{number}', changes.get('swap', False)
        second = net.combine(x, f'{role}_br2', f'{name}_s', swap)
        first = net.relu(net.combine(x, f'{role}_br1', f'{name}_f', swap), f'{name}_r')
        first = net.conv(first, f'{role}_Conv', f'{name}_conv', (1, 1, 1, 1))
        first = net.norm(first, f'{role}_BN', f'{name}_norm')
        # the order of a sum's inputs says nothing
        order = [second, first] if number % 2 else [first, second]
        x = net.relu(net.add(f'{name}_sum', 'dagnn.Sum', order), f'{name}_relu')
    x = net.add('drop', 'dagnn.DropOut', [x])
    net.relu(net.conv(x, 'ConvPred', 'last', (1, 1, 1, 1)), 'last_relu')
    return net


def write_mat(path, net, image_size=(228, 304), nested=False):
    """Write a DagNN as MATLAB saves it; ``nested`` puts it into a variable net."""
    from scipy.io import savemat

    params = [(name, value, 1.0) for name, value in net.params.items()]
    content = {
        'layers': records(['name', 'type', 'inputs', 'outputs', 'params', 'block'], net.layers),
        'params': records(['name', 'value', 'learningRate'], params),
        'meta': {'note': 'none'},
    }
    if image_size is not None:
        size = np.array([[*image_size, 3]], float)
        content['meta'] = {'normalization': {'imageSize': size, 'border': [6, 8]}}
    savemat(path, {'net': content} if nested else content)

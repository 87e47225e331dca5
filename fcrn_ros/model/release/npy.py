"""
The released ``.npy``: one pickled dict ``{layer: {parameter: array}}``, read without executing it.

A pickle is a program that names functions and calls them. This unpickler knows the few names that
NumPy's arrays need, from Python 2 and 3, and puts stand-ins in their places, which only take
notes: no function of NumPy, or of anything else, is ever called with what the file says.
"""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.weights import ModelError

NUMBER = re.compile('[fiu][1248]')


class _Dtype:
    """Takes the notes of a pickled ``numpy.dtype``: its name, and its byte order."""

    def __init__(self, name: str, *flags: object) -> None:
        self.name, self.order = name, '|'

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Takes the notes of a pickled ``numpy.ndarray``."""

    shape: tuple[int, ...]
    content: Any

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state

    def numbers(self) -> NDArray[np.generic]:
        """Return the array; :raises ModelError: it holds anything but numbers."""
        if not NUMBER.fullmatch(self.dtype.name):
            raise ModelError(f'it has an array of {self.dtype.name!r}; expected one of numbers')
        dtype = np.dtype(self.dtype.name).newbyteorder('>' if self.dtype.order == '>' else '<')
        content = self.content
        if isinstance(content, str):  # what Python 2 wrote
            content = content.encode('latin1')
        if len(content) != math.prod(self.shape) * dtype.itemsize:
            raise ModelError(f'it has {len(content)} bytes for an array {self.shape} {dtype}')
        array = np.frombuffer(content, dtype)
        return array.reshape(self.shape, order='F' if self.fortran else 'C')


class _Reconstruct:
    """Stands in for the function that makes an empty array."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, typecode: object) -> _Array:
        return _Array()


class _Encode:
    """Stands in for ``codecs.encode``, by which protocol 2 writes bytes in Python 3."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        return str.encode(text, 'latin1')


STAND_INS: dict[tuple[str, str], Any] = {
    ('numpy.core.multiarray', '_reconstruct'): _Reconstruct(),
    ('numpy._core.multiarray', '_reconstruct'): _Reconstruct(),
    ('numpy', 'ndarray'): _Array,
    ('numpy', 'dtype'): _Dtype,
    ('_codecs', 'encode'): _Encode(),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise ModelError(
                f'its pickle names {module}.{name}; expected only dicts, strings and arrays of '
                'numbers, so it was not run'
            )
        return STAND_INS[module, name]


def read_npy(path: Path) -> dict[str, NDArray[np.generic]]:
    """
    Read the released ``.npy``.

    :return: arrays by ``layer/parameter``.
    :raises ModelError: the file holds anything but a dict of dicts of arrays of numbers.
    """
    with path.open('rb') as file:
        _read_header(file)
        try:
            content = _Unpickler(file, encoding='latin1').load()
            return _flat(content)
        except ModelError:
            raise
        except Exception as err:  # a damaged pickle fails in any way that its opcodes can
            raise ModelError(f'its pickle is damaged: {type(err).__name__}: {err}') from err


def _read_header(file: BinaryIO) -> None:
    try:
        major, _ = np.lib.format.read_magic(file)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[major](file)
    except (ValueError, KeyError) as err:
        raise ModelError(f'it is not a .npy file: {err}') from err
    if shape != () or dtype != np.dtype(object):
        raise ModelError(f'it is an array {shape} of {dtype}; expected one pickled dict of layers')


def _flat(content: Any) -> dict[str, NDArray[np.generic]]:
    layers = content.content[0] if isinstance(content, _Array) else content
    if not isinstance(layers, dict) or not all(isinstance(v, dict) for v in layers.values()):
        raise ModelError('its pickle is not a dict of layers, each a dict of arrays')
    arrays = {f'{n}/{k}': v for n, layer in layers.items() for k, v in layer.items()}
    for name, array in arrays.items():
        if not isinstance(array, _Array):
            raise ModelError(f'{name} is not an array')
    return {name: array.numbers() for name, array in arrays.items()}

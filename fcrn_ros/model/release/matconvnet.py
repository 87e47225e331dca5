"""
MatConvNet ``.mat`` files: a DagNN saved as a structure of layers, parameters and meta data.

Public, from MatConvNet and from the authors' scripts: a DagNN's fields; the parameters of a
convolution, filters (H, W, in, out) and biases, and of a normalisation, multipliers, biases and
moments, which are the mean and sigma = sqrt(variance + epsilon), by which testing divides; the
encoder's layer names, those of the ResNet-50 that the authors started from; the output variable
``prediction``; and that ``dagnn.Combine`` writes its four inputs to rows and columns (0, 0),
(1, 0), (0, 1), (1, 1).

Not public: the decoder's layer names, and whether they letter the phases as TensorFlow's do. So
the encoder is found by name, the decoder by following the graph back from the prediction, and
parameters by their place in their layer, whatever they are called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.release.graph import Graph, Layer
from fcrn_ros.model.weights import ModelError

EPSILON = 1e-4  # of the network that the tensors go to

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class MatFile:
    """
    What a ``.mat`` holds.

    :param tensors: by their released names.
    :param image_size: (rows, columns) of the network's input [px]; None where it is not said.
    """

    tensors: Arrays
    image_size: tuple[int, int] | None


def read_mat(path: Path) -> MatFile:
    """
    Read the released MatConvNet network.

    :raises ModelError: scipy is absent, the file is no such network, or its graph differs.
    """
    content = _load(path)
    net = content['net'][0, 0] if 'net' in content else content
    try:
        values = {_text(p['name']): p['value'] for p in _records(net['params'])}
        layers = [_layer(record) for record in _records(net['layers'])]
        size = _image_size(net['meta']) if 'meta' in _keys(net) else None
    except (KeyError, ValueError, IndexError, TypeError) as err:
        raise ModelError(f'it is not a MatConvNet DagNN: {type(err).__name__}: {err}') from err
    roles = Graph(layers).roles()
    _require_all(layers, roles)
    tensors: Arrays = {}
    for role, layer in roles.items():
        tensors.update(_tensors(role, layer, values))
    return MatFile(tensors, size)


def _load(path: Path) -> Any:
    try:
        from scipy.io import loadmat
    except ImportError as err:
        raise ModelError('a .mat file needs scipy; install the extra "import"') from err
    try:
        content = loadmat(str(path), variable_names=('net', 'layers', 'params', 'meta'))
    except NotImplementedError as err:
        raise ModelError(
            'it has the format of MATLAB 7.3 (HDF5); save it in MATLAB with -v7'
        ) from err
    except Exception as err:  # scipy's reader fails in many ways on damaged bytes
        raise ModelError(f'it is not a readable .mat file: {type(err).__name__}: {err}') from err
    if 'net' not in content and not {'layers', 'params'} <= content.keys():
        raise ModelError('it holds neither net nor layers and params; expected a MatConvNet DagNN')
    return content


def _plain(value: Any) -> NDArray[Any]:
    """Refuse objects and function handles, which are other classes than plain arrays."""
    if type(value) is not np.ndarray:
        raise ValueError(f'found a {type(value).__name__}, expected an array')
    return value


def _keys(record: Any) -> set[str]:
    return set(record if isinstance(record, dict) else record.dtype.names or ())


def _records(value: Any) -> Iterator[Any]:
    return iter(_plain(value).ravel())


def _text(value: Any) -> str:
    return str(_plain(value).item()) if _plain(value).size else ''


def _texts(value: Any) -> tuple[str, ...]:
    """Read a cell array of strings, or one string."""
    array = _plain(value)
    return tuple(map(_text, array.ravel())) if array.dtype == object else (_text(array),)


def _layer(record: Any) -> Layer:
    inputs, outputs, params = (_texts(record[n]) for n in ('inputs', 'outputs', 'params'))
    block = _plain(record['block'])
    padding: tuple[int, ...] = ()
    if 'pad' in _keys(block):
        padding = tuple(int(n) for n in _plain(block['pad'].item()).ravel())
        padding *= 4 if len(padding) == 1 else 1
    return Layer(_text(record['name']), _text(record['type']), inputs, outputs, params, padding)


def _image_size(meta: Any) -> tuple[int, int] | None:
    meta = _plain(meta).ravel()[0]
    if 'normalization' not in _keys(meta):
        return None
    normalization = _plain(meta['normalization']).ravel()[0]
    if 'imageSize' not in _keys(normalization):
        return None
    rows, columns = _plain(normalization['imageSize']).ravel()[:2]
    return int(rows), int(columns)


def _require_all(layers: list[Layer], roles: dict[str, Layer]) -> None:
    known = {layer.name for layer in roles.values()}
    surplus = [layer.name for layer in layers if layer.params and layer.name not in known]
    if surplus:
        raise ModelError(
            f'{len(surplus)} layers with parameters do not belong to the released network; '
            f'the first is {surplus[0]}'
        )


def _tensors(role: str, layer: Layer, values: dict[str, Any]) -> Arrays:
    missing = [name for name in layer.params if name not in values]
    if missing:
        raise ModelError(f'layer {layer.name}: its parameter {missing[0]} is missing')
    arrays = [_single(name, values[name]) for name in layer.params]
    if layer.type == 'dagnn.BatchNorm':
        return {f'{role}/{k}': v for k, v in _normalisation(layer, arrays).items()}
    if len(arrays) not in (1, 2):
        raise ModelError(f'layer {layer.name} has {len(arrays)} parameters; expected 1 or 2')
    # MATLAB drops trailing dimensions of 1
    weights = arrays[0].reshape(arrays[0].shape + (1,) * (4 - arrays[0].ndim))
    tensors: Arrays = {f'{role}/weights': weights}
    if len(arrays) == 2:
        tensors[f'{role}/biases'] = _vector(arrays[1])
    return tensors


def _single(name: str, value: Any) -> NDArray[np.float32]:
    if type(value) is not np.ndarray or value.dtype != np.float32:
        found = getattr(value, 'dtype', type(value).__name__)
        raise ModelError(f'parameter {name}: found {found}, expected an array of float32')
    return value


def _vector(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a row or a column as a vector, and anything else as it is."""
    return array.ravel() if array.size == max(array.shape, default=0) else array


def _normalisation(layer: Layer, arrays: list[NDArray[np.float32]]) -> Arrays:
    """
    Turn multipliers, biases and moments into scale, offset, mean and variance.

    MatConvNet divides by sigma; we by sqrt(variance + epsilon). So variance = sigma^2 - epsilon.
    Where sigma^2 < epsilon there is no such variance: it becomes 0, and the scale takes the rest,
    sqrt(epsilon) / sigma. Either way scale / sqrt(variance + epsilon) == multiplier / sigma.
    """
    if len(arrays) != 3 or arrays[2].ndim != 2 or arrays[2].shape[1] != 2:
        raise ModelError(
            f'layer {layer.name} has parameters {[a.shape for a in arrays]}; '
            'expected multipliers, biases and moments (C, 2)'
        )
    scale, offset = map(_vector, arrays[:2])
    mean, sigma = arrays[2].T.astype(np.float64)
    if scale.shape != sigma.shape or not (sigma > 0).all():
        raise ModelError(
            f'layer {layer.name}: found {scale.shape} multipliers and {sigma.shape} deviations of '
            f'at least {sigma.min(initial=math.inf):g}; expected as many, all positive'
        )
    rest = np.where(sigma**2 < EPSILON, math.sqrt(EPSILON) / sigma, 1.0)
    return {
        'scale': (scale * rest).astype(np.float32),
        'offset': offset,
        'mean': mean.astype(np.float32),
        'variance': np.maximum(sigma**2 - EPSILON, 0).astype(np.float32),
    }

"""MatConvNet's .mat: its layout, its moments, and its graph followed back from the prediction."""

from dataclasses import replace

import numpy as np
import pytest
import release_files

from fcrn_ros.model.release import graph, matconvnet
from fcrn_ros.model.release.graph import Graph, Layer
from fcrn_ros.model.release.matconvnet import read_mat
from fcrn_ros.model.weights import ModelError

pytest.importorskip('scipy', reason='a .mat file needs scipy')


@pytest.fixture(scope='module')
def layers():
    return release_files.tiny(release_files.random_layers())


@pytest.fixture
def net(layers):
    return release_files.dag(layers)


def _read(tmp_path, net, **options):
    release_files.write_mat(tmp_path / 'net.mat', net, **options)
    return read_mat(tmp_path / 'net.mat')


def _require_same(found, layers):
    expected = release_files.flat(layers)
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32 and found[name].shape == array.shape, name
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('nested', [False, True])
def test_every_tensor_is_found(tmp_path, net, layers, nested):
    """As the authors' script loads it, and as a variable ``net``."""
    _require_same(_read(tmp_path, net, nested=nested).tensors, layers)


def test_input_size_is_rows_and_columns(tmp_path, net):
    assert _read(tmp_path, net).image_size == (228, 304)
    assert _read(tmp_path, net, image_size=(230, 173)).image_size == (230, 173)
    assert _read(tmp_path, net, image_size=None).image_size is None


def test_parameters_may_have_any_name(tmp_path, net, layers):
    names = {old: f'p{number}' for number, old in enumerate(net.params)}
    net.params = {names[n]: v for n, v in net.params.items()}
    net.layers = [
        (*layer[:4], release_files.cell([names[p] for p in layer[4].ravel()]), layer[5])
        for layer in net.layers
    ]
    _require_same(_read(tmp_path, net).tensors, layers)


# Moments


def _normalised(sigma, scale=1.5):
    """Return (scale, deviation) that the network gets for one channel."""
    arrays = [np.array(x, np.float32) for x in ([scale], [0.25], [[0.125, sigma]])]
    layer = Layer('bn', 'dagnn.BatchNorm', ('x',), ('y',), ('m', 'b', 'x'))
    found = matconvnet._normalisation(layer, arrays)
    assert all(a.dtype == np.float32 and a.shape == (1,) for a in found.values())
    assert (found['offset'], found['mean']) == (0.25, 0.125)
    assert found['variance'] >= 0
    return float(found['scale'][0]), float(np.sqrt(float(found['variance'][0]) + 1e-4))


@pytest.mark.parametrize('sigma', [2e-5, 0.004, 0.00999, 0.01, 0.0100001, 0.02, 0.7, 30.0])
def test_normalisation_divides_by_sigma(sigma):
    """1.5 / sigma, above and below sqrt(1e-4) = 0.01 alike; float32 has 6e-8."""
    scale, deviation = _normalised(sigma)
    assert scale / deviation == pytest.approx(1.5 / np.float32(sigma), rel=3e-7)


def test_scale_stays_where_sigma_can_be_kept():
    """0.03^2 = 0.0009 = 0.0008 + 1e-4."""
    scale, deviation = _normalised(0.03)
    assert scale == 1.5 and deviation == pytest.approx(0.03, rel=1e-6)


def test_sigma_may_hold_another_epsilon(tmp_path, layers):
    """MatConvNet's own default is 1e-5: sigma^2 = variance + 1e-5, and ours is sigma^2 - 1e-4."""
    net = release_files.dag(layers, epsilon=1e-5)
    found = _read(tmp_path, net).tensors['bn_conv1/variance']
    wanted = layers['bn_conv1']['variance'] + 1e-5 - 1e-4
    np.testing.assert_allclose(found, np.maximum(wanted, 0), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('sigma', [0.0, -0.5, float('nan')])
def test_sigma_must_be_positive(sigma):
    with pytest.raises(ModelError, match='layer bn: found .* expected as many, all positive'):
        _normalised(sigma)


# Damage


def _change(net, layer_name, **changes):
    """Change fields of the layer of a name."""
    fields = ('name', 'type', 'inputs', 'outputs', 'params', 'block')
    for index, layer in enumerate(net.layers):
        if layer[0] == layer_name:
            net.layers[index] = tuple(
                changes.get(f, v) for f, v in zip(fields, layer, strict=True)
            )


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (
            lambda net: net.params.pop('up1_s_B_f'),
            '^layer up1_s_B: its parameter up1_s_B_f is missing$',
        ),
        (
            lambda net: net.params.update(up0_b=net.params['up0_b'].astype(float)),
            '^parameter up0_b: found float64, expected an array of float32$',
        ),
        (
            lambda net: net.params.update(up0_b='text'),
            '^parameter up0_b: found <U4, expected an array of float32$',
        ),
        (
            lambda net: net.params.update(up0_n_x=net.params['up0_n_x'].T),
            r'^layer up0_n has parameters \[.*expected multipliers, biases and moments \(C, 2\)$',
        ),
        (
            lambda net: _change(net, 'res3b_branch2a', name='other'),
            '^1 layers of the encoder are missing; the first is res3b_branch2a$',
        ),
        (
            lambda net: _change(net, 'bn3b_branch2a', type='dagnn.LRN'),
            '^layer bn3b_branch2a is a dagnn.LRN; expected a dagnn.BatchNorm there$',
        ),
        (
            lambda net: _change(net, 'up2_f_c', type='dagnn.Concat'),
            '^layer up2_f_c is a dagnn.Concat; expected a dagnn.Combine there$',
        ),
        (
            lambda net: _change(net, 'last_relu', outputs=release_files.cell(['depth'])),
            "^no layer writes the variable 'prediction'$",
        ),
        (
            lambda net: _change(net, 'drop', inputs=release_files.cell(['dropx'])),
            "^the graph has a circle at the variable 'dropx'$",
        ),
        (
            lambda net: _change(net, 'up3_sum', inputs=release_files.cell(['up3_normx'] * 2)),
            '^layer up3_sum does not sum two branches',
        ),
        (
            lambda net: net.conv('data', 'conv1', 'extra'),
            '^1 layers with parameters do not belong to the released network; .* is extra$',
        ),
    ],
)
def test_other_networks_are_refused(tmp_path, net, change, expected):
    change(net)
    with pytest.raises(ModelError, match=expected):
        _read(tmp_path, net)


def test_swapped_phases_are_refused(tmp_path, layers):
    """Combine's second input is the phase of the odd rows, which pads (1, 0, 1, 1)."""
    with pytest.raises(ModelError, match=r'by \(1, 1, 1, 0\); expected \(1, 0, 1, 1\), as the'):
        _read(tmp_path, release_files.dag(layers, swap=True))


def test_other_alignment_is_refused():
    phase = Layer('b', 'dagnn.Conv', ('x',), ('y',), ('f',), (0, 1, 1, 1))
    with pytest.raises(ModelError, match=r'layer b pads .* by \(0, 1, 1, 1\); expected \(1, 0'):
        graph._require_padding(phase, 'B')
    graph._require_padding(replace(phase, padding=(1, 0, 1, 1)), 'B')
    graph._require_padding(replace(phase, padding=()), 'B')


def test_empty_graph_is_refused():
    """conv1, 48 of three per block and 4 shortcuts, each with its normalisation: 2 * 53."""
    with pytest.raises(ModelError, match='106 layers of the encoder are missing; .* is conv1'):
        Graph([]).roles()


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ({'weights': np.zeros(3)}, 'it holds neither net nor layers and params'),
        ({'layers': 1.0, 'params': 2.0}, 'it is not a MatConvNet DagNN'),
        ({'net': {'layers': np.zeros((1, 2)), 'params': 'x'}}, 'it is not a MatConvNet DagNN'),
    ],
)
def test_other_content_is_refused(tmp_path, content, expected):
    from scipy.io import savemat

    savemat(tmp_path / 'net.mat', content)
    with pytest.raises(ModelError, match=expected):
        read_mat(tmp_path / 'net.mat')


@pytest.mark.parametrize('kind', ['MatlabObject', 'MatlabOpaque', 'MatlabFunction'])
def test_objects_and_function_handles_are_refused(kind, monkeypatch, tmp_path):
    """Scipy returns them as other classes than plain arrays."""
    from scipy.io import matlab

    value = getattr(matlab, kind)(np.zeros((1, 1), [('name', object)]))
    net = {'layers': value, 'params': value}
    monkeypatch.setattr(matconvnet, '_load', lambda path: net)
    with pytest.raises(ModelError, match=f'found a {kind}, expected an array'):
        read_mat(tmp_path / 'net.mat')


@pytest.mark.parametrize('length', [0, 100, 128, 5000, -9])
def test_truncated_file_is_refused(tmp_path, net, length):
    path = tmp_path / 'net.mat'
    release_files.write_mat(path, net)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match='it is not a readable .mat file|it holds neither'):
        read_mat(path)


def test_matlab_7_3_is_refused_with_what_to_do(tmp_path):
    """Its header says version 0x0200; HDF5 follows."""
    header = b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM'
    (tmp_path / 'net.mat').write_bytes(header + bytes(384) + b'\x89HDF\r\n\x1a\n')
    with pytest.raises(
        ModelError, match='the format of MATLAB 7.3 .*; save it in MATLAB with -v7'
    ):
        read_mat(tmp_path / 'net.mat')


def test_missing_scipy_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'scipy.io', None)
    with pytest.raises(ModelError, match='a .mat file needs scipy; install the extra "import"'):
        read_mat(tmp_path / 'net.mat')

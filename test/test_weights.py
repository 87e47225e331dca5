"""A model on disk: what survives, and how a damaged one is refused."""

import dataclasses
import hashlib
import json
import os
import pickle
import re

import pytest
import safetensors.torch
import torch

from fcrn_ros.camera import Camera
from fcrn_ros.model import weights
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.weights import (
    ModelError,
    ModelSpec,
    architecture_of,
    find_model,
    load_model,
    load_spec,
    save_model,
    shipped_models,
    verify,
)

pytestmark = pytest.mark.usefixtures('one_thread')

ARCHITECTURE = Architecture(
    'mobilenet_v2', 'upconv', 'top_left', width=16, uncertainty=True, bn_eps=2e-5
)
SPEC = ModelSpec(
    name='small',
    architecture={},
    input_size=(96, 160),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    camera={'fx': 130.5, 'fy': 128.25, 'cx': 81.0, 'cy': 45.5},
    depth_range=(0.5, 9.75),
    licence='BSD-3-Clause',
    provenance={'data': 'none', 'commit': 'abc'},
    metrics={'nyu': {'absrel': 0.125, 'rmse': [1, 2]}},
)


@pytest.fixture(scope='module')
def network():
    """Return a small network whose normalisations are not the identity."""
    torch.manual_seed(0)
    network = Fcrn(ARCHITECTURE)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope='module')
def saved(network, tmp_path_factory):
    """Return the bytes of (weights, sidecar) of the saved network."""
    sidecar = save_model(network, SPEC, tmp_path_factory.mktemp('saved'))
    return sidecar.with_suffix('.safetensors').read_bytes(), sidecar.read_bytes()


@pytest.fixture
def sidecar(saved, tmp_path):
    """Return the sidecar of a fresh copy that a test may damage."""
    (tmp_path / 'small.safetensors').write_bytes(saved[0])
    (tmp_path / 'small.json').write_bytes(saved[1])
    return tmp_path / 'small.json'


def _edit(sidecar, **changes):
    content = {**json.loads(sidecar.read_text()), **changes}
    sidecar.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def _replace_weights(sidecar, data):
    """Put other bytes in the place of the weights, with a sidecar that vouches for them."""
    sidecar.with_suffix('.safetensors').write_bytes(data)
    _edit(sidecar, sha256=hashlib.sha256(data).hexdigest())


def _refusal(sidecar, load=load_model):
    """Return the one line that refuses a model."""
    with pytest.raises(ModelError) as error:
        load(str(sidecar))
    message = str(error.value)
    assert '\n' not in message
    assert str(sidecar.with_suffix('')) in message
    return message


# Round trip


def test_saved_network_loads_to_float16(network, sidecar):
    loaded, _ = load_model(str(sidecar))
    assert not loaded.training
    assert loaded.architecture == ARCHITECTURE
    expected, found = network.state_dict(), loaded.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        stored = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(found[name], stored)


def test_loaded_network_gives_the_output_of_the_saved_one(network, sidecar):
    """float16 keeps 11 bits, a relative error of 5e-4 per weight."""
    loaded, _ = load_model(str(sidecar))
    x = torch.randn(1, 3, 40, 70, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = network(x), loaded(x)
    assert expected.std() > 1e-3
    assert (found - expected).abs().max() < 2e-2 * expected.abs().max()


def test_every_field_survives(sidecar, saved):
    spec = load_spec(str(sidecar))
    expected = dataclasses.replace(
        SPEC,
        architecture=dataclasses.asdict(ARCHITECTURE),
        sha256=hashlib.sha256(saved[0]).hexdigest(),
    )
    assert spec == expected
    assert isinstance(spec.input_size, tuple) and isinstance(spec.mean, tuple)
    assert architecture_of(spec) == ARCHITECTURE
    assert load_model(str(sidecar))[1] == spec


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((228, 304), (128, 160)),
        ((192, 256), (96, 128)),
        ((33, 32), (32, 16)),
        ((65, 96), (48, 48)),
    ],
)
def test_output_size_is_sixteen_per_started_32(size, expected):
    """228 / 32 = 7.1 -> 8, times 16 = 128; the network itself says so too."""
    assert dataclasses.replace(SPEC, input_size=size).output_size == expected
    with torch.device('meta'):
        found = Fcrn(ARCHITECTURE).eval()(torch.empty(1, 3, *size))
    assert tuple(found.shape[2:]) == expected


def test_spec_knows_its_camera_and_channels():
    """input_size is (rows, columns); the camera is 160 wide and 96 high."""
    assert SPEC.network_camera == Camera(160, 96, 130.5, 128.25, 81.0, 45.5)
    assert not SPEC.has_uncertainty
    assert dataclasses.replace(SPEC, architecture={'uncertainty': True}).has_uncertainty


def test_weights_are_stored_as_float16(saved):
    tensors = safetensors.torch.load(saved[0])
    kinds = {t.dtype for n, t in tensors.items() if not n.endswith('num_batches_tracked')}
    assert kinds == {torch.float16}


def test_saving_replaces_files_and_leaves_nothing_else(network, sidecar):
    again = save_model(network, dataclasses.replace(SPEC, licence='other'), sidecar.parent)
    assert again == sidecar
    assert load_spec(str(sidecar)).licence == 'other'
    assert sorted(os.listdir(sidecar.parent)) == ['small.json', 'small.safetensors']


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e5])
def test_weight_that_float16_cannot_hold_is_refused(network, tmp_path, value):
    before = network.predict.bias[0].item()
    try:
        network.predict.bias.data[0] = value
        with pytest.raises(ModelError, match='weight predict.bias is not finite in float16'):
            save_model(network, SPEC, tmp_path / 'out')
    finally:
        network.predict.bias.data[0] = before
    assert not (tmp_path / 'out').exists()


# Finding


@pytest.fixture
def shipped(monkeypatch, sidecar):
    """Make the copy the only shipped model."""
    monkeypatch.setattr(weights, 'models_folder', lambda: sidecar.parent)
    return sidecar


def test_model_is_found_by_name_and_by_either_file(shipped):
    assert find_model('small') == shipped
    assert find_model(str(shipped)) == shipped
    assert find_model(str(shipped.with_suffix('.safetensors'))) == shipped
    assert shipped_models() == ['small']


def test_default_model_is_found_without_a_name(shipped, monkeypatch):
    monkeypatch.setattr(weights, 'DEFAULT_MODEL', 'small')
    assert find_model() == shipped


def test_home_folder_is_expanded(sidecar, monkeypatch):
    monkeypatch.setenv('HOME', str(sidecar.parent))
    assert find_model('~/small.json') == sidecar


def test_path_is_found_where_nothing_is_shipped(sidecar, monkeypatch):
    def absent():
        raise FileNotFoundError

    monkeypatch.setattr(weights, 'models_folder', absent)
    assert find_model(str(sidecar)) == sidecar


@pytest.mark.parametrize('name', ['large', '/nowhere/large.json', '/nowhere/large.safetensors'])
def test_absent_model_is_refused_with_the_shipped_names(shipped, name):
    with pytest.raises(ModelError, match=f"model '{name}' was not found; .* or one of: small$"):
        find_model(name)


# Damage


@pytest.mark.parametrize('length', [0, 1, 7, 8, 100, 5000, -1])
def test_truncated_weights_are_refused(sidecar, saved, length):
    sidecar.with_suffix('.safetensors').write_bytes(saved[0][:length])
    size = len(saved[0][:length])
    assert f'({size} bytes); expected ' in _refusal(sidecar)


@pytest.mark.parametrize('length', [0, 1, 7, 8, 100, 5000, -1])
def test_truncated_weights_with_a_fitting_sha256_are_refused(sidecar, saved, length):
    _replace_weights(sidecar, saved[0][:length])
    assert 'not a readable safetensors file: ' in _refusal(sidecar)


@pytest.mark.parametrize('position', [0, 3, 1000, -1])
def test_flipped_byte_is_refused(sidecar, saved, position):
    data = bytearray(saved[0])
    data[position] ^= 1
    sidecar.with_suffix('.safetensors').write_bytes(data)
    assert 'the file is damaged or belongs to another sidecar' in _refusal(sidecar)


def test_absent_weights_are_refused(sidecar):
    sidecar.with_suffix('.safetensors').unlink()
    expected = 'small.safetensors was not found; expected it beside small.json'
    assert _refusal(sidecar).endswith(expected)


def test_verify_returns_the_weights(sidecar):
    assert verify(sidecar, load_spec(str(sidecar))) == sidecar.with_suffix('.safetensors')


def _changed(saved, change):
    tensors = safetensors.torch.load(saved[0])
    change(tensors)
    return safetensors.torch.save(tensors)


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (
            lambda t: t.pop('predict.bias'),
            '1 tensors differ .* the first is predict.bias: found nothing, expected \\(2,\\)$',
        ),
        (
            lambda t: t.update(extra=torch.zeros(4, 3)),
            '1 tensors differ .* the first is extra: found \\(4, 3\\), expected nothing$',
        ),
        (
            lambda t: t.update({'predict.bias': torch.zeros(1)}),
            'first is predict.bias: found \\(1,\\), expected \\(2,\\)$',
        ),
        (
            lambda t: [t.pop(n) for n in list(t) if n.startswith('blocks.3.bn.')],
            '5 tensors differ .* the first is blocks.3.bn.bias: found nothing, expected \\(1,\\)$',
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(sidecar, saved, change, expected):
    _replace_weights(sidecar, _changed(saved, change))
    assert re.search(expected, _refusal(sidecar))


def test_sidecar_of_another_architecture_is_refused(sidecar):
    architecture = {**dataclasses.asdict(ARCHITECTURE), 'uncertainty': False}
    _edit(sidecar, architecture=architecture)
    assert '2 tensors differ' in _refusal(sidecar)


@pytest.mark.parametrize(
    ('architecture', 'expected'),
    [
        ({'encoder': 'vgg16'}, "encoder 'vgg16' is not known; expected one of resnet18"),
        ({'depth': 3}, "unexpected keyword argument 'depth'"),
        ({'width': '64'}, 'not supported between'),
        ('resnet18', 'must be a mapping'),
    ],
)
def test_unknown_architecture_is_refused(sidecar, architecture, expected):
    _edit(sidecar, architecture=architecture)
    with pytest.raises(ModelError, match='^model small: ') as error:
        load_model(str(sidecar))
    assert expected in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'{',
        b'null',
        b'[1, 2]',
        b'"text"',
        b'\x93NUMPY\x01\xff\xfe',
        b'{"format": 1}',
        b'{"format": 1, "name": "small"}',
    ],
)
def test_foreign_sidecar_is_refused(sidecar, content):
    sidecar.write_bytes(content)
    assert 'not a model sidecar: ' in _refusal(sidecar)
    assert 'not a model sidecar: ' in _refusal(sidecar, load_spec)


@pytest.mark.parametrize('content', [b'{"model_type": "dpt", "size": 768}', b'{"format": 2}'])
def test_sidecar_of_another_format_is_refused(sidecar, content):
    sidecar.write_bytes(content)
    assert _refusal(sidecar).endswith('format is not 1; expected a sidecar of this package')


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'unit': 'mm'}, "unit is 'mm'; expected 'm'"),
        ({'input_size': [16, 304]}, 'input_size (16, 304), std'),
        ({'input_size': [228]}, 'input_size is (228,); expected 2 numbers'),
        ({'input_size': [228.5, 304]}, 'input_size is (228.5, 304); expected 2 numbers'),
        ({'std': [58, 0, 57]}, 'expected at least 32 px and positive deviations'),
        ({'std': ['58', '57', '57']}, "std is ('58', '57', '57'); expected 3 numbers"),
        ({'mean': [1.0, 2.0]}, 'mean is (1.0, 2.0); expected 3 numbers'),
        ({'mean': 5}, 'not a model sidecar: '),
        ({'depth_range': [0.5, 5, 10]}, 'depth_range is (0.5, 5, 10); expected 2 numbers'),
        ({'camera': {'fx': 1, 'fy': 0, 'cx': 1, 'cy': 1}}, 'focal length is fx=1, fy=0'),
        ({'camera': {'fx': 1, 'fy': 1, 'cx': 1}}, "missing 1 required positional argument: 'cy'"),
        ({'camera': ...}, "missing 1 required positional argument: 'camera'"),
        ({'colour': 'blue'}, "unexpected keyword argument 'colour'"),
    ],
)
def test_wrong_fields_are_refused(sidecar, changes, expected):
    _edit(sidecar, **changes)
    assert expected in _refusal(sidecar, load_spec)


class _Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize('dump', [lambda trap, f: pickle.dump(trap, f), torch.save])
def test_nothing_is_unpickled(sidecar, tmp_path, dump):
    path = sidecar.with_suffix('.safetensors')
    with path.open('wb') as file:
        dump(_Trap(tmp_path / 'sprung'), file)
    _replace_weights(sidecar, path.read_bytes())
    assert 'not a readable safetensors file' in _refusal(sidecar)
    assert not (tmp_path / 'sprung').exists()

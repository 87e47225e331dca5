"""The released files: the imported model is the published network, exactly."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest
import reference
import release_files
import torch

from fcrn_ros.cli import main
from fcrn_ros.model.fcrn import RELEASED
from fcrn_ros.model.release import importer
from fcrn_ros.model.release.crc32c import crc32c
from fcrn_ros.model.release.importer import import_release
from fcrn_ros.model.release.names import network_of, released_tensors
from fcrn_ros.model.release.published import KNOWN, MAKE3D, NYU, release_of
from fcrn_ros.model.weights import ModelError, load_model, save_model
from fcrn_ros.pipeline import DepthPipeline

pytestmark = pytest.mark.usefixtures('one_thread')

LAYOUTS = ('NYU_ResNet-UpProj.npy', 'NYU_FCRN-checkpoint.zip', 'NYU_ResNet-UpProj.mat')
# even sizes all the way to res5, and odd ones: 34 x 70, 17 x 35, 9 x 18, 5 x 9, 3 x 5
SIZES = ((64, 96), (34, 70))


@pytest.fixture(scope='module')
def layers():
    return release_files.random_layers()


def _image(height, width):
    return np.random.default_rng(3).uniform(0, 255, (height, width, 3)).astype(np.float32)


@pytest.fixture(scope='module')
def expected(layers):
    """Return the reference's depth by size."""
    return {size: reference.fcrn(layers, _image(*size).astype(np.float64)) for size in SIZES}


def _write(folder, name, layers):
    """Write a released file, as published; a checkpoint with slots and counters, zipped."""
    path = folder / name
    if name.endswith('.npy'):
        release_files.write_npy(path, layers)
    elif name.endswith('.mat'):
        pytest.importorskip('scipy', reason='a .mat file needs scipy')
        release_files.write_mat(path, release_files.dag(layers))
    else:
        slots = {f'{layer}/weights/Momentum': layers[layer]['weights'] for layer in ('conv1',)}
        counters = {'global_step': np.array(5), 'beta1_power': np.array(0.9, np.float32)}
        arrays = release_files.flat(layers) | slots | counters
        release_files.write_checkpoint(folder / 'NYU_FCRN.ckpt', arrays, crc32c)
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('NYU_FCRN.ckpt.meta', b'a graph')
            for part in folder.glob('NYU_FCRN.ckpt.*'):
                archive.write(part, f'NYU_FCRN-checkpoint/{part.name}')
                part.unlink()
    return path


@pytest.fixture(scope='module', params=LAYOUTS)
def imported(request, layers, tmp_path_factory):
    """Import one released file; return what the import returned."""
    folder = tmp_path_factory.mktemp('release')
    path = _write(folder, request.param, layers)
    yield import_release(path, folder / 'models')
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def loaded(imported):
    return load_model(str(imported.sidecar))


def _depth(network, size):
    with torch.inference_mode():
        return network(torch.from_numpy(_image(*size)).permute(2, 0, 1)[None])[0, 0].numpy()


def _error(network, expected, size):
    """Return the largest difference, relative to the largest depth."""
    share = (expected[size] > 0).mean()
    assert 0.1 < share < 0.9, 'the final ReLU shall act on some pixels, not on all'
    return np.abs(_depth(network, size) - expected[size]).max() / expected[size].max()


@pytest.mark.parametrize('size', SIZES)
def test_imported_network_equals_the_reference(loaded, expected, size):
    assert loaded[0].architecture == RELEASED
    assert _error(loaded[0], expected, size) < 1e-4


def test_loaded_weights_are_the_released_ones(imported, loaded, layers):
    """Every bit survives; of a .mat, whose sigma was rounded, 1e-5 of every normalisation."""
    state = loaded[0].state_dict()
    arrays = release_files.flat(layers)
    rounded = 'NYU_ResNet-UpProj.mat' in imported.sha256
    for name, target in released_tensors().items():
        found, wanted = state[target.key].numpy(), arrays[name]
        assert found.dtype == np.float32
        wanted = wanted.transpose(3, 2, 0, 1) if wanted.ndim == 4 else wanted
        if rounded and name.endswith('/variance'):
            np.testing.assert_allclose(found + 1e-4, wanted + 1e-4, rtol=1e-5)
        else:
            assert np.array_equal(found, wanted), name


def test_sidecar_says_what_the_release_expects(imported, loaded):
    """
    Kinect at 640 x 480 -> 320 x 240 -> 304 x 228 from (8, 6).

    fx = 518.8579 / 2 = 259.42895; cx = (325.5824 + 0.5) / 2 - 0.5 - 8 = 154.5412;
    cy = (253.7362 + 0.5) / 2 - 0.5 - 6 = 120.6181.
    """
    spec = loaded[1]
    assert (spec.name, spec.licence) == ('fcrn_resnet50_nyu', 'BSD-2-Clause')
    assert spec.input_size == (228, 304) and spec.output_size == (128, 160)
    assert spec.mean == (0, 0, 0) and spec.std == (1, 1, 1)
    camera = {'fx': 259.42895, 'fy': 259.7348, 'cx': 154.5412, 'cy': 120.6181}
    assert spec.camera == pytest.approx(camera)
    assert spec.provenance['imported_from'] == imported.sha256
    assert spec.provenance['known_file'] == ''
    assert list(spec.metrics) == ['published']
    assert 'not measured here' in spec.metrics['published']['source']


def test_summary_names_the_file(imported):
    (name, digest), *_ = imported.sha256.items()
    assert imported.summary() == (
        f'394 tensors; sha256 of {name} {digest[:16]}... (not one of the known files)'
    )


@pytest.mark.parametrize('imported', LAYOUTS[:1], indirect=True)
def test_imported_model_is_verified_and_gives_depth(imported, capsys):
    assert main(['models', 'verify', str(imported.sidecar)]) == 0
    assert capsys.readouterr().out.endswith('fcrn_resnet50_nyu.safetensors: ok\n')
    pipeline = DepthPipeline.open(str(imported.sidecar), backend='torch', precision='fp32')
    frame = pipeline(_image(240, 320).astype(np.uint8), NYU.camera.resized(320, 240))
    assert pipeline.engine.name == 'torch'
    assert np.isfinite(frame.depth).any() and frame.depth.dtype == np.float32


# The comparison can fail


def _swap_b_and_c(layers):
    """Give B the kernel of C and C that of B, turned so that the shapes fit."""
    for name in list(layers):
        if name.endswith('_ConvB'):
            other = f'{name[:-1]}C'
            b, c = layers[name], layers[other]
            layers[name] = {**c, 'weights': c['weights'].transpose(1, 0, 2, 3)}
            layers[other] = {**b, 'weights': b['weights'].transpose(1, 0, 2, 3)}


def _forget(parameter, value):
    def change(layers):
        for name, layer in layers.items():
            if parameter in layer:
                layers[name] = {**layer, parameter: np.full_like(layer[parameter], value)}

    return change


def _flip(layers):
    for name, layer in layers.items():
        if 'weights' in layer:
            layers[name] = {**layer, 'weights': layer['weights'][::-1, ::-1]}


@pytest.mark.parametrize(
    'change',
    [_swap_b_and_c, _flip, _forget('mean', 0), _forget('variance', 1), _forget('biases', 0)],
    ids=['B and C', 'flipped kernels', 'no means', 'no variances', 'no biases'],
)
def test_comparison_sees_a_wrong_import(layers, expected, change):
    changed = dict(layers)
    change(changed)
    network = network_of(release_files.flat(changed))
    assert _error(network, expected, SIZES[0]) > 1e-2


def test_comparison_sees_another_epsilon(layers, expected):
    network = network_of(release_files.flat(layers))
    assert _error(network, expected, SIZES[0]) < 1e-4
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5
    assert _error(network, expected, SIZES[0]) > 1e-3


# What is required


def test_release_has_394_tensors(layers):
    targets = released_tensors()
    arrays = release_files.flat(layers)
    assert len(targets) == 394
    assert {n: t.shape for n, t in targets.items()} == {n: a.shape for n, a in arrays.items()}
    assert len({t.key for t in targets.values()}) == 394


def _with_nan(array):
    array = array.copy()
    array.flat[-1] = np.nan
    return array


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (
            lambda a: a.pop('bn3b_branch2c/variance'),
            '^1 of 394 tensors are missing; the first is bn3b_branch2c/variance$',
        ),
        (
            lambda a: [a.pop(n) for n in list(a) if n.startswith('layer4x_br1_ConvC/')],
            '^2 of 394 tensors are missing; the first is layer4x_br1_ConvC/weights$',
        ),
        (
            lambda a: a.update({'fc1000/weights': np.zeros((1, 1, 2048, 1000), np.float32)}),
            '^1 tensors do not belong to the released network of 394; .* is fc1000/weights$',
        ),
        (
            lambda a: a.update({'res2a_branch1/biases': np.zeros(256, np.float32)}),
            'the first is res2a_branch1/biases$',
        ),
        (
            lambda a: a.update({'ConvPred/weights': a['ConvPred/weights'][..., 0]}),
            r'^ConvPred/weights: found float32 \(3, 3, 64\), expected float32 \(3, 3, 64, 1\)$',
        ),
        (
            lambda a: a.update(
                {
                    'layer2x_br2_ConvB/weights': a['layer2x_br2_ConvC/weights'],
                    'layer2x_br2_ConvC/weights': a['layer2x_br2_ConvB/weights'],
                }
            ),
            r'^layer2x_br2_ConvB/weights: found float32 \(3, 2, .*expected float32 \(2, 3, ',
        ),
        (
            lambda a: a.update({'conv1/biases': a['conv1/biases'].astype(np.float64)}),
            r'^conv1/biases: found float64 \(64,\), expected float32 \(64,\)$',
        ),
        (
            lambda a: a.update({'layer1/biases': _with_nan(a['layer1/biases'])}),
            '^layer1/biases: found a number that is not finite$',
        ),
    ],
)
def test_tensors_that_are_not_the_release_are_refused(layers, change, expected):
    arrays = release_files.flat(layers)
    change(arrays)
    with pytest.raises(ModelError, match=expected):
        network_of(arrays)


# Which release, which camera


def test_release_is_known_by_its_input_size_or_its_name():
    assert release_of('any.mat', (228, 304)) is NYU
    assert release_of('NYU.mat', (230, 173)) is MAKE3D
    assert release_of('Make3D_ResNet-UpProj.mat', None) is MAKE3D
    assert release_of('NYU_ResNet-UpProj.npy', None) is NYU
    with pytest.raises(ModelError, match=r'its input size is \(224, 224\); expected one of \(228'):
        release_of('NYU.mat', (224, 224))


def test_make3d_needs_a_camera():
    with pytest.raises(
        ModelError, match='camera of Make3D is not published; give --camera .*176x'
    ):
        MAKE3D.spec('', None, {})
    spec = MAKE3D.spec('', (220.0, 221.0, 87.0, 115.0), {})
    assert spec.camera == {'fx': 220.0, 'fy': 221.0, 'cx': 87.0, 'cy': 115.0}
    assert spec.input_size == (232, 176) and spec.output_size == (128, 96)


def test_given_camera_replaces_the_known_one():
    spec = NYU.spec('mine', (250.0, 251.0, 150.0, 110.0), {'a.npy': 'ab'})
    assert spec.name == 'mine' and spec.camera['fx'] == 250.0


def test_known_file_is_recorded():
    digest = next(iter(KNOWN))
    assert len(digest) == 64
    spec = NYU.spec('', None, {'NYU_FCRN-checkpoint.zip': digest})
    assert spec.provenance['known_file'] == 'NYU_FCRN-checkpoint.zip, 472,588,519 bytes'


# The command line and its files


def _refused(capsys, path, *parts):
    assert main(['models', 'import', str(path), '--out', str(path.parent / 'out')]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'fcrn models: {path}: ') and error.count('\n') == 1
    for part in parts:
        assert part in error
    assert not (path.parent / 'out').exists()


def test_import_needs_a_file(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(['models', 'import'])
    assert exit_.value.code == 2
    assert 'import needs FILE' in capsys.readouterr().err


def test_command_line_imports(tiny_model, tmp_path, capsys, monkeypatch):
    """Import a checkpoint by its prefix, under another name and with another camera."""
    monkeypatch.setattr(importer, 'network_of', lambda tensors: load_model(str(tiny_model))[0])
    arrays = {n: np.zeros(2, np.float32) for n in ('conv1/weights', 'conv1/biases', 'other')}
    release_files.write_checkpoint(tmp_path / 'NYU_FCRN.ckpt', arrays)
    options = ['--out', str(tmp_path), '--name', 'mine', '--camera', '260,261,152,114']
    assert main(['models', 'import', str(tmp_path / 'NYU_FCRN.ckpt'), *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f'{tmp_path / "mine.json"}: 2 tensors; sha256 of NYU_FCRN.ckpt.index ')
    content = json.loads((tmp_path / 'mine.json').read_text())
    assert content['camera'] == {'fx': 260.0, 'fy': 261.0, 'cx': 152.0, 'cy': 114.0}
    digests = content['provenance']['imported_from']
    assert list(digests) == ['NYU_FCRN.ckpt.index', 'NYU_FCRN.ckpt.data-00000-of-00001']
    for name, digest in digests.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize('ending', ['', '.index', '.data-00000-of-00001'])
def test_checkpoint_is_found_by_any_of_its_names(tmp_path, ending):
    release_files.write_checkpoint(tmp_path / 'NYU_FCRN.ckpt', {'a': np.zeros(2, np.float32)})
    with pytest.raises(ModelError, match='394 of 394 tensors are missing; the first is conv1/wei'):
        import_release(tmp_path / f'NYU_FCRN.ckpt{ending}', tmp_path)


def test_absent_and_foreign_files_are_refused(tmp_path, capsys):
    _refused(capsys, tmp_path / 'NYU.npy', 'there is no such file; expected a .npy, a .mat, a ')
    (tmp_path / 'weights.h5').write_bytes(b'hdf')
    _refused(capsys, tmp_path / 'weights.h5', 'it is none of the released files')
    (tmp_path / 'NYU_FCRN.ckpt.index').write_bytes(b'')
    _refused(capsys, tmp_path / 'NYU_FCRN.ckpt', 'data-00000-of-00001 was not found; expected it')


@pytest.mark.parametrize('names', [(), ('a.npy', 'b.mat'), ('readme.txt',)])
def test_folder_or_zip_without_exactly_one_release_is_refused(tmp_path, capsys, names):
    folder = tmp_path / 'folder'
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / 'release.zip', 'w') as archive:
        for name in names:
            (folder / name).write_bytes(b'x')
            archive.writestr(f'inside/{name}', b'x')
    for path in (folder, tmp_path / 'release.zip'):
        _refused(capsys, path, 'expected exactly one of .npy, .mat, .index')


def test_damaged_zip_is_refused(tmp_path, capsys):
    path = tmp_path / 'release.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a.npy', b'x' * 5000)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    _refused(capsys, path, 'not a readable zip: Bad CRC-32')
    path.write_bytes(data[:100])
    _refused(capsys, path, 'not a readable zip: ')


def test_zip_cannot_write_outside(tmp_path, capsys):
    path = tmp_path / 'release.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('../../escaped.npy', b'x')
    _refused(capsys, path, 'it is not a .npy file')
    assert not list(tmp_path.parent.glob('**/escaped.npy'))


def test_name_with_a_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="the name is 'a/b'; expected a bare name"):
        import_release(tmp_path / 'x.npy', tmp_path, 'a/b')


# float32 on disk


def test_float32_keeps_every_bit(tiny_model, tmp_path):
    network, spec = load_model(str(tiny_model))
    with torch.no_grad():
        network.predict.bias[0] = 1 + 2**-20
        sidecar = save_model(network, spec, tmp_path, 'float32')
    found = load_model(str(sidecar))[0].state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(found[name], tensor)


def test_float32_must_be_finite_too(tiny_model, tmp_path):
    network, spec = load_model(str(tiny_model))
    network.predict.bias.data[0] = float('inf')
    with pytest.raises(ModelError, match='weight predict.bias is not finite in float32'):
        save_model(network, spec, tmp_path, 'float32')


def test_other_types_on_disk_are_refused(tiny_model, tmp_path):
    network, spec = load_model(str(tiny_model))
    with pytest.raises(ValueError, match="dtype is 'int8'; expected one of float16, float32"):
        save_model(network, spec, tmp_path, 'int8')

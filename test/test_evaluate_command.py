"""``fcrn evaluate`` on sources, with several models, protocols and plots."""

import json
import shutil

import cv2
import numpy as np
import pytest

from fcrn_ros.cli import main
from fcrn_ros.model.weights import load_spec

pytestmark = pytest.mark.usefixtures('one_thread')
FP32 = ['--backend', 'torch', '--precision', 'fp32']


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch):
    from fcrn_ros.engine import check

    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)


@pytest.fixture
def model(tiny_model, tmp_path):
    """Return the sidecar of a copy of the tiny model that a test may change."""
    (tmp_path / 'models').mkdir()
    shutil.copy(tiny_model.with_suffix('.safetensors'), tmp_path / 'models')
    return type(tiny_model)(shutil.copy(tiny_model, tmp_path / 'models'))


@pytest.fixture
def source(tmp_path):
    """Return a folder of two pairs of 64 x 48: 2.5 m and 12 m."""
    for stem, millimetres in (('a', 2500), ('b', 12000)):
        for name, pixels in (
            ('rgb', np.full((48, 64, 3), 120, np.uint8)),
            ('depth', np.full((48, 64), millimetres, np.uint16)),
        ):
            (tmp_path / 'set' / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / 'set' / name / f'{stem}.png'), pixels)
    return [str(tmp_path / 'set'), '--camera', '60,62,31.5,22']


def _usage(capsys, arguments, text):
    with pytest.raises(SystemExit) as exit_:
        main(['evaluate', *arguments])
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_source_needs_no_folders(capsys, source, model):
    assert main(['evaluate', *source, '--model', str(model), *FP32, '--json']) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content['images'] == 2
    assert [band['from'] for band in content['bands']] == [2, 10]
    assert 'set: ' in err and '2 samples' in err


def test_pairs_and_source_give_the_same(capsys, source, model):
    folder = source[0]
    pairs = ['--images', f'{folder}/rgb', '--depth', f'{folder}/depth', *source[1:]]
    contents = []
    for data in (source, pairs):
        assert main(['evaluate', *data, '--model', str(model), *FP32, '--json']) == 0
        contents.append(json.loads(capsys.readouterr().out))
    assert contents[0] == contents[1]


def test_stems_are_the_samples_of_a_source(capsys, source, model, tmp_path):
    (tmp_path / 'stems.txt').write_text('b\n')
    options = ['--model', str(model), *FP32, '--json', '--stems', str(tmp_path / 'stems.txt')]
    assert main(['evaluate', *source, *options]) == 0
    assert json.loads(capsys.readouterr().out)['best'][0]['name'] == 'b'
    (tmp_path / 'stems.txt').write_text('b c\n')
    assert main(['evaluate', *source, *options]) == 1
    assert '1 names have no sample; the first: c' in capsys.readouterr().err


def test_two_models_are_compared_and_recorded(capsys, source, model, tmp_path):
    other = tmp_path / 'models' / 'other.json'
    other.write_text(model.read_text().replace('"name": "tiny"', '"name": "other"'))
    shutil.copy(model.with_suffix('.safetensors'), other.with_suffix('.safetensors'))
    models = ['--model', str(model), '--model', str(other)]
    assert main(['evaluate', *source, *models, *FP32, '--json', '--record', 'two']) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first['model'], second['model']) == ('tiny', 'other')
    assert first['pooled'] == second['pooled']
    for path in (model, other):
        measured = load_spec(str(path)).metrics['two']
        assert measured['pooled'] == first['pooled']
        assert set(measured['variants']) == {'none', 'median'}


def test_models_of_one_name_are_told_apart(capsys, source, model, tmp_path):
    second = tmp_path / 'again' / 'tiny.json'
    shutil.copytree(model.parent, second.parent)
    models = ['--model', str(model), '--model', str(second)]
    assert main(['evaluate', *source, *models, *FP32, '--json']) == 0
    assert [c['model'] for c in json.loads(capsys.readouterr().out)] == [str(model), str(second)]


def test_plots_go_into_a_folder(capsys, source, model, tmp_path):
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    folder = tmp_path / 'plots'
    options = ['--model', str(model), *FP32, '--plots', str(folder)]
    assert main(['evaluate', *source, *options]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {'range.png', 'confidence.png', 'frames_tiny.png'}
    assert 'tiny, 2 images, protocol native' in capsys.readouterr().out


def test_scale_and_protocol_are_used(capsys, source, model):
    options = ['--model', str(model), *FP32, '--json', '--scale', 'median', '--protocol', 'kitti']
    assert main(['evaluate', *source, *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content['scale'], content['protocol']) == ('median', 'kitti')
    assert content['pooled'] == content['variants']['median']['pooled']


def test_nyu_protocol_refuses_other_sizes(capsys, source, model):
    options = ['--model', str(model), *FP32, '--protocol', 'nyu']
    assert main(['evaluate', *source, *options]) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert 'fcrn evaluate: a: depth is 64x48; expected 640x480' in err


def test_unknown_model_is_told_before_data_is_read(capsys):
    assert main(['evaluate', '/nowhere', '--model', 'fcrn_moon']) == 1
    assert "model 'fcrn_moon' was not found" in capsys.readouterr().err


def test_unknown_source_is_told(capsys, model):
    assert main(['evaluate', '/nowhere', '--model', str(model)]) == 1
    err = capsys.readouterr().err
    assert err.startswith('fcrn evaluate: /nowhere') and err.count('\n') == 1


def test_something_to_measure_with_is_required(capsys):
    _usage(capsys, [], 'expected SOURCE, or all of --images, --depth and --camera')
    _usage(capsys, ['x', '--depth', 'y'], 'SOURCE is not allowed with --images or --depth')

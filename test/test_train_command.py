"""``fcrn train`` from the outside: what it prints, where, and how it ends."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from bag_files import Bag
from small_runs import options, run_fcrn, write_model, write_pairs

from fcrn_ros.camera import Camera
from fcrn_ros.cli import main
from fcrn_ros.model.weights import load_model

CAMERA = Camera(64, 48, 50.0, 55.0, 31.0, 25.0)
TWO = {'steps': 2, 'check_every': 2}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with the pairs 'room' and the model 'tiny.json'."""
    folder = tmp_path_factory.mktemp('command')
    write_pairs(folder / 'room')
    write_model(folder)
    return folder


def test_table_is_the_output_and_progress_is_not(folder):
    """The output goes to train_out/fcrn_room, the last fifth of eight pairs is 2."""
    ended = run_fcrn(options('tiny.json', 'room', **TWO), folder)
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[0].strip() == 'room, 2 held-out samples'
    cells = [line.split('│')[1:-1] for line in ended.out.splitlines() if '│' in line]
    assert [row[0].strip() for row in cells] == ['absrel', 'rmse', 'delta1']
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in cells)
    last = ended.out.splitlines()[-1]
    assert last == 'model: train_out/fcrn_room/fcrn_room.safetensors'
    assert 'Decoding room' in ended.err and 'Epoch' in ended.err
    _, spec = load_model(str(folder / last.removeprefix('model: ')))
    assert spec.name == 'fcrn_room' and 'room, 2 held-out samples' in spec.metrics


@pytest.mark.skipif(not find_spec('openvino'), reason='needs an engine to build')
def test_json_is_nothing_but_json_and_build_prints_beside_it(folder):
    named = {'out': 'run', 'name': 'new', 'logger': 'csv', 'blend': 0.0, **TWO}
    ended = run_fcrn([*options('tiny.json', 'room', **named), '--json', '--build'], folder)
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert found['model'] == 'run/new.json'
    (measured,) = found['measured']
    assert measured['samples'] == 'room, 2 held-out samples'
    assert measured['before']['model'] == 'tiny' and measured['after']['model'] == 'new'
    assert measured['before']['images'] == measured['after']['images'] == 2
    assert ended.err.strip().splitlines()[-1].endswith(' is ready')
    assert 'epoch,' in next((folder / 'run').rglob('metrics.csv')).read_text()


def test_a_recorded_bag_becomes_a_model(folder):
    bag = Bag()
    rng = np.random.default_rng(4)
    for i in range(6):
        picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
        bag.add('/camera/image', bag.image(i / 10, picture, 'rgb8'), i / 10)
        depth = np.full((48, 64), 2000 + 100 * i, np.uint16)
        bag.add('/camera/depth', bag.image(i / 10, depth, '16UC1'), i / 10)
        bag.add('/camera/info', bag.info(i / 10, CAMERA), i / 10)
    bag.write(folder / 'walk')
    ended = run_fcrn([*options('tiny.json', 'walk', out='bag', **TWO), '--json'], folder)
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert found['model'] == 'bag/fcrn_walk.json'
    _, spec = load_model(str(folder / found['model']))
    assert spec.provenance['data'][0]['training'] == 4


# Wrong use


def _failed(capsys, arguments, *parts):
    """Run a command that fails; its error is one line that names things."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ''
    last = err.splitlines()[-1]
    assert last.startswith('fcrn train: ')
    for part in parts:
        assert part in last, last


def test_nothing_to_train_on_is_one_line(capsys):
    _failed(capsys, ['train'], 'nothing to train on; expected a SOURCE, or --images and --depth')


def test_absent_source_is_one_line(capsys, tmp_path):
    _failed(capsys, ['train', str(tmp_path / 'no.bag')], 'no.bag: no such file or folder')


def test_empty_source_is_one_line(capsys, tmp_path):
    _failed(capsys, ['train', str(tmp_path)], f'{tmp_path}: nothing; expected one of: a bag')


def test_one_of_images_and_depth_is_one_line(capsys, tmp_path):
    _failed(capsys, ['train', '--images', str(tmp_path)], '--images and --depth belong together')


@pytest.mark.parametrize(
    'arguments, part',
    [
        (['--batch', '0'], 'batch is 0; expected at least 1'),
        (['--erase', '2'], 'erase is 2.0; expected at least 0 and at most 1'),
        (['--model', 'nothing'], "model 'nothing' was not found; expected a path"),
        (['--logger', 'paper'], "logger 'paper'; expected none or one of tensorboard, csv"),
        (['--test', '1.5'], 'test is 1.5; expected a share from 0 to below 1, or names'),
        (['--objective', 'stereo'], 'room: the 5 training samples have no right picture; there'),
        (['--devices', '3'], 'batch 4 cannot be shared by 3 processes in 1 parts; expected a'),
    ],
)
def test_wrong_input_is_one_line(capsys, folder, tmp_path, arguments, part):
    where = options(folder / 'tiny.json', folder / 'room', out=tmp_path, cache=folder / 'cache')
    _failed(capsys, [*where, *arguments], part)


@pytest.mark.parametrize(
    'arguments, part',
    [
        (['--loss', 'l3'], "invalid choice: 'l3'"),
        (['--test', 'absent.txt'], "'absent.txt' is neither a share from 0 to 1 nor a file of"),
        (['--input-size', '64'], "'64' is not ROWSxCOLUMNS"),
        (['--steps', '10', '--epochs', '2'], 'not allowed with argument --steps'),
    ],
)
def test_wrong_usage_exits_with_2(capsys, arguments, part):
    with pytest.raises(SystemExit) as exit_:
        main(['train', *arguments])
    assert exit_.value.code == 2
    assert part in capsys.readouterr().err

"""What engines are compared with: the forms, the pictures, the random network that sees."""

import cv2
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fcrn_ros.bench.network import FormEngine, naive_form, operations, why_not_naive
from fcrn_ros.bench.pictures import find_pictures, resized
from fcrn_ros.bench.random_model import MEAN, SPEC, STD, settle
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.weights import load_model

pytestmark = pytest.mark.usefixtures('one_thread')


def test_naive_form_is_the_network(tiny_model, pictures):
    plain = FormEngine(str(tiny_model), 'plain', 'cpu', 1)
    naive = FormEngine(str(tiny_model), 'naive', 'cpu', 1)
    assert (plain.name, naive.precision, naive.device) == ('torch', 'fp32', 'cpu')
    batch = pictures[:3].numpy()
    expected, found = plain.infer(batch), naive.infer(batch)
    assert found.shape == (3, 2, 32, 48) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert expected[:, 0].std() > 0.05


@pytest.mark.parametrize(
    ('architecture', 'reason'),
    [
        (Architecture('resnet18', 'upconv', width=16), 'its blocks are upconv; expected upproj'),
        (
            Architecture('resnet18', alignment='top_left', width=16),
            'its alignment is top_left; expected bottom_right',
        ),
    ],
)
def test_other_networks_have_no_naive_form(architecture, reason):
    network = Fcrn(architecture)
    assert why_not_naive(network) == reason
    with pytest.raises(ValueError, match=f'no naive form: {reason}'):
        naive_form(network)


def test_phases_with_different_biases_have_no_naive_form():
    network = Fcrn(Architecture('resnet18', width=16))
    assert why_not_naive(network) == ''
    with torch.no_grad():
        network.blocks[1].up2.phases[3].bias[0] = 1e-3
    assert why_not_naive(network).startswith('its four phases have different biases')


def test_operations_are_those_of_a_run(tiny_model):
    network, spec = load_model(str(tiny_model))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 64, 96))
    assert operations(spec) == counter.get_total_flops() > 1e6


def test_random_network_sees(pictures):
    torch.manual_seed(1)
    network = settle(Fcrn(Architecture('resnet18', width=16)), pictures.numpy())
    assert not network.training
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    with torch.inference_mode():
        depth = network((pictures.permute(0, 3, 1, 2) - mean) / std)
    assert depth.mean() == pytest.approx(2.5, abs=0.01)
    assert depth.std() == pytest.approx(0.25, abs=0.01)
    assert why_not_naive(network) == ''


# pictures


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        image = np.zeros((6, 8, 3), np.uint8)
        image[..., 2] = 10 * i  # red, the last channel of OpenCV's
        assert cv2.imwrite(str(tmp_path / f'{i}.png'), image)
    (tmp_path / 'notes.txt').write_text('not an image')
    return tmp_path


def test_pictures_are_spread_over_a_folder(folder):
    found = find_pictures(folder, count=3)
    assert [tuple(p[0, 0]) for p in found] == [(0, 0, 0), (20, 0, 0), (40, 0, 0)]
    assert len(find_pictures(folder)) == 5


def test_clip_has_pictures_that_differ():
    found = find_pictures(count=3)
    assert len(found) == 3 and found[0].dtype == np.uint8 and found[0].shape[2] == 3
    assert np.abs(found[0].astype(int) - found[2]).mean() > 2


def test_pictures_take_the_networks_size(folder):
    batch = resized(find_pictures(folder, 2), (3, 4))
    assert batch.shape == (2, 3, 4, 3) and batch.dtype == np.uint8
    assert (batch[1, ..., 0] == 40).all()


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere is not a folder'):
        find_pictures(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='no image; expected .jpg'):
        find_pictures(tmp_path)
    (tmp_path / 'a.png').write_bytes(b'not a picture')
    with pytest.raises(ValueError, match='a.png: not a readable image'):
        find_pictures(tmp_path)


def test_spec_of_the_random_model_is_the_papers():
    assert SPEC.input_size == (228, 304) and SPEC.output_size == (128, 160)

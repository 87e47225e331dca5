"""The same depth from every backend, to its precision's tolerance, on recorded frames."""

import importlib.util

import cv2
import numpy as np
import pytest
import torch

from fcrn_ros.engine import check, open_engine
from fcrn_ros.engine.check import TOLERANCE, difference, plain_output
from fcrn_ros.model.weights import load_model

pytestmark = pytest.mark.usefixtures('one_thread')
HAS_OPENVINO = importlib.util.find_spec('openvino') is not None
openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="needs 'fcrn_ros[openvino]'")
gpu = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'))
ENGINES = [
    pytest.param('torch', 'cpu', 'fp32'),
    pytest.param('torch', 'cpu', 'bf16'),
    pytest.param('openvino', 'cpu', 'fp32', marks=openvino),
    pytest.param('openvino', 'cpu', 'bf16', marks=openvino),
    pytest.param('torch', 'cuda', 'fp16', marks=gpu),
    pytest.param('tensorrt', 'cuda', 'fp16', marks=gpu),
]
FRAMES = {
    'kitchen': 'kitchen_video/*.color.jpg',
    'headset': 'headset_video/*.jpg',
    'nyu': 'nyu_v2_train/rgb/*.jpg',
}


@pytest.fixture(scope='module')
def network():
    return load_model('')


@pytest.fixture(scope='module', params=FRAMES)
def frames(request, data_folder, network):
    """Return four recorded frames as the pipeline would hand them to the shipped model."""
    paths = sorted(data_folder.glob(FRAMES[request.param]))
    if len(paths) < 4:
        paths = sorted(data_folder.glob(FRAMES[request.param].replace('/', '/*/')))
    assert len(paths) >= 4, f'no frames of {request.param}'
    rows, columns = network[1].input_size
    chosen = paths[:: len(paths) // 4][:4]
    images = (cv2.imread(str(path))[..., ::-1] for path in chosen)
    size = (columns, rows)
    return np.stack([cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in images])


@pytest.mark.parametrize(('backend', 'device', 'precision'), ENGINES)
def test_depth_is_the_plain_networks(frames, network, monkeypatch, backend, device, precision):
    monkeypatch.setattr(check, 'WARM_UP_SECONDS', 0.0)
    engine = open_engine('', backend, device, precision, threads=1)
    assert (engine.name, engine.precision) == (backend, precision)
    expected = plain_output(*network, frames)
    for frame, depth in zip(frames, expected, strict=True):
        assert difference(engine.infer(frame[None]), depth[None]) <= TOLERANCE[precision]


def test_the_comparison_can_fail(frames, network):
    """Another frame's depth differs by more than any tolerance."""
    first, second = plain_output(*network, frames[:2])
    assert difference(first[None], second[None]) > max(TOLERANCE.values())

"""What the log of an experiment shows of a validation, colour by colour."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from fcrn_ros.training.pictures import COUNT, WORST, ValidationPictures, draw

pytestmark = pytest.mark.usefixtures('one_thread')


def _turbo(*levels):
    """Return the (N, 3) RGB of levels 0..255; 255 is near, or the worst error."""
    colours = cv2.applyColorMap(np.array(levels, np.uint8)[:, None], cv2.COLORMAP_TURBO)
    return colours[:, 0, ::-1]


def _batch(depth, canonical=1.0):
    """Return (1, h, w) depth with pictures of twice its size, of grey 70 but for one corner."""
    depth = torch.tensor(depth, dtype=torch.float32)[None]
    images = torch.full((1, 2 * depth.shape[1], 2 * depth.shape[2], 3), 70, dtype=torch.uint8)
    images[0, :2, :2] = torch.tensor([10, 20, 30], dtype=torch.uint8)
    return {'image': images, 'depth': depth, 'canonical': torch.tensor([canonical])}


def test_four_pictures_lie_beside_each_other():
    """
    Recorded 2, 4 m and none; predicted 2, 3, 2 m.

    Depth is drawn from 0.1 to the farthest recorded, 4 m: 2 m is (1/2 - 1/4) / (10 - 1/4) = 2.6 %
    of 255, level 6; 3 m is 0.85 %, level 2; 4 m is level 0. The errors are 0 and |3 - 4| / 4 = 25
    %, half of the worst: level 127.
    """
    batch = _batch([[2.0, 4.0, 0.0], [4.0, 4.0, 4.0]])
    depth = torch.tensor([[[2.0, 3.0, 2.0], [4.0, 4.0, 4.0]]])
    picture = draw(batch, depth)
    assert (picture.shape, picture.dtype) == ((2, 12, 3), np.uint8)
    colour, recorded, predicted, error = np.split(picture, 4, 1)
    assert colour[0, 0].tolist() == [10, 20, 30] and colour[1, 2].tolist() == [70, 70, 70]
    np.testing.assert_array_equal(recorded[0, :2], _turbo(6, 0))
    np.testing.assert_array_equal(predicted[0], _turbo(6, 2, 6))
    np.testing.assert_array_equal(error[0, :2], _turbo(0, 127))
    assert not recorded[0, 2].any() and not error[0, 2].any(), 'nothing known is black'


def test_larger_errors_are_never_drawn_as_smaller_ones():
    """Of 2 m: errors 10, 20, ... 50, 100 and 900 %; from 50 % on all are the worst."""
    shares = [0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 9.0]
    assert WORST == 0.5
    batch = _batch([[2.0] * 7, [2.0] * 7])
    depth = torch.tensor([[[2 + 2 * s for s in shares], [2.0] * 7]])
    error = draw(batch, depth)[:, -7:]
    expected = _turbo(*[min(255, 255 * s / 0.5) for s in shares])
    assert np.abs(error[0].astype(int) - expected).max() <= 8, 'a level up or down'
    np.testing.assert_array_equal(error[0, 4:], _turbo(255, 255, 255))
    np.testing.assert_array_equal(error[1], _turbo(*[0] * 7))


def test_samples_lie_below_each_other_and_one_may_have_no_depth():
    batch = _batch([[2.0, 4.0, 3.0], [1.0, 4.0, 3.0]])
    two = {k: torch.cat((v, v)) for k, v in batch.items()}
    two['depth'][1] = 0
    picture = draw(two, torch.full((2, 2, 3), 2.0))
    assert picture.shape == (4, 12, 3)
    colour, recorded, predicted, error = np.split(picture[2:], 4, 1)
    assert colour.any() and predicted.any() and not recorded.any() and not error.any()


# The callback


class Network:
    """Says 3 m canonical everywhere, and remembers how many pictures it was shown."""

    def __init__(self):
        self.shown = []

    def normalise(self, images):
        return images.permute(0, 3, 1, 2).float()

    def averaged(self, x):
        self.shown.append(len(x))
        return torch.full((len(x), 2, 2, 3), 3.0)


def _events(folder):
    """Return the pictures logged in a folder: tag -> (step, RGB)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {'images': 0}).Reload()
    found = {}
    for tag in events.Tags()['images']:
        for event in events.Images(tag):
            data = np.frombuffer(event.encoded_image_string, np.uint8)
            found[tag] = event.step, cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return found


@pytest.fixture
def logged(tmp_path):
    """Return a function that ends a validation batch and returns what was logged."""
    pytest.importorskip('tensorboard')
    from lightning.pytorch.loggers import TensorBoardLogger

    def end(batch, index=0, leading=True, tensorboard=True):
        logger = TensorBoardLogger(tmp_path)
        others = [SimpleNamespace(experiment=None)]  # a logger that takes no pictures
        loggers = [*others, logger] if tensorboard else others
        trainer = SimpleNamespace(is_global_zero=leading, loggers=loggers, global_step=41)
        network = Network()
        ValidationPictures().on_validation_batch_end(trainer, network, None, batch, index)
        if tensorboard:
            logger.experiment.flush()
        return _events(logger.log_dir) if tensorboard else {}, network.shown

    return end


def test_the_first_samples_are_logged_in_metres(logged):
    """3 m canonical, with canonical 0.75 and 0.5: 4 m and 6 m, where 4 m were recorded."""
    batch = _batch([[4.0] * 3] * 2)
    six = {k: torch.cat([v] * 6) for k, v in batch.items()}
    six['canonical'] = torch.tensor([0.75, 0.5, 0.75, 0.75, 0.75, 0.75])
    found, shown = logged(six)
    step, picture = found['colour, recorded, predicted, error']
    assert step == 41 and shown == [COUNT] and picture.shape == (2 * COUNT, 12, 3)
    error = picture[::2, -1]
    np.testing.assert_array_equal(error[[0, 2, 3]], _turbo(0, 0, 0))
    np.testing.assert_array_equal(error[1], _turbo(255)[0])  # |6 - 4| / 4 is the worst


@pytest.mark.parametrize(
    'options', [{'index': 1}, {'leading': False}, {'tensorboard': False}], ids=str
)
def test_nothing_else_is_drawn(logged, options):
    """A later batch, a process that only helps, a logger without pictures."""
    assert logged(_batch([[4.0] * 3] * 2), **options) == ({}, [])

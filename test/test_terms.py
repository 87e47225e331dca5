"""The terms of the loss of one batch: which there are, with which weights, in which metres."""

import math

import pytest
import torch
from plane_scene import pose, tensors
from torch import nn

from fcrn_ros.training.objectives.reduction import LOCAL
from fcrn_ros.training.objectives.terms import Start, depth_terms, picture_terms
from fcrn_ros.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures('one_thread')

FACTOR = 1.6  # what makes depth canonical


def _depth_batch(depth, canonical):
    return {'depth': torch.tensor(depth), 'canonical': torch.tensor(canonical)}


def test_recorded_depth_is_made_canonical():
    """Recorded 2, 3, 0 m at a factor of 2: 4, 6 m and none; predicted 5, 3, 9: 1 and 3 m off."""
    raw = torch.tensor([[[[5.0, 3, 9]]]])
    recipe = Recipe(loss='l1', gradient=0.0)
    terms = depth_terms(raw, _depth_batch([[[2.0, 3, 0]]], [2.0]), recipe, LOCAL)
    assert terms.keys() == {'l1'}
    weight, value = terms['l1']
    assert weight == 1 and value.item() == pytest.approx(2)


def test_gradient_and_uncertainty_join_with_their_weights():
    """
    Predicted 2, 2 m with log(b) = 0, 1, recorded 1, 2 m.

    Errors in log: log 2 and 0, so the gradient term is log 2 / 2; relative errors: 0.5 and 0;
    likelihood: (0.5 / 1 + 0 + 0 + 1) / 2 = 0.75.
    """
    raw = torch.tensor([[[[2.0, 2]], [[0.0, 1]]]])
    terms = depth_terms(raw, _depth_batch([[[1.0, 2]]], [1.0]), Recipe(gradient=0.25), LOCAL)
    assert {k: weight for k, (weight, _) in terms.items()} == {
        'log_l1': 1.0,
        'gradient': 0.25,
        'scale': 0.1,
    }
    assert terms['log_l1'][1].item() == pytest.approx(math.log(2) / 2)
    assert terms['gradient'][1].item() == pytest.approx(math.log(2) / 2)
    assert terms['scale'][1].item() == pytest.approx(0.75, abs=0.02)  # log(b) is bent a little


def test_depth_alone_asks_nothing_of_pictures():
    batch = _depth_batch([[[2.0, 3, 0]]], [2.0])
    assert depth_terms(torch.ones(1, 1, 1, 3), batch, Recipe(), LOCAL).keys() == {
        'log_l1',
        'gradient',
    }


# Pictures of a plane


def _bytes(pictures):
    """Return (..., H, W, 3) uint8 of (..., 3, H, W) in 0..1."""
    return (255 * pictures.clamp(0, 1)).round().byte().movedim(-3, -1)


@pytest.fixture
def video():
    """Return a batch of one picture and two sources at both sides of it, and its depth."""
    shifts = (0.0, 0, 0), (0.1, 0, 0), (-0.1, 0.02, 0)
    target, sources, poses, intrinsics, depth = tensors(*map(pose, shifts))
    batch = {
        'image': _bytes(target),
        'sources': _bytes(sources),
        'source_T_target': poses,
        'posed': torch.tensor([True]),
        'known': torch.ones(1, 2, dtype=torch.bool),
        'visible': torch.ones(1, *target.shape[-2:], dtype=torch.bool),
        'intrinsics': intrinsics,
        'canonical': torch.tensor([FACTOR]),
    }
    return batch, depth


def _value(term, depth, batch, pose_network=None, predict=None):
    return picture_terms(depth, batch, Recipe(), predict, pose_network)[term][1].item()


def test_video_is_explained_best_by_the_right_metres(video):
    """Canonical depth is the depth in metres times the factor."""
    batch, depth = video
    right = _value('video', FACTOR * depth, batch)
    for wrong in (0.8, 1 / FACTOR, 1.25):
        assert right < 0.7 * _value('video', wrong * FACTOR * depth, batch)


class Told(nn.Module):
    """Tells the same motion for all."""

    def __init__(self, motion):
        super().__init__()
        self.motion = motion

    def forward(self, target, sources):
        return self.motion.expand(*sources.shape[:2], 4, 4)


def test_told_motion_counts_only_where_none_was_recorded(video):
    batch, depth = video
    nonsense = Told(torch.tensor(pose((0.3, 0.3, 0.3))).float())
    known = _value('video', FACTOR * depth, batch)
    assert _value('video', FACTOR * depth, batch, nonsense) == known
    batch['posed'] = torch.tensor([False])
    assert _value('video', FACTOR * depth, batch, nonsense) > known
    told = Told(batch['source_T_target'])
    batch['source_T_target'] = torch.eye(4).expand(1, 2, 4, 4)
    assert _value('video', FACTOR * depth, batch, told) == pytest.approx(known)


def test_stereo_is_explained_best_by_the_right_metres_of_both_pictures():
    target, sources, _, intrinsics, depth = tensors(pose(), pose((0.1, 0, 0)))
    of_right = tensors(pose((0.1, 0, 0)), pose())[-1]
    batch = {
        'image': _bytes(target),
        'right': _bytes(sources[:, 0]),
        'right_at': torch.tensor([[0.1, 0, 0]]),
        'visible': torch.ones(1, *target.shape[-2:], dtype=torch.bool),
        'intrinsics': intrinsics,
        'canonical': torch.tensor([FACTOR]),
    }

    def stereo(left, right):
        def predict(images):
            assert torch.equal(images, batch['right'])
            return right * FACTOR * of_right

        return _value('stereo', left * FACTOR * depth, batch, predict=predict)

    assert stereo(1, 1) < 0.7 * min(stereo(0.8, 1), stereo(1, 0.8), stereo(1.25, 1.25))


def test_smoothness_has_the_weight_of_the_recipe(video):
    batch, depth = video
    recipe = Recipe(smoothness=0.02)
    weight, value = picture_terms(FACTOR * depth, batch, recipe, None, None)['smoothness']
    assert weight == 0.02 and value > 0
    flat = picture_terms(torch.full_like(depth, 2.0), batch, recipe, None, None)['smoothness'][1]
    assert flat.item() == 0


# The anchor


class Scaled(nn.Module):
    """Answers its weight times the first channel."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.weight * x[:, :1]


def test_anchor_is_the_distance_from_what_the_network_was():
    """Once 2 m, later 4 m: sqrt(log(2)^2 + 0.01) - 0.1 = 0.6003; the start stays what it was."""
    network = Scaled()
    start, inputs = Start(network), torch.ones(1, 3, 2, 3)
    network.weight.data.fill_(4.0)
    depth = network(inputs)[:, 0]
    weight, value = start.term(depth, inputs, 0.5)['anchor']
    assert weight == 0.5 and value.item() == pytest.approx(0.6003, abs=1e-4)
    value.backward()
    assert network.weight.grad > 0

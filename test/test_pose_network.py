"""The pose network: rigid transforms by hand and by law, and that view synthesis teaches it."""

import math

import cv2
import numpy as np
import plane_scene
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.training.objectives.picture_losses import video_loss
from fcrn_ros.training.objectives.pose_network import PoseNetwork, matrix_from_motion

pytestmark = pytest.mark.usefixtures('one_thread')


def test_a_quarter_turn_about_z_takes_x_to_y():
    matrix = matrix_from_motion(torch.tensor([0, 0, math.pi / 2, 1.0, 2, 3]))
    assert (matrix @ torch.tensor([1.0, 0, 0, 1])).tolist() == pytest.approx(
        [1, 3, 3, 1], abs=1e-6
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_rotations_are_those_of_rodrigues(motion):
    matrix = matrix_from_motion(torch.tensor(motion, dtype=torch.float64)).numpy()
    assert matrix[:3, :3] == pytest.approx(cv2.Rodrigues(np.array(motion[:3]))[0], abs=1e-9)
    assert matrix[:3, 3] == pytest.approx(motion[3:])
    assert matrix[3].tolist() == [0, 0, 0, 1]


def test_no_rotation_has_a_gradient():
    """At rest dR/dw is the generator: R[2, 1] = w_x, so its gradient is 1; nothing is NaN."""
    motion = torch.zeros(6, requires_grad=True)
    matrix = matrix_from_motion(motion)
    assert torch.equal(matrix, torch.eye(4))
    matrix[2, 1].backward()
    assert motion.grad.tolist() == [1, 0, 0, 0, 0, 0]


def test_matrices_keep_leading_axes():
    motion = torch.randn((2, 3, 6), generator=torch.Generator().manual_seed(1))
    matrices = matrix_from_motion(motion)
    assert matrices.shape == (2, 3, 4, 4)
    assert torch.allclose(matrices[1, 2], matrix_from_motion(motion[1, 2]), atol=1e-6)


def test_the_network_starts_near_rest_and_gives_rigid_transforms():
    torch.manual_seed(0)
    pictures = torch.rand((2, 4, 3, 48, 64))
    poses = PoseNetwork()(pictures[:, 0], pictures[:, 1:])
    assert poses.shape == (2, 3, 4, 4) and poses.dtype == torch.float32
    rotation = poses[..., :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5)
    assert 0 < (poses - torch.eye(4)).abs().max() < 0.01


def test_each_pose_is_that_of_its_own_source():
    torch.manual_seed(0)
    network, pictures = PoseNetwork(), torch.rand((2, 3, 3, 48, 64))
    both = network(pictures[:, 0], pictures[:, 1:])
    swapped = network(pictures[:, 0], pictures[:, 1:].flip(1))
    assert torch.allclose(both, swapped.flip(1), atol=1e-6)
    assert not torch.allclose(both[:, 0], both[:, 1], atol=1e-6)
    assert not torch.allclose(both[0], both[1], atol=1e-6)


def test_view_synthesis_teaches_the_pose():
    """
    A rendered step of (0.1, 0.03, 0.05) m with known depth: found to 2 cm and 1.1 degrees.

    The network sees two pictures only, so this says that gradients reach it with the right sign.
    """
    torch.manual_seed(0)
    target, sources, moved, intrinsics, depth = plane_scene.tensors(
        plane_scene.pose(), plane_scene.pose((0.1, 0.03, 0.05), (0.02, -0.02, 0.05))
    )
    network, known = PoseNetwork(), torch.ones((1, 1), dtype=torch.bool)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(250):
        optimiser.zero_grad()
        poses = network(target, sources)
        video_loss(target, depth, intrinsics, sources, poses, known).backward()
        optimiser.step()
    error = torch.linalg.inv(moved[0, 0]) @ poses[0, 0].detach()
    assert error[:3, 3].norm() < 0.02
    assert (error[:3, :3] - torch.eye(3)).abs().max() < 0.02

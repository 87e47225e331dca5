"""The geometry of view synthesis against points projected one by one and rendered planes."""

import numpy as np
import plane_scene
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fcrn_ros.camera import Camera
from fcrn_ros.training.objectives.synthesis import (
    enlarged,
    known_depth,
    pixel_rays,
    read_at,
    source_pixels,
)

pytestmark = pytest.mark.usefixtures('one_thread')

UNMOVED = torch.eye(4)[None, None]
PLACES = plane_scene.pose(), plane_scene.pose((0.12, -0.05, 0.1), (0.02, -0.05, 0.08))


def _picture(rows, columns, seed=0):
    return torch.rand((1, 3, rows, columns), generator=torch.Generator().manual_seed(seed))


def _own_pixels(rows, columns):
    v, u = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    return torch.stack((u, v), -1).float()[None]


def test_a_camera_to_the_right_sees_points_farther_left():
    """u = 150, depth 2 m, fx 200, cx 130: 150 - 200 * 0.1 / 2 = 140; the row stays."""
    pose = torch.eye(4)
    pose[0, 3] = -0.1  # the camera went right, so points went left
    depth = torch.full((1, 3, 160), 2.0)
    intrinsics = torch.tensor([[200.0, 180.0, 130.0, 1.2]])
    pixels, seen = source_pixels(depth, intrinsics, pose[None, None])
    assert pixels[0, 0, 2, 150].tolist() == pytest.approx([140, 2], abs=1e-4)
    assert seen[0, 0, 2, 150]


def test_source_pixels_are_those_that_the_camera_projects_to():
    """Every pixel, its point carried over and projected in float64 by ``Camera``."""
    _, _, moved, intrinsics, depth = plane_scene.tensors(*PLACES)
    pixels, seen = source_pixels(depth, intrinsics, moved)
    points = plane_scene.CAMERA.unproject(depth[0].numpy()).astype(float)
    carried = points @ moved[0, 0, :3, :3].numpy().T.astype(float) + moved[0, 0, :3, 3].numpy()
    expected = plane_scene.CAMERA.project(carried)
    assert np.abs(pixels[0, 0].numpy() - expected).max() < 1e-3
    u, v = np.moveaxis(expected, -1, 0)
    inside = (u > -0.499) & (u < 63.499) & (v > -0.499) & (v < 47.499)
    assert 0.5 < inside.mean() < 0.95
    assert (seen[0, 0].numpy() == inside).mean() > 0.999


def test_pixel_rays_are_those_of_the_camera():
    camera = plane_scene.CAMERA
    intrinsics = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    rays = pixel_rays(intrinsics, (48, 64))[0].permute(1, 2, 0).numpy()
    assert np.abs(rays - camera.rays()).max() < 1e-6


def test_points_behind_the_source_are_not_seen():
    """The camera went 3 m ahead, past the plane at 2 m."""
    pose = torch.eye(4)
    pose[2, 3] = -3.0
    intrinsics = torch.tensor([[60.0, 52.0, 4.0, 3.0]])
    pixels, seen = source_pixels(torch.full((1, 6, 8), 2.0), intrinsics, pose[None, None])
    assert not seen.any()
    assert pixels.isfinite().all()


@pytest.mark.parametrize('size', [(5, 7), (2, 2), (48, 64)])
def test_a_picture_read_at_its_own_pixels_is_itself(size):
    picture = _picture(*size)
    assert torch.allclose(read_at(picture, _own_pixels(*size)), picture, atol=1e-5)


def test_reading_with_the_other_alignment_is_not_the_picture():
    """
    The trap: coordinates of one ``align_corners``, sampling with the other.

    Column 0 of 7 is at (2 * 0 + 1) / 7 - 1 = -6 / 7, which ``True`` takes for u = (1 - 6 / 7) * 3
    = 3 / 7: 0.43 of a pixel off.
    """
    picture = torch.arange(7.0).expand(1, 1, 5, 7)
    grid = (2 * _own_pixels(5, 7) + 1) / torch.tensor([7.0, 5.0]) - 1
    wrong = F.grid_sample(picture, grid, align_corners=True)
    assert wrong[0, 0, 0, 0].item() == pytest.approx(3 / 7, abs=1e-5)
    assert read_at(picture, _own_pixels(5, 7))[0, 0, 0, 0].item() == pytest.approx(0, abs=1e-5)


def test_reading_between_pixels_and_beyond_the_edge():
    """Columns worth 0, 10, 20: 1.25 gives 12.5; -0.4 and 7 give the edges, 0 and 20."""
    picture = torch.tensor([0.0, 10, 20]).expand(1, 1, 2, 3)
    pixels = torch.tensor([[[1.25, 0], [-0.4, 0], [7, 1]]])[None]
    assert read_at(picture, pixels).flatten().tolist() == pytest.approx([12.5, 0, 20], abs=1e-4)


def test_read_at_keeps_leading_axes_apart():
    pictures = torch.stack((_picture(4, 6, 1), _picture(4, 6, 2)), 1)
    pixels = _own_pixels(4, 6)[:, None].expand(1, 2, -1, -1, -1)
    assert torch.allclose(read_at(pictures, pixels), pictures, atol=1e-5)


def test_a_rendered_source_warps_onto_the_target():
    """
    Exact depth and pose: what is left is reading between pixels, and the edge going on.

    A channel is 0.24 (sin + sin), waves of 9.5 radians/m at most; 2 m / 52 px is 0.04 m, 0.37
    radians: a chord misses sin by 0.37^2 / 8 = 0.017 at most, 2 * 0.24 * 0.017 = 0.008.
    """
    target, sources, moved, intrinsics, depth = plane_scene.tensors(*PLACES)
    pixels, seen = source_pixels(depth, intrinsics, moved)
    error = (read_at(sources, pixels) - target[:, None]).abs().amax(2)
    unwarped = (sources - target[:, None]).abs().amax(2)
    u, v = pixels.unbind(-1)
    between = (u > 0) & (u < 63) & (v > 0) & (v < 47)
    assert error[between].max() < 0.012
    assert error[seen].max() < 0.1
    assert unwarped[seen].mean() > 0.1


def test_depth_grows_as_resized_cameras_see_it():
    """
    A plane 1 / z = a + b u has its pixel's depth on either grid.

    Output pixel u of 8 columns from 4: (u + 0.5) / 2 - 0.5, so columns 10, 20, 30, 40 become 10,
    12.5, 17.5, 22.5, ... between the edges.
    """
    depth = torch.tensor([10.0, 20, 30, 40]).expand(1, 3, 4)
    large, known = enlarged(depth, (6, 8))
    assert large[0, 2].tolist() == pytest.approx([10, 12.5, 17.5, 22.5, 27.5, 32.5, 37.5, 40])
    assert known.all()


def test_unknown_depth_makes_unknown_what_it_has_a_share_in():
    """Column 1 of 4 unknown: of 8, columns 1..4 have a share of it; none takes its value."""
    for bad in (0.0, float('nan'), float('inf'), -1.0, 1e30, 1e-40):
        depth = torch.tensor([10.0, bad, 30, 40]).expand(1, 3, 4)
        large, known = enlarged(depth, (6, 8))
        assert known[0, 0].tolist() == [True, False, False, False, False, True, True, True]
        assert large.isfinite().all()


def test_known_depth_is_positive_and_finite():
    depth = torch.tensor([2.0, 0, -1, float('nan'), float('inf'), 0.3])
    assert known_depth(depth).tolist() == [True, False, False, False, False, True]


def test_geometry_is_float32_under_autocast():
    """bfloat16 has 8 bits: columns of 64 pixels would be off by up to a quarter."""
    _, _, moved, intrinsics, depth = plane_scene.tensors(*PLACES)
    expected, _ = source_pixels(depth, intrinsics, moved)
    with torch.autocast('cpu', torch.bfloat16):
        pixels, _ = source_pixels(depth, intrinsics, moved)
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, expected)


def test_gradient_of_a_pixels_column_by_its_depth():
    """u = cx + fx (x / d): du / dd = fx * 0.1 / d^2 = 200 * 0.1 / 4 = 5 px/m."""
    depth = torch.full((1, 2, 3), 2.0, requires_grad=True)
    pose = torch.eye(4)
    pose[0, 3] = -0.1
    pixels, _ = source_pixels(depth, torch.tensor([[200.0, 180, 1, 1]]), pose[None, None])
    pixels[0, 0, 0, 1, 0].backward()
    assert depth.grad[0, 0, 1].item() == pytest.approx(5, rel=1e-4)
    assert depth.grad.abs().sum().item() == pytest.approx(5, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    st.floats(1.5, 8),
)
def test_there_and_back_again(translation, axis_angle, depth):
    """A pixel carried over and back, at the depth that it has there, comes home."""
    camera = Camera(9, 7, 8.0, 7.0, 3.5, 3.2)
    moved = torch.tensor(plane_scene.pose(translation, axis_angle)).float()
    intrinsics = torch.tensor([[8.0, 7.0, 3.5, 3.2]])
    pixels, _ = source_pixels(torch.full((1, 7, 9), depth), intrinsics, moved[None, None])
    point = camera.unproject(np.full((7, 9), depth, np.float32))[4, 6].astype(float)
    there = moved.numpy()[:3, :3].astype(float) @ point + moved.numpy()[:3, 3]
    if there[2] < 0.1:
        return
    seen = camera.project(there)
    assert pixels[0, 0, 4, 6].numpy() == pytest.approx(seen, abs=1e-2)
    ray = np.array([(seen[0] - 3.5) / 8.0, (seen[1] - 3.2) / 7.0, 1.0]) * there[2]
    back = np.linalg.inv(moved.numpy().astype(float)) @ np.append(ray, 1)
    assert camera.project(back[:3]) == pytest.approx([6, 4], abs=1e-3)

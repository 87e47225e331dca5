"""What the objectives teach: metric depth on rendered planes, the right depth on real videos."""

import math

import numpy as np
import plane_scene
import pytest
import recorded_video
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.training.data.neighbours import choose_sources
from fcrn_ros.training.data.view import View
from fcrn_ros.training.objectives.picture_losses import (
    anchor,
    right_T_left,
    smoothness,
    stereo_loss,
    video_loss,
    video_residual,
)

pytestmark = pytest.mark.usefixtures('one_thread')

BEFORE, HERE, AFTER = (
    plane_scene.pose((-0.1, 0.02, 0), (0, 0.03, 0)),
    plane_scene.pose(),
    plane_scene.pose((0.1, 0.03, 0.05), (0.02, -0.02, 0.05)),
)
BASELINE = 0.15
RIGHT = plane_scene.pose((BASELINE, 0, 0))
BOTH = torch.ones((1, 2), dtype=torch.bool)


@pytest.fixture(scope='module')
def group():
    """Return target, sources, source_T_target, intrinsics and depth of the rendered plane."""
    return plane_scene.tensors(HERE, BEFORE, AFTER)


@pytest.fixture(scope='module')
def stereo():
    """Return left, right, intrinsics, and depth of both."""
    left, right, _, intrinsics, depth = plane_scene.tensors(HERE, RIGHT)
    depth_right = torch.tensor(plane_scene.render(RIGHT)[1]).float()[None]
    return left, right[:, 0], intrinsics, depth, depth_right


def _video(group, depth, known=BOTH, **options):
    target, sources, moved, intrinsics, _ = group
    return video_loss(target, depth, intrinsics, sources, moved, known, **options)


def _descend(loss, parameters, steps=120, rate=0.02):
    optimiser = torch.optim.Adam([parameters], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()


def _plane(parameters, size=(24, 32)):
    """Return the depth map of exp(a) (1 + b u + c v), u and v in -0.5..0.5: (1, h, w) [m]."""
    v, u = torch.meshgrid(*(torch.linspace(-0.5, 0.5, n) for n in size), indexing='ij')
    return (parameters[0].exp() * (1 + parameters[1] * u + parameters[2] * v))[None]


@pytest.mark.parametrize('start', [1.5, 2.8])
def test_known_motion_teaches_metric_depth(group, start):
    """A plane that starts flat, at 1.5 m or 2.8 m, ends within 2 % of the rendered one."""
    parameters = torch.tensor([math.log(start), 0, 0], requires_grad=True)
    _descend(lambda: _video(group, _plane(parameters)), parameters)
    ratio = torch.nn.functional.interpolate(_plane(parameters)[None], (48, 64))[0] / group[4]
    assert abs(ratio.median().item() - 1) < 0.02
    assert (ratio - 1).abs().max() < 0.06


def test_twice_the_motion_teaches_twice_the_depth(group):
    """Scale comes from the pose alone: translations doubled, the depth that explains doubles."""
    target, sources, moved, intrinsics, depth = group
    longer = moved.clone()
    longer[:, :, :3, 3] *= 2
    doubled = (target, sources, longer, intrinsics, depth)
    assert _video(doubled, 2 * depth).item() == pytest.approx(
        _video(group, depth).item(), rel=0.01
    )
    assert _video(doubled, depth) > 3 * _video(doubled, 2 * depth)


def test_a_stereo_baseline_teaches_metric_depth(stereo):
    left, right, intrinsics, depth, _ = stereo
    parameters = torch.tensor([math.log(2.7), 0, 0], requires_grad=True)
    baseline = torch.tensor([BASELINE])
    _descend(
        lambda: stereo_loss(left, right, _plane(parameters), None, intrinsics, baseline),
        parameters,
    )
    ratio = torch.nn.functional.interpolate(_plane(parameters)[None], (48, 64))[0] / depth
    assert abs(ratio.median().item() - 1) < 0.02


def test_the_right_depth_explains_best(group, stereo):
    left, right, intrinsics, depth, depth_right = stereo
    baseline = torch.tensor([BASELINE])
    for scale in (0.7, 0.9, 1.1, 1.4):
        assert _video(group, group[4]) < 0.5 * _video(group, group[4] * scale)
        for other in (None, depth_right):
            scaled = None if other is None else other * scale
            wrong = stereo_loss(left, right, depth * scale, scaled, intrinsics, baseline)
            assert stereo_loss(left, right, depth, other, intrinsics, baseline) < 0.5 * wrong


def test_stereo_reads_the_right_picture_at_u_minus_disparity():
    """
    fx 60, baseline 0.15 m, depth 3 m: 3 px. A right picture shifted by 3 px leaves nothing.

    left(u) = right(u - 3): right is left without its first three columns.
    """
    wide = torch.rand((1, 3, 10, 43), generator=torch.Generator().manual_seed(1))
    left, right = wide[..., :40], wide[..., 3:]
    intrinsics = torch.tensor([[60.0, 50.0, 18.0, 4.0]])
    depth = torch.full((1, 5, 20), 3.0)
    residual = stereo_loss(left, right, depth, None, intrinsics, torch.tensor([BASELINE]))
    assert residual.item() == pytest.approx(0, abs=1e-4)
    mirrored = stereo_loss(
        left.flip(3), right.flip(3), depth, None, intrinsics, torch.tensor([-BASELINE])
    )
    assert mirrored.item() == pytest.approx(0, abs=1e-4)


def test_left_and_right_disparities_have_to_agree():
    """
    Grey pictures explain each other at any depth, so what is left is the disagreement.

    fx 60, 0.15 m, width 40: disparities 9 / 3 = 3 px and 9 / 4.5 = 2 px, both ways |3 - 2| / 40.
    """
    grey = torch.full((1, 3, 10, 40), 0.5)
    left, right = torch.full((1, 5, 20), 3.0), torch.full((1, 5, 20), 4.5)
    intrinsics = torch.tensor([[60.0, 50.0, 18.0, 4.0]])
    loss = stereo_loss(grey, grey, left, right, intrinsics, torch.tensor([BASELINE]))
    assert loss.item() == pytest.approx(2 * 1 / 40, abs=1e-5)


def test_disparities_are_compared_where_both_pictures_see():
    """
    Left 3 m, 3 px; right 3 m but for column 0, 4.5 m, 2 px; grey pictures 40 px wide.

    Left columns 3..39 are seen in right 0..36, the first with a difference of 1 px; right columns
    0, 1..36 in left 2, 4..39, again the first with 1 px: 2 (1 / 40) / 37.
    """
    grey = torch.full((1, 3, 10, 40), 0.5)
    left, right = torch.full((1, 10, 40), 3.0), torch.full((1, 10, 40), 3.0)
    right[..., 0] = 4.5
    intrinsics = torch.tensor([[60.0, 50.0, 18.0, 4.0]])
    loss = stereo_loss(grey, grey, left, right, intrinsics, torch.tensor([BASELINE]))
    assert loss.item() == pytest.approx(2 / 40 / 37, rel=1e-2)


def test_right_T_left_takes_points_against_the_baseline():
    """The right camera lies at +x, so a point comes to lie at -x of it."""
    assert (right_T_left(torch.tensor([0.2])) @ torch.tensor([1.0, 2, 3, 1]))[0].tolist() == (
        pytest.approx([0.8, 2, 3, 1])
    )
    place = torch.tensor([[-0.1, 0.2, 0.0]])
    assert (right_T_left(place) @ torch.tensor([1.0, 2, 3, 1]))[0].tolist() == (
        pytest.approx([1.1, 1.8, 3, 1])
    )


def test_items_without_a_pair_do_not_count(stereo):
    """A batch of one pair and one black picture without baseline has the pair's loss."""
    left, right, intrinsics, depth, depth_right = stereo

    def padded(x):
        return torch.cat((x, torch.zeros_like(x)))

    alone = stereo_loss(left, right, 1.1 * depth, depth_right, intrinsics, torch.tensor([0.15]))
    both = stereo_loss(
        padded(left),
        padded(right),
        padded(1.1 * depth),
        padded(depth_right),
        intrinsics.expand(2, -1),
        torch.tensor([0.15, 0.0]),
    )
    assert both.item() == pytest.approx(alone.item(), rel=1e-5)


def test_sources_that_are_not_there_do_not_count(group):
    """Whatever they hold: here NaN for the pose and noise for the picture."""
    target, sources, moved, intrinsics, depth = group
    known = torch.tensor([[True, False]])
    sources, moved = sources.clone(), moved.clone()
    sources[:, 1], moved[:, 1] = torch.rand(sources[:, 1].shape), torch.nan
    depth = (1.1 * depth).requires_grad_()
    loss = video_loss(target, depth, intrinsics, sources, moved, known)
    alone = video_loss(
        target, depth, intrinsics, sources[:, :1], moved[:, :1], torch.ones((1, 1)).bool()
    )
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    loss.backward()
    assert depth.grad.isfinite().all() and depth.grad.abs().sum() > 0


def test_what_one_source_hides_the_other_explains(group):
    """Half of each source is blotted out; the least error ignores the blot, one source cannot."""
    target, sources, moved, intrinsics, depth = group
    blotted = sources.clone()
    blotted[:, 0, :, :, :32], blotted[:, 1, :, :, 32:] = 0, 0
    both = video_loss(target, depth, intrinsics, blotted, moved, BOTH, automask=False)
    one = video_loss(
        target, depth, intrinsics, blotted[:, :1], moved[:, :1], BOTH[:, :1], automask=False
    )
    assert 5 * both < one


def test_what_stands_still_teaches_nothing(group):
    """Sources that equal the target, under a pose that says the camera moved: no gradient."""
    target, _, moved, intrinsics, depth = group
    depth = depth.clone().requires_grad_()
    still = target[:, None].expand(-1, 2, -1, -1, -1)
    residual = video_residual(target, depth, intrinsics, still, moved, BOTH)
    residual.mean().backward()
    assert residual.counted.float().mean() > 0.5
    assert not residual.moving.any()
    assert depth.grad.abs().max() == 0


def test_what_is_not_visible_does_not_count(group):
    """A blotted border, told by ``visible``, leaves the loss of what is inside as it was."""
    target, sources, moved, intrinsics, depth = group
    visible = torch.zeros((1, 48, 64), dtype=torch.bool)
    visible[:, 6:-6, 8:-8] = True
    blotted = sources * visible
    one = (target * visible, depth, intrinsics, blotted[:, :1], moved[:, :1], BOTH[:, :1])
    hidden = video_residual(*one, visible, automask=False)
    assert not hidden.counted[~visible].any()
    assert hidden.counted.float().mean() > 0.3
    assert hidden.error.max() < 0.01
    assert video_loss(*one, automask=False) > 10 * hidden.mean()


@pytest.mark.parametrize('bad', [0.0, math.nan, math.inf, -1.0, 1e-42, 3e38])
def test_bad_depth_gives_finite_losses_and_gradients(group, stereo, bad):
    left, right, intrinsics, _, _ = stereo
    depth = torch.full((1, 24, 32), 2.2)
    depth[:, ::5, ::3] = bad
    depth.requires_grad_()
    start = torch.full((1, 24, 32), 2.0)
    start[:, 1, 1] = bad
    loss = _video(group, depth) + smoothness(depth, left) + anchor(depth, start)
    loss = loss + anchor(depth, start, free_scale=True)
    loss = loss + stereo_loss(left, right, depth, depth, intrinsics, torch.tensor([0.15]))
    loss.backward()
    assert loss.isfinite()
    assert depth.grad.isfinite().all()
    assert depth.grad.abs().sum() > 0
    assert depth.grad[:, ::5, ::3].abs().max() == 0


def test_nothing_that_counts_is_zero_with_a_gradient_of_zero(group, stereo):
    left, right, intrinsics, _, _ = stereo
    nowhere = torch.zeros((1, 48, 64), dtype=torch.bool)
    none = torch.zeros((1, 24, 32))
    for losses in (
        lambda d: _video(group, d, known=~BOTH),
        lambda d: _video(group, d, visible=nowhere),
        lambda d: _video(group, 0 * d),
        lambda d: stereo_loss(left, right, d, d, intrinsics, torch.tensor([0.0])),
        lambda d: smoothness(0 * d, left),
        lambda d: anchor(d, none),
        lambda d: anchor(d, d.detach() + 1, confidence=none),
    ):
        depth = torch.full((1, 24, 32), 2.2, requires_grad=True)
        loss = losses(depth)
        loss.backward()
        assert loss.item() == 0
        assert depth.grad.abs().max() == 0


def test_losses_are_float32_under_autocast(group):
    expected = _video(group, 1.1 * group[4])
    with torch.autocast('cpu', torch.bfloat16):
        assert _video(group, 1.1 * group[4]).item() == pytest.approx(expected.item(), rel=1e-6)


def test_smoothness_by_hand():
    """
    Depths 1, 2 over 1, 2: inverse 1, 0.5, mean 0.75, q = 4/3, 2/3: a step of 2/3 along x.

    In a grey picture 2/3; over an edge of 0.4 in one channel of three 2/3 exp(-0.4 / 3) = 0.58345.
    """
    depth = torch.tensor([[[1.0, 2], [1, 2]]])
    picture = torch.full((1, 3, 4, 4), 0.5)
    assert smoothness(depth, picture).item() == pytest.approx(2 / 3)
    picture[:, 1, :, 2:] = 0.9
    assert smoothness(depth, picture).item() == pytest.approx(0.58345, abs=1e-5)
    assert smoothness(depth.mT, picture.mT).item() == pytest.approx(0.58345, abs=1e-5)


def test_smoothness_leaves_unknown_depth_out():
    """1, 0, 2: no pair of neighbours along x is known; along y they are alike."""
    depth = torch.tensor([[[1.0, 0, 2], [1, 0, 2]]])
    assert smoothness(depth, torch.full((1, 3, 4, 6), 0.5)).item() == 0


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 5), st.integers(0, 1000))
def test_scale_changes_neither_smoothness_nor_a_free_anchor(scale, seed):
    generator = torch.Generator().manual_seed(seed)
    depth, start = (1 + torch.rand((2, 6, 8), generator=generator) for _ in range(2))
    picture = torch.rand((2, 3, 12, 16), generator=generator)
    assert smoothness(scale * depth, picture).item() == pytest.approx(
        smoothness(depth, picture).item(), rel=1e-4
    )
    assert anchor(scale * depth, start, free_scale=True).item() == pytest.approx(
        anchor(depth, start, free_scale=True).item(), rel=1e-3
    )


def test_anchor_by_hand():
    """
    Twice, half and the same: log 2 = 0.69315, sqrt(0.48045 + 0.01) - 0.1 = 0.60032, and 0.

    (0.60032 + 0.60032 + 0) / 3 = 0.40021; with weights 1, 0, 3: 0.60032 / 4 = 0.15008.
    """
    depth, start = torch.tensor([[[2.0, 1, 3]]]), torch.tensor([[[1.0, 2, 3]]])
    assert anchor(depth, start).item() == pytest.approx(0.40021, abs=1e-5)
    weights = torch.tensor([[[1.0, 0, 3]]])
    assert anchor(depth, start, weights).item() == pytest.approx(0.15008, abs=1e-5)


def test_anchor_pulls_far_pixels_no_harder_than_near_ones():
    """The slope in log depth is r / sqrt(r^2 + 0.01): 0.99 at e^0.7, 1.00 at e^3; not 4 times."""
    change = torch.tensor([[[0.7, 3.0]]], requires_grad=True)
    anchor(change.exp(), torch.ones((1, 1, 2))).backward()
    assert (2 * change.grad).flatten().tolist() == pytest.approx([0.98995, 0.99944], abs=1e-4)


def test_anchor_with_free_scale_holds_the_shape(stereo):
    """Twice everywhere is free; twice on one half of the picture is not: r - mean = +-0.34657."""
    start = torch.full((1, 2, 4), 3.0)
    assert anchor(2 * start, start, free_scale=True).item() == pytest.approx(0, abs=1e-6)
    half = start.clone()
    half[..., :2] *= 2
    expected = math.sqrt(0.34657**2 + 0.01) - 0.1
    assert anchor(half, start, free_scale=True).item() == pytest.approx(expected, abs=1e-5)


def test_the_start_gets_no_gradient():
    start = torch.full((1, 2, 3), 2.0, requires_grad=True)
    depth = torch.full((1, 2, 3), 3.0, requires_grad=True)
    anchor(depth, start).backward()
    assert start.grad is None
    assert depth.grad.abs().sum() > 0


def _real_group(data_folder, video, index, step=1, reach=40):
    indices = range(max(0, index - reach), index + reach + 1, step)
    poses = [_pose(data_folder, video, i) for i in indices]
    place = list(indices).index(index)
    chosen = choose_sources([i / 30 for i in indices], poses, place)
    frames = [video(data_folder, i) for i in (index, *(indices[c] for c in chosen))]
    return frames[0], recorded_video.tensors(frames[0], frames[1:])


def _pose(data_folder, video, index):
    if video is recorded_video.kitchen:
        return np.loadtxt(data_folder / 'kitchen_video' / f'frame-{index:06d}.pose.txt')
    return np.loadtxt(data_folder / 'headset_video' / 'poses.txt')[index].reshape(4, 4)


REAL = [
    (recorded_video.kitchen, 60),
    (recorded_video.kitchen, 180),
    (recorded_video.headset, 45),
    (recorded_video.headset, 75),
]


@pytest.mark.parametrize(('video', 'index'), REAL)
@pytest.mark.parametrize('automask', [False, True])
def test_recorded_depth_explains_real_frames_best(data_folder, video, index, automask):
    """Poses, camera and depth are read the right way round: a fifth more or less is worse."""
    _, group = _real_group(data_folder, video, index)
    right, near, far = (_video(group, s * group[4], automask=automask) for s in (1, 0.8, 1.25))
    assert 1.1 * right < min(near, far)


@pytest.mark.parametrize(('video', 'index'), [REAL[0], REAL[3]])
def test_a_view_moves_poses_as_it_moves_pictures(data_folder, video, index):
    """Turned, mirrored and cut from a real group: depth explains it as well as before."""
    target, (_, sources, moved, _, depth) = _real_group(data_folder, video, index)
    c, s = math.cos(0.3), math.sin(0.3)
    camera = target.camera.resized(240, 176).cropped(30, 20, 160, 130)
    view = View(camera, np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ np.diag([-1, 1, 1]))

    def shown(picture):
        array = (255 * picture).permute(1, 2, 0).byte().numpy()
        return torch.from_numpy(view.image(array, target.camera)).permute(2, 0, 1) / 255

    turned = (
        shown(torch.from_numpy(target.image.copy()).permute(2, 0, 1) / 255)[None],
        torch.stack([shown(source) for source in sources[0]])[None],
        torch.tensor(np.stack([view.pose(m.double().numpy()) for m in moved[0]])).float()[None],
        torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]).float(),
        torch.from_numpy(view.depth(depth[0].numpy(), target.camera, (130, 160)))[None],
    )
    right, near, far = (_video(turned, s * turned[4], automask=False) for s in (1, 0.8, 1.25))
    assert 1.1 * right < min(near, far)
    unmoved = (*turned[:2], moved, *turned[3:])
    assert 1.1 * right < _video(unmoved, turned[4], automask=False)

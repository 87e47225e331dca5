"""What a reading gives, in which order readings come, and that nothing else decides."""

import pickle
from dataclasses import replace

import cv2
import numpy as np
import plane_scene
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sources import SPEC, Given, blank_samples, plane_sample, stored
from torch.utils.data import Dataset

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.augment import Ranges
from fcrn_ros.training.data.batches import (
    Positions,
    Views,
    plain_batches,
    reading_order,
    training_batches,
)
from fcrn_ros.training.data.parts import Part
from fcrn_ros.training.data.store import open_store

pytestmark = pytest.mark.usefixtures('one_thread')

# the plane from three places and, of the first, from a second camera 0.2 m to the right
PLACES = (
    plane_scene.pose(),
    plane_scene.pose((0.12, -0.05, 0.1), (0.02, -0.05, 0.08)),
    plane_scene.pose((-0.1, 0.08, -0.06), (-0.03, 0.04, -0.05)),
)
BASELINE = 0.2


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('stores')


@pytest.fixture(scope='module')
def store(folder):
    """Return the plane from three places, each with the right picture of a pair."""
    samples = []
    for i, place in enumerate(PLACES):
        right = plane_sample('', place @ plane_scene.pose((BASELINE, 0, 0))).image
        known = {'time': i / 10, 'sequence': 'walk', 'right': right, 'baseline': BASELINE}
        samples.append(plane_sample(f'plane{i}', place, **known))
    return open_store(Given(samples, 'planes'), 1000, folder)


VIDEO = {'depth': False, 'sources': ((1, 2), (0,), ())}


def _views(parts, count=40, ranges=Ranges(), seed=3):  # noqa: B008
    sizes = [len(part.indices) for part in parts]
    order = reading_order(sizes, [part.weight for part in parts], count, seed)
    return Views(parts, SPEC, order, ranges, seed)


def _same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype
        assert torch.equal(a[key], b[key]), key


# The order


@given(
    st.lists(st.tuples(st.integers(1, 7), st.floats(0.1, 10)), min_size=1, max_size=4),
    st.integers(0, 60),
    st.integers(0, 1000),
)
@settings(deadline=None, derandomize=True)
def test_every_sample_is_read_once_a_round(parts, count, seed):
    """Any stretch of n readings of a part of n samples that begins a round has each of them."""
    sizes, weights = zip(*parts, strict=True)
    order = reading_order(sizes, weights, count, seed)
    assert (order.shape, order.dtype) == ((count, 2), np.int64)
    for part, size in enumerate(sizes):
        mine = order[order[:, 0] == part, 1]
        for begin in range(0, len(mine), size):
            one_round = mine[begin : begin + size]
            assert len(set(one_round)) == len(one_round)
            assert set(one_round) <= set(range(size))


def test_rounds_have_different_orders():
    order = reading_order([50], [1.0], 100, 1)[:, 1]
    assert sorted(order[:50]) == sorted(order[50:]) == list(range(50))
    assert (order[:50] != order[50:]).sum() > 40
    assert (order[:50] != np.arange(50)).sum() > 40


def test_parts_come_by_their_weights():
    """Weights 1, 3, 4 of 8: 4000 of 32000 readings +- 5 deviations of sqrt(4000 * 7 / 8) = 59."""
    order = reading_order([5, 500, 70], [1, 3, 4], 32_000, 2)
    counts = np.bincount(order[:, 0], minlength=3)
    assert np.abs(counts - (4000, 12_000, 16_000)).max() < 5 * 90
    assert np.abs(counts - (4000, 12_000, 16_000))[0] < 5 * 59


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 1000))
@settings(deadline=None, derandomize=True)
def test_a_longer_list_begins_like_a_shorter_one(one, other, seed):
    few, many = (reading_order([4, 9], [1, 2.5], n, seed) for n in sorted((one, other)))
    np.testing.assert_array_equal(many[: len(few)], few)


def test_another_seed_gives_another_order():
    a, b = (reading_order([40, 30], [1, 1], 100, seed) for seed in (1, 2))
    assert (a[:, 0] != b[:, 0]).sum() > 20 and (a[:, 1] != b[:, 1]).sum() > 60


def test_part_without_a_reading_is_left_out():
    """Weights so unlike that the second part is not read at all."""
    order = reading_order([3, 4], [1.0, 1e-12], 20, 1)
    assert set(order[:, 0]) == {0}


# What a reading gives


def test_a_reading_with_depth_has_the_promised_tensors(store):
    item = _views([Part(store, (0, 1, 2))])[0]
    kinds = {key: (tuple(value.shape), value.dtype) for key, value in item.items()}
    assert kinds == {
        'image': ((64, 96, 3), torch.uint8),
        'depth': ((32, 48), torch.float32),
        'intrinsics': ((4,), torch.float32),
        'canonical': ((), torch.float32),
        'position': ((), torch.int64),
    }


def test_a_reading_with_other_pictures_has_the_promised_tensors(store):
    parts = [Part(store, (0, 1, 2), **VIDEO), Part(store, (0,), depth=False, stereo=True)]
    item = _views(parts)[0]
    kinds = {key: (tuple(value.shape), value.dtype) for key, value in item.items()}
    assert kinds['sources'] == ((2, 64, 96, 3), torch.uint8)
    assert kinds['source_T_target'] == ((2, 4, 4), torch.float32)
    assert kinds['known'] == ((2,), torch.bool) and kinds['posed'] == ((), torch.bool)
    assert kinds['right'] == ((64, 96, 3), torch.uint8)
    assert kinds['right_at'] == ((3,), torch.float32)
    assert kinds['visible'] == ((64, 96), torch.bool)


@pytest.mark.parametrize('ranges', [None, Ranges()])
def test_readings_of_all_parts_stack_to_one_batch(store, ranges):
    parts = [
        Part(store, (0, 1)),
        Part(store, (0, 1, 2), **VIDEO),
        Part(store, (2,), depth=False, stereo=True),
    ]
    views = _views(parts, 30, ranges)
    batch = next(iter(training_batches(views, Positions(1, 30), 0)))
    assert batch['position'].tolist() == list(range(30))
    assert batch['intrinsics'].shape == (30, 4) and batch['right'].shape == (30, 64, 96, 3)
    part = torch.tensor(views.order[:, 0])
    assert set(part.tolist()) == {0, 1, 2}
    assert ((batch['depth'] > 0).flatten(1).any(1) == (part == 0)).all()
    assert (batch['right_at'].norm(dim=1) > 0).equal(part == 2)
    assert batch['right'].flatten(1).any(1).equal(part == 2)
    assert batch['known'].any(1).equal((part == 1) & torch.tensor(views.order[:, 1] < 2))
    assert not batch['known'][part != 1].any()
    identity = torch.eye(4).expand(2, 4, 4)
    assert all(pose.equal(identity) for pose in batch['source_T_target'][part != 1])


def test_depth_of_a_part_is_shown_only_where_it_is_to_be(store):
    shown = _views([Part(store, (0,))], 1)[0]['depth']
    hidden = _views([Part(store, (0,), depth=False, stereo=True)], 1)[0]['depth']
    assert (shown > 0).float().mean() > 0.8
    assert not hidden.any()


def test_a_sample_without_what_its_part_shows_gives_zeros(folder):
    """Depth or a right picture that some samples of a source have, and others have not."""
    store = stored(folder, blank_samples(2), 'bare')
    depth, stereo = Part(store, (0, 1)), Part(store, (0, 1), depth=False, stereo=True)
    assert not _views([depth])[0]['depth'].any()
    item = _views([stereo])[0]
    assert not item['right'].any() and not item['right_at'].any()


def test_unknown_poses_are_said_to_be_unknown(folder):
    """Of the three, 0 has no pose: neither it nor 1, which is to be seen from it, is posed."""
    samples = blank_samples(3, world_T_camera=lambda i: None if i == 0 else PLACES[i])
    store = stored(folder, samples, 'half_posed')
    part = Part(store, (0, 1, 2), depth=False, sources=((1, 2), (0, 2), (1,)))
    views = Views([part], SPEC, np.array([(0, 0), (0, 1), (0, 2)]))
    items = [views[i] for i in range(3)]
    assert [bool(item['posed']) for item in items] == [False, False, True]
    assert items[0]['source_T_target'].equal(torch.eye(4).expand(2, 4, 4))
    expected = np.linalg.inv(PLACES[1]) @ PLACES[2]
    np.testing.assert_allclose(items[2]['source_T_target'][0], expected, atol=1e-6)
    assert items[2]['known'].tolist() == [True, False]
    assert items[2]['source_T_target'][1].equal(torch.eye(4))


def test_canonical_and_intrinsics_of_the_plain_view(store):
    """
    132 x 90 at fx 120, fy 112 to 96 x 64: fx 87.2727, fy 79.6444 px.

    sqrt(87.2727 / 80 * 79.6444 / 75) = 1.076320; the network is to say depth / 1.076320.
    """
    item = next(iter(plain_batches([Part(store, (0,))], SPEC, 1)))
    expected = (87.272727, 79.644444, 44.227273, 49 * 64 / 90 - 0.5)
    assert item['intrinsics'][0].tolist() == pytest.approx(expected)
    assert item['canonical'].item() == pytest.approx(1 / 1.076320, rel=1e-6)


def test_plain_batches_read_every_sample_once_in_order(store, folder):
    other = stored(folder, blank_samples(4), 'others')
    batches = plain_batches([Part(store, (2, 0)), Part(other, (3, 1, 2))], SPEC, 2)
    assert [len(b['image']) for b in batches] == [2, 2, 1]
    names = [batches.dataset.name(i) for i in range(5)]
    assert names == ['planes plane2', 'planes plane0', 'others 03', 'others 01', 'others 02']
    greys = torch.cat([b['image'][:, 5, 7, 0] for b in batches])[2:]
    assert greys.tolist() == [3, 1, 2]
    assert len(plain_batches([], SPEC, 2)) == 0


def test_the_plain_view_is_not_coloured_and_not_erased(store):
    first, second = (
        next(iter(plain_batches([Part(store, (i,))], SPEC, 1)))['image'][0] for i in (0, 0)
    )
    assert first.equal(second)
    expected = cv2.resize(plane_sample().image, (96, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(first.numpy().astype(int) - expected).max() <= 2


def test_colour_and_erasing_follow_their_ranges(folder):
    """A grey picture stays one grey; a blotted rectangle is the only other colour."""
    store = stored(folder, blank_samples(120)[100:], 'greys')
    for erased, share in ((0.0, 0), (0.5, 0.5), (1.0, 1)):
        views = _views([Part(store, tuple(range(20)))], 60, Ranges(colour=0.0, erase=erased))
        blotted = [len(views[i]['image'].flatten(0, 1).unique(dim=0)) > 1 for i in range(60)]
        assert np.mean(blotted) == pytest.approx(share, abs=0.2 * (0 < share < 1))
    plain = [_views([Part(store, (4,))], 9, Ranges(colour=c, erase=0))[3] for c in (0.0, 0.4)]
    assert plain[0]['image'].unique().tolist() == [104]
    assert plain[1]['image'].unique().tolist() != [104]


def test_pictures_that_are_compared_are_never_erased(store):
    part = Part(store, (0, 1), depth=False, sources=((1, 2), (0,)))
    erased, plain = (_views([part], 20, Ranges(colour=0.0, erase=e)) for e in (1.0, 0.0))
    for i in range(20):
        _same(erased[i], plain[i])


# The geometry of what is compared


def _read(picture, pixels):
    u, v = np.moveaxis(pixels, -1, 0).astype(np.float32)
    return cv2.remap(picture.astype(np.float32), u, v, cv2.INTER_LINEAR)


def _lifted(item, depth):
    """Return (32, 48, 3) points of the view and the view's camera."""
    camera = Camera(96, 64, *item['intrinsics'].tolist())
    return camera.resized(48, 32).unproject(depth).astype(float), camera


def _miss(item, points, picture, camera):
    """Return how much points, seen in another picture, differ from what the image shows there."""
    here, there = camera.project(points), camera.project(_moved_in(item, points))
    expected = _read(item['image'].numpy(), here)
    u, v = np.moveaxis(there, -1, 0)
    inside = (points[..., 2] > 0) & (u > 1) & (u < 94) & (v > 1) & (v < 62)
    assert inside.mean() > 0.2
    return np.abs(_read(picture, there) - expected)[inside]


def _moved_in(item, points):
    pose = item['other'].numpy().astype(float)
    return points @ pose[:3, :3].T + pose[:3, 3]


def _with_depth(store, part, position):
    """Return a reading for view synthesis and the recorded depth of the same view."""
    item = _views([part], ranges=Ranges(zoom=1.3, rotation=15))[position]
    shown = _views([replace(part, depth=True)], ranges=Ranges(zoom=1.3, rotation=15))[position]
    assert item['image'].equal(shown['image'])
    return item, shown['depth'].numpy()


@pytest.mark.parametrize('position', range(8))
def test_sources_show_the_targets_points_where_their_poses_say(store, position):
    """
    Depth lifted, carried by source_T_target and projected meets the same colour.

    Both pictures changed their colours alike. The depth's place is right to half a pixel of the
    sample, of 0.1 levels / px in the plane's waves; a mirrored pose would miss by a wave.
    """
    part = Part(store, (0, 1), depth=False, sources=((1, 2), (0, 2)))
    item, depth = _with_depth(store, part, position)
    assert item['posed'] and item['known'].all()
    points, camera = _lifted(item, depth)
    for i in range(2):
        other = item | {'other': item['source_T_target'][i]}
        miss = _miss(other, points, item['sources'][i].numpy(), camera)
        still = _miss(item | {'other': torch.eye(4)}, points, item['sources'][i].numpy(), camera)
        assert miss.mean() < 2.5 < 10 < still.mean()


@pytest.mark.parametrize('position', range(8))
def test_the_right_picture_shows_points_where_its_camera_is(store, position):
    """A point X of the view is X - right_at for the right camera, flipped and turned alike."""
    item, depth = _with_depth(store, Part(store, (0, 1), depth=False, stereo=True), position)
    assert item['right_at'].norm().item() == pytest.approx(BASELINE)
    points, camera = _lifted(item, depth)
    pose = torch.eye(4)
    pose[:3, 3] = -item['right_at']
    right = item['right'].numpy()
    miss = _miss(item | {'other': pose}, points, right, camera)
    pose[:3, 3] *= -1
    mirrored = _miss(item | {'other': pose}, points, right, camera)
    assert miss.mean() < 2.5 < 10 < mirrored.mean()


def test_flipped_views_are_among_those_compared(store):
    """Right of a flipped view is at -0.2 m."""
    views = _views([Part(store, (0, 1), depth=False, stereo=True)])
    signs = {float(torch.sign(views[i]['right_at'][0])) for i in range(8)}
    assert signs == {-1.0, 1.0}


def test_visible_is_where_the_sample_reaches(folder):
    """Where the picture is all 200 and, beyond its border, visible is not."""
    store = stored(folder, blank_samples(1, depth=np.full((90, 132), 3, np.float32)), 'flat')
    part = Part(store, (0,), stereo=True)
    views = _views([part], 30, Ranges(zoom=1.0, rotation=20))
    shares = []
    for i in range(30):
        visible, depth = views[i]['visible'].numpy(), views[i]['depth'].numpy()
        by_depth = cv2.resize(depth, (96, 64), interpolation=cv2.INTER_NEAREST) > 0
        assert (visible == by_depth).mean() > 0.97
        shares.append(visible.mean())
    assert 0.6 < min(shares) < 0.95 and max(shares) > 0.95


# Nothing else decides


def test_a_reading_does_not_depend_on_what_was_read_before(store):
    parts = [Part(store, (0, 1, 2)), Part(store, (0, 1, 2), **VIDEO)]
    forward, alone = _views(parts), _views(parts)
    for i in range(12):
        _ = forward[i]
    np.random.seed(5)
    torch.manual_seed(5)
    _same(forward[17], alone[17])
    _same(forward[17], forward[17])
    assert not forward[17]['image'].equal(forward[18]['image'])


def test_a_pickled_copy_reads_the_same(store):
    views = _views([Part(store, (0, 1, 2)), Part(store, (0,), depth=False, stereo=True)])
    packed = pickle.dumps(views)
    assert len(packed) < 20_000, 'the pixels stay where they are'
    copy = pickle.loads(packed)
    for i in (0, 3, 31):
        _same(copy[i], views[i])


def test_workers_read_what_this_process_reads(store):
    views = _views([Part(store, (0, 1, 2)), Part(store, (0, 1, 2), **VIDEO)])
    here, there = (list(training_batches(views, Positions(3, 4), n)) for n in (0, 2))
    assert len(here) == len(there) == 3
    for a, b in zip(here, there, strict=True):
        _same(a, b)


def test_another_seed_gives_other_views_of_the_same_sample(store):
    order = np.zeros((4, 2), np.int64)
    one, other = (Views([Part(store, (0,))], SPEC, order, Ranges(), seed) for seed in (1, 2))
    assert not one[0]['image'].equal(other[0]['image'])
    assert not one[0]['intrinsics'].equal(other[0]['intrinsics'])


# Which positions a process reads


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
def test_ranks_together_read_the_batches_of_one_process(batches, share, processes, stretch):
    """Batch n of all ranks together is batch n of one process with processes * share pictures."""
    whole = Positions(batches, share * processes)
    parts = [Positions(batches, share, rank, processes) for rank in range(processes)]
    for positions in (whole, *parts):
        positions.set_epoch(stretch)
    expected = np.reshape(list(whole), (batches, -1))
    found = np.stack([np.reshape(list(p), (batches, share)) for p in parts], 1)
    np.testing.assert_array_equal(found.reshape(batches, -1), expected)
    assert all(len(p) == batches * share for p in parts)


def test_stretches_follow_each_other_without_a_gap():
    """Stretches of 2 batches of 3: rank 1 of 2 reads 3..5 and 9..11, then 15..17 and 21..23."""
    positions = Positions(2, 3, 1, 2)
    assert list(positions) == [3, 4, 5, 9, 10, 11]
    positions.set_epoch(1)
    assert list(positions) == [15, 16, 17, 21, 22, 23]
    assert list(positions) == [15, 16, 17, 21, 22, 23]


class Numbers(Dataset):
    """A list of readings that are their own positions."""

    def __len__(self):
        return 1000

    def __getitem__(self, position):
        return {'position': torch.tensor(position)}


def _trained(stretches, out, workers, resume=None):
    """Return the positions of every step of a Trainer's run, stretches of 2 batches of 3."""
    lightning = pytest.importorskip('lightning')
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), []

        def training_step(self, batch, index):
            self.seen.append(batch['position'].tolist())
            return self.weight.square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    module = Module()
    last = ModelCheckpoint(out, save_last=True, save_top_k=0, save_on_train_epoch_end=True)
    trainer = lightning.Trainer(
        max_epochs=stretches,
        accelerator='cpu',
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[last],
    )
    trainer.fit(module, training_batches(Numbers(), Positions(2, 3), workers), ckpt_path=resume)
    return module.seen


@pytest.mark.filterwarnings('ignore')  # Lightning's advice on workers
@pytest.mark.parametrize('workers', [0, 1])
def test_a_resumed_run_reads_on_where_it_stopped(tmp_path, workers):
    """Two stretches of 2 batches of 3 read 0..11, the resumed ones 12..23."""
    begun = _trained(2, tmp_path, workers)
    resumed = _trained(4, tmp_path, workers, tmp_path / 'last.ckpt')
    assert np.ravel(begun).tolist() == list(range(12))
    assert np.ravel(resumed).tolist() == list(range(12, 24))


def test_name_tells_source_and_sample(store, folder):
    other = stored(folder, blank_samples(4), 'named')
    views = Views([Part(store, (1,)), Part(other, (3, 2))], SPEC, np.array([(1, 1), (0, 0)]))
    assert [views.name(0), views.name(1)] == ['named 02', 'planes plane1']

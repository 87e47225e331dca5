"""Samples kept on disk: what comes back, what is refused, what is decoded again."""

import json
import pickle
import threading
import tracemalloc
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.camera import Camera
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.data.store import INDEX, PIXELS, Store, open_store, write_store

POSE = np.array([[0, -1, 0, 0.1], [1, 0, 0, -2.5], [0, 0, 1, 3], [0, 0, 0, 1.0]])


@dataclass
class Given:
    """A source of given samples, which counts how often it is read."""

    items: list = field(default_factory=list)
    name: str = 'given'
    licence: str = 'CC0'
    state: str = 'one'
    read: int = 0

    def signature(self):
        return self.state

    def samples(self):
        self.read += 1
        yield from self.items

    def report(self):
        return [f'{len(self.items)} given', '1 skipped']

    def __len__(self):
        return len(self.items)


def _sample(name='a', width=7, height=5, seed=0):
    """Return an odd size by default, so that arrays start at odd bytes."""
    rng = np.random.default_rng(seed)
    camera = Camera(width, height, 10.5, 11.25, 3.3, 1.7)
    image, right = (rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2))
    depth = rng.uniform(0.3, 80, (height, width)).astype(np.float32)
    depth[-1, -1] = np.nan
    return Sample(name, image, camera, depth, 1234567890.125, 'walk', POSE, right, 0.54)


def _bare(name='b', width=4, height=3):
    image = np.full((height, width, 3), 9, np.uint8)
    return Sample(name, image, Camera(width, height, 5.0, 6.0, 2.0, 1.0))


def _open(tmp_path, *samples, width=100, **changes):
    return open_store(Given(list(samples), **changes), width, tmp_path / 'cache')


# Round trip


def test_every_field_comes_back(tmp_path):
    sample = _sample()
    found = _open(tmp_path, sample)[0]
    kept = ('name', 'camera', 'time', 'sequence', 'baseline')
    assert [getattr(found, x) for x in kept] == [getattr(sample, x) for x in kept]
    for name in ('image', 'right', 'world_T_camera'):
        array, expected = getattr(found, name), getattr(sample, name)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_depth_comes_back_to_half_precision(tmp_path):
    """A float16 has 11 significant bits: rounding errs by at most 2^-11 = 0.049 %."""
    sample = _sample()
    depth = _open(tmp_path, sample)[0].depth
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, sample.depth, rtol=2**-11)
    assert np.argwhere(np.isnan(depth)).tolist() == [[4, 6]]


def test_infinite_depth_comes_back_as_none(tmp_path):
    depth = np.array([[np.inf, -np.inf, 2.5, np.nan]] * 3, np.float32)
    found = _open(tmp_path, replace(_bare(), depth=depth))[0].depth
    np.testing.assert_array_equal(found[0], [np.nan, np.nan, 2.5, np.nan])


def test_what_a_sample_lacks_stays_absent(tmp_path):
    found = _open(tmp_path, _bare())[0]
    assert (found.depth, found.right, found.world_T_camera) == (None, None, None)
    assert (found.time, found.sequence, found.baseline) == (0.0, '', 0.0)


def test_samples_of_different_sizes_and_parts_share_a_store(tmp_path):
    items = [_sample('a'), _bare('b'), _sample('c', 6, 9, 1), _sample('d', seed=2)]
    store = _open(tmp_path, *items)
    assert (len(store), store.names) == (4, ['a', 'b', 'c', 'd'])
    for i, item in enumerate(items):
        np.testing.assert_array_equal(store[i].image, item.image)
        assert store.camera(i) == item.camera
    np.testing.assert_array_equal(store[-1].right, items[3].right)
    with pytest.raises(IndexError):
        store[4]


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
def test_any_sizes_come_back(tmp_path_factory, sizes):
    items = [_sample(str(i), *size, seed=i) for i, size in enumerate(sizes)]
    folder = tmp_path_factory.mktemp('any') / 'store'
    write_store(folder, items, Given())
    store = Store(folder)
    for i, item in enumerate(items):
        np.testing.assert_array_equal(store[i].image, item.image)
        np.testing.assert_array_equal(store[i].right, item.right)
        np.testing.assert_allclose(store[i].depth, item.depth, rtol=2**-11)


def test_licence_and_report_are_kept(tmp_path):
    store = _open(tmp_path, _bare(), licence='MIT')
    assert (store.licence, store.report) == ('MIT', ['1 given', '1 skipped'])


def test_wide_samples_are_shrunk_and_narrow_ones_are_not(tmp_path):
    store = _open(tmp_path, _bare('wide', 8, 6), _bare('narrow', 4, 3), width=6)
    assert store[0].image.shape == (4, 6, 3)  # 6 * 6 / 8 = 4.5, halves to even
    assert store[1].image.shape == (3, 4, 3)


# Decoding once


def test_second_opening_decodes_nothing(tmp_path):
    source = Given([_bare()])
    for _ in range(2):
        assert len(open_store(source, 100, tmp_path)) == 1
    assert source.read == 1


@pytest.mark.parametrize('change', [{'state': 'two'}, {'name': 'other'}])
def test_another_signature_or_name_is_another_store(tmp_path, change):
    first, second = _open(tmp_path, _bare('a')), _open(tmp_path, _bare('b'), **change)
    assert (first.names, second.names) == (['a'], ['b'])
    assert first.folder != second.folder


def test_another_width_is_another_store(tmp_path):
    widths = [_open(tmp_path, _bare('a', 8, 6), width=width)[0].camera.width for width in (8, 4)]
    assert widths == [8, 4]


# Whole or not at all


def test_source_without_samples_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match='given: no sample; 0 given; 1 skipped'):
        _open(tmp_path)
    assert not list((tmp_path / 'cache').iterdir())


def test_failure_half_way_leaves_nothing(tmp_path):
    def broken():
        yield _bare()
        raise OSError('the disk is full')

    with pytest.raises(OSError, match='the disk is full'):
        write_store(tmp_path / 'store', broken(), Given())
    assert not list(tmp_path.iterdir())


def test_store_appears_only_when_it_is_whole(tmp_path):
    folder, seen = tmp_path / 'store', []

    def watched():
        for name in 'ab':
            seen.append(folder.exists())
            yield _bare(name)

    write_store(folder, watched(), Given())
    assert seen == [False, False]
    assert [p.name for p in tmp_path.iterdir()] == ['store']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'image': np.zeros((3, 5, 3), np.uint8)}, r'b: image is \(3, 5, 3\); expected \(3, 4, 3'),
        ({'image': np.zeros((3, 4), np.uint8)}, r'b: image is \(3, 4\); expected \(3, 4, 3\)'),
        ({'depth': np.ones((4, 3), np.float32)}, r'b: depth is \(4, 3\); expected \(3, 4\)'),
        ({'right': np.zeros((3, 3, 3), np.uint8)}, r'b: right is \(3, 3, 3\); expected \(3, 4'),
    ],
)
def test_array_of_another_size_than_the_camera_is_an_error(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        _open(tmp_path, replace(_bare(), **change))


def test_two_threads_that_write_one_store_at_once_leave_one_whole_store(tmp_path):
    folder, both = tmp_path / 'store', threading.Barrier(2, timeout=10)

    def slow():
        for i in range(3):
            both.wait()
            yield _sample(str(i), seed=i)

    def write():
        write_store(folder, slow(), Given())

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.name for p in tmp_path.iterdir()] == ['store']
    store = Store(folder)
    assert store.names == ['0', '1', '2']
    np.testing.assert_array_equal(store[2].image, _sample(seed=2).image)


def test_slower_writer_leaves_the_faster_ones_store(tmp_path):
    folder = tmp_path / 'store'

    def overtaken():
        yield _bare('slow')
        write_store(folder, [_bare('fast')], Given())

    write_store(folder, overtaken(), Given())
    assert Store(folder).names == ['fast']
    assert [p.name for p in tmp_path.iterdir()] == ['store']


# Damage


@pytest.fixture
def folder(tmp_path):
    """Return a whole store of two samples."""
    return _open(tmp_path, _sample('a'), _sample('b', seed=1)).folder


def test_cut_pixels_are_an_error(folder):
    """Two samples of 7 x 5 x (3 + 2 + 3) = 280 bytes each; the last byte is missing."""
    pixels = folder / PIXELS
    pixels.write_bytes(pixels.read_bytes()[:-1])
    expected = 'not a whole store of samples .pixels.bin has 559 bytes; expected 560.; delete it'
    with pytest.raises(ValueError, match=expected):
        Store(folder)


@pytest.mark.parametrize('name', [PIXELS, INDEX])
def test_empty_file_is_an_error(folder, name):
    (folder / name).write_bytes(b'')
    with pytest.raises(ValueError, match='not a whole store of samples .* delete it'):
        Store(folder)


@pytest.mark.parametrize('name', [PIXELS, INDEX])
def test_absent_file_is_an_error(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f'not a whole store of samples .*{name}'):
        Store(folder)


def test_another_format_is_an_error(folder):
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | {'format': 99}))
    with pytest.raises(ValueError, match='format 99; expected 1'):
        Store(folder)


@pytest.mark.parametrize(
    'index',
    [
        '[]',
        '{}',
        '{"format": 1',
        '{"format": 1, "licence": "", "report": [], "samples": []}',
        '{"format": 1, "licence": "", "report": [], "samples": ["a"]}',
        '{"format": 1, "licence": "", "report": [], "samples": [{"name": "a"}]}',
        '{"format": 1, "licence": "", "report": [], "samples": '
        '[{"name": "a", "camera": {"width": 7, "height": 5}, "offsets": [0]}]}',
    ],
)
def test_damaged_index_is_an_error(folder, index):
    (folder / INDEX).write_text(index)
    with pytest.raises(ValueError, match='not a whole store of samples'):
        Store(folder)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='absent: not a whole store of samples'):
        Store(tmp_path / 'absent')


def test_damaged_store_is_not_silently_taken_as_decoded(folder, tmp_path):
    (folder / PIXELS).write_bytes(b'')
    with pytest.raises(ValueError, match='delete it to decode it again'):
        _open(tmp_path, _sample('a'), _sample('b', seed=1))


# Memory


def test_pixels_are_mapped_and_not_loaded(folder):
    image = Store(folder)[0].image
    base = image
    while not isinstance(base, np.memmap):
        base = base.base
    assert not image.flags.owndata
    assert str(base.filename) == str(folder / PIXELS)


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    """Forty samples of 200 x 100 x 8 = 160 kB are 6.4 MB on disk; writing may hold a few."""

    def many():
        for i in range(40):
            yield _sample(str(i), 200, 100, i)

    tracemalloc.start()
    write_store(tmp_path / 'store', many(), Given())
    store = Store(tmp_path / 'store')
    total = sum(int(store[i].image[0, 0, 0]) for i in range(40))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 0
    assert (tmp_path / 'store' / PIXELS).stat().st_size == 6_400_000
    assert peak < 2_500_000


def test_store_goes_to_another_process_without_its_pixels(tmp_path):
    store = _open(tmp_path, *(_sample(str(i), 64, 48, i) for i in range(4)))
    message = pickle.dumps(store)
    assert len(message) < 1000
    np.testing.assert_array_equal(pickle.loads(message)[3].image, store[3].image)


def _mean(store):
    return float(np.mean(store[1].image))


def test_another_process_reads_the_same_pixels(folder):
    store = Store(folder)
    with get_context('spawn').Pool(1) as pool:
        assert pool.apply(_mean, (store,)) == _mean(store)

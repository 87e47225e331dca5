"""Fewer points: which become one, where it lies and what colour it has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcrn_ros.space.voxels import downsample


def _cloud(*rows):
    """Return a cloud of (x, y, z, colour)."""
    cloud = np.array([row[:3] + (0,) for row in rows], np.float32).reshape(-1, 4)
    cloud.view(np.uint32)[:, 3] = [row[3] for row in rows]
    return cloud


def _colors(cloud):
    return np.ascontiguousarray(cloud[:, 3]).view(np.uint32).tolist()


def test_points_of_one_cube_become_their_mean():
    """0.31, 0.33 and 0.38 are between 0.3 and 0.4: mean 0.34. 0.41 is not."""
    rows = [(x, 0.05, -0.05, 7) for x in (0.31, 0.41, 0.33, 0.38)]
    result = downsample(_cloud(*rows), 0.1)
    assert result.dtype == np.float32
    assert np.allclose(result[:, :3], [[0.34, 0.05, -0.05], [0.41, 0.05, -0.05]])


def test_cubes_on_both_sides_of_zero_are_two():
    """-0.01 and 0.01 are 2 cm apart, and in cubes from -0.1 to 0 and from 0 to 0.1."""
    assert len(downsample(_cloud((-0.01, 0, 1, 1), (0.01, 0, 1, 2)), 0.1)) == 2


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_every_axis_counts(axis):
    rows = np.full((2, 3), 0.05)
    rows[1, axis] = 0.15
    cloud = _cloud(*((*row, 0) for row in rows.tolist()))
    assert np.allclose(downsample(cloud, 0.1)[:, :3], rows)


def test_a_cube_has_the_colour_of_its_first_point():
    """Colours are bits, which no mean may touch: 0x00FF0001 is no number that float32 adds."""
    cloud = _cloud((0.31, 0, 1, 0x00FF0001), (0.32, 0, 1, 0x00010203), (0.9, 0, 1, 0x00AABBCC))
    assert _colors(downsample(cloud, 0.1)) == [0x00FF0001, 0x00AABBCC]


def test_the_first_of_many_points_gives_the_colour():
    """Of 4000 points in two cubes in turn, numbers 0 and 1 come first."""
    cloud = _cloud(*((0.31 + 0.1 * (i % 2), 0, 1, i) for i in range(4000)))
    assert _colors(downsample(cloud, 0.1)) == [0, 1]


def test_a_cube_with_too_few_points_is_left_out():
    cloud = _cloud((0.31, 0, 1, 1), (0.55, 0, 1, 2), (0.32, 0, 1, 3))
    assert _colors(downsample(cloud, 0.1, min_points=2)) == [1]
    assert _colors(downsample(cloud, 0.1, min_points=1)) == [1, 2]


def test_size_zero_changes_nothing():
    cloud = _cloud((0.31, 0, 1, 1), (0.31, 0, 1, 2))
    assert np.array_equal(downsample(cloud, 0.0), cloud)


def test_nothing_stays_nothing():
    assert downsample(np.empty((0, 4), np.float32), 0.05).shape == (0, 4)


def test_the_cloud_is_left_alone():
    cloud = _cloud((0.31, 0, 1, 1), (0.32, 0, 1, 2))
    before = cloud.copy()
    downsample(cloud, 0.1)
    assert np.array_equal(cloud, before)


def test_far_points_keep_their_millimetres():
    """A million points at 400.05 m in 1 m cubes: a plain float32 sum would be off by metres."""
    cloud = np.tile(np.float32([400.25, 0.25, 0.25, 0]), (1_000_000, 1))
    cloud[::2, 0] = 400.75
    assert downsample(cloud, 1.0)[0, 0] == pytest.approx(400.5, abs=1e-3)


def test_what_has_no_cube_is_refused():
    """A cube of 1 mm has numbers for 2^16 mm = 65.536 m to each side."""
    with pytest.raises(ValueError, match='a point is 66 m away; expected less than 65.536 m'):
        downsample(_cloud((0, -66, 0, 0)), 0.001)
    with pytest.raises(ValueError, match='voxel size is -1 m; expected 0 or more'):
        downsample(_cloud((0, 0, 0, 0)), -1)


def test_the_farthest_cubes_are_told_apart():
    """65.535 m at 1 mm, and one cube less on one axis."""
    far = 65.5305
    rows = [(far, far, far), (far - 0.001, far, far), (far, far - 0.001, far), (far, far, -far)]
    assert len(downsample(_cloud(*((*row, 0) for row in rows * 2)), 0.001)) == 4


CLOUDS = arrays(
    np.float32,
    st.tuples(st.integers(1, 60), st.just(4)),
    elements=st.floats(-4, 4, width=32),
)


@given(CLOUDS, st.sampled_from([0.05, 0.3, 2.0]))
def test_cubes_are_those_that_have_points(cloud, size):
    """Against a loop over the points with a dictionary: the same cubes, counts and means."""
    cubes = {}
    for point in cloud:
        corner = tuple(np.floor(point[:3] * np.float32(1 / size)).astype(int))
        cubes.setdefault(corner, []).append(point)
    expected = [np.mean(np.float64(cubes[c])[:, :3], axis=0) for c in sorted(cubes)]
    result = downsample(cloud, size)
    assert len(result) == len(cubes)
    assert np.allclose(result[:, :3], expected, atol=1e-5)


@given(CLOUDS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_move_the_cubes(cloud, random):
    order = list(range(len(cloud)))
    random.shuffle(order)
    one, other = downsample(cloud, 0.5), downsample(cloud[order], 0.5)
    assert np.allclose(one[:, :3], other[:, :3], atol=1e-5)

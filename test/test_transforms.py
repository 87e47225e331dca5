"""
Transforms by hand: chains, turns, interpolation, and frames that do not hang together.

odom -> base moves, base -> mast -> camera is static. A quarter turn about z takes x to y.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcrn_ros.rigid import inverse, matrix
from fcrn_ros.transforms import TransformTree

HALF = math.sqrt(0.5)
NO_TURN = (0, 0, 0, 1)
QUARTER_Z = (0, 0, HALF, HALF)
S = 1_000_000_000

numbers = st.floats(-9, 9, allow_nan=False)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1)


def robot() -> TransformTree:
    """Return base 1 m ahead at 10 s, 3 m ahead and turned at 11 s; a camera up a mast."""
    tree = TransformTree()
    tree.add('base', 'mast', 0, (0.2, 0, 0), NO_TURN, True)
    tree.add('mast', 'camera', 0, (0, 0, 1.5), NO_TURN, True)
    tree.add('odom', 'base', 11 * S, (3, 0, 0), QUARTER_Z, False)
    tree.add('odom', 'base', 10 * S, (1, 0, 0), NO_TURN, False)
    return tree


def test_matrix_of_a_quarter_turn() -> None:
    """X goes to y, y to -x; the quaternion's length, 2 here, does not count."""
    hand = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    turn = tuple(2 * q for q in QUARTER_Z)
    np.testing.assert_allclose(matrix((1, 2, 3), turn), hand, atol=1e-12)


def test_matrix_of_a_third_turn() -> None:
    """Half of (1, 1, 1) with w = 0.5 turns by 120 degrees: x to y to z to x."""
    hand = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(matrix((0, 0, 0), (0.5,) * 4)[:3, :3], hand, atol=1e-12)


@settings(deadline=None)
@given(st.tuples(numbers, numbers, numbers), quaternions)
def test_inverse_undoes(place: tuple[float, ...], turn: tuple[float, ...]) -> None:
    transform = matrix(place, turn)
    np.testing.assert_allclose(transform @ inverse(transform), np.eye(4), atol=1e-9)


def test_static_chain_needs_no_time() -> None:
    """The camera is 0.2 m ahead and 1.5 m up: base_T_camera has these; the way back has minus."""
    tree = robot()
    hand = np.eye(4)
    hand[:3, 3] = 0.2, 0, 1.5
    np.testing.assert_allclose(tree.lookup('base', 'camera', 0), hand)
    np.testing.assert_allclose(tree.lookup('camera', 'base', 99 * S), inverse(hand))
    np.testing.assert_allclose(tree.lookup('camera', 'camera', 5), np.eye(4))


def test_siblings_meet_at_their_parent() -> None:
    """From the camera, 1.5 m up on the mast, a laser 0.4 m left on the base is 1.5 m down."""
    tree = robot()
    tree.add('base', 'laser', 0, (0, 0.4, 0), QUARTER_Z, True)
    found = tree.lookup('camera', 'laser', 0)
    np.testing.assert_allclose(found @ [1, 0, 0, 1], [-0.2, 1.4, -1.5, 1], atol=1e-12)


def test_recorded_pose_by_hand() -> None:
    """At 11 s base is at x = 3, its ahead is odom's y: the camera is at (3, 0.2, 1.5)."""
    found = robot().lookup('odom', 'camera', 11 * S)
    np.testing.assert_allclose(found @ [0, 0, 0, 1], [3, 0.2, 1.5, 1], atol=1e-12)


def test_pose_between_two_is_halfway() -> None:
    """At 10.5 s base is at x = 2, turned by 45 degrees: camera at 2 + 0.2 cos 45, 0.2 sin 45."""
    found = robot().lookup('odom', 'camera', 10 * S + S // 2)
    np.testing.assert_allclose(found[:3, 3], [2 + 0.2 * HALF, 0.2 * HALF, 1.5], atol=1e-12)
    np.testing.assert_allclose(found[:2, :2], [[HALF, -HALF], [HALF, HALF]], atol=1e-12)


def test_turn_takes_the_shorter_way() -> None:
    """Minus a quaternion is the same rotation: halfway to it there is no turn of 180 degrees."""
    tree = TransformTree()
    tree.add('odom', 'base', 0, (0, 0, 0), NO_TURN, False)
    tree.add('odom', 'base', S, (0, 0, 0), (0, 0, -HALF, -HALF), False)
    found = tree.lookup('odom', 'base', S // 2)
    np.testing.assert_allclose(found[:2, :2], [[HALF, -HALF], [HALF, HALF]], atol=1e-12)


def test_pose_is_not_extrapolated() -> None:
    """Up to 20 ms outside the end pose counts; 30 ms outside nothing is known."""
    tree = robot()
    early = tree.lookup('odom', 'base', 10 * S - 20_000_000)
    np.testing.assert_allclose(early[:3, 3], [1, 0, 0])
    late = tree.lookup('odom', 'base', 11 * S + 20_000_000)
    np.testing.assert_allclose(late[:3, 3], [3, 0, 0])
    for stamp in (10 * S - 30_000_000, 11 * S + 30_000_000):
        with pytest.raises(
            ValueError, match=r"'odom' to 'base' is not known 0.03 s from its recorded time"
        ):
            tree.lookup('odom', 'base', stamp)


def test_long_gap_is_not_bridged() -> None:
    tree = robot()
    tree.add('odom', 'base', 13 * S, (9, 0, 0), NO_TURN, False)
    with pytest.raises(ValueError, match=r"'odom' to 'base' is not known for 2.0 s"):
        tree.lookup('odom', 'base', 12 * S)
    assert tree.lookup('odom', 'base', 13 * S)[0, 3] == 9


def test_newest_static_transform_counts() -> None:
    tree = robot()
    tree.add('base', 'mast', 7, (0.3, 0, 0), NO_TURN, True)
    assert tree.lookup('base', 'mast', 0)[0, 3] == 0.3


def test_leading_slash_is_dropped() -> None:
    tree = TransformTree()
    tree.add('/a', '/b', 0, (1, 0, 0), NO_TURN, True)
    assert tree.lookup('a', 'b', 0)[0, 3] == 1


def test_frames_that_do_not_hang_together_are_named() -> None:
    tree = robot()
    tree.add('depth_link', 'depth', 0, (0, 0, 0), NO_TURN, True)
    error = (
        "no transform connects the frames 'camera' and 'depth'; "
        'static: base, camera, depth, depth_link, mast; moving: base, odom$'
    )
    with pytest.raises(ValueError, match=error):
        tree.lookup('camera', 'depth', 0)
    with pytest.raises(ValueError, match="the frames 'nowhere' and 'camera'; static: base, "):
        tree.lookup('nowhere', 'camera', 0)
    with pytest.raises(ValueError, match=r"'a' and 'b'; static: none; moving: none$"):
        TransformTree().lookup('a', 'b', 0)


def test_long_lists_of_frames_are_cut() -> None:
    tree = TransformTree()
    for i in range(12):
        tree.add('root', f'f{i:02d}', 0, (0, 0, 0), NO_TURN, True)
    with pytest.raises(ValueError, match='static: f00, .*, f07 and 5 more; moving: none'):
        tree.lookup('root', 'eye', 0)


def test_ring_of_frames_is_refused() -> None:
    tree = TransformTree()
    tree.add('a', 'b', 0, (0, 0, 0), NO_TURN, True)
    tree.add('b', 'a', 0, (0, 0, 0), NO_TURN, True)
    with pytest.raises(ValueError, match='form a ring'):
        tree.lookup('c', 'a', 0)


@pytest.mark.parametrize(
    ('parent', 'child', 'place', 'turn', 'error'),
    [
        ('map', 'base', (0, 0, 0), NO_TURN, "frame 'base' is in 'map' and in 'odom'"),
        ('x', 'x', (0, 0, 0), NO_TURN, "frame 'x' is in 'x' and in 'x'"),
        ('odom', 'base', (0, math.nan, 0), NO_TURN, 'nan.*; expected finite x, y, z and a rot'),
        ('odom', 'base', (0, 0, 0), (0, 0, 0, 0), 'expected finite x, y, z and a rotation'),
    ],
)
def test_faulty_transform_is_refused_and_changes_nothing(
    parent: str, child: str, place: tuple, turn: tuple, error: str
) -> None:
    tree = robot()
    with pytest.raises(ValueError, match=error):
        tree.add(parent, child, 12 * S, place, turn, False)
    assert tree.lookup('odom', 'base', 11 * S)[0, 3] == 3
    with pytest.raises(ValueError, match='is not known'):
        tree.lookup('odom', 'base', 12 * S)


def test_fixed_frame_is_odom_before_map_before_the_root() -> None:
    """Under earth -> map -> odom -> base it is odom; without odom, map; without both, the root."""
    tree = robot()
    tree.add('map', 'odom', 10 * S, (0, 0, 0), NO_TURN, False)
    tree.add('earth', 'map', 0, (0, 0, 0), NO_TURN, True)
    assert tree.fixed_frame('camera') == 'odom'
    other = TransformTree()
    other.add('earth', 'r1/map', 0, (0, 0, 0), NO_TURN, True)
    other.add('r1/map', 'base', 0, (0, 0, 0), NO_TURN, False)
    other.add('world', 'vicon', 0, (0, 0, 0), NO_TURN, False)
    assert other.fixed_frame('base') == 'r1/map'
    assert other.fixed_frame('vicon') == 'world'


def test_frame_that_nothing_moves_has_no_fixed_frame() -> None:
    """Also where odom is above it, but static."""
    tree = TransformTree()
    tree.add('odom', 'base', 0, (0, 0, 0), NO_TURN, True)
    tree.add('odom', 'other', 0, (0, 0, 0), NO_TURN, False)
    with pytest.raises(ValueError, match="moves the frame 'base'; moving: odom, other"):
        tree.fixed_frame('base')


def test_other_joint_leaves_the_tree_as_it_was() -> None:
    tree, other = robot(), TransformTree()
    other.add('world', 'base', 10 * S, (7, 0, 0), NO_TURN, False)
    changed = tree.with_joint(other.joints['base'])
    assert changed.lookup('world', 'camera', 10 * S)[0, 3] == pytest.approx(7.2)
    assert tree.lookup('odom', 'camera', 10 * S)[0, 3] == pytest.approx(1.2)

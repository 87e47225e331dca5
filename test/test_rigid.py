"""Matrices of rigid transforms, and the way back to their numbers."""

import numpy as np
import pytest

from fcrn_ros.rigid import inverse, matrix, quaternion


def test_a_point_by_hand():
    """A turn by 90 degrees about z takes (0.2, 0, 0) to (0, 0.2, 0); 1 m is added in x."""
    transform = matrix((1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0))
    assert transform @ (0.2, 0, 0, 1) == pytest.approx([1, 0.2, 0, 1])
    assert inverse(transform) @ (1, 0.2, 0, 1) == pytest.approx([0.2, 0, 0, 1])


@pytest.mark.parametrize(
    'turn',
    [
        (0.5, -0.5, 0.5, 0.5),
        (1.0, 0, 0, 0),
        (0, 0.8, 0.6, 0),
        (0.1, 0.2, -0.3, 0.9),
        (0, 0, 0, 1.0),
    ],
)
def test_a_quaternion_comes_back_from_its_matrix(turn):
    """Up to its sign: q and -q are one rotation."""
    found = np.array(quaternion(matrix((1.0, 2.0, 3.0), turn)))
    expected = np.array(turn) / np.linalg.norm(turn)
    assert abs(found @ expected) == pytest.approx(1)

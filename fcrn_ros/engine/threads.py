"""How many processor threads a network takes."""

from __future__ import annotations

import os


def all_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, 'sched_getaffinity', None)  # not everywhere
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def half_of_the_cores() -> int:
    """
    Return half of the cores that this process may use, at least one.

    A layer ends when its slowest thread does: one thread for each core would wait for every other
    process of the robot, dozens of times in a frame.
    """
    return max(1, all_cores() // 2)

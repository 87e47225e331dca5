"""Textures of the box scene: linear RGB squares of 2.56 m that repeat, by name."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 512  # texels of 5 mm


def noise(rng, rows, columns):
    """Return (SIDE, SIDE) float32 smooth noise of mean 0 that repeats, two octaves."""
    result = np.zeros((SIDE, SIDE), np.float32)
    for k in (1, 2):
        grid = rng.standard_normal((rows * k, columns * k)).astype(np.float32) / k
        at = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
        y, x = (at * n * k + 1.5 for n in (rows, columns))
        padded = np.pad(grid, 2, mode='wrap')
        result += cv2.remap(padded, *np.meshgrid(x, y), cv2.INTER_CUBIC)
    return result


def _tinted(color, field):
    return (np.asarray(color, np.float32) * np.clip(1 + field, 0.1, 3)[..., None]).astype(
        np.float32
    )


def planks(rng):
    """Boards along x of 13 to 20 cm, each of its own tone, with dark joints."""
    color = np.array([0.33, 0.2, 0.11]) * rng.uniform(0.5, 1.6)
    field = 0.15 * noise(rng, 60, 4) + 0.05 * noise(rng, 8, 8)
    step = int(rng.choice([26, 32, 40]))
    for row in range(0, SIDE, step):
        start = int(rng.integers(0, SIDE))
        for begin in (start, start + SIDE // 2):
            columns = np.arange(begin, begin + SIDE // 2) % SIDE
            field[row : row + step, columns] += rng.normal(0, 0.14)
            field[row : row + step, begin % SIDE] -= 0.5
        field[row] -= 0.5
    return _tinted(color, field)


def tiles(rng):
    """Square tiles of 32 cm with light or dark joints."""
    color = rng.uniform(0.25, 0.6) * rng.uniform(0.9, 1.1, 3)
    field = 0.06 * noise(rng, 16, 16)
    field += np.kron(rng.normal(0, 0.06, (8, 8)), np.ones((64, 64))).astype(np.float32)
    joint = rng.choice([-0.5, 0.4])
    for k in range(0, SIDE, 64):
        field[k : k + 2] += joint
        field[:, k : k + 2] += joint
    return _tinted(color, field)


def carpet(rng):
    """Fine noise."""
    color = rng.uniform(0.08, 0.35) * rng.uniform(0.7, 1.3, 3)
    return _tinted(color, 0.12 * noise(rng, 128, 128) + 0.08 * noise(rng, 10, 10))


def wall(rng):
    """Paint."""
    color = rng.uniform(0.4, 0.8) * rng.uniform(0.85, 1.1, 3)
    return _tinted(color, 0.015 * noise(rng, 6, 6) + 0.01 * noise(rng, 100, 100))


def ceiling(rng):
    """White paint."""
    return _tinted((0.8, 0.8, 0.78), 0.01 * noise(rng, 6, 6))


def cardboard(rng):
    """Brown board with tape, flutes and print."""
    color = np.array([0.45, 0.28, 0.15]) * rng.uniform(0.7, 1.2)
    texture = _tinted(color, 0.04 * noise(rng, 10, 10) + 0.02 * noise(rng, 3, 128))
    middle = 0 if rng.random() < 0.5 else 20
    texture[:, middle : middle + 10] *= (0.8, 0.75, 0.65)
    row, column = rng.integers(20, 60, 2)
    for k in range(4):
        texture[row + 8 * k : row + 8 * k + 3, column : column + int(rng.integers(10, 40))] *= 0.3
    return texture


def wood(rng):
    """Furniture with fronts of 25 to 40 cm and dark gaps."""
    color = np.array([0.3, 0.17, 0.09]) * rng.uniform(0.5, 2)
    texture = _tinted(color, 0.15 * noise(rng, 4, 60))
    step = int(rng.choice([50, 64, 80]))
    for row in range(step // 2, SIDE, step):
        texture[row : row + 2] *= 0.2
    return texture


def paint(rng):
    """A plain colour."""
    return _tinted(rng.uniform(0.05, 0.7, 3), 0.03 * noise(rng, 5, 5))


TEXTURES = {f.__name__: f for f in (planks, tiles, carpet, wall, ceiling, cardboard, wood, paint)}

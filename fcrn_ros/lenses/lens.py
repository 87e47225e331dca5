"""
What a lens does to a ray: the distortion models of camera_info, which are OpenCV's.

Convention: a ray is a direction in the optical frame (x right, y down, z forward), of any length.
Its image (x, y) is that of a camera of focal length 1; pixels are u = fx x + cx, v = fy y + cy. A
model whose coefficients are all zero bends nothing, whatever its name, as ROS's image_geometry
reads it.

Worked number: an equidistant lens with k1 = 0.1 images a ray 90 degrees to the right, (1, 0, 0),
at x = t + k1 t^3 with t = pi / 2: 1.571 + 0.388 = 1.958, y = 0. No pinhole image has such a ray.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# distortion model -> numbers of coefficients that OpenCV takes for it
DISTORTION_MODELS = {'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}


def require_model(model: str, coefficients: tuple[float, ...]) -> None:
    """
    Check the name of a model and the number of its coefficients, unless all of them are zero.

    :raises ValueError: the model is not known, or has another number of coefficients.
    """
    if not any(coefficients):
        return
    counts = DISTORTION_MODELS.get(model)
    if counts is None:
        raise ValueError(
            f'distortion model {model!r} is not known; '
            f'expected one of {", ".join(DISTORTION_MODELS)}'
        )
    if len(coefficients) not in counts:
        raise ValueError(
            f'{model} has {len(coefficients)} coefficients; '
            f'expected {" or ".join(map(str, counts))}'
        )


def is_fisheye(model: str, coefficients: tuple[float, ...]) -> bool:
    """Whether a lens may see rays at 90 degrees to its axis and more."""
    return model == 'equidistant' and any(coefficients)


def distort(
    model: str, coefficients: tuple[float, ...], rays: NDArray[np.floating]
) -> NDArray[np.float64]:
    """
    Return where a lens images rays, whether or not its model still means something there.

    :param model: one of ``DISTORTION_MODELS``, or '' for none.
    :param coefficients: in camera_info's order.
    :param rays: (..., 3).
    :return: (..., 2) float64, (x, y) at focal length 1. NaN where z is not positive, but for an
        equidistant lens, which images every ray.
    """
    import cv2  # here: every command knows cameras, few know lenses

    exact: NDArray[np.float64] = np.asarray(rays, np.float64)
    if is_fisheye(model, coefficients):
        return _equidistant(coefficients, exact)
    ahead = np.where(exact[..., 2:] > 0, exact, np.nan).reshape(-1, 1, 3)
    still, bend = np.zeros(3), np.array(coefficients) if any(coefficients) else None
    image = cv2.projectPoints(ahead, still, still, np.eye(3), bend)[0]
    return image.reshape(*rays.shape[:-1], 2).astype(np.float64)


def _equidistant(
    coefficients: tuple[float, ...], rays: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Image rays by Kannala and Brandt, PAMI 2006: r = t + k1 t^3 + .. + k4 t^9, t the angle."""
    x, y, z = np.moveaxis(rays, -1, 0)
    across = np.hypot(x, y)
    angle = np.arctan2(across, z)
    k1, k2, k3, k4 = coefficients
    square = angle * angle
    radius = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
    scale = radius / np.where(across > 0, across, 1)  # on the axis both are 0
    return np.stack((x * scale, y * scale), -1)


def widest_angle(model: str, coefficients: tuple[float, ...]) -> float:
    """
    Return the angle to the axis up to which a lens polynomial grows; it means nothing beyond.

    A fitted polynomial may turn back outside the calibrated field and map two rays to one pixel.

    :return: [rad], at most pi / 2, and pi for an equidistant lens.
    """
    if not any(coefficients):
        return math.pi / 2
    if is_fisheye(model, coefficients):
        return _equidistant_turn(coefficients)
    k1, k2, _, _, k3, k4, k5, k6 = (*coefficients, *(0.0,) * 8)[:8]
    r = np.linspace(0, 10, 10_001)
    r2 = r * r
    above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    with np.errstate(divide='ignore'):  # at a pole the polynomial ends
        turned = np.flatnonzero((np.diff(r * above / below) <= 0) | (below[1:] <= 0))
    return math.atan(r[turned[0]]) if len(turned) else math.pi / 2


def _equidistant_turn(coefficients: tuple[float, ...]) -> float:
    """Return the least positive root of the polynomial's slope 1 + 3 k1 t^2 + .. + 9 k4 t^8."""
    slope = [k * n for k, n in zip(coefficients, (3, 5, 7, 9), strict=True)]
    roots = np.roots([1.0, *slope])  # of 1 / t^2
    real = roots.real[np.abs(roots.imag) < 1e-9]
    return 1 / math.sqrt(max([*real, 1 / math.pi**2]))

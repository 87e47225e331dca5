"""
Metric scale: the network's metres to the metres of this camera.

A network learns depth for the apparent sizes that its training camera gave. Seen through a lens of
twice the focal length, every thing looks as if it were half as far; so depth is multiplied by
f_net / f_train, both in pixels of the network's input. A resize that stretches the image gives fx
and fy different ratios. Apparent size then changes by their geometric mean, which is the factor
used; each axis keeps its own focal length in the projection to points.
Worked number: fx_net = 300 px, fx_train = 200 px, fy alike: depth is multiplied by 1.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fcrn_ros.camera import Camera

SCALES = ('none', 'focal', 'ground')
# outside these ratios the image looks unlike the training images, and a factor is no remedy
TRUSTED_RATIO = (0.5, 2.0)
TRUSTED_STRETCH = 1.5


@dataclass(frozen=True)
class Scale:
    """
    A factor on depth and where it comes from.

    :param factor: depth is multiplied by it.
    :param source: ``none``, ``focal`` or ``ground``.
    :param doubt: '' or one sentence that says why the factor is not to be trusted.
    :param quality: 0..1, how well the floor supports a factor from it; 1 for a factor that needs
        no measurement.
    """

    factor: float
    source: str
    doubt: str = ''
    quality: float = 1.0


def focal_scale(network: Camera, training: Camera) -> Scale:
    """
    Return the focal-length correction.

    :param network: camera of the network's input image, as this camera gives it.
    :param training: camera of the network's input image in training.
    :raises ValueError: the two have different sizes.
    """
    if (network.width, network.height) != (training.width, training.height):
        raise ValueError(
            f'network image is {network.width}x{network.height}; '
            f'expected {training.width}x{training.height}, as in training'
        )
    x, y = network.fx / training.fx, network.fy / training.fy
    factor, stretch = math.sqrt(x * y), max(x / y, y / x)
    doubt = ''
    if not TRUSTED_RATIO[0] <= factor <= TRUSTED_RATIO[1]:
        doubt = f"the focal length is {factor:.2f} times the training camera's"
    elif stretch > TRUSTED_STRETCH:
        doubt = f'the image is stretched by {stretch:.2f} against the training images'
    return Scale(factor, 'focal', doubt)

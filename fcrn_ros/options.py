"""How depth is made: what the pipeline can be told."""

from __future__ import annotations

from dataclasses import dataclass

from fcrn_ros.scale import SCALES

RESOLUTIONS = ('native', 'camera')
VIEWS = ('auto', 'front')


@dataclass(frozen=True)
class Options:
    """
    How depth is made.

    :param resolution: ``native``: the network's output grid; ``camera``: the camera's size.
    :param scale: ``focal``, ``none``, or ``ground``, which needs a mounting.
    :param min_range: nearer z-depth is NaN [m].
    :param max_range: farther z-depth is +Inf [m].
    :param views: ``auto`` cuts a very wide lens into several views, ``front`` takes its middle.
    :param scale_smoothing: time over which changes of scale are smoothed [s]; 0: not.
    :raises ValueError: a value is not one of the choices, or the ranges are not in order.
    """

    resolution: str = 'native'
    scale: str = 'focal'
    min_range: float = 0.3
    max_range: float = 10.0
    views: str = 'auto'
    scale_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (('resolution', RESOLUTIONS), ('scale', SCALES), ('views', VIEWS)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name} is {getattr(self, name)!r}; expected one of {", ".join(choices)}'
                )
        if not 0 <= self.min_range < self.max_range:
            raise ValueError(
                f'min_range is {self.min_range:g}, max_range {self.max_range:g}; '
                'expected 0 <= min_range < max_range'
            )

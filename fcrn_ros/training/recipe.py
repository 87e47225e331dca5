"""What decides the result of a training run, and its defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FRESH = 'fresh'
# of the decoder; sgd as in public ports, 0.01 for the encoder as in Laina et al. 2016
RATES = {'adamw': 1e-3, 'sgd': 1e-1}
FINE = 0.2  # of the rate, to fine-tune
BLEND = 0.4
ANCHOR = 0.05
# of each field of Recipe: what it is, for the command line
HELP = {
    'model': "to fine-tune; '' is the shipped one, 'fresh' an ImageNet encoder",
    'encoder': 'of a fresh model',
    'block': 'of a fresh model',
    'width': 'channels after the bottleneck of a fresh model',
    'encoder_weights': ".npz of folded arrays; '' loads torchvision's",
    'input_size': 'ROWSxCOLUMNS of a fresh model',
    'objective': 'what there is to learn from; auto: depth, else stereo, else video',
    'loss': 'on depth',
    'gradient': 'weight of the gradient term on depth',
    'blend': "share of the starting model's weights in the result; -1: 0.4 where one source only "
    'is fine-tuned on, else 0',
    'anchor': "weight of the distance to the starting model's prediction; -1: 0.05 to "
    'fine-tune without recorded depth, else 0',
    'smoothness': 'weight of the smoothness of inverse depth, without recorded depth',
    'optimiser': 'adamw, or sgd as in the paper',
    'rate': "learning rate of the decoder; 0 takes the optimiser's, a fifth of it to fine-tune",
    'steps': 'of the optimiser',
    'epochs': 'so often are all samples read',
    'minutes': 'of training on this machine, which is timed first',
    'batch': 'pictures a step, over all processes',
    'accumulate': 'parts in which a process takes its share of a batch',
    'check_every': 'steps between validations, and between checkpoints',
    'patience': 'validations without a better one that end the training; 0: none do',
    'keep': "weights that become the model: the last ones or the best validation's",
    'precision': 'bf16-mixed, 16-mixed or 32-true',
    'freeze': 'layers that are held; early: those down to a quarter of the input',
    'freeze_statistics': "batch statistics that are held; auto: all, a fresh model's encoder",
    'zoom': 'largest zoom of a view',
    'erase': 'share of views with a rectangle blotted out',
    'seed': 'of everything random',
}
CHOICES = {
    'objective': ('auto', 'depth', 'video', 'stereo'),
    'loss': ('log_l1', 'berhu', 'l1', 'l2', 'silog'),
    'optimiser': ('adamw', 'sgd'),
    'keep': ('last', 'best'),
    'precision': ('bf16-mixed', '16-mixed', '32-true'),
    'freeze': ('none', 'early', 'encoder'),
    'freeze_statistics': ('auto', 'none', 'encoder', 'all'),
}
COUNTS = ('steps', 'epochs', 'minutes', 'patience', 'seed')
WEIGHTS = ('rate', 'gradient', 'smoothness')
BOUNDS: dict[str, tuple[int, float]] = {
    **dict.fromkeys(COUNTS + WEIGHTS, (0, math.inf)),
    **dict.fromkeys(('batch', 'accumulate', 'check_every', 'zoom'), (1, math.inf)),
    'anchor': (-1, math.inf),
    'blend': (-1, 1),
    'erase': (0, 1),
}


@dataclass(frozen=True)
class Recipe:
    """
    How a network is trained; ``HELP`` says what each field is.

    Of ``steps``, ``epochs`` and ``minutes`` the last one that is not zero decides.

    :raises ValueError: a number is out of its range, or a name is not one of ``CHOICES``.
    """

    model: str = ''
    encoder: str = 'mobilenet_v2'
    block: str = 'upproj'
    width: int = 256
    encoder_weights: str = ''
    input_size: tuple[int, int] = (192, 256)
    objective: str = 'auto'
    loss: str = 'log_l1'
    gradient: float = 0.125
    anchor: float = -1.0
    blend: float = -1.0
    smoothness: float = 1e-3
    optimiser: str = 'adamw'
    rate: float = 0.0
    steps: int = 2000
    epochs: float = 0.0
    minutes: float = 0.0
    batch: int = 16
    accumulate: int = 1
    check_every: int = 100
    patience: int = 0
    keep: str = 'last'
    precision: str = 'bf16-mixed'
    freeze: str = 'early'
    freeze_statistics: str = 'auto'
    zoom: float = 1.5
    erase: float = 0.3
    seed: int = 1

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name} is {getattr(self, name)!r}; expected one of {", ".join(choices)}'
                )
        for name, (least, most) in BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                upper = f' and at most {most:g}' if most < math.inf else ''
                raise ValueError(
                    f'{name} is {getattr(self, name)}; expected at least {least}{upper}'
                )
        if min(self.input_size) < 32:
            raise ValueError(f'input_size is {self.input_size}; expected at least 32 px')
        if not (self.steps or self.epochs or self.minutes):
            raise ValueError('steps, epochs and minutes are all 0; expected one of them')

    def resolved(self, sources: int, depth: bool) -> Recipe:
        """
        Return this recipe with a value in the place of everything that depends on the rest.

        :param sources: how many there are.
        :param depth: whether all of them teach recorded depth.
        """
        fresh = self.model == FRESH
        blend = self.blend
        if blend < 0:
            blend = 0.0 if fresh or sources > 1 else BLEND
        statistics = self.freeze_statistics
        if statistics == 'auto':
            statistics = 'encoder' if fresh else 'all'
        rate = self.rate or RATES[self.optimiser] * (1 if fresh else FINE)
        anchor = self.anchor if self.anchor >= 0 else 0.0 if depth or fresh else ANCHOR
        return replace(self, anchor=anchor, blend=blend, freeze_statistics=statistics, rate=rate)

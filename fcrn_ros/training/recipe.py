"""What decides the result of a training run, and its defaults."""

from __future__ import annotations

from dataclasses import dataclass

FRESH = 'fresh'
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
    'anchor': "weight of the distance to the starting model's prediction",
    'smoothness': 'weight of the smoothness of inverse depth, without recorded depth',
    'optimiser': 'adamw, or sgd as in the paper',
    'rate': "learning rate of the decoder; 0 takes the optimiser's",
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
    'freeze_statistics': 'batch statistics that are held',
    'zoom': 'largest zoom of a view',
    'erase': 'share of views with a rectangle blotted out',
    'seed': 'of everything random',
}
CHOICES = {
    'objective': ('auto', 'depth', 'video', 'stereo'),
    'loss': ('log_l1', 'berhu', 'l1', 'l2', 'silog'),
    'optimiser': ('adamw', 'sgd'),
    'keep': ('last', 'best'),
    'freeze': ('none', 'early', 'encoder'),
    'freeze_statistics': ('none', 'encoder', 'all'),
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
    gradient: float = 0.5
    anchor: float = 0.0
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
    freeze_statistics: str = 'encoder'
    zoom: float = 1.5
    erase: float = 0.3
    seed: int = 1

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name} is {getattr(self, name)!r}; expected one of {", ".join(choices)}'
                )
        least = {'batch': 1, 'accumulate': 1, 'check_every': 1, 'zoom': 1}
        least |= dict.fromkeys(('steps', 'epochs', 'minutes', 'patience', 'rate', 'gradient'), 0)
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f'{name} is {getattr(self, name)}; expected at least {bound}')
        if not (self.steps or self.epochs or self.minutes):
            raise ValueError('steps, epochs and minutes are all 0; expected one of them')

"""What decides the result of a training run, and its defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """
    Everything that decides the result of a training run.

    :param images: folder of colour images.
    :param depths: folder of depth PNGs.
    :param intrinsics: fx, fy, cx, cy [px] of those images.
    :param out: folder for the model, its checkpoint and logs.
    :param name: of the model.
    :param model: a model to fine-tune; '' starts from an ImageNet encoder.
    :param encoder: of a fresh model.
    :param block: of a fresh model.
    :param width: channels after the bottleneck of a fresh model.
    :param encoder_weights: .npz of folded arrays; None loads torchvision's weights.
    :param input_size: (rows, columns) of a fresh model [px].
    :param test: stems that are never read.
    :param validation: stems that are validated on, not trained on.
    :param licence: of the resulting weights.
    """

    images: Path
    depths: Path
    intrinsics: tuple[float, float, float, float]
    out: Path
    name: str
    model: str = ''
    encoder: str = 'mobilenet_v2'
    block: str = 'upproj'
    width: int = 256
    encoder_weights: Path | None = None
    input_size: tuple[int, int] = (192, 256)
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    loss: str = 'berhu'
    epochs: int = 20
    batch: int = 16
    rate: float = 1e-3
    precision: str = 'bf16-mixed'
    seed: int = 1
    workers: int = 1
    licence: str = 'as the training data'

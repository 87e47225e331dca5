"""Pictures of the validation for the experiment's log: colour, recorded, predicted, error."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor

from fcrn_ros.colormap import colored_depth
from fcrn_ros.training.data.batches import Batch

COUNT = 4
WORST = 0.5  # |d - g| / g that is drawn brightest
NEAREST = 0.1  # [m], what colours begin at


class ValidationPictures(Callback):
    """Draws the first samples of every validation into TensorBoard; other loggers get none."""

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Batch, index: int, loader: int = 0
    ) -> None:
        """Draw the first batch."""
        if index or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                with torch.inference_mode():
                    depth = module.averaged(module.normalise(batch['image'][:COUNT]))[:, 0]
                picture = draw(batch, depth.float() / batch['canonical'][:COUNT].view(-1, 1, 1))
                logger.experiment.add_image(
                    'colour, recorded, predicted, error',
                    picture,
                    trainer.global_step,
                    dataformats='HWC',
                )


def draw(batch: Batch, depth: Tensor) -> NDArray[np.uint8]:
    """
    Draw samples below each other: colour, recorded depth, predicted depth, relative error.

    :param batch: of at least as many samples as ``depth``.
    :param depth: (B, h, w), z-depth of the views' cameras [m].
    :return: (B h, 4 w, 3) uint8 RGB.
    """
    rows = []
    for image, recorded, predicted in zip(batch['image'], batch['depth'], depth, strict=False):
        truth, found = recorded.cpu().numpy(), predicted.cpu().numpy()
        known = np.where(truth > 0, truth, np.nan)
        far = float(np.nanmax(known)) if (truth > 0).any() else 10.0
        error = np.abs(found - known) / known
        size = found.shape[::-1]
        pictures = [
            cv2.resize(image.cpu().numpy(), size, interpolation=cv2.INTER_AREA),
            colored_depth(known, 0.0, far),
            colored_depth(found, 0.0, far),
            colored_depth(NEAREST * WORST / np.maximum(error, 1e-6), NEAREST, np.inf),
        ]
        rows.append(np.hstack(pictures))
    return np.vstack(rows)

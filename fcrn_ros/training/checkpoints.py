"""Checkpoints that a power cut and a full disk leave whole."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO


class WholeCheckpoints(TorchCheckpointIO):
    """
    Lightning's checkpoints, each written beside the last one and then put in its place.

    :raises OSError: the checkpoint cannot be written; the previous one is as it was.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all."""
        target = Path(path)
        part = target.with_name(f'{target.name}.part')  # what a killed run left is overwritten
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open('wb') as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except (OSError, RuntimeError) as err:  # torch's writer turns a full disk into the latter
            previous = (
                'the previous one is kept' if target.exists() else 'there is no previous one'
            )
            reason = ' '.join(str(err).split())
            raise OSError(
                f'{target}: the checkpoint was not written ({reason}); {previous}'
            ) from err
        finally:
            part.unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """
        Read a checkpoint.

        :raises ValueError: it is not one, or damaged.
        """
        try:
            return super().load_checkpoint(path, *args, **kwargs)
        except (RuntimeError, EOFError, UnpicklingError) as err:
            reason = str(err).split('.')[0]
            raise ValueError(
                f'{path}: not a whole checkpoint ({reason}); delete it to begin anew'
            ) from err

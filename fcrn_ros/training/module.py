"""What one training step is: the LightningModule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor

from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.training.average import averaged
from fcrn_ros.training.batches import Batch
from fcrn_ros.training.freezing import freeze_layers, sleep_statistics
from fcrn_ros.training.losses import valid_pixels
from fcrn_ros.training.optimisers import build_optimiser, build_schedule
from fcrn_ros.training.pose_network import PoseNetwork
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.reduction import Distributed, Local
from fcrn_ros.training.terms import Start, depth_terms, picture_terms


class DepthTraining(lightning.LightningModule):
    """
    The weighted sum of a recipe's objectives, and the moving average of the weights.

    The network predicts canonical depth: what a picture would show if the training camera had
    taken it. Depth that is compared with other pictures is that of the view's own camera.

    :param network: trained in place; ``averaged`` is what is validated and kept.
    :param spec: normalisation of the input.
    :param recipe: objectives, optimiser, what is held.
    :param steps: of the optimiser, in all.
    :param name_of: the name of a reading, by its position.
    :param told_poses: a second network tells the motion of videos without poses.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: Fcrn,
        spec: ModelSpec,
        recipe: Recipe,
        steps: int,
        name_of: Callable[[int], str] = str,
        told_poses: bool = False,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.steps, self.name_of = recipe, steps, name_of
        self.averaged = averaged(network)
        self.start = Start(network, not told_poses) if recipe.anchor else None
        self.pose_network = PoseNetwork() if told_poses else None
        freeze_layers(network, recipe.freeze)
        self.register_buffer('mean', torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer('std', torch.tensor(spec.std).view(1, 3, 1, 1))

    def train(self, mode: bool = True) -> DepthTraining:
        """Switch the mode; the statistics that the recipe holds stay asleep."""
        super().train(mode)
        sleep_statistics(self.network, self.recipe.freeze_statistics)
        self.averaged.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Set the mode: the Trainer leaves every module in the mode that it finds."""
        self.train()

    def normalise(self, images: Tensor) -> Tensor:
        """Return the network's input of (B, H, W, 3) uint8 images."""
        x = images.permute(0, 3, 1, 2).float()
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        inputs = self.normalise(batch['image'])
        raw = self.network.raw(inputs).float()
        terms = depth_terms(raw, batch, self.recipe, self._reduction())
        if 'visible' in batch:
            terms |= picture_terms(raw[:, 0], batch, self.recipe, self._depth, self.pose_network)
        if self.start is not None:
            terms |= self.start.term(raw[:, 0], inputs, self.recipe.anchor)
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        self._require_finite(loss, batch)
        self.log_dict({k: term.detach() for k, (_, term) in terms.items()})
        self.log('loss', loss.detach(), prog_bar=True)
        return loss

    def _depth(self, images: Tensor) -> Tensor:
        """Return (B, h, w) canonical depth of (B, H, W, 3) uint8 images."""
        return self.network.raw(self.normalise(images))[:, 0].float()

    def _reduction(self) -> Local | Distributed:
        return Distributed() if self.trainer.world_size > 1 else Local()

    def _require_finite(self, loss: Tensor, batch: Batch) -> None:
        if not math.isfinite(loss.item()):
            names = ', '.join(self.name_of(int(p)) for p in batch['position'])
            raise FloatingPointError(
                f'the loss is {loss.item()} at step {self.global_step}; the batch was {names}'
            )

    def on_train_batch_end(self, *_: Any) -> None:
        if self.global_step > self.averaged.n_averaged:  # not after a batch that only accumulates
            self.averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, index: int) -> None:
        output = self.averaged(self.normalise(batch['image'])).float()
        target = batch['depth'] * batch['canonical'].view(-1, 1, 1)
        mask = valid_pixels(target)
        if not mask.any():
            return
        depth, truth = output[:, 0].clamp(min=1e-3)[mask], target[mask]
        ratio = torch.maximum(depth / truth, truth / depth)
        found = {
            'val_absrel': ((depth - truth).abs() / truth).mean(),
            'val_delta1': (ratio < 1.25).float().mean(),
        }
        self.log_dict(found, prog_bar=True, batch_size=len(target), sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimiser = build_optimiser(self, self.recipe.optimiser, self.recipe.rate)
        schedule = build_schedule(optimiser, self.steps)
        return {
            'optimizer': optimiser,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

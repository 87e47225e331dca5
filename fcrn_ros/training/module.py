"""What one training step is: the LightningModule."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import lightning
import torch
from torch import Tensor

from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.training.average import averaged
from fcrn_ros.training.data.batches import Batch, canonical_depth
from fcrn_ros.training.freezing import freeze_layers, sleep_statistics
from fcrn_ros.training.objectives.losses import valid_pixels
from fcrn_ros.training.objectives.pose_network import PoseNetwork
from fcrn_ros.training.objectives.reduction import Distributed, Local, Reduction
from fcrn_ros.training.objectives.terms import Start, depth_terms, picture_terms
from fcrn_ros.training.optimisers import build_optimiser, build_schedule
from fcrn_ros.training.recipe import Recipe

WITHIN = 1.25  # of delta1


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
        reduce = Distributed() if self.trainer.world_size > 1 else Local()
        terms = depth_terms(raw, batch, self.recipe, reduce)
        if 'visible' in batch:
            terms |= picture_terms(raw[:, 0], batch, self.recipe, self._depth, self.pose_network)
        if self.start is not None:
            terms |= self.start.term(raw[:, 0], inputs, self.recipe.anchor)
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        self._require_finite(loss, batch, reduce)
        self.log_dict({k: term.detach() for k, (_, term) in terms.items()})
        self.log('loss', loss.detach(), prog_bar=True)
        return loss

    def _depth(self, images: Tensor) -> Tensor:
        """Return (B, h, w) canonical depth of (B, H, W, 3) uint8 images."""
        return self.network.raw(self.normalise(images))[:, 0].float()

    def _require_finite(self, loss: Tensor, batch: Batch, reduce: Reduction) -> None:
        """Stop all processes where the loss of one is not finite."""
        if math.isfinite(reduce.sum(loss).item()):
            return
        names = ', '.join(self.name_of(int(p)) for p in batch['position'])
        found = f'the loss is {loss.item()} at step {self.global_step}; the batch was {names}'
        if math.isfinite(loss.item()):
            found = f'the loss of another process is not finite at step {self.global_step}'
        raise FloatingPointError(found)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let no checkpoint be written from which no run could go on."""
        for name, weights in self.named_parameters():
            if not weights.isfinite().all():
                raise FloatingPointError(
                    f'{name} is not finite after step {self.global_step}; the previous '
                    'checkpoint is as it was'
                )

    def on_train_batch_end(self, *_: Any) -> None:
        if self.global_step > self.averaged.n_averaged:  # not after a batch that only accumulates
            self.averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, index: int) -> None:
        found = depth_errors(self.averaged(self.normalise(batch['image'])), batch)
        named = {f'val_{name}': value for name, value in found.items()}
        self.log_dict(named, prog_bar=True, batch_size=len(batch['image']), sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimiser = build_optimiser(self, self.recipe.optimiser, self.recipe.rate)
        schedule = build_schedule(optimiser, self.steps)
        return {
            'optimizer': optimiser,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }


def depth_errors(output: Tensor, batch: Batch) -> dict[str, Tensor]:
    """
    Return absrel, mean(|d - g| / g), and delta1, the share within 25 %, of canonical depth.

    :param output: (B, 1 or 2, h, w), of the network.
    :return: scalars; none where no pixel of the batch has a depth.
    """
    target = canonical_depth(batch)
    mask = valid_pixels(target)
    if not mask.any():
        return {}
    depth, truth = output[:, 0].float().clamp(min=1e-3)[mask], target[mask]
    ratio = torch.maximum(depth / truth, truth / depth)
    return {
        'absrel': ((depth - truth).abs() / truth).mean(),
        'delta1': (ratio < WITHIN).float().mean(),
    }


@torch.inference_mode()
def validate(
    network: Fcrn, batches: Iterable[Batch], normalise: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """Return the mean :func:`depth_errors` over pictures, as validation logs it."""
    network.eval()
    sums: dict[str, float] = defaultdict(float)
    pictures = 0
    for batch in batches:
        found = depth_errors(network(normalise(batch['image'])), batch)
        for name, value in found.items():
            sums[name] += value.item() * len(batch['image'])
        pictures += len(batch['image']) if found else 0
    return {name: round(total / pictures, 4) for name, total in sums.items()}

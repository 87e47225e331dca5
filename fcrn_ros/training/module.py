"""What one training step is: the LightningModule and its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fcrn_ros.camera import Camera
from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.training.augment import augment, warp
from fcrn_ros.training.datasets import Samples
from fcrn_ros.training.losses import LOSSES, laplace_scale, valid_pixels

Batches = DataLoader[tuple[Tensor, Tensor]]
SCALE_WEIGHT = 0.1  # of the uncertainty's likelihood beside the depth loss
ENCODER_RATE = 0.1  # of the decoder's learning rate
DECAY = 0.99  # of the averaged weights, per step; less in the first hundred steps


class Views(Dataset[tuple[Tensor, Tensor]]):
    """
    Samples as the network meets them.

    An item is a (H, W, 3) uint8 image of the input size and a (h, w) float32 depth [m] of the
    output size, 0 invalid; random when ``train``, else the same at every reading.
    """

    def __init__(self, samples: Samples, spec: ModelSpec, train: bool, seed: int = 0) -> None:
        inputs = spec.network_camera
        rows, columns = spec.output_size
        self.samples, self.train, self.seed = samples, train, seed
        self.cameras: tuple[Camera, Camera, Camera] = (
            samples.camera,
            inputs,
            inputs.resized(columns, rows),
        )
        self.reading = 0

    def __len__(self) -> int:
        return len(self.samples.stems)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = np.asarray(self.samples.images[index])
        depth = np.asarray(self.samples.depths[index]) / np.float32(1000)
        if self.train:
            self.reading += 1
            rng = np.random.default_rng((self.seed, torch.initial_seed() % 2**32, self.reading))
            image, depth = augment(image, depth, self.cameras, rng)
        else:
            image, depth = warp(image, depth, self.cameras)
        return torch.from_numpy(image), torch.from_numpy(depth)


def _moving_average(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Return the average after one more step; at first it forgets faster."""
    if not average.is_floating_point():
        return current
    decay = min(DECAY, (1 + float(count)) / (10 + float(count)))
    return torch.lerp(current, average, decay)


class DepthTraining(lightning.LightningModule):
    """
    Depth loss plus, where the network predicts it, the likelihood of the error's scale.

    :param network: trained in place; ``averaged`` holds the moving average that is validated and
        kept.
    :param spec: normalisation of the input.
    :param loss: a key of ``LOSSES``.
    :param rate: peak learning rate of the decoder; the encoder's, whose batch
        statistics are frozen, is a tenth.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Fcrn, spec: ModelSpec, loss: str, rate: float) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.depth_loss: Callable[[Tensor, Tensor], Tensor] = LOSSES[loss]
        self.rate = rate
        self.averaged = torch.optim.swa_utils.AveragedModel(
            network, avg_fn=_moving_average, use_buffers=True
        )
        self.register_buffer('mean', torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer('std', torch.tensor(spec.std).view(1, 3, 1, 1))

    def train(self, mode: bool = True) -> DepthTraining:
        """Switch the mode; the encoder's batch statistics stay those of its pre-training."""
        super().train(mode)
        for module in self.network.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Set the mode: the Trainer leaves every module in the mode that it finds."""
        self.train()

    def normalise(self, images: Tensor) -> Tensor:
        """Return the network's input of (B, H, W, 3) uint8 images."""
        x = images.permute(0, 3, 1, 2).float()
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, target = batch
        output = self.network(self.normalise(images)).float()
        loss = self.depth_loss(output[:, 0], target)
        self.log('loss', loss, prog_bar=True)
        if output.shape[1] > 1:
            likelihood = laplace_scale(output[:, 1], output[:, 0], target)
            self.log('scale_loss', likelihood, prog_bar=True)
            loss = loss + SCALE_WEIGHT * likelihood
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        self.averaged.update_parameters(self.network)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        images, target = batch
        output = self.averaged(self.normalise(images)).float()
        mask = valid_pixels(target)
        depth = output[:, 0].clamp(min=1e-3)
        absrel = ((depth - target).abs() / target)[mask].mean()
        ratio = torch.maximum(depth / target, target / depth)[mask]
        size = len(images)
        self.log('val_absrel', absrel, prog_bar=True, batch_size=size)
        self.log('val_delta1', (ratio < 1.25).float().mean(), prog_bar=True, batch_size=size)
        if output.shape[1] > 1:
            scale = laplace_scale(output[:, 1], depth, target)
            self.log('val_scale_loss', scale, prog_bar=True, batch_size=size)

    def configure_optimizers(self) -> Any:
        encoder = list(self.network.encoder.parameters())
        known = {id(p) for p in encoder}
        decoder = [p for p in self.network.parameters() if id(p) not in known]
        groups = [{'params': encoder}, {'params': decoder}]
        optimiser = torch.optim.AdamW(groups, lr=self.rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=[self.rate * ENCODER_RATE, self.rate],
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.1,
        )
        return {
            'optimizer': optimiser,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }


def loader(views: Views, batch: int, workers: int) -> Batches:
    """Return the loader of training (shuffled, whole batches) or validation views."""
    return DataLoader(
        views,
        batch,
        shuffle=views.train,
        drop_last=views.train,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

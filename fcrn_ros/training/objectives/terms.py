"""
The terms of the loss: what a recipe asks of the network's output on one batch.

The network gives canonical depth. Recorded depth is made canonical to be compared with it; what
compares pictures needs the view's own metres, which is canonical depth divided by ``canonical``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from fcrn_ros.model.fcrn import Fcrn, activate
from fcrn_ros.training.data.batches import Batch, canonical_depth
from fcrn_ros.training.objectives.losses import LOSSES, gradient_term, laplace_scale
from fcrn_ros.training.objectives.picture_losses import anchor, smoothness, stereo_loss, video_loss
from fcrn_ros.training.objectives.pose_network import PoseNetwork
from fcrn_ros.training.objectives.reduction import Reduction
from fcrn_ros.training.recipe import Recipe

Terms = dict[str, tuple[float, Tensor]]  # name -> weight and value
SCALE_WEIGHT = 0.1  # of the uncertainty's likelihood beside the depth loss


def depth_terms(raw: Tensor, batch: Batch, recipe: Recipe, reduce: Reduction) -> Terms:
    """
    Compare with recorded depth.

    :param raw: (B, 1 or 2, h, w), as ``Fcrn.raw`` gives it.
    """
    depth, target = raw[:, 0], canonical_depth(batch)
    terms: Terms = {recipe.loss: (1.0, LOSSES[recipe.loss](depth, target, reduce))}
    if recipe.gradient:
        terms['gradient'] = (recipe.gradient, gradient_term(depth, target, reduce))
    if raw.shape[1] > 1:
        log_scale = activate(raw)[:, 1]
        terms['scale'] = (SCALE_WEIGHT, laplace_scale(log_scale, depth, target, reduce))
    return terms


def picture_terms(
    depth: Tensor,
    batch: Batch,
    recipe: Recipe,
    predict: Callable[[Tensor], Tensor],
    pose_network: PoseNetwork | None,
) -> Terms:
    """
    Compare with other pictures: of other moments, of a second camera.

    :param depth: (B, h, w), canonical depth.
    :param predict: canonical depth of (B, H, W, 3) uint8 images.
    :param pose_network: tells the motion where it is not known.
    """
    factor = batch['canonical'].view(-1, 1, 1)
    metres, picture = depth / factor, _unit(batch['image'])
    terms: Terms = {'smoothness': (recipe.smoothness, smoothness(metres, picture))}
    if 'sources' in batch:
        terms['video'] = (1.0, _video_term(metres, picture, batch, pose_network))
    if 'right' in batch:
        terms['stereo'] = (
            1.0,
            stereo_loss(
                picture,
                _unit(batch['right']),
                metres,
                predict(batch['right']) / factor,
                batch['intrinsics'],
                batch['right_at'],
                batch['visible'],
            ),
        )
    return terms


def _video_term(
    metres: Tensor, picture: Tensor, batch: Batch, pose_network: PoseNetwork | None
) -> Tensor:
    sources, poses = _unit(batch['sources']), batch['source_T_target']
    if pose_network is not None:
        told = pose_network(picture, sources)
        poses = torch.where(batch['posed'].view(-1, 1, 1, 1), poses, told)
    return video_loss(
        picture, metres, batch['intrinsics'], sources, poses, batch['known'], batch['visible']
    )


def _unit(images: Tensor) -> Tensor:
    """Return (..., 3, H, W) float32 in 0..1 of (..., H, W, 3) uint8."""
    return images.movedim(-1, -3).float() / 255


class Start:
    """
    What the model said before training: the anchor's other end.

    It is no part of a checkpoint; a run that goes on makes it again from the same model.

    :param free_scale: hold each picture's shape alone, where metric motion tells the scale.
    """

    def __init__(self, network: Fcrn, free_scale: bool = False) -> None:
        self._free_scale = free_scale
        self._network = copy.deepcopy(network).eval().requires_grad_(False)

    def term(self, depth: Tensor, inputs: Tensor, weight: float) -> Terms:
        """
        Hold canonical depth near to what it was.

        :param depth: (B, h, w).
        :param inputs: (B, 3, H, W), normalised.
        """
        self._network.to(inputs.device)
        with torch.no_grad():
            before = self._network(inputs)[:, 0].float()
        return {'anchor': (weight, anchor(depth, before, free_scale=self._free_scale))}

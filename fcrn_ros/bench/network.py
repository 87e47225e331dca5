"""The network's forms that no backend runs, plain and naive, and the operations it needs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fcrn_ros.engine.torch_engine import find_device
from fcrn_ros.model.fcrn import Fcrn
from fcrn_ros.model.upsample import PHASE_OFFSETS, UnpoolConv, UpProj
from fcrn_ros.model.weights import ModelSpec, architecture_of, load_model


class NaiveUnpool(nn.Module):
    """Zeros between the pixels, then a 5x5 convolution: the form that public ports run."""

    def __init__(self, up: UnpoolConv) -> None:
        super().__init__()
        first = up.phases[0]
        assert isinstance(first, nn.Conv2d) and first.bias is not None
        self.conv = nn.Conv2d(first.in_channels, first.out_channels, 5, padding=2)
        with torch.no_grad():
            for phase, (top, left) in zip(up.phases, PHASE_OFFSETS, strict=True):
                assert isinstance(phase, nn.Conv2d)
                self.conv.weight[:, :, top::2, left::2] = phase.weight
            assert self.conv.bias is not None
            self.conv.bias.copy_(first.bias)

    def forward(self, x: Tensor) -> Tensor:
        zeros = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        zeros[:, :, ::2, ::2] = x
        y: Tensor = self.conv(zeros)
        return y


def naive_form(network: Fcrn) -> Fcrn:
    """
    Replace every interleaved convolution by unpool + 5x5, in place.

    :raises ValueError: the network has no such form; see :func:`why_not_naive`.
    """
    reason = why_not_naive(network)
    if reason:
        raise ValueError(f'no naive form: {reason}')
    for block in network.blocks:
        assert isinstance(block, UpProj)
        block.up1, block.up2 = NaiveUnpool(block.up1), NaiveUnpool(block.up2)  # type: ignore[assignment]
    return network


def why_not_naive(network: Fcrn) -> str:
    """Return why a network is not the sum of unpool + 5x5 convolutions; '' where it is."""
    architecture = network.architecture
    if architecture.block != 'upproj':
        return f'its blocks are {architecture.block}; expected upproj'
    if architecture.alignment != 'bottom_right':
        return f'its alignment is {architecture.alignment}; expected bottom_right'
    for module in network.modules():
        if isinstance(module, UnpoolConv):
            first, *others = (phase.bias for phase in module.phases)
            if not all(torch.equal(first, bias) for bias in others):  # type: ignore[arg-type]
                return 'its four phases have different biases; one 5x5 convolution has one'
    return ''


class FormEngine:
    """
    A model in PyTorch, float32, without any of an engine's work; with an engine's method.

    :param form: ``plain`` or ``naive``.
    :raises ValueError: the model has no such form.
    """

    name, precision = 'torch', 'fp32'

    def __init__(self, model: str, form: str, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        network, self.spec = load_model(model)
        self.device = find_device(device)
        layout = torch.channels_last if form == 'plain' else torch.contiguous_format
        network = naive_form(network) if form == 'naive' else network
        self.network = network.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]
        self._layout = layout
        mean, std = torch.tensor(self.spec.mean), torch.tensor(self.spec.std)
        self._mean, self._std = mean.to(self.device), std.to(self.device)

    @torch.inference_mode()
    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`fcrn_ros.engine.DepthEngine`."""
        x = torch.from_numpy(batch).to(self.device).float()
        x = ((x - self._mean) / self._std).permute(0, 3, 1, 2)
        output: Tensor = self.network(x.contiguous(memory_format=self._layout))
        return output.cpu().numpy()


def operations(spec: ModelSpec) -> float:
    """
    Return what one image needs in the interleaved form, two operations a multiply-accumulate.

    Counted on shapes alone: nothing is computed.
    """
    with torch.device('meta'):
        network = Fcrn(architecture_of(spec)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, *spec.input_size))
    return float(counter.get_total_flops())

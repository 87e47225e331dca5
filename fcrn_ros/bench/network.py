"""The network's time, plain, fused and naive, against the machine's matrix product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fcrn_ros.bench.timing import milliseconds, row
from fcrn_ros.engine.torch_engine import DTYPES, find_device
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.model.fused import fuse
from fcrn_ros.model.upsample import PHASE_OFFSETS, UnpoolConv, UpProj
from fcrn_ros.model.weights import load_model

MATRIX = 4096
NAIVE_SIZE = (228, 304)
Rows = list[dict[str, Any]]


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

    :param network: of alignment ``bottom_right``, its phases' biases equal.
    """
    for block in network.blocks:
        assert isinstance(block, UpProj)
        block.up1, block.up2 = NaiveUnpool(block.up1), NaiveUnpool(block.up2)  # type: ignore[assignment]
    return network


def ceilings(repeats: int) -> Rows:
    """Return what a large matrix product reaches here, per precision [TFLOP/s]."""
    rows = []
    device = find_device('auto')
    for precision in _precisions(device):
        a = torch.randn(MATRIX, MATRIX).to(DTYPES[precision]).to(device)

        def product(a: Tensor = a) -> None:
            _finished(a @ a)

        ms = milliseconds(product, max(3, repeats // 10))
        tflops = 2 * MATRIX**3 / ms['median'] / 1e9
        what = f'matrix product {MATRIX}'
        rows.append(row(what, ms, precision=precision, tflops=round(tflops, 3)))
    return rows


def _precisions(device: str) -> tuple[str, ...]:
    return ('fp32', 'fp16', 'bf16') if device.startswith('cuda') else ('fp32', 'bf16')


def _finished(y: Tensor) -> None:
    if y.is_cuda:
        torch.cuda.synchronize()


def model_rows(model: str, repeats: int, peak: dict[str, float]) -> Rows:
    """Time a model on disk: plain and fused, per precision."""
    network, spec = load_model(model)
    return _network_rows(network, spec.name, spec.input_size, repeats, peak)


def naive_rows(repeats: int, peak: dict[str, float]) -> Rows:
    """Time ResNet-50 with up-projection at 228 x 304: naive, plain and fused."""
    torch.manual_seed(0)
    network = Fcrn(Architecture('resnet50')).eval()
    name = 'resnet50 upproj (random)'
    rows = _network_rows(network, name, NAIVE_SIZE, max(5, repeats // 3), peak)
    x = torch.randn(1, 3, *NAIVE_SIZE)
    naive = naive_form(network)
    with torch.inference_mode():
        ms = milliseconds(lambda: naive(x), max(5, repeats // 3))
    threads = torch.get_num_threads()
    rows.append(row('network', ms, name, 'torch', 'fp32', 'naive', threads=threads))
    for entry in rows:
        entry['gain'] = round(ms['median'] / entry['ms']['median'], 2)
    return rows


@torch.inference_mode()
def _network_rows(
    network: Fcrn, name: str, size: tuple[int, int], repeats: int, peak: dict[str, float]
) -> Rows:
    rows = []
    device = find_device('auto')
    batch = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, device=device)
    flops = _flops(network, size)
    plain = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, 3, *size, device=device).contiguous(memory_format=torch.channels_last)
    ms = milliseconds(lambda: _finished(plain(x)), repeats)
    threads = torch.get_num_threads()
    about: dict[str, Any] = {'model': name, 'backend': 'torch', 'flops': flops, 'threads': threads}
    rows.append(row('network', ms, precision='fp32', form='plain', peak=peak['fp32'], **about))
    for precision in _precisions(device):
        dtype = DTYPES[precision]
        fused = fuse(network, (0.0,) * 3, (255.0,) * 3, dtype, 'auto', batch)
        ms = milliseconds(lambda f=fused: _finished(f(batch)), repeats)  # type: ignore[misc]
        form = 'fused: ' + ', '.join(sorted(set(fused.forms)))
        rows.append(
            row('network', ms, precision=precision, form=form, peak=peak[precision], **about)
        )
    return rows


def _flops(network: Fcrn, size: tuple[int, int]) -> float:
    """Return the operations that the interleaved form needs, two a multiply-accumulate."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *size, device=next(network.parameters()).device))
    return float(counter.get_total_flops())

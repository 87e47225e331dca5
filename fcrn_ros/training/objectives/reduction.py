"""
What a loss asks of the other processes of a training run, so that all have one normalisation.

With N valid pixels in the whole batch and S_r the sum of the errors in process r of W, the loss of
the whole batch is (S_1 + ... + S_W) / N. Data-parallel training averages the gradients of its
processes, so each one's loss is W S_r / N: the average of these, and of their gradients, is that
of the whole batch. Worked number: errors of 1, 2, 3 m in one process and 4 m in the other give
2 * 6 / 4 = 3 and 2 * 4 / 4 = 2, in the mean 2.5 = 10 / 4; the mean of each one's own mean is 3.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, distributed


class Reduction(Protocol):
    """
    Sums and maxima over the whole batch; they carry no gradient.

    Every process has to ask for the same, in the same order, whatever its part of the batch holds.
    """

    @property
    def processes(self) -> int:
        """Return how many processes share the batch."""

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the elementwise sum over the processes."""

    def max(self, tensor: Tensor) -> Tensor:
        """Return the elementwise maximum over the processes."""


class Local:
    """The batch is in this process alone."""

    processes = 1

    def sum(self, tensor: Tensor) -> Tensor:
        """See :class:`Reduction`."""
        return tensor.detach()

    def max(self, tensor: Tensor) -> Tensor:
        """See :class:`Reduction`."""
        return tensor.detach()


class Distributed:
    """
    The batch is spread over the processes of ``torch.distributed``'s default group.

    :raises ValueError: that group was not started.
    """

    def __init__(self) -> None:
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError('torch.distributed has no process group; expected one to reduce over')
        self.processes = distributed.get_world_size()

    def sum(self, tensor: Tensor) -> Tensor:
        """See :class:`Reduction`."""
        result = tensor.detach().clone()
        distributed.all_reduce(result, distributed.ReduceOp.SUM)
        return result

    def max(self, tensor: Tensor) -> Tensor:
        """See :class:`Reduction`."""
        result = tensor.detach().clone()
        distributed.all_reduce(result, distributed.ReduceOp.MAX)
        return result


LOCAL = Local()


def mean(total: Tensor, count: Tensor, reduce: Reduction) -> Tensor:
    """
    Return this process's share of the mean over the whole batch, times the processes.

    :param total: this process's sum, with its gradient; 0 where ``count`` is.
    :param count: of the same shape, integer: how many were summed in this process.
    :return: the share; 0 where nothing was summed in any process.
    """
    return total * reduce.processes / reduce.sum(count).clamp(min=1)

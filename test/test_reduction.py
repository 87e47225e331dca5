"""One batch in two processes against the same batch in one."""

import os

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fcrn_ros.training.objectives.losses import LOSSES, gradient_term, laplace_scale
from fcrn_ros.training.objectives.reduction import LOCAL, Distributed, Local, mean

pytestmark = pytest.mark.usefixtures('one_thread')


def _scale(depth, target, reduce):
    """Depth gives the scale too, through another function of it."""
    return laplace_scale(torch.tanh(depth), depth, target, reduce)


TERMS = {**LOSSES, 'gradient_term': gradient_term, 'laplace_scale': _scale}
# what is valid in each process's half of the batch
CASES = ('even', 'uneven', 'second_empty', 'all_empty')


def _network():
    torch.manual_seed(1)
    return nn.Conv2d(3, 1, 3, padding=1).double()


def _batch(case):
    """Return (4, 3, 9, 17) pictures and (4, 9, 17) depth; errors are the largest in the last."""
    generator = torch.Generator().manual_seed(2)
    pictures = torch.randn(4, 3, 9, 17, generator=generator, dtype=torch.float64)
    depth = 1 + 4 * torch.rand(4, 9, 17, generator=generator, dtype=torch.float64)
    depth[3] *= 3
    if case == 'uneven':
        depth[2:, 1:], depth[0, :, 3], depth[1] = 0, torch.nan, torch.inf
    elif case == 'second_empty':
        depth[2:] = 0
    elif case == 'all_empty':
        depth[:] = torch.nan
    return pictures, depth


def _gradient(network, term, batch, reduce):
    network.zero_grad()
    pictures, depth = batch
    loss = term(2 + network(pictures)[:, 0], depth, reduce)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
    return loss.item(), gradient.clone()


def _work(rank, folder):
    """Be one of two processes, each with its half of every batch."""
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2
    )
    network, results = DistributedDataParallel(_network()), {}
    for case in CASES:
        half = [tensor[2 * rank : 2 * rank + 2] for tensor in _batch(case)]
        for name, term in TERMS.items():
            for reduce in (Distributed(), LOCAL):
                key = (case, name, type(reduce).__name__)
                results[key] = _gradient(network, term, half, reduce)
    reduce = Distributed()
    number = torch.tensor([2.0, 5.0]) if rank == 0 else torch.tensor([3.0, 1.0])
    results['numbers'] = reduce.processes, reduce.sum(number), reduce.max(number), number
    torch.save(results, f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    """Return what two processes found."""
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip('needs a PyTorch with gloo')
    folder = tmp_path_factory.mktemp('reduction')
    torch.multiprocessing.spawn(_work, (str(folder),), nprocs=2)
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(2)]


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('name', TERMS)
def test_two_processes_give_the_gradient_of_one(parts, name, case):
    loss, gradient = _gradient(_network(), TERMS[name], _batch(case), LOCAL)
    assert (gradient != 0).any() == (case != 'all_empty')
    found = [part[case, name, 'Distributed'] for part in parts]
    for _, other in found:
        torch.testing.assert_close(other, gradient, rtol=0, atol=1e-6)
    assert sum(value for value, _ in found) / 2 == pytest.approx(loss, abs=1e-9)


@pytest.mark.parametrize('name', TERMS)
def test_each_ones_own_normalisation_gives_another_gradient(parts, name):
    """
    The comparison above can fail: with unlike halves it does.

    One has 9 * 16 = 144 pixels in one image, the other 17 in each of two.
    """
    _, gradient = _gradient(_network(), TERMS[name], _batch('uneven'), LOCAL)
    _, other = parts[0]['uneven', name, 'Local']
    assert (other - gradient).abs().max() > 1e-3


def test_sum_and_maximum_by_hand(parts):
    """2, 5 and 3, 1: sums 5, 6 and maxima 3, 5 in both, whose own numbers stay."""
    for part, own in zip(parts, ([2, 5], [3, 1]), strict=True):
        processes, total, largest, number = part['numbers']
        assert processes == 2
        assert (total.tolist(), largest.tolist()) == ([5, 6], [3, 5])
        assert number.tolist() == own


class Half:
    """One of two processes; the other counted one pixel."""

    processes = 2

    def sum(self, tensor):
        return tensor + 1


def test_mean_is_a_share_by_hand():
    """Errors 1, 2, 3 here and one pixel there: 2 * 6 / 4 = 3, each with a slope of 2 / 4."""
    errors = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    share = mean(errors.sum(), torch.tensor(3), Half())
    share.backward()
    assert share.item() == 3
    assert errors.grad.tolist() == [0.5, 0.5, 0.5]


def test_local_answers_without_a_gradient():
    tensor = torch.tensor([1.0, 2.0], requires_grad=True)
    for answer in (Local().sum(tensor), Local().max(tensor)):
        assert answer.tolist() == [1, 2] and not answer.requires_grad


def test_distributed_without_a_group_is_refused():
    with pytest.raises(ValueError, match='torch.distributed has no process group; expected one'):
        Distributed()

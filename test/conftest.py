"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def data_folder() -> Path:
    """Return the folder of recorded data, which is not part of the repository."""
    folder = Path(os.environ.get('FCRN_TEST_DATA') or ROOT.parent / 'shared' / 'data')
    if not folder.is_dir():
        pytest.skip(f'needs recorded data in {folder}; set FCRN_TEST_DATA to its folder')
    return folder


@pytest.fixture(scope='session', autouse=True)
def empty_cache(tmp_path_factory: Any) -> Iterator[Path]:
    """Keep what engines build in a folder of this run, for child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp('cache')
        patch.setenv('XDG_CACHE_HOME', str(folder))
        yield folder / 'fcrn_ros'


@pytest.fixture(scope='module')
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: on a busy machine its threads wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.fixture(scope='session')
def pictures() -> Any:
    """
    Return a (8, 64, 96, 3) uint8 RGB tensor.

    Seven are squares of random colours under a little noise, the last is smooth waves with edges,
    like the picture that an engine checks itself with.
    """
    import torch

    generator = torch.Generator().manual_seed(3)
    squares = torch.randint(0, 226, (8, 4, 6, 3), generator=generator)
    noise = torch.randint(0, 30, (8, 64, 96, 3), generator=generator)
    result = squares.repeat_interleave(16, 1).repeat_interleave(16, 2) + noise
    v, u = torch.meshgrid(torch.arange(64), torch.arange(96), indexing='ij')
    waves = torch.stack((torch.sin(u / 17), torch.cos(v / 23), torch.sin((u + v) / 31)), -1)
    result[7] = 127 + 70 * waves + 50 * ((u // 32 + v // 32) % 2 - 0.5)[..., None]
    return result.clip(0, 255).byte()


@pytest.fixture(scope='session')
def settle() -> Callable[[Any, Any], Any]:
    """
    Return a function that makes a random network see: (network, pictures) -> network.

    Its normalisations take the statistics of the pictures, so that activations stay near 1 down to
    the last convolution, which gives depths of 2.5 m with a deviation of 0.25 m and log(b) with
    one of 0.25: a fault anywhere shows in the output. Residual branches are damped, as training
    damps them; without that, random layers in a row enlarge rounding errors.
    """
    from fcrn_ros.bench.random_model import settle as with_statistics_of

    def settled(network: Any, pictures: Any) -> Any:
        return with_statistics_of(network, pictures.numpy())

    return settled


@pytest.fixture(scope='session')
def random_network(settle: Callable[[Any, Any], Any], pictures: Any) -> Callable[[Any], Any]:
    """Return a function from an architecture to a network with random weights that sees."""
    import torch

    from fcrn_ros.model.fcrn import Fcrn

    def build(architecture: Any) -> Any:
        torch.manual_seed(7)
        return settle(Fcrn(architecture), pictures)

    return build


@pytest.fixture(scope='session')
def tiny_model(random_network: Callable[[Any], Any], tmp_path_factory: Any) -> Path:
    """
    Return the sidecar of a random ResNet-18 FCRN on disk, with uncertainty.

    Input 64 x 96, output 32 x 48; the training camera has fx != fy and lies off the centre.
    """
    from fcrn_ros.model.fcrn import Architecture
    from fcrn_ros.model.weights import ModelSpec, save_model

    spec = ModelSpec(
        name='tiny',
        architecture={},
        input_size=(64, 96),
        mean=MEAN,
        std=STD,
        camera={'fx': 80.0, 'fy': 75.0, 'cx': 46.0, 'cy': 33.0},
        depth_range=(0.5, 10.0),
        licence='BSD-3-Clause',
    )
    network = random_network(Architecture('resnet18', width=16, uncertainty=True))
    return save_model(network, spec, tmp_path_factory.mktemp('tiny_model'))

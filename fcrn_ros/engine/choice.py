"""
Which backend is the fastest here: measured once, then remembered with the figures.

A candidate has to compute the network to its precision's tolerance before it is timed. int8 is
never a candidate: it is somebody's decision, since it depends on the pictures it was calibrated
with.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from fcrn_ros import __version__
from fcrn_ros.engine import (
    DepthEngine,
    EngineError,
    NotBuilt,
    Progress,
    Request,
    open_backend,
)
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import example, network_key
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.model.weights import ModelSpec, load_spec

LOGGER = logging.getLogger(__name__)
SECONDS = 1.0  # that a candidate is timed
# distributions whose versions decide what is fast
LIBRARIES = ('torch', 'openvino', 'tensorrt', 'tensorrt-rtx')
# backend -> modules, any of which it runs with
MODULES = {
    'tensorrt': ('tensorrt', 'tensorrt_rtx'),
    'openvino': ('openvino',),
    'torch': ('torch',),
}
Opener = Callable[[str, Request], DepthEngine]


def open_fastest(
    request: Request, cache: Cache | None = None, opener: Opener = open_backend
) -> DepthEngine:
    """
    Open the fastest backend for a model on this machine.

    The first start times every candidate; later ones open the remembered winner, and time again
    where that does not open any more, or where a candidate had been refused. A single candidate
    is opened untimed.

    :param opener: opens a backend by name.
    :raises EngineError: no candidate opens; the message has the reason of each.
    :raises NotBuilt: nothing is remembered or its winner is not built, and ``build`` is
        ``never``.
    """
    backends = candidates(request)
    if len(backends) == 1:
        return opener(backends[0], request)
    cache = cache or Cache()
    spec = load_spec(request.model)
    key = _key(request, spec, backends)
    evidence = _evidence(cache, key)
    # what was refused is tried again, but for a node that is not to wait
    if evidence is not None and (not evidence['refused'] or request.build == 'never'):
        backend, precision = (evidence['timed'][0][name] for name in ('backend', 'precision'))
        try:
            return opener(backend, replace(request, precision=precision))
        except NotBuilt:
            raise
        except EngineError as err:
            LOGGER.warning('%s %s was the fastest but: %s; timing again', backend, precision, err)
            cache.discard('choice', key)
    if request.build == 'never':
        raise NotBuilt(f'{" and ".join(backends)} have not been timed on this machine')
    return _measure(request, backends, cache, key, opener)


def recall(request: Request, cache: Cache) -> list[dict[str, Any]] | None:
    """
    Return the figures that are remembered for a request, the fastest first; None without any.

    :return: of each its backend, precision, device and median_ms.
    :raises ModelError: the model is absent or damaged.
    """
    evidence = _evidence(cache, _key(request, load_spec(request.model), candidates(request)))
    return None if evidence is None else evidence['timed']


def candidates(request: Request) -> list[str]:
    """Return the backends that fit the request and whose libraries are installed."""
    named_gpu = request.device.startswith('cuda')
    fitting = ['tensorrt'] if named_gpu or (request.device == 'auto' and has_nvidia_gpu()) else []
    fitting += [] if named_gpu else ['openvino']
    fitting += [] if request.precision == 'int8' else ['torch']
    found = [
        backend for backend in fitting if any(is_installed(module) for module in MODULES[backend])
    ]
    return found or fitting[-1:]  # which then says what is missing


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # blocked, or half removed
        return False


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded."""
    return any(Path(p).exists() for p in ('/dev/nvidia0', '/dev/nvhost-gpu', '/dev/dxg'))


def measure(
    request: Request, backends: Iterable[str], opener: Opener = open_backend
) -> tuple[list[tuple[float, DepthEngine]], list[str]]:
    """
    Time backends for ``SECONDS`` each.

    :return: (median ms, engine), the fastest first; and why the others did not open.
    """
    timed: list[tuple[float, DepthEngine]] = []
    refused, backends = [], list(backends)
    for i, backend in enumerate(backends):
        progress = _share_of(request.progress, i, len(backends))
        progress(f'opening {backend}', 0.0)
        try:
            engine = opener(backend, replace(request, progress=progress))
            progress(f'timing {backend}', 1.0)
            timed.append((_median_ms(engine), engine))
        except EngineError as err:
            refused.append(f'{backend}: {err}')
    request.progress('timed', 1.0)
    return sorted(timed, key=lambda entry: entry[0]), refused


def _share_of(progress: Progress, part: int, parts: int) -> Progress:
    """Return a progress that spans one part of the whole, and never goes back."""
    highest = 0.0

    def report(what: str, share: float) -> None:
        nonlocal highest
        highest = max(highest, min(share, 1.0))
        progress(what, (part + highest) / parts)

    return report


def _measure(
    request: Request, backends: list[str], cache: Cache, key: dict[str, str], opener: Opener
) -> DepthEngine:
    timed, refused = measure(request, backends, opener)
    if not timed:
        raise EngineError('no backend opens: ' + '; '.join(refused))
    for reason in refused:
        LOGGER.warning('backend auto leaves out %s', reason)
    winner = timed[0][1]
    table = ', '.join(f'{e.name} {e.precision} {ms:.1f} ms' for ms, e in timed)
    LOGGER.info('backend auto takes %s: %s', winner.name, table)
    evidence = {'timed': [_figures(ms, e) for ms, e in timed], 'refused': refused}
    cache.put('choice', key, json.dumps(evidence).encode())
    return winner


def _figures(ms: float, engine: DepthEngine) -> dict[str, Any]:
    return {
        'backend': engine.name,
        'precision': engine.precision,
        'device': engine.device,
        'median_ms': round(ms, 3),
    }


def _median_ms(engine: DepthEngine) -> float:
    batch, end = example(engine.spec), time.monotonic() + SECONDS
    times: list[float] = []
    while not times or time.monotonic() < end:
        start = time.perf_counter()
        engine.infer(batch)
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def _evidence(cache: Cache, key: dict[str, str]) -> dict[str, Any] | None:
    stored = cache.get('choice', key)
    return None if stored is None else json.loads(stored)


def _key(request: Request, spec: ModelSpec, backends: list[str]) -> dict[str, str]:
    """Return what a choice depends on."""
    versions = {name: installed_version(name) for name in LIBRARIES}
    return {
        'package': __version__,
        **network_key(spec),
        'device': request.device,
        'precision': request.precision,
        'threads': str(request.threads or half_of_the_cores()),
        'backends': ' '.join(backends),
        'processor': processor_name(),
        'cores': str(os.cpu_count()),
        'gpu': gpu_names(),
        **versions,
    }


def installed_version(distribution: str) -> str:
    """Return a distribution's version; '' where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def processor_name() -> str:
    """Return the processor's name, as the kernel has it; a board's where it has a name."""
    with contextlib.suppress(OSError):
        board = Path('/proc/device-tree/model').read_text().strip('\0\n')
        if board:
            return board
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.machine()


def gpu_names() -> str:
    """Return the NVIDIA GPUs' names, as the driver has them; '' without one."""
    files = sorted(Path('/proc/driver/nvidia/gpus').glob('*/information'))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return ', '.join(line.partition(':')[2].strip() for line in lines if line.startswith('Model'))

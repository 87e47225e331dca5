"""
Which backend is the fastest here: measured once, then remembered with the figures.

A candidate has to compute the network to its precision's tolerance before it is timed. int8 is
never a candidate: it is somebody's decision, since it depends on the pictures it was calibrated
with.
"""

from __future__ import annotations

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

import numpy as np

from fcrn_ros import __version__
from fcrn_ros.engine import DepthEngine, EngineError, Request, open_backend
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import example
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.model.weights import ModelSpec, load_spec

LOGGER = logging.getLogger(__name__)
SECONDS = 1.0  # that a candidate is timed
# distributions whose versions decide what is fast
LIBRARIES = ('torch', 'openvino', 'tensorrt', 'tensorrt-rtx')
Opener = Callable[[str, Request], DepthEngine]


def open_fastest(
    request: Request, cache: Cache | None = None, opener: Opener = open_backend
) -> DepthEngine:
    """
    Open the fastest backend for a model on this machine.

    The first start times every candidate; later ones open the remembered winner, and time again
    where that does not open any more. A single candidate is opened untimed.

    :param opener: opens a backend by name.
    :raises EngineError: no candidate opens; the message has the reason of each.
    """
    backends = candidates(request)
    if len(backends) == 1:
        return opener(backends[0], request)
    cache = cache or Cache()
    spec = load_spec(request.model)
    key = _key(request, spec, backends)
    remembered = _recall(cache, key)
    if remembered is not None:
        backend, precision = remembered
        try:
            return opener(backend, replace(request, precision=precision))
        except EngineError as err:
            LOGGER.warning('%s %s was the fastest but: %s; timing again', backend, precision, err)
            cache.discard('choice', key)
    return _measure(request, backends, cache, key, opener)


def candidates(request: Request) -> list[str]:
    """Return the backends whose libraries are installed and fit the device, TensorRT first."""
    on_gpu = request.device.startswith('cuda') or (request.device == 'auto' and has_nvidia_gpu())
    names: dict[str, tuple[str, ...]] = {'torch': ('torch',), 'openvino': ('openvino',)}
    if on_gpu:
        names = {'tensorrt': ('tensorrt', 'tensorrt_rtx'), 'torch': ('torch',)}
    found = [
        backend
        for backend, modules in names.items()
        if any(importlib.util.find_spec(module) is not None for module in modules)
    ]
    return found or ['torch']  # which then says what is missing


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
    refused = []
    for backend in backends:
        request.progress(f'timing {backend}', len(timed) / len(LIBRARIES))
        try:
            engine = opener(backend, request)
            timed.append((_median_ms(engine), engine))
        except EngineError as err:
            refused.append(f'{backend}: {err}')
    return sorted(timed, key=lambda entry: entry[0]), refused


def _measure(
    request: Request, backends: list[str], cache: Cache, key: dict[str, str], opener: Opener
) -> DepthEngine:
    timed, refused = measure(request, backends, opener)
    if not timed:
        raise EngineError('no backend opens: ' + '; '.join(refused))
    for reason in refused:
        LOGGER.warning('backend auto leaves out %s', reason)
    evidence = [
        {
            'backend': e.name,
            'precision': e.precision,
            'device': e.device,
            'median_ms': round(ms, 3),
        }
        for ms, e in timed
    ]
    winner = timed[0][1]
    table = ', '.join(f'{e.name} {e.precision} {ms:.1f} ms' for ms, e in timed)
    LOGGER.info('backend auto takes %s: %s', winner.name, table)
    if not refused:  # what failed today is tried again tomorrow
        cache.put('choice', key, json.dumps(evidence).encode())
    return winner


def _median_ms(engine: DepthEngine) -> float:
    batch, end = example(engine.spec), time.monotonic() + SECONDS
    times: list[float] = []
    while not times or time.monotonic() < end:
        start = time.perf_counter()
        engine.infer(batch)
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def _recall(cache: Cache, key: dict[str, str]) -> tuple[str, str] | None:
    stored = cache.get('choice', key)
    if stored is None:
        return None
    best = json.loads(stored)[0]
    return best['backend'], best['precision']


def _key(request: Request, spec: ModelSpec, backends: list[str]) -> dict[str, str]:
    """Return what a choice depends on."""
    versions = {name: _version(name) for name in LIBRARIES}
    return {
        'package': __version__,
        'weights': spec.sha256,
        'device': request.device,
        'precision': request.precision,
        'threads': str(request.threads or half_of_the_cores()),
        'backends': ' '.join(backends),
        'processor': processor_name(),
        'cores': str(os.cpu_count()),
        'gpu': gpu_names(),
        **versions,
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def processor_name() -> str:
    """Return the processor's name, as the kernel has it."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def gpu_names() -> str:
    """Return the NVIDIA GPUs' names, as the driver has them; '' without one."""
    files = sorted(Path('/proc/driver/nvidia/gpus').glob('*/information'))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return ', '.join(line.partition(':')[2].strip() for line in lines if line.startswith('Model'))

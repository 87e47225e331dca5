"""
One engine, measured in a process of its own: ``python -m fcrn_ros.bench.probe QUESTION``.

The question holds model, backend, precision, form (``plain``, ``naive`` or ``engine``), threads
(0: half of the cores), batch, repeats, build (``block`` or ``never``), the file of the pictures,
and the file of the plain network's depth of them, which the plain form writes.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.bench.meters import Gpu, energy_counters, joules_per_call, memory_mib
from fcrn_ros.bench.process import Answer, serve
from fcrn_ros.bench.timing import milliseconds
from fcrn_ros.engine import NotBuilt, open_engine
from fcrn_ros.engine.check import relative_errors


def probe(question: Answer) -> Answer:
    """Return the figures of an engine; ``{'not_built': reason}`` where it is to be built first."""
    gpu = Gpu()
    start = time.perf_counter()
    try:
        engine = _open(question)
    except NotBuilt as missing:
        return {'not_built': str(missing)}
    load = time.perf_counter() - start
    found = {
        'backend': engine.name,
        'precision': engine.precision,
        'device': engine.device,
        'forms': sorted(set(getattr(engine, 'forms', ()))),
        'load_s': round(load, 3),
    }
    if question['repeats']:
        found |= _figures(engine, question, gpu)
    return found


def _open(question: Answer) -> Any:
    model, form, threads = (question[name] for name in ('model', 'form', 'threads'))
    if form == 'engine':
        backend, precision, build = (question[n] for n in ('backend', 'precision', 'build'))
        return open_engine(model, backend, 'auto', precision, threads, build)
    from fcrn_ros.bench.network import FormEngine

    return FormEngine(model, form, 'auto', threads)


def _figures(engine: Any, question: Answer, gpu: Gpu) -> Answer:
    pictures = np.load(question['pictures'])
    batches = itertools.cycle(_batches(pictures, question['batch']))
    start = time.perf_counter()
    engine.infer(next(batches))
    first = 1e3 * (time.perf_counter() - start)
    ms = milliseconds(lambda: engine.infer(next(batches)), question['repeats'])
    counters = energy_counters(gpu)
    joules = joules_per_call(lambda: engine.infer(next(batches)), counters)
    peak, resident = memory_mib()
    return {
        'ms': ms,
        'first_ms': round(first, 3),
        'memory_mib': {'peak': peak, 'resident': resident, 'gpu': gpu.memory_mib()},
        'joules_per_image': None if joules is None else round(joules / question['batch'], 5),
        'energy_of': sorted(counters),
        'depth_error': _depth_error(engine, question, pictures),
    }


def _batches(pictures: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    """Return batches of one size that hold every picture, some of them twice."""
    number = len(pictures)
    count = -(-number // size)
    indices = np.arange(count * size) % number
    return [pictures[chosen] for chosen in indices.reshape(count, size)]


def _depth_error(
    engine: Any, question: Answer, pictures: NDArray[np.uint8]
) -> dict[str, float] | None:
    """Compare with the plain network on the CPU; after the timing, which it would disturb."""
    file = Path(question['expected'])
    outputs = [engine.infer(batch) for batch in _batches(pictures, question['batch'])]
    found = np.concatenate(outputs)[: len(pictures), 0]
    if question['form'] == 'plain':
        _save_expected(engine, pictures, file)
    return compare(found, np.load(file)) if file.is_file() else None


def _save_expected(engine: Any, pictures: NDArray[np.uint8], file: Path) -> None:
    import torch

    from fcrn_ros.engine.check import plain_output

    network = engine.network.to(memory_format=torch.contiguous_format)
    depths = [plain_output(network, engine.spec, picture[None])[:, 0] for picture in pictures]
    np.save(file, np.concatenate(depths))


def compare(found: NDArray[np.float32], expected: NDArray[np.float32]) -> dict[str, float]:
    """
    Return the median and the mean relative difference of two depths.

    :param found: (B, h, w) float32, z-depth [m].
    :param expected: (B, h, w) float32, z-depth [m].
    :raises ValueError: what was found is not finite.
    """
    if not np.isfinite(found).all():
        raise ValueError(f'{np.mean(~np.isfinite(found)):.1%} of the depths are not finite')
    error = relative_errors(found, expected)
    return {'median': float(np.median(error)), 'mean': float(np.mean(error))}


if __name__ == '__main__':
    serve(probe)

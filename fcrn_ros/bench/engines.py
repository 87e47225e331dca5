"""One model on every backend in every precision, beside its plain and its naive form."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.bench.network import operations
from fcrn_ros.bench.pictures import resized
from fcrn_ros.bench.process import Answer, ask
from fcrn_ros.bench.timing import row
from fcrn_ros.engine.choice import MODULES, has_nvidia_gpu, is_installed
from fcrn_ros.engine.threads import all_cores, half_of_the_cores
from fcrn_ros.model.weights import load_spec

PROBE = 'fcrn_ros.bench.probe'
AS_THE_NODE = 'network, as the node runs it'
Rows = list[dict[str, Any]]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Subject:
    """
    One thing to measure.

    :param form: ``plain``, ``naive`` or ``engine``.
    :param threads: 0 takes half of the cores, as the node does.
    """

    backend: str
    precision: str
    form: str
    threads: int
    batch: int = 1
    what: str = 'network'

    def __str__(self) -> str:
        form = '' if self.form == 'engine' else f' {self.form}'
        return f'{self.backend} {self.precision}{form}'


def installed(device: str) -> dict[str, tuple[str, ...]]:
    """Return the backends whose libraries are there, with the precisions to try on a device."""
    on_gpu = device.startswith('cuda')
    found: dict[str, tuple[str, ...]] = {
        'torch': ('fp32', 'fp16', 'bf16') if on_gpu else ('fp32', 'bf16'),
        'openvino': ('fp32', 'bf16', 'int8'),
    }
    if has_nvidia_gpu():
        found['tensorrt'] = ('fp32', 'fp16', 'bf16', 'int8')
    there = {b for b in found if any(is_installed(module) for module in MODULES[b])}
    return {b: precisions for b, precisions in found.items() if b in there}


def subjects(device: str, batch: int, naive: bool) -> Iterator[Subject]:
    """Yield what is measured of a model; the plain form, which all are compared with, first."""
    threads = all_cores()
    yield Subject('torch', 'fp32', 'plain', threads, batch)
    if naive:
        yield Subject('torch', 'fp32', 'naive', threads, batch)
    for backend, precisions in installed(device).items():
        for precision in precisions:
            yield Subject(backend, precision, 'engine', threads, batch)
    yield Subject('auto', 'auto', 'engine', 0, what=AS_THE_NODE)


def network_rows(
    model: str,
    pictures: list[NDArray[np.uint8]],
    peak: dict[str, float],
    repeats: int,
    chosen: list[Subject],
    say: Say = lambda what: None,
) -> Rows:
    """
    Measure a model, each engine in a process of its own.

    :param pictures: of any size, (H, W, 3) uint8 RGB.
    :param peak: the ceiling of each precision [TFLOP/s].
    :param chosen: see :func:`subjects`.
    :param say: is told what is measured next.
    :return: a row of each subject; one that failed has ``error``, and ``ms`` without figures.
    """
    spec = load_spec(model)
    flops = operations(spec)
    with tempfile.TemporaryDirectory() as folder:
        files = {n: str(Path(folder, f'{n}.npy')) for n in ('pictures', 'expected')}
        np.save(files['pictures'], resized(pictures, spec.input_size))
        rows = []
        for subject in chosen:
            say(f'{spec.name}: {subject}')
            answer = _measured(model, subject, repeats, files)
            rows.append(_row(spec.name, subject, answer, repeats, flops, peak))
    return _with_gain(rows)


def _measured(model: str, subject: Subject, repeats: int, files: dict[str, str]) -> Answer:
    """Ask a probe; where something is to be built first, another probe does that."""
    question = {
        'model': model,
        'backend': subject.backend,
        'precision': subject.precision,
        'form': subject.form,
        'threads': subject.threads,
        'batch': subject.batch,
        'repeats': repeats,
        'build': 'never',
        **files,
    }
    answer = ask(PROBE, question)
    if 'not_built' not in answer:
        return answer | {'build_s': None}
    built = ask(PROBE, question | {'build': 'block', 'repeats': 0})
    if 'error' in built:
        return built
    answer = ask(PROBE, question)
    if 'not_built' in answer:  # the cache cannot be written
        answer = ask(PROBE, question | {'build': 'block'})
    return answer | {'build_s': built['load_s']}


def _row(
    model: str,
    subject: Subject,
    answer: Answer,
    repeats: int,
    flops: float,
    peak: dict[str, float],
) -> dict[str, Any]:
    precision = answer.get('precision', subject.precision)
    names = ('device', 'load_s', 'build_s', 'first_ms', 'memory_mib', 'joules_per_image')
    figures = {name: answer.get(name) for name in (*names, 'energy_of', 'depth_error', 'error')}
    return row(
        subject.what,
        answer.get('ms', {}),
        model,
        answer.get('backend', subject.backend),
        precision,
        _form(subject, answer),
        subject.batch,
        flops,
        peak.get(precision, 0.0),
        threads=subject.threads or half_of_the_cores(),
        repeats=repeats,
        gflop=round(flops / 1e9, 3),
        **figures,
    )


def _form(subject: Subject, answer: Answer) -> str:
    if subject.form != 'engine':
        return subject.form
    return ': '.join(filter(None, ('fused', ', '.join(answer.get('forms', ())))))


def _with_gain(rows: Rows) -> Rows:
    """Add each row's gain in images per second over the naive form, where that was measured."""
    naive = [ms for r in rows if r['form'] == 'naive' and (ms := _ms_of_an_image(r))]
    for entry in rows if naive else ():
        ms = _ms_of_an_image(entry)
        entry['gain'] = round(naive[0] / ms, 2) if ms else None
    return rows


def _ms_of_an_image(entry: dict[str, Any]) -> float | None:
    median = entry['ms']['median']
    return median / entry['batch'] if median else None

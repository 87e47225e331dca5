"""Checks of what may run the network: backends, the cache, the choice of backend auto."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fcrn_ros.doctor.finding import Check, Finding, checked, ok, one_line, warning
from fcrn_ros.engine import Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.choice import candidates, has_nvidia_gpu, installed_version, recall
from fcrn_ros.model.weights import ModelError

TENSORRT = ('tensorrt', 'tensorrt-rtx')


def examine(model: str) -> list[Finding]:
    """Run every check of the engines; ``model`` is '' for the default."""
    checks: dict[str, Check] = {
        'OpenVINO': openvino,
        'TensorRT': tensorrt,
        'engine cache': cache,
        'backend auto': partial(choice, model),
    }
    return [finding for name, check in checks.items() for finding in checked(name, check)]


def openvino() -> Finding:
    """Check whether OpenVINO is there, which is the fastest on most CPUs."""
    version = installed_version('openvino')
    if version:
        return ok('OpenVINO', version)
    return ok('OpenVINO', "not installed; 'fcrn_ros[openvino]' is the fastest on most CPUs")


def tensorrt() -> Iterator[Finding]:
    """Check that a TensorRT has the GPU that it needs, and a GPU its TensorRT."""
    found = [f'{name} {installed_version(name)}' for name in TENSORRT if installed_version(name)]
    if found and not has_nvidia_gpu():
        yield ok('TensorRT', f'{", ".join(found)}; no NVIDIA GPU is here to run it')
    elif found:
        yield ok('TensorRT', ', '.join(found))
    elif has_nvidia_gpu():
        advice = "install the TensorRT that comes with the system, or 'fcrn_ros[tensorrt]'"
        yield warning('TensorRT', 'not installed; an NVIDIA GPU is here', advice)


def cache() -> Finding:
    """Check that what an engine builds can be kept."""
    kept = Cache()
    try:
        kept.require_writable()
    except OSError as error:
        advice = 'every start builds anew; make it writable, or set XDG_CACHE_HOME'
        return warning('engine cache', one_line(error), advice)
    size = sum(path.stat().st_size for path in kept.folder.glob('*') if path.is_file())
    return ok('engine cache', f'{kept.folder}, {size / 1e6:.0f} MB')


def choice(model: str) -> Iterator[Finding]:
    """Tell what backend auto has measured, where there is a choice."""
    request = Request(model)
    backends = candidates(request)
    try:
        evidence = recall(request, Cache())
    except (ModelError, OSError):
        return  # the check of the models says it
    if len(backends) == 1:
        yield ok('backend auto', f'{backends[0]}, the only one')
    elif evidence is None:
        advice = 'the first start does it; or run fcrn build'
        yield ok('backend auto', f'{" and ".join(backends)} have not been timed; {advice}')
    else:
        table = (f'{e["backend"]} {e["precision"]} {e["median_ms"]:.1f} ms' for e in evidence)
        yield ok('backend auto', ', '.join(table))

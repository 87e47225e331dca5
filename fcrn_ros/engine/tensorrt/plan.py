"""
TensorRT plans: built from a model on disk, kept in the cache.

A plan takes one picture: a fixed shape leaves the builder nothing to guess, and a robot has one
frame at a time. Its key in the cache names all that it depends on: the network, the precision,
the library's exact version and the GPU it was measured on. A plan of TensorRT for RTX is measured
on none and belongs to ``any`` GPU from Ampere (8.0) on; Turing (7.5) takes one of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NoReturn

from fcrn_ros import __version__
from fcrn_ros.engine import EngineError, NotBuilt, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import network_key, reference
from fcrn_ros.engine.int8.quantize import quantized
from fcrn_ros.engine.tensorrt.build import BATCH, build
from fcrn_ros.engine.tensorrt.caches import Timings
from fcrn_ros.engine.tensorrt.cuda_memory import find_gpu
from fcrn_ros.engine.tensorrt.library import (
    ANY,
    TURING,
    Library,
    Target,
    find_precisions,
    find_target,
    load_library,
)
from fcrn_ros.model.weights import ModelSpec, load_spec

FORM = 'shuffled'  # the one that is built in every precision


def plan_key(
    spec: ModelSpec, precision: str, library: Library, target: Target, model: bytes | None = None
) -> dict[str, str]:
    """
    Return all that a plan depends on.

    :param model: the ONNX, where more than the network decides on it: in int8, the pictures.
    """
    return {
        'model': hashlib.sha256(model).hexdigest() if model else '',
        'package': __version__,
        **network_key(spec),
        'precision': precision,
        'form': FORM,
        'batch': str(BATCH),
        'library': str(library),
        'gpu': target.gpu,
        'capability': target.capability,
    }


def load_plan(
    request: Request,
    precision: str,
    library: Library,
    target: Target,
    cache: Cache,
    model: bytes | None = None,
    anew: bool = False,
) -> bytes:
    """
    Return a plan out of the cache, built where it is absent.

    :param model: the ONNX to build from; None exports it where it is needed.
    :param anew: the one in the cache is of no use.
    :raises EngineError: it was not built.
    :raises NotBuilt: it is absent, and ``request.build`` is ``never``.
    :raises ModelError: the model is absent or damaged.
    """
    spec = load_spec(request.model)
    key = plan_key(spec, precision, library, target, model)
    if anew:
        cache.discard('plan', key)
    if request.build == 'never':
        plan = cache.get('plan', key)
        if plan is None:
            raise NotBuilt(f'the {library} plan of {spec.name} in {precision} is not built')
        return plan

    def make() -> bytes:
        onnx = model or _export(request, precision)
        timings = Timings(cache, library, target)
        return build(library, onnx, spec, precision, target, request.progress, timings)

    return cache.get_or_make('plan', key, make)


def build_plan(
    request: Request, capability: str = ANY, cache: Cache | None = None, flavour: str = ''
) -> bytes:
    """
    Build ahead of time what an engine needs on its robot; nothing is run.

    The plan and the plain network's depth, which it will be compared with, are in the cache then.

    :param request: with precision ``auto``, that is the first one that is tried.
    :param capability: ``any`` is every GPU from Ampere on; ``7.5`` is Turing.
    :param flavour: ``tensorrt`` or ``tensorrt_rtx``; '' takes the one that an engine takes.
    :raises EngineError: it was not built, the library builds only where its GPU is, or there is
        none.
    """
    library, cache = load_library(flavour), cache or Cache()
    if capability not in (ANY, TURING):
        raise EngineError(
            f'capability {capability!r} is not known; expected {ANY} (8.0 and later) or {TURING}'
        )
    precision = find_precisions(library, request.precision)[0]
    target = Target(ANY, capability)
    if not library.builds_anywhere:
        try:
            gpu = find_gpu(request.device)
        except EngineError as err:
            raise EngineError(f'{library} builds only where its GPU is: {err}') from err
        target = find_target(library, gpu)
    spec, model = load_spec(request.model), None
    if precision == 'int8':
        model = _quantized_before(request, spec, cache)
    plan = load_plan(request, precision, library, target, cache, model)
    reference(request.model, spec, cache)
    return plan


def _quantized_before(request: Request, spec: ModelSpec, cache: Cache) -> bytes:
    def never(model: bytes, precision: str) -> NoReturn:
        raise AssertionError('opened to quantise, where nothing may be built')

    try:
        return quantized(replace(request, build='never'), spec, cache, never, FORM, signed=True)
    except NotBuilt as err:
        raise EngineError(
            f'{err}: what int8 costs is measured on the GPU; run fcrn build where that is'
        ) from err


def _export(request: Request, precision: str) -> bytes:
    """Return the ONNX to build from; what needs PyTorch is imported here, and only to build."""
    try:
        from fcrn_ros.engine.onnx_export import export
    except ImportError as err:
        raise EngineError(
            f'building a TensorRT plan needs PyTorch and onnx: {err}; '
            'pip install torch onnx, or run fcrn build where they are'
        ) from err
    model: bytes = export(request.model, precision, FORM, BATCH).SerializeToString()
    return model

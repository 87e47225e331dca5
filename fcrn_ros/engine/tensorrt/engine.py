"""
The TensorRT backend: the network as a plan on an NVIDIA GPU.

One code path drives TensorRT from 8.6 on and TensorRT for RTX. A plan out of the cache is trusted
no more than a fresh one: each is compared with the plain network's depth before it serves.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.engine import EngineError, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import first_faithful, reference, require_batch
from fcrn_ros.engine.int8.quantize import quantized
from fcrn_ros.engine.tensorrt.build import Io, expected_io, require_io
from fcrn_ros.engine.tensorrt.caches import Kernels
from fcrn_ros.engine.tensorrt.cuda_memory import Buffer, CudaError, Gpu, Stream, find_gpu, use_gpu
from fcrn_ros.engine.tensorrt.library import Library, find_precisions, find_target, load_library
from fcrn_ros.engine.tensorrt.plan import FORM, load_plan
from fcrn_ros.model.weights import ModelSpec, load_spec

LOGGER = logging.getLogger(__name__)
MEMORY_IS_FULL = re.compile(r'out ?of ?memory|could not be allocated|bad_alloc', re.IGNORECASE)


class UnloadablePlan(EngineError):
    """A plan that this TensorRT does not load on this GPU."""


def open_tensorrt(request: Request, cache: Cache | None = None) -> TensorRtEngine:
    """
    Open the network in the first precision that computes it.

    :raises EngineError: TensorRT or the CUDA bindings are not installed, the device or precision
        is not to be had, the network is not built or does not run, or the result is not its own.
    :raises ModelError: the model is absent or damaged.
    :raises NotBuilt: there is no plan yet, and ``request.build`` is ``never``.
    """
    library = load_library()
    precisions = find_precisions(library, request.precision)
    gpu, spec, cache = find_gpu(request.device), load_spec(request.model), cache or Cache()
    if request.build == 'never' and precisions[0] != 'int8':  # known before anything is computed
        load_plan(request, precisions[0], library, find_target(library, gpu), cache)
    expected = reference(request.model, spec, cache)
    opener = _Opener(request, spec, library, gpu, cache)
    engine = first_faithful(precisions, opener.open, expected)
    engine.keep_kernels()
    LOGGER.info('%s runs %s in %s on %s', library, spec.name, engine.precision, gpu.name)
    return engine


@dataclass(frozen=True)
class _Opener:
    """Opens one model on one GPU in one precision or another."""

    request: Request
    spec: ModelSpec
    library: Library
    gpu: Gpu
    cache: Cache

    def open(self, precision: str) -> TensorRtEngine:
        """Open the model in a precision, quantised first where that is int8."""
        model = None
        if precision == 'int8':
            model = quantized(
                self.request, self.spec, self.cache, self.open_onnx, FORM, signed=True
            )
        return self.open_onnx(model, precision)

    def open_onnx(self, model: bytes | None, precision: str) -> TensorRtEngine:
        """Open a plan; one out of the cache that does not load is built anew, once."""
        try:
            return self._engine(self._plan(model, precision, anew=False), precision)
        except UnloadablePlan as err:
            LOGGER.warning('%s: building it again', err)
        return self._engine(self._plan(model, precision, anew=True), precision)

    def _plan(self, model: bytes | None, precision: str, anew: bool) -> bytes:
        target = find_target(self.library, self.gpu)
        return load_plan(self.request, precision, self.library, target, self.cache, model, anew)

    def _engine(self, plan: bytes, precision: str) -> TensorRtEngine:
        kernels = Kernels(self.cache, self.library, self.gpu)
        return TensorRtEngine(self.library, plan, self.spec, precision, self.gpu, kernels)


class TensorRtEngine:
    """
    FCRN as a plan of TensorRT; see :class:`fcrn_ros.engine.DepthEngine`.

    It may be used from any thread, by one at a time: a lock sees to it.

    :param library: the one that built the plan.
    :param plan: see :mod:`fcrn_ros.engine.tensorrt.plan`.
    :param kernels: where to keep what is compiled at the first start; None: nowhere.
    :param graph: launch a frame's work as one CUDA graph where that can be captured.
    :raises UnloadablePlan: TensorRT does not load the plan.
    :raises EngineError: it does not run, or is no plan of this model.
    """

    name = 'tensorrt'

    def __init__(
        self,
        library: Library,
        plan: bytes,
        spec: ModelSpec,
        precision: str,
        gpu: Gpu,
        kernels: Kernels | None = None,
        graph: bool = True,
    ) -> None:
        self.spec, self.device, self.precision = spec, gpu.device, precision
        self.library = str(library)
        self._library, self._gpu, self._kernels = library, gpu, kernels
        self._lock = threading.Lock()
        self._graph: Any = None
        try:
            use_gpu(gpu.index)
            self._load(plan)
            self._prepare(plan, graph)
        except CudaError as err:
            raise EngineError(f'{library} did not start on {gpu.device}: {err}') from err

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`fcrn_ros.engine.DepthEngine`."""
        require_batch(batch, self.spec)
        shape = self._depth.host.shape[1:]
        output = np.empty((len(batch), *shape), np.float32)
        with self._lock:
            try:
                use_gpu(self._gpu.index)
                for picture, depth in zip(batch, output, strict=True):
                    self._image.host[0] = picture  # any memory layout
                    self._run()
                    depth[...] = self._depth.host[0]
            except CudaError as err:
                raise EngineError(f'inference failed on {self.device}: {err}') from err
        return output

    def keep_kernels(self) -> None:
        """Store what was compiled for this GPU, so that the next start need not."""
        if self._kernels is not None:
            self._kernels.keep()

    # what follows runs only with a GPU

    def _load(self, plan: bytes) -> None:
        library = self._library
        library.logger.errors.clear()
        self._runtime = library.api.Runtime(library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            reason = library.reason()
            kind = EngineError if MEMORY_IS_FULL.search(reason) else UnloadablePlan
            raise kind(f'{library} does not load the plan of {self.spec.name}: {reason}')
        require_io(engine_io(self._engine), self.spec, 'the plan')

    def _prepare(self, plan: bytes, graph: bool) -> None:
        """Make everything that a frame needs, and run once."""
        self._context = self._make_context(plan, graph)
        self._stream = Stream()
        io = expected_io(self.spec)
        self._image = Buffer(io['image'][2], np.uint8)
        self._depth = Buffer(io['depth'][2], np.float32)
        for name, buffer in (('image', self._image), ('depth', self._depth)):
            done = self._context.set_tensor_address(name, buffer.device)
            self._library.require(done, f'{self.library} takes no memory for {name}')
        self._image.host[...] = 0
        self._run()  # the first time it allocates, which cannot be captured
        if graph and not self._captures_itself:
            self._capture()

    def _make_context(self, plan: bytes, graph: bool) -> Any:
        """Return an execution context; TensorRT for RTX has settings for it."""
        api, engine, arguments = self._library.api, self._engine, []
        self._captures_itself = False
        if hasattr(api, 'IRuntimeCache'):
            config = engine.create_runtime_config()
            arguments = [config]
            if self._kernels is not None:
                self._kernels.lend(config, plan)
            self._captures_itself = hasattr(config, 'cuda_graph_strategy')  # since 1.2
            if self._captures_itself and graph:
                config.cuda_graph_strategy = api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = engine.create_execution_context(*arguments)
        return self._library.require(context, f'{self.library} does not start the plan')

    def _capture(self) -> None:
        try:
            self._graph = self._stream.capture(self._enqueue)
        except EngineError as err:
            LOGGER.info('no CUDA graph (%s): every frame is enqueued step by step', err)

    def _run(self) -> None:
        """Turn the picture in the input buffer into the depth in the output buffer."""
        if self._graph is not None:
            self._stream.launch(self._graph)
        else:
            self._enqueue()
        self._stream.wait()

    def _enqueue(self) -> None:
        self._image.upload(self._stream)
        done = self._context.execute_async_v3(self._stream.handle)
        self._library.require(done, f'inference failed on {self.device}')
        self._depth.download(self._stream)


def engine_io(engine: Any) -> Io:
    """Return a plan's inputs and outputs; runs only with a GPU."""
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    return {
        name: (
            engine.get_tensor_mode(name).name,
            engine.get_tensor_dtype(name).name,
            tuple(engine.get_tensor_shape(name)),
        )
        for name in names
    }

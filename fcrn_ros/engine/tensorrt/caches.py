"""What TensorRT itself would like to remember: measured timings, kernels compiled for a GPU."""

from __future__ import annotations

import hashlib
from typing import Any

from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.tensorrt.cuda_memory import Gpu
from fcrn_ros.engine.tensorrt.library import Library, Target


class Timings:
    """What TensorRT measured in earlier builds on this GPU; it makes the next ones shorter."""

    def __init__(self, cache: Cache, library: Library, target: Target) -> None:
        self._cache, self._library = cache, library
        self._key = {'library': str(library), 'gpu': target.gpu, 'capability': target.capability}

    def lend(self, config: Any) -> None:
        """Hand them to a build; TensorRT for RTX measures nothing when it builds."""
        if not self._library.builds_anywhere:  # runs only with a GPU
            known = config.create_timing_cache(self._cache.get('timings', self._key) or b'')
            config.set_timing_cache(known, False)

    def keep(self, config: Any) -> None:
        """Store what a build added."""
        if not self._library.builds_anywhere:  # runs only with a GPU
            self._cache.put('timings', self._key, bytes(config.get_timing_cache().serialize()))


class Kernels:
    """
    The kernels that TensorRT for RTX compiled for this GPU, kept for the next start.

    TensorRT's own plans hold theirs. Runs only with a GPU.
    """

    def __init__(self, cache: Cache, library: Library, gpu: Gpu) -> None:
        self._cache = cache
        self._key = {
            'library': str(library),
            'gpu': gpu.name,
            'capability': gpu.capability,
        }
        self._stored: bytes | None = None
        self._compiled: Any = None

    def lend(self, config: Any, plan: bytes) -> None:
        """Hand the kernels of earlier starts to an engine; it refuses those of another driver."""
        self._key['plan'] = hashlib.sha256(plan).hexdigest()
        self._compiled = config.create_runtime_cache()
        self._stored = self._cache.get('kernels', self._key)
        if self._stored is not None and not self._compiled.deserialize(self._stored):
            self._stored = None
        config.set_runtime_cache(self._compiled)

    def keep(self) -> None:
        """Store what was compiled since."""
        if self._compiled is not None:
            found = bytes(self._compiled.serialize())
            if found != self._stored and self._cache.put('kernels', self._key, found):
                self._stored = found

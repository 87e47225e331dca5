"""
Which TensorRT this is, what this version offers, and what it says.

``tensorrt`` and ``tensorrt_rtx`` (TensorRT for RTX) have one API and differ in what they build:
TensorRT measures on the GPU that will run the plan; TensorRT for RTX builds anywhere, for every
GPU from Ampere on, and compiles the kernels on the robot. From version 9 on a network states its
types itself; before, flags allow a precision and constraints demand it. What a version offers is
read off the library, not off its number.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

from fcrn_ros.engine import OPENERS, EngineError
from fcrn_ros.engine.tensorrt.cuda_memory import Gpu

LOGGER = logging.getLogger(__name__)
FLAVOURS = ('tensorrt', 'tensorrt_rtx')  # the first one installed is taken
AUTO = ('fp16', 'fp32')
ANY, TURING = 'any', '7.5'
LONGEST_REASON = 400  # characters of TensorRT's errors in one of ours
# flags of networks without types of their own
WEAK_FLAGS = {
    'fp32': (),
    'fp16': ('FP16', 'OBEY_PRECISION_CONSTRAINTS'),
    'int8': ('INT8',),  # where the Quantize nodes are
}


@dataclass(frozen=True)
class Library:
    """
    An installed TensorRT.

    :param name: one of ``FLAVOURS``.
    :param version: exact; a plan belongs to it.
    :param api: its module.
    :param logger: the one that every object of it in this process is given.
    """

    name: str
    version: str
    api: Any
    logger: Any

    def __str__(self) -> str:
        return f'{self.name} {self.version}'

    @property
    def builds_anywhere(self) -> bool:
        """Whether it builds without the GPU that will run the plan."""
        return self.name == 'tensorrt_rtx'

    def reason(self) -> str:
        """Return, once, what TensorRT has said since the last time, in one line."""
        errors = dict.fromkeys(' '.join(error.split()) for error in self.logger.errors)
        self.logger.errors.clear()
        text = '; '.join(errors) or 'TensorRT gives no reason'
        return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + '...'

    def require(self, result: Any, what: str) -> Any:
        """Return a result; :raises EngineError: TensorRT returned None or False instead."""
        if result is None or result is False:
            raise EngineError(f'{what}: {self.reason()}')
        return result


@dataclass(frozen=True)
class Target:
    """
    What a plan is for; in words, ``any GPU`` or its name.

    :param gpu: its name, or ``any``.
    :param capability: its capability of computing, or ``any``.
    :param index: of the GPU that measures, as CUDA counts them; None where none does.
    """

    gpu: str = ANY
    capability: str = ANY
    index: int | None = None

    def __str__(self) -> str:
        suffix = '' if self.capability == ANY else f' of capability {self.capability}'
        return ('any GPU' if self.gpu == ANY else self.gpu) + suffix


def find_target(library: Library, gpu: Gpu) -> Target:
    """Return what a plan for a GPU is built for."""
    if not library.builds_anywhere:
        return Target(gpu.name, gpu.capability, gpu.index)
    return Target(ANY, TURING if gpu.capability == TURING else ANY)


def load_library(flavour: str = '') -> Library:
    """
    Return the installed TensorRT.

    :param flavour: one of ``FLAVOURS``; '' takes the first that is installed.
    :raises EngineError: there is none; the message has each one's reason.
    """
    reasons = []
    for name in (flavour,) if flavour else FLAVOURS:
        try:
            api = importlib.import_module(name)
        except (ImportError, OSError) as err:  # OSError: a library beside it is missing
            reasons.append(str(err))
            continue
        return Library(name, api.__version__, api, _logger_of(api))
    needs = OPENERS['tensorrt'][2]
    raise EngineError(f'backend tensorrt needs {needs} ({"; ".join(reasons)})')


@functools.cache
def _logger_of(api: Any) -> Any:
    """Return the one logger of the process: TensorRT takes no second one."""
    errors = (api.ILogger.Severity.ERROR, api.ILogger.Severity.INTERNAL_ERROR)
    warning = api.ILogger.Severity.WARNING

    class Logger(api.ILogger):
        """Keeps errors for the exception that follows, and tells warnings to who debugs."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, message: str) -> None:
            if severity in errors:
                self.errors.append(message)
            if severity == warning or severity in errors:
                LOGGER.debug('%s', message)

    return Logger()


def states_types(api: Any) -> bool:
    """Whether its networks are strongly typed, on demand or always."""
    on_demand = hasattr(api.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED')
    return on_demand or not hasattr(api.BuilderFlag, 'FP16')


def network_flags(api: Any) -> int:
    """Return the flags to create a network with; later versions ignore what is their default."""
    known = api.NetworkDefinitionCreationFlag
    names = [n for n in ('EXPLICIT_BATCH', 'STRONGLY_TYPED') if hasattr(known, n)]
    return sum(1 << int(getattr(known, name)) for name in names)


def builder_flags(api: Any, precision: str) -> tuple[list[str], list[str]]:
    """
    Return the names of the flags to set and to clear.

    float32 is float32: without TensorFloat-32, whose products have ten bits.
    """
    wanted = () if states_types(api) else WEAK_FLAGS[precision]
    unwanted = ['TF32'] if precision == 'fp32' and hasattr(api.BuilderFlag, 'TF32') else []
    return list(wanted), unwanted


def find_precisions(library: Library, precision: str) -> tuple[str, ...]:
    """
    Return the precisions to try, the fastest first; a named one stands alone.

    :raises EngineError: this version does not have it.
    """
    if precision == 'auto':
        return AUTO
    if precision == 'bf16' and not hasattr(library.api.DataType, 'BF16'):
        raise EngineError(f'{library} has no bf16: it came with 9.0; expected fp32, fp16 or int8')
    return (precision,)

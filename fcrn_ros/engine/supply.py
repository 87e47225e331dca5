"""
Which engine serves: the wanted one, or another while it is built or after it failed.

Building runs in a process of its own, ``fcrn build``: it takes minutes and gigabytes on some
machines, and whatever happens to it, frames go on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from fcrn_ros.engine import (
    DepthEngine,
    EngineError,
    NotBuilt,
    Request,
    open_backend,
    open_engine,
)

LOGGER = logging.getLogger(__name__)
BUILDS = ('background', 'block', 'never')
FAILURES = 3  # in a row, before auto takes another engine
STOP_SECONDS = 5.0  # that a killed process may take to end
FALLBACK = 'torch'
FALLBACK_PRECISIONS = ('auto', 'fp32', 'fp16', 'bf16')


class EngineSupply:
    """
    Opens an engine, and replaces it.

    :param backend: one of ``BACKENDS``.
    :param request: what is asked of the engine; its ``build`` is not read.
    :param build: ``background`` serves with PyTorch until the engine is built, ``block`` waits,
        ``never`` takes only what is in the cache.
    :param switch: is handed a new engine, in a thread of this object or the caller's.
    :param warn: is told once what is used in place of what, and why.
    """

    def __init__(
        self,
        backend: str,
        request: Request,
        build: str,
        switch: Callable[[DepthEngine], object],
        warn: Callable[[str], object],
    ) -> None:
        self._backend, self._request, self._build = backend, request, build
        self._switch, self._warn = switch, warn
        self._failures = 0
        self._fallen = False
        self._builder: Builder | None = None

    def open(self) -> DepthEngine:
        """
        Return the engine to start with.

        :raises EngineError: no engine opens.
        :raises ModelError: the model is absent or damaged.
        """
        try:
            return self._open('never')
        except NotBuilt as missing:
            if self._build == 'block':
                return self._open('block')
            if self._build == 'never' and self._backend != 'auto':
                raise EngineError(
                    f'{missing}; run fcrn build, or let build be background'
                ) from None
            engine = self._fallback()
            about = f'{engine.name} {engine.precision} on {engine.device}'
            if self._build == 'never':
                self._warn(f'{missing}: serving with {about}')
                return engine
            self._warn(f'{missing}: serving with {about} meanwhile')
            self._builder = Builder(self._backend, self._request, self._built)
            return engine

    def close(self) -> None:
        """Stop building."""
        if self._builder is not None:
            self._builder.stop()
            self._builder = None

    @property
    def building(self) -> str:
        """What is being built, in words; '' where nothing is."""
        return self._builder.state if self._builder is not None else ''

    def succeeded(self) -> None:
        """Note a frame that the engine computed."""
        self._failures = 0

    def failed(self, error: EngineError) -> None:
        """Note a frame that the engine failed on; ``auto`` takes another one after a few."""
        self._failures += 1
        if self._backend != 'auto' or self._fallen or self._failures < FAILURES:
            return
        self._fallen = True
        self.close()
        try:
            engine = open_backend(FALLBACK, Request(self._request.model, 'cpu'))
        except EngineError as err:
            self._warn(f'{error}; nothing else opens either: {err}')
            return
        self._warn(f'{error}; going on with {engine.name} {engine.precision} on {engine.device}')
        self._switch(engine)

    def _open(self, build: str) -> DepthEngine:
        r = self._request
        return open_engine(
            r.model, self._backend, r.device, r.precision, r.threads, build, r.progress
        )

    def _fallback(self) -> DepthEngine:
        precision = self._request.precision
        if precision not in FALLBACK_PRECISIONS:
            precision = 'auto'
        return open_backend(FALLBACK, replace(self._request, precision=precision))

    def _built(self, failure: str) -> None:
        """Take the engine that was built; runs in the builder's thread."""
        if not failure:
            try:
                engine = self._open('never')
            except (EngineError, ValueError, OSError) as err:
                failure = str(err)
        if failure:
            self._warn(f'what was to be built is not to be had: {failure}')
        elif not self._fallen:
            LOGGER.info('switching to %s %s', engine.name, engine.precision)
            self._switch(engine)


class Builder:
    """
    ``fcrn build`` in a process of its own.

    :param done: is called with '' or what went wrong, when it ended by itself.
    """

    def __init__(self, backend: str, request: Request, done: Callable[[str], None]) -> None:
        self._done = done
        self._stopped = False
        self.state = 'starting'
        options = {
            '--backend': backend,
            '--device': request.device,
            '--precision': request.precision,
            '--threads': str(request.threads),
        }
        words = [word for option in options.items() for word in option]
        command = [sys.executable, '-m', 'fcrn_ros.cli', 'build', '--json']
        self._process = subprocess.Popen(
            [*command, '--follow-parent', *words, '--', request.model],
            stdin=subprocess.PIPE,  # its end tells the process that ours is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is the node's affair
        )
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()
        self._thread.start()

    def stop(self) -> None:
        """End the process and its own; what they had finished stays in the cache."""
        self._stopped = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = [*self._errors[-9:], line.strip()]

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                report = json.loads(line)
                self.state = f'{report["what"]}, {report["share"]:.0%}'
            except (ValueError, KeyError, TypeError):
                continue  # a library that prints
        status = self._process.wait()
        self._reader.join()
        self.state = ''
        if self._stopped:
            return
        reason = self._errors[-1] if self._errors else f'exit status {status}'
        self._done(reason if status else '')

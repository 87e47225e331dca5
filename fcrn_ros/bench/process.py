"""
A measurement in a process of its own: memory and thread pools do not mix, and a crash is a row.

The parent asks with one JSON object, the child answers with another. What a library prints goes to
the child's stderr. The child ends when its parent does, however that ends: its standard input is
a pipe that closes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

SECONDS = 3600.0  # a measurement that takes longer hangs
Answer = dict[str, Any]


def ask(module: str, question: Answer, seconds: float = SECONDS) -> Answer:
    """
    Run a module that calls :func:`serve`, and return its answer.

    :return: ``{'error': reason}`` where it failed, crashed or took too long.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, '-m', module, json.dumps(question)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # a Ctrl-C reaches it through us
        )
        expired = threading.Event()
        too_long = threading.Timer(seconds, _expire, (process, expired))
        too_long.daemon = True
        too_long.start()
        try:
            assert process.stdout is not None
            answer = process.stdout.read()
            status = process.wait()
        finally:
            too_long.cancel()
            _end(process)
        if expired.is_set():
            return {'error': f'it took more than {seconds:g} s'}
        return json.loads(answer) if answer else {'error': _reason(status, log)}


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that is not yet waited for, and what it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _reason(status: int, log: IO[bytes]) -> str:
    """Return how a process ended that did not answer, with the last line that it wrote."""
    how = f'status {status}' if status >= 0 else f'signal {signal.Signals(-status).name}'
    log.seek(0)
    lines = [x.strip() for x in log.read().decode(errors='replace').splitlines() if x.strip()]
    return f'its process ended with {how}: {lines[-1] if lines else "it said nothing"}'


def serve(answer: Callable[[Answer], Answer]) -> None:
    """
    Answer the question of this process's command line, and end.

    :param answer: from question to answer; what it raises becomes ``{'error': message}``.
    """
    reply = os.dup(1)
    os.dup2(2, 1)
    _end_with_the_parent()
    try:
        found = answer(json.loads(sys.argv[1]))
    except Exception as err:  # the outermost place of this process
        traceback.print_exc()
        found = {'error': ' '.join(str(err).split()) or type(err).__name__}
    with os.fdopen(reply, 'w') as file:
        json.dump(found, file)
    os._exit(0)  # a library that crashes while it unloads does not take the answer with it


def _end_with_the_parent() -> None:
    def watch() -> None:
        os.read(0, 1)  # nothing is ever written: the pipe closed
        os.killpg(0, signal.SIGKILL)  # and with us what a library has started

    threading.Thread(target=watch, daemon=True).start()

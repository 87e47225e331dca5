"""A process of our own beside this one: started, watched, and always stopped."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

Self = TypeVar('Self', bound='Child')

STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None)  # loaded here: nothing may be between fork and exec


class Child:
    """
    A process that ends with this one at the latest.

    :param what: it is, in words, for example ``the node``.
    :param command: and its arguments.
    :param log: file for its output.
    :param environment: of it; None: this process's.
    :ivar process: the running one.
    """

    def __init__(
        self,
        what: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.what, self.log = what, log
        with log.open('w') as output:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C reaches it through us, once
                preexec_fn=_end_with_parent,
            )

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def require_running(self) -> None:
        """Raise RuntimeError, with its last line, when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(
                f'{self.what} ended with status {self.process.returncode}: {self.last_line()}'
            )

    def last_line(self) -> str:
        """Return the last thing that it said, without colours."""
        text = re.sub(r'\x1b\[[0-9;]*m', '', self.log.read_text(errors='replace'))
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else 'it said nothing'

    def stop(self) -> None:
        """Ask it to stop, then insist; returns when it is gone."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return


def _end_with_parent() -> None:
    if sys.platform == 'linux':  # where even a killed parent leaves none behind
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

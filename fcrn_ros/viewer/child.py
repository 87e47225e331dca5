"""``fcrn view`` as a process of its own, beside whatever it shows."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from fcrn_ros.viewer.server import end_with_parent

ADDRESS = re.compile(r'open (http://\S+) in')
START_SECONDS, STOP_SECONDS = 60.0, 8.0


class PageProcess:
    """
    A page in a process of its own, so that it takes no time of the caller's.

    :param arguments: of ``fcrn view``.
    :param log: file for its output.
    :ivar url: what to open in a browser.
    :raises RuntimeError: it ended, or did not come up; with its last line.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open('w') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'fcrn_ros.cli', 'view', *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C reaches it through us, once
                preexec_fn=end_with_parent,
            )
        try:
            self.url = self._address()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> PageProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self) -> None:
        """
        Keep the page.

        :raises RuntimeError: it ended by itself.
        """
        self._process.wait()
        raise RuntimeError(f'the page ended: {self._last_line()}')

    def stop(self) -> None:
        """Ask it to stop, then insist; returns when it is gone."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue

    def _address(self) -> str:
        end = time.monotonic() + START_SECONDS
        while (found := ADDRESS.search(self._log.read_text(errors='replace'))) is None:
            if self._process.poll() is not None:
                raise RuntimeError(f'the page ended: {self._last_line()}')
            if time.monotonic() > end:
                raise RuntimeError(f'the page did not come up in {START_SECONDS:.0f} s')
            time.sleep(0.05)
        return found[1]

    def _last_line(self) -> str:
        lines = [x for x in self._log.read_text(errors='replace').splitlines() if x.strip()]
        return lines[-1] if lines else 'it said nothing'

"""``fcrn view`` as a process of its own, beside whatever it shows."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fcrn_ros.child import Child

ADDRESS = re.compile(r'open (http://\S+) in')
START_SECONDS = 60.0


class PageProcess(Child):
    """
    A page in a process of its own, so that it takes no time of the caller's.

    :param arguments: of ``fcrn view``.
    :param log: file for its output.
    :ivar url: what to open in a browser.
    :raises RuntimeError: it ended, or did not come up; with its last line.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        command = [sys.executable, '-m', 'fcrn_ros.cli', 'view', *arguments]
        super().__init__('the page', command, log)
        try:
            self.url = self._address()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """
        Keep the page.

        :raises RuntimeError: it ended by itself.
        """
        self.process.wait()
        self.require_running()

    def _address(self) -> str:
        end = time.monotonic() + START_SECONDS
        while (found := ADDRESS.search(self.log.read_text(errors='replace'))) is None:
            self.require_running()
            if time.monotonic() > end:
                raise RuntimeError(f'the page did not come up in {START_SECONDS:.0f} s')
            time.sleep(0.05)
        return found[1]

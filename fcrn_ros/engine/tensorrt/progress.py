"""How far a TensorRT build is: its nested phases as one sentence and one share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fcrn_ros.engine import Progress


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """
    The phases that a builder is in.

    Called from the builder's threads: nothing is raised into them. What ``progress`` raises is
    kept in ``error`` and ends the build at its next step.
    """

    def __init__(self, progress: Progress) -> None:
        self.error: BaseException | None = None
        self._progress = progress
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Note that a phase began."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))
            self._say(name)

    def step(self, name: str, step: int) -> bool:
        """Note that a step (from 0) is done; return whether to go on."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
                self._say(name)
            return self.error is None

    def finish(self, name: str) -> None:
        """Note that a phase ended."""
        with self._lock:
            self._phases.pop(name, None)

    def _say(self, name: str) -> None:
        """Report; a phase that is entered a second time does not turn the share back."""
        self._share = max(self._share, min(1.0, self._share_of(name)))
        if self.error is None:
            try:
                self._progress(f'building TensorRT plan: {name}', self._share)
            except BaseException as err:  # even a Ctrl-C: it must not cross into C++
                self.error = err

    def _share_of(self, name: str) -> float:
        """Return the share of the whole that is done, up to and within a phase."""
        share, above, path = 0.0, name, set()
        while above in self._phases and above not in path:
            path.add(above)
            phase = self._phases[above]
            share, above = (phase.done + share) / phase.steps, phase.parent or ''
        return share


@contextlib.contextmanager
def monitor(api: Any, config: Any, progress: Progress) -> Iterator[Phases]:
    """
    Report a build's progress while it runs; versions without a progress monitor report none.

    What ``progress`` raised is raised at the end.
    """
    phases = Phases(progress)
    if not hasattr(api, 'IProgressMonitor'):
        yield phases
        return

    class Monitor(api.IProgressMonitor):
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            phases.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            return phases.step(name, step)

        def phase_finish(self, name: str) -> None:
            phases.finish(name)

    config.progress_monitor = listener = Monitor()
    yield phases
    del listener  # it has to outlive the build
    if phases.error is not None:
        raise phases.error

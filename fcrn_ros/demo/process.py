"""The node as a process of its own: started, watched, and always stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from fcrn_ros.fastdds import PROFILE_VARIABLES, profile_path, profile_variables

STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None)  # loaded here: nothing may be between fork and exec


def prepare_environment() -> None:
    """
    Set, for this process and its children, what the demo's traffic needs; before rclpy starts.

    Traffic stays on this machine, and the shared-memory segment is large enough for whole images.
    What the user has set stays.
    """
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if not any(name in os.environ for name in PROFILE_VARIABLES):
        variable, _ = profile_variables(os.environ.get('ROS_DISTRO', ''))
        os.environ[variable] = str(profile_path())


def _end_with_parent() -> None:
    if sys.platform == 'linux':  # where even a killed parent leaves no node behind
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class NodeProcess:
    """
    The depth node in a process of its own.

    :param namespace: of its topics.
    :param remappings: topic -> other name.
    :param parameters: of the node.
    :param log: file for its output.
    """

    def __init__(
        self,
        namespace: str,
        remappings: dict[str, str],
        parameters: dict[str, object],
        log: Path,
    ) -> None:
        self.log = log
        rules = {'__ns': namespace, **remappings}
        arguments = [x for rule in rules.items() for x in ('-r', ':='.join(rule))]
        arguments += [x for k, v in parameters.items() for x in ('-p', f'{k}:={v}')]
        with log.open('w') as output:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'fcrn_ros.node', '--ros-args', *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C reaches it through us, once
                preexec_fn=_end_with_parent,
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def require_running(self) -> None:
        """Raise RuntimeError, with its last line, when the node has ended."""
        if self.process.poll() is not None:
            lines = [x for x in self.log.read_text(errors='replace').splitlines() if x.strip()]
            last = lines[-1] if lines else 'it said nothing'
            raise RuntimeError(f'the node ended with status {self.process.returncode}: {last}')

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used [s]; NaN where /proc is absent."""
        try:
            fields = Path(f'/proc/{self.process.pid}/stat').read_text().rsplit(')', 1)[1].split()
        except OSError:
            return float('nan')
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def stop(self) -> None:
        """Ask it to stop, then insist; returns when the process is gone."""
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

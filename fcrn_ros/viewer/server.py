"""
Rerun's server as a process of its own: what is logged goes to it, browsers read from it.

The SDK can serve from within this process too, but listens on every interface there. There is no
authentication, so this server listens on this machine alone. For another machine, forward both
ports: ``ssh -L 9090:127.0.0.1:9090 -L 9876:127.0.0.1:9876 robot``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fcrn_ros.child import Child
from fcrn_ros.viewer.page import LOCAL, Page

if TYPE_CHECKING:
    from types import TracebackType

PAGE_PORT, GRPC_PORT = 9090, 9876
MEMORY_LIMIT = '512MB'  # what a late browser gets of the past; the oldest is forgotten
START_SECONDS = 10.0
# these would lead to the user's own configuration of Rerun, or force its usage data on
DROPPED = ('XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'FORCE_RERUN_ANALYTICS')


def require_rerun() -> None:
    """
    Check that the Rerun SDK is installed.

    :raises ValueError: it is not.
    """
    if find_spec('rerun') is None or find_spec('rerun_cli') is None:
        raise ValueError("the page needs rerun: pip install 'fcrn_ros[viz]'")


def private_environment(home: Path) -> dict[str, str]:
    """
    Return an environment in which Rerun sends no usage data, by its own switch.

    :param home: an empty folder, where ``rerun analytics disable`` notes it. The user's own
        configuration is neither read nor changed.
    """
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    environment = {**kept, 'HOME': str(home)}
    command = [*_rerun(), 'analytics', 'disable']
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    return environment


class ViewerServer:
    """
    Rerun's server and the page for it, until :meth:`close`.

    :param port: of the page; 0 takes a free one.
    :param grpc_port: of the data; 0 takes a free one.
    :ivar data_url: where to log to.
    :raises ValueError: a port is taken.
    :raises RuntimeError: the server did not start.
    """

    def __init__(self, port: int = PAGE_PORT, grpc_port: int = GRPC_PORT) -> None:
        grpc_port, viewer_port = free_port(grpc_port), free_port(0)
        free_port(port)
        self._home = tempfile.TemporaryDirectory(prefix='fcrn_view_')
        self._child = self._started(grpc_port, viewer_port)
        try:
            self._wait_for(grpc_port, viewer_port)
            self.page = Page(port, viewer_port, grpc_port)
        except BaseException:
            self._stop()
            raise
        self.data_url = f'rerun+http://{LOCAL}:{grpc_port}/proxy'

    def __enter__(self) -> ViewerServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of Rerun's server."""
        return self._child.process.pid

    def require_running(self) -> None:
        """Raise RuntimeError, with its last line, when Rerun's server has ended."""
        self._child.require_running()

    def close(self) -> None:
        """Stop page and server."""
        self.page.close()
        self._stop()

    def _started(self, grpc_port: int, viewer_port: int) -> Child:
        home = Path(self._home.name)
        command = [*_rerun(), '--serve-web', '--bind', LOCAL]
        command += ['--port', str(grpc_port), '--web-viewer-port', str(viewer_port)]
        command += ['--server-memory-limit', MEMORY_LIMIT]
        return Child("rerun's server", command, home / 'rerun.log', private_environment(home))

    def _wait_for(self, *ports: int) -> None:
        end = time.monotonic() + START_SECONDS
        while not all(map(_answers, ports)):
            self.require_running()
            if time.monotonic() > end:
                raise RuntimeError(f"rerun's server did not answer in {START_SECONDS:.0f} s")
            time.sleep(0.05)

    def _stop(self) -> None:
        self._child.stop()
        self._home.cleanup()


def free_port(port: int) -> int:
    """
    Return a port of this machine that nobody listens on.

    :param port: to check; 0 takes a free one.
    :raises ValueError: it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL, port))
        except OSError as err:
            raise ValueError(
                f'port {port} cannot be used ({err.strerror}); choose another, or 0 for a free one'
            ) from None
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOCAL, port)) == 0


def _rerun() -> list[str]:
    """Return the command that runs Rerun: the executable that comes with the SDK."""
    spec = find_spec('rerun_cli')
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(next(iter(spec.submodule_search_locations))) / 'rerun'
    return [str(path)] if path.exists() else [sys.executable, '-m', 'rerun_cli']

"""One run of the page: a recording that the page shows, and what is written into it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rerun as rr

from fcrn_ros.mounting import Mounting
from fcrn_ros.viewer.layout import blueprint
from fcrn_ros.viewer.scene import Scene
from fcrn_ros.viewer.server import ViewerServer

FLUSH_SECONDS = 2.0
# of the time between two frames, so that a source at just the allowed rate is shown whole
SLACK = 0.75


class Session:
    """
    A page with its recording.

    :param server: of the page.
    :param what: for people: what is shown.
    :param mounting: the camera's place above the floor; None: not known.
    :param save: a .rrd file that gets the same.
    :param seconds: how long it lasts.
    """

    def __init__(
        self,
        server: ViewerServer,
        what: str,
        mounting: Mounting | None,
        save: Path | None,
        seconds: float,
    ) -> None:
        self._server, self._end = server, time.monotonic() + seconds
        self._recording = rr.RecordingStream('fcrn_ros')
        sinks: list[Any] = [rr.GrpcSink(server.data_url)]
        if save is not None:
            sinks.append(rr.FileSink(save))
        try:
            self._recording.set_sinks(*sinks, default_blueprint=blueprint())
            self.scene = Scene(self._recording, what, mounting)
        except BaseException:  # an interrupt: its connection ends before the server does
            self._recording.disconnect()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left."""
        self._recording.flush(timeout_sec=FLUSH_SECONDS)
        self._recording.disconnect()

    def going(self) -> bool:
        """
        Return whether time is left.

        :raises RuntimeError: the server has ended.
        """
        self._server.require_running()
        return time.monotonic() < self._end

    def wait(self) -> None:
        """Keep the page until time is over."""
        while self.going():
            time.sleep(0.1)

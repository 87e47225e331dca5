"""Pictures without ROS: the pipeline in this process, at the source's rate, newest frame first."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator

import numpy as np

from fcrn_ros.pipeline import DepthPipeline, Picture
from fcrn_ros.recording import Frame
from fcrn_ros.settings import Settings
from fcrn_ros.sources import Source
from fcrn_ros.space.surroundings import Surroundings
from fcrn_ros.viewer.scene import Scene, unpacked
from fcrn_ros.viewer.session import SLACK, Session


def play(
    source: Source, pipeline: DepthPipeline, session: Session, rate: float, settings: Settings
) -> int:
    """
    Show depth of a source's pictures until it ends.

    :param source: played at its rate; pictures that come while one is worked on are left out, all
        but the newest.
    :param session: shows them, and says when to end.
    :param rate: frames per second at most [Hz].
    :param settings: thresholds, as the node has them.
    :return: how many frames were shown.
    """
    shown, last = 0, -math.inf
    for stamp, frame in Paced(source):
        if not session.going():
            break
        start = time.perf_counter()
        if start - last < SLACK / rate:
            continue
        last = start
        mounting = session.scene.mounting
        views = pipeline.views(Picture(frame.image, frame.camera, mounting, stamp))
        session.scene.at(stamp)
        show(session.scene, Surroundings(views, mounting, settings))
        session.scene.show_value('latency', 1000 * (time.perf_counter() - start))
        shown += 1
    return shown


def show(scene: Scene, surroundings: Surroundings) -> None:
    """Show everything of one frame; of a lens in several views, the front one's pictures."""
    frame = surroundings.front
    scene.show_color(frame.color)
    scene.show_depth(frame.depth)
    if frame.confidence is not None:
        scene.show_confidence(frame.confidence)
    if frame.camera is not None:
        points = surroundings.points
        scene.show_camera(frame.camera)
        scene.show_points(points[..., :3], unpacked(points[..., 3].view(np.uint32)))
        marking = None if scene.mounting is None else surroundings.marking[:, :3]
        scene.show_above(points[..., :3], marking)
    scene.show_value('scale', frame.scale.factor)


class Paced:
    """
    Iterates over (stamp, frame), at the source's rate, on the reader's side in a thread.

    Stamps are the frames' own, and go on where a clip runs backwards.

    :param source: read in a thread.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._slot: queue.Queue[tuple[float, Frame] | BaseException | None] = queue.Queue(1)
        self.left_out = 0

    def __iter__(self) -> Iterator[tuple[float, Frame]]:
        threading.Thread(target=self._read, name='source', daemon=True).start()
        while (item := self._slot.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def _read(self) -> None:
        due = time.monotonic()
        try:
            for item in onward(self._source):
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 1 / self._source.rate) + 1 / self._source.rate
                self._replace(item)
        except Exception as err:  # it is the iterating thread's
            self._slot.put(err)
        else:
            self._slot.put(None)

    def _replace(self, item: tuple[float, Frame]) -> None:
        try:
            self._slot.get_nowait()
            self.left_out += 1
        except queue.Empty:
            pass
        self._slot.put(item)


def onward(source: Source) -> Iterator[tuple[float, Frame]]:
    """Return (stamp, frame) whose stamps [s] never go back: a step back counts as one ahead."""
    stamp, last = None, 0.0
    for frame in source.frames:
        stamp = frame.time if stamp is None else stamp + abs(frame.time - last)
        last = frame.time
        yield stamp, frame

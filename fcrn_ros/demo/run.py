"""``fcrn demo``: start the node, play, watch, report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fcrn_ros.demo.player import Player
from fcrn_ros.demo.process import NodeProcess
from fcrn_ros.demo.recorder import Recorder
from fcrn_ros.demo.report import draw_cloud, draw_depth, write_summary
from fcrn_ros.demo.session import KEPT, Receiver
from fcrn_ros.sources import Source
from fcrn_ros.training.evaluation.metrics import summarise

START_SECONDS = 180.0  # the first import of torch from a cold disk takes its time
DRAIN_SECONDS = 1.5


@dataclass(frozen=True)
class Played:
    """
    What a run left.

    :param receiver: figures and kept frames.
    :param outputs: the recorded bag.
    :param cpu_seconds: that the node's process used while the source played.
    """

    receiver: Receiver
    outputs: Path
    cpu_seconds: float


def namespace() -> str:
    """Return the namespace of this process's demo."""
    return f'/demo_{os.getpid()}'


def run_demo(
    source: Source, out: Path, seconds: float, parameters: dict[str, object]
) -> dict[str, Any]:
    """
    Play a source to the node and write ``out``: summary.json, depth.png, cloud.png, outputs.mcap.

    :param source: played until it ends, or for ``seconds``.
    :param out: folder, created where it is absent.
    :param parameters: of the node.
    :return: the summary.
    :raises RuntimeError: the node ended, or did not come up.
    """
    out.mkdir(parents=True, exist_ok=True)
    played = play(source, out, seconds, parameters)
    receiver = played.receiver
    summary = {'source': source.name, **receiver.figures.summary()}
    paths = [
        write_summary(out, summary),
        draw_depth(out, receiver.kept),
        draw_cloud(out, receiver.kept),
        played.outputs,
    ]
    Console().print('wrote ' + ', '.join(str(p) for p in paths if p is not None))
    return summary


def play(source: Source, out: Path, seconds: float, parameters: dict[str, object]) -> Played:
    """Play a source to a node of its own; parameters and errors as in :func:`run_demo`."""
    console = Console(stderr=True)
    parameters = {'build': 'block', **parameters}  # the figures are one engine's
    prefix = namespace()
    remappings = {
        'image': f'{prefix}/camera/image_raw',
        'camera_info': f'{prefix}/camera/camera_info',
    }
    rclpy.init(args=[])
    node = rclpy.create_node('demo', namespace=prefix)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with (
            NodeProcess(prefix, remappings, parameters, out / 'node.log') as process,
            Recorder(node, f'{prefix}/', out) as recorder,
        ):
            receiver = Receiver(node, f'{prefix}/', seconds / KEPT)
            with console.status('starting the node ...'):
                _wait_until_ready(executor, node, process, remappings['image'])
            used = process.cpu_seconds()
            player = Player(node, source, f'{prefix}/camera/', receiver.played)
            _watch(console, executor, process, receiver, player, seconds)
            used = process.cpu_seconds() - used
    except ExternalShutdownException:
        raise KeyboardInterrupt from None  # SIGTERM
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return Played(receiver, recorder.path, used)


def _wait_until_ready(
    executor: SingleThreadedExecutor, node: Node, process: NodeProcess, topic: str
) -> None:
    end = time.monotonic() + START_SECONDS
    while node.count_subscribers(topic) == 0:
        process.require_running()
        if time.monotonic() > end:
            raise RuntimeError(f'the node did not subscribe to {topic} in {START_SECONDS:.0f} s')
        executor.spin_once(timeout_sec=0.1)


def _watch(
    console: Console,
    executor: SingleThreadedExecutor,
    process: NodeProcess,
    receiver: Receiver,
    player: Player,
    seconds: float,
) -> None:
    start = drawn = time.monotonic()
    end = start + seconds
    with _live(console, receiver) as live:
        while (now := time.monotonic()) < end:
            executor.spin_once(timeout_sec=0.05)
            if now - drawn > 0.5:
                process.require_running()
                live.update(_table(receiver, now - start))
                drawn = now
            if player.finished or now > start + seconds - DRAIN_SECONDS:
                player.stop()
                end = min(end, now + DRAIN_SECONDS)
        live.update(_table(receiver, time.monotonic() - start))


@contextmanager
def _live(console: Console, receiver: Receiver) -> Iterator[Live]:
    try:
        with Live(_table(receiver, 0.0), console=console, transient=False) as live:
            yield live
    finally:
        if not console.is_terminal:  # there, Live leaves its last line open
            console.print()


def _table(receiver: Receiver, elapsed: float) -> Table:
    summary = receiver.figures.summary()
    table = Table(title=f'{elapsed:.0f} s', show_header=False)
    p50, p95 = (_or_dash(summary['latency_ms'][k]) for k in ('p50', 'p95'))
    rows = {
        'images in': f'{summary["frames_in"]} ({receiver.figures.rate_in:.1f} Hz)',
        'depth out': f'{summary["frames_out"]} ({summary["rate_hz"] or 0:.1f} Hz)',
        'dropped': ', '.join(f'{k}: {v}' for k, v in summary['dropped'].items()) or 'none',
        'stamp to receipt': f'p50 {p50} ms, p95 {p95} ms',
        'valid share': _or_dash(summary['valid_share']),
        'points': str(summary['points_per_frame']),
    }
    if receiver.figures.last_errors[0]:
        last = summarise(receiver.figures.last_errors)
        rows['error of the last frame'] = (
            f'absrel {last["absrel"]:.3f}, delta1 {last["delta1"]:.3f}'
        )
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _or_dash(value: float | None) -> str:
    return '-' if value is None else f'{value:g}'

"""Judges the depth node: whether it runs, reads these topics, and how it says it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fcrn_ros.doctor.finding import Finding, ok, problem, warning
from fcrn_ros.doctor.listening import CAMERA_INFO, COMPRESSED, DEPTH_NODE, RAW, Graph

DROPPED = 'dropped: '  # /diagnostics counts drops by cause in values of this name
LEVEL_OK, LEVEL_WARN = 0, 1  # of diagnostic_msgs/DiagnosticStatus


def judge(graph: Graph) -> Iterator[Finding]:
    """Judge the node and its newest diagnostics."""
    if not graph.depth_nodes:
        start = 'ros2 launch fcrn_ros depth.launch.py, or ros2 run fcrn_ros depth_node'
        yield warning('depth node', f'no node {DEPTH_NODE} is running', f'start it: {start}')
        return
    yield ok('depth node', f'{", ".join(graph.depth_nodes)} runs')
    yield from _inputs(graph)
    for name in graph.depth_nodes:
        told = {k: s for k, s in graph.statuses.items() if k.partition(' ')[0] == name}
        for key, status in (told or {name: None}).items():
            camera = key.partition(' ')[2]
            yield _status(f'{camera} depth status'.strip(), name, status)


def _inputs(graph: Graph) -> Iterator[Finding]:
    """Compare what the node reads with what was examined."""
    for subject, examined, types, option in (
        ('node image', graph.image.name, {RAW, COMPRESSED}, '--image'),
        ('node camera_info', graph.camera_info.name, {CAMERA_INFO}, '--camera-info'),
    ):
        names = sorted(name for name, found in graph.reads.items() if types & set(found))
        if examined in names:
            yield ok(subject, f'it reads {examined}')
        elif names:
            advice = f'examine that one: fcrn doctor {option} {names[0]}; or remap the node'
            yield warning(subject, f'it reads {", ".join(names)}, not {examined}', advice)


def _status(subject: str, name: str, status: Any) -> Finding:
    if status is None:
        advice = 'look at its log; /diagnostics comes once per second from a healthy node'
        return warning(subject, f'{name} sent no /diagnostics', advice)
    values = {pair.key: pair.value for pair in status.values}
    level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
    found = ', '.join(filter(None, (status.message, _running(values), _drops(values))))
    if values.get('state') == 'inactive':
        advice = f'ros2 lifecycle set {name} configure, then activate; its log says what failed'
        return problem(subject, f'inactive; {found}', advice)
    if level == LEVEL_OK:
        idle = ' (nothing is computed until an output is subscribed to)'
        return ok(subject, found + (idle if status.message == 'idle' else ''))
    make = warning if level == LEVEL_WARN else problem
    return make(subject, found, _advice(values))


def _running(values: dict[str, str]) -> str:
    names = ('model', 'backend', 'device', 'precision')
    return ' '.join(values[name] for name in names if values.get(name))


def _drops(values: dict[str, str]) -> str:
    drops = [
        f'{name.removeprefix(DROPPED)} {n}'
        for name, n in values.items()
        if name.startswith(DROPPED) and n != '0'
    ]
    return f'dropped: {", ".join(drops)}' if drops else 'nothing dropped'


def _advice(values: dict[str, str]) -> str:
    if values.get('images in') == '0':
        return 'see the image checks above: the node gets no image'
    last = values.get('last error', '')
    return f'its last error: {last}' if last else 'see the checks above, and its log'

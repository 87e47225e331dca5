"""Checks of the live graph: listens once, then judges what was heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from fcrn_ros.doctor import camera_topic, depth_node, image_topic
from fcrn_ros.doctor.finding import Finding, checked, ok, one_line, problem, warning
from fcrn_ros.doctor.listening import Graph, listen
from fcrn_ros.doctor.middleware import Ros

Judge = Callable[[Graph], 'Finding | Iterable[Finding]']


def examine(ros: Ros, image: str, camera_info: str, seconds: float) -> list[Finding]:
    """Run every check of the graph; see :func:`fcrn_ros.doctor.examine` for the parameters."""
    if not ros.rmw:
        advice = 'get ROS 2 to work first (see above), then run fcrn doctor again'
        return [warning('ROS graph', 'not examined: it takes a working ROS 2', advice)]
    heard: list[Graph] = []
    findings = checked('ROS graph', lambda: _heard(heard, image, camera_info, seconds))
    if not heard:
        return findings
    judges: dict[str, Judge] = {
        **image_topic.JUDGES,
        **camera_topic.JUDGES,
        'depth node': depth_node.judge,
    }
    for name, judge in judges.items():
        findings += checked(name, partial(judge, heard[0]))
    return findings


def _heard(heard: list[Graph], image: str, camera_info: str, seconds: float) -> Finding:
    from rclpy.exceptions import InvalidTopicNameException

    try:
        heard.append(listen(image, camera_info, seconds))
    except InvalidTopicNameException as error:
        advice = 'name topics like /camera/image_raw'
        return problem('ROS graph', f'{image!r}, {camera_info!r}: {one_line(error)}', advice)
    return _size(heard[0])


def _size(graph: Graph) -> Finding:
    found = f'domain {graph.domain}: {len(graph.nodes)} nodes, {len(graph.topics)} topics'
    if graph.nodes:
        return ok('ROS graph', found)
    advice = (
        'start the camera; if it runs, give it and this shell the same ROS_DOMAIN_ID, '
        'RMW_IMPLEMENTATION and ROS_AUTOMATIC_DISCOVERY_RANGE (ROS_LOCALHOST_ONLY)'
    )
    return warning('ROS graph', f'{found}: nobody is there', advice)

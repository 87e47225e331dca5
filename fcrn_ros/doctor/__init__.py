"""
``fcrn doctor``: what is wrong with an installation or a live ROS graph, and what to do about it.

Every check makes findings (:mod:`.finding`): :mod:`.installation` looks at the packages,
:mod:`.middleware` at ROS 2 and its transport; :mod:`.listening` hears the graph,
:mod:`.image_topic`, :mod:`.camera_topic` and :mod:`.depth_node` judge what was heard, and
:mod:`.report` prints. Nothing here needs ROS or torch to be imported.
"""

from __future__ import annotations

import sys

from fcrn_ros.doctor import engines, graph, installation, middleware, report
from fcrn_ros.doctor.finding import PROBLEM, Finding

__all__ = ['Finding', 'examine', 'run']
MAX_SECONDS = 600.0


def examine(
    image: str = '/image', camera_info: str = '/camera_info', model: str = '', seconds: float = 3.0
) -> list[Finding]:
    """
    Run every check.

    :param image: topic of the camera's image, raw or compressed.
    :param camera_info: topic of its camera_info.
    :param model: the model to verify: a shipped one's name or a path; '' is every shipped one.
    :param seconds: how long to listen to the graph [s], more than 0 and at most 600.
    :return: the findings in the order of the checks; a check that fails becomes a problem itself.
    :raises ValueError: ``seconds`` is out of range.
    """
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f'seconds is {seconds:g}; expected more than 0, at most {MAX_SECONDS:g}')
    ros = middleware.find_ros()
    findings = installation.examine(model) + engines.examine(model) + middleware.examine(ros)
    return findings + graph.examine(ros, image, camera_info, seconds)


def run(
    image: str = '/image',
    camera_info: str = '/camera_info',
    model: str = '',
    seconds: float = 3.0,
    as_json: bool = False,
) -> int:
    """
    Run every check and print the findings; see :func:`examine` for the parameters.

    :param as_json: print a JSON list of ``level``, ``subject``, ``found``, ``advice`` instead.
    :return: the exit status: 0 without a problem (warnings are none), else 1.
    :raises ValueError: ``seconds`` is out of range.
    """
    with report.waiting(f'examining, and listening to the ROS graph for {seconds:g} s'):
        findings = examine(image, camera_info, model, seconds)
    print(report.to_json(findings)) if as_json else report.show(findings, sys.stdout)
    return int(any(f.level == PROBLEM for f in findings))

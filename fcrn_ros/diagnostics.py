"""What the node says of itself on /diagnostics."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from fcrn_ros.engine import DepthEngine
from fcrn_ros.health import WARN, Health
from fcrn_ros.inputs import Input
from fcrn_ros.scale import Scale


def status_of(
    name: str,
    health: Health,
    engine: DepthEngine | None,
    building: str,
    scale: Scale | None,
    inputs: Sequence[Input],
    camera_error: str,
) -> DiagnosticStatus:
    """
    Build the node's status.

    :param name: of the status: the node's full name and its task.
    :param health: rates, drops, latency, the last error.
    :param engine: in use; None while the node is not configured.
    :param building: what is being built to replace the engine; '' for nothing.
    :param scale: of the last frame; None before the first.
    :param inputs: the subscriptions; none while the node is not active.
    :param camera_error: why the newest camera_info is not usable; '' if it is.
    """
    level, sentence = health.level()
    values = {'state': 'active' if inputs else 'inactive', **health.values()}
    if engine is not None:
        values |= {
            'model': engine.spec.name,
            'backend': engine.name,
            'device': engine.device,
            'precision': engine.precision,
            'building': building,
        }
    for entry in inputs:
        values[entry.topic] = f'{entry.publishers()} publishers, read {entry.reliability}'
    if scale is not None:
        values |= {'scale': f'{scale.factor:.4f}', 'scale source': scale.source}
        values['scale doubt'] = scale.doubt
    if inputs and camera_error:
        level, sentence = max(level, WARN), f'camera_info: {camera_error}'
    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=sentence,
        hardware_id=values.get('model', ''),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )

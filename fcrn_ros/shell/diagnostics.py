"""What the node says on /diagnostics of each of its cameras."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from fcrn_ros.engine import DepthEngine
from fcrn_ros.shell.health import WARN
from fcrn_ros.shell.stream import Stream


def status_of(
    name: str, stream: Stream, engine: DepthEngine | None, building: str
) -> DiagnosticStatus:
    """
    Build the status of one camera.

    :param name: of the status: the node's full name and its task.
    :param stream: the camera's.
    :param engine: in use; None while the node is not configured.
    :param building: what is being built to replace the engine; '' for nothing.
    """
    level, sentence = stream.health.level()
    values = {'state': 'active' if stream.inputs else 'inactive', **stream.health.values()}
    if engine is not None:
        values |= {
            'model': engine.spec.name,
            'backend': engine.name,
            'device': engine.device,
            'precision': engine.precision,
            'building': building,
        }
    for entry in stream.inputs:
        values[entry.topic] = f'{entry.publishers()} publishers, read {entry.reliability}'
    if stream.last_frame is not None:
        scale = stream.last_frame.scale
        values |= {'scale': f'{scale.factor:.4f}', 'scale source': scale.source}
        values |= {'scale quality': f'{scale.quality:.2f}', 'scale doubt': scale.doubt}
    if stream.inputs and stream.cameras.error:
        level, sentence = max(level, WARN), f'camera_info: {stream.cameras.error}'
    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=sentence,
        hardware_id=values.get('model', ''),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )

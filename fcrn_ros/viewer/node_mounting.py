"""How a running node's camera is held: asked of the node, by its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcrn_ros.mounting import Mounting
from fcrn_ros.settings import OWN

if TYPE_CHECKING:
    from rclpy.node import Node

PARAMETER_DOUBLE = 3  # rcl_interfaces/ParameterType's


class MountingQuestion:
    """
    Asks whoever publishes a topic for ``camera_height``, ``camera_pitch`` and ``camera_roll``.

    :param node: asks.
    :param topic: of the depth, resolved.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self._topic = node, topic
        self._client: Any = None
        self._answers: dict[str, Any] = {}

    def poll(self) -> Mounting | None:
        """Ask, or look whether the answers have come; None while there is no height above 0."""
        if not self._answers:
            self._ask()
            return None
        if not all(answer.done() for answer in self._answers.values()):
            return None
        values = {name: _value(answer) for name, answer in self._answers.items()}
        self._answers = {}
        held = [_first(values, name) for name in OWN]
        return Mounting(*held) if held[0] > 0 else None

    def _ask(self) -> None:
        from rcl_interfaces.srv import GetParameters

        publishers = self._node.get_publishers_info_by_topic(self._topic)
        if not publishers:
            return
        space = publishers[0].node_namespace.rstrip('/')
        name = f'{space}/{publishers[0].node_name}/get_parameters'
        if self._client is None:
            self._client = self._node.create_client(GetParameters, name)
        camera = self._topic.removeprefix(f'{space}/').removesuffix('depth/image_raw')
        if self._client.service_is_ready():
            # one request each: a name that is not declared empties the whole answer
            for name in (*OWN, *(camera.replace('/', '.') + n for n in OWN if camera)):
                request = GetParameters.Request(names=[name])
                self._answers[name] = self._client.call_async(request)


def _value(answer: Any) -> float | None:
    values = answer.result().values if answer.result() is not None else []
    known = bool(values) and values[0].type == PARAMETER_DOUBLE
    return float(values[0].double_value) if known else None


def _first(values: dict[str, float | None], name: str) -> float:
    """Return a camera's own value, else the common one, else 0."""
    own = (v for n, v in values.items() if v is not None and n.endswith(f'.{name}'))
    return next(own, values.get(name) or 0.0)

"""Hears a live ROS graph for a while: who offers what, and what comes. Judges nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

DOCTOR, DEPTH_NODE = 'fcrn_doctor', 'fcrn_depth'
DEPTH = 'depth'  # ends the name of a depth node's status, behind its full name and a camera's
RAW, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
# the longest wait for topics and nodes to appear; DDS announces itself every 3 s, and the first
# announcements get lost in one start of four
DISCOVERY_SECONDS = 6.5
SETTLE_SECONDS = 0.3  # then for the rest of the graph
DIAGNOSTICS_SECONDS = 2.5  # the node sends one per second
QUEUE = 10


@dataclass(frozen=True)
class Offer:
    """
    One publisher.

    :param node: its node's full name.
    :param type: of its messages.
    :param reliable: whether it offers reliable delivery.
    :param latched: whether it keeps its last messages for readers that ask for them.
    :param mismatch: why a subscription like the depth node's gets nothing from it, or ''.
    """

    node: str
    type: str
    reliable: bool
    latched: bool
    mismatch: str = ''


@dataclass
class Topic:
    """
    One topic and what came on it.

    :ivar name: resolved.
    :ivar offers: its publishers.
    :ivar stamps: of the messages [ns], in the order of arrival.
    :ivar arrivals: when they came, on the system's clock [s].
    :ivar last: the newest message.
    """

    name: str
    offers: list[Offer] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    last: Any = None

    @property
    def types(self) -> list[str]:
        """The types that its publishers send."""
        return sorted({offer.type for offer in self.offers})

    def take(self, message: Any) -> None:
        """Note a message."""
        self.arrivals.append(time.time())
        stamp = message.header.stamp
        self.stamps.append(stamp.sec * 1_000_000_000 + stamp.nanosec)
        self.last = message


@dataclass
class Graph:
    """
    What was heard.

    :ivar image: the camera's image.
    :ivar camera_info: its camera_info.
    :ivar seconds: how long was listened.
    :ivar rmw: the RMW implementation.
    :ivar domain: the ROS domain.
    :ivar nodes: full names of the other nodes.
    :ivar topics: topics that somebody publishes, our depth node's excepted, with their types.
    :ivar depth_nodes: full names of the running depth nodes.
    :ivar reads: the topics that they read, with their types.
    :ivar statuses: the newest diagnostics of each depth node, by its full name; where it has
        several cameras, by that and each one's name, as in ``/fcrn_depth front``.
    :ivar clock: the newest simulated time [s]; None without simulated time.
    """

    image: Topic
    camera_info: Topic
    seconds: float = 0.0
    rmw: str = ''
    domain: int = 0
    nodes: list[str] = field(default_factory=list)
    topics: dict[str, list[str]] = field(default_factory=dict)
    depth_nodes: list[str] = field(default_factory=list)
    reads: dict[str, list[str]] = field(default_factory=dict)
    statuses: dict[str, Any] = field(default_factory=dict)
    clock: float | None = None

    def of_type(self, *types: str) -> list[str]:
        """Return the published topics of these types; colour first, raw before compressed."""
        names = [name for name, found in self.topics.items() if set(found) & set(types)]
        return sorted(names, key=lambda name: ('depth' in name, 'compressed' in name, name))

    def note_clock(self, message: Any) -> None:
        """Take a simulated time."""
        self.clock = message.clock.sec + message.clock.nanosec / 1e9

    def note_diagnostics(self, message: Any) -> None:
        """Take the depth nodes' statuses out of a diagnostics message."""
        for status in message.status:
            node, _, task = status.name.partition(': ')
            camera, _, depth = f' {task}'.rpartition(' ')
            if depth == DEPTH:
                self.statuses[f'/{node}{camera}'] = status


def listen(image: str, camera_info: str, seconds: float) -> Graph:
    """
    Listen to the graph; every wait is bounded.

    :param image: topic of the image.
    :param camera_info: topic of its camera_info.
    :param seconds: how long, once the topics are found; longer where the depth node is not.
    :raises InvalidTopicNameException: a topic's name is none.
    """
    with _private_node() as (node, executor):
        end = time.monotonic() + DISCOVERY_SECONDS
        names = [node.resolve_topic_name(name) for name in (image, camera_info)]
        graph = Graph(Topic(names[0]), Topic(names[1]), seconds)
        _spin(executor, DISCOVERY_SECONDS, lambda: all(map(node.count_publishers, names)))
        _spin(executor, SETTLE_SECONDS)
        _subscribe(node, graph)
        _spin(executor, seconds)
        _spin(executor, end - time.monotonic(), lambda: DEPTH_NODE in node.get_node_names())
        if DEPTH_NODE in node.get_node_names():
            _spin(executor, DIAGNOSTICS_SECONDS, lambda: bool(graph.statuses))
        _look_around(node, graph)
    return graph


@contextmanager
def _private_node() -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    """Open a node in a context of its own, which leaves signals and the caller's context alone."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node(DOCTOR, context=context, enable_rosout=False, start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            yield node, executor
        finally:
            executor.shutdown(timeout_sec=1.0)
            node.destroy_node()
    finally:
        context.try_shutdown()


def _spin(
    executor: SingleThreadedExecutor, seconds: float, done: Callable[[], bool] = lambda: False
) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not done():
        executor.spin_once(timeout_sec=min(left, 0.1))


def _subscribe(node: Node, graph: Graph) -> None:
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    types: dict[str, Any] = {RAW: Image, COMPRESSED: CompressedImage, CAMERA_INFO: CameraInfo}
    for topic, expected in ((graph.image, (RAW, COMPRESSED)), (graph.camera_info, (CAMERA_INFO,))):
        reliability = _offers(node, topic)
        if len(topic.types) == 1 and topic.types[0] in expected:
            qos = QoSProfile(depth=QUEUE, reliability=reliability)
            node.create_subscription(types[topic.types[0]], topic.name, topic.take, qos)
    node.create_subscription(DiagnosticArray, '/diagnostics', graph.note_diagnostics, QUEUE)
    if node.count_publishers('/clock'):
        from rosgraph_msgs.msg import Clock

        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(Clock, '/clock', graph.note_clock, qos)


def _offers(node: Node, topic: Topic) -> Any:
    """Fill a topic's offers, and return the reliability that the depth node would ask for."""
    from rclpy.qos import (
        DurabilityPolicy,
        QoSCompatibility,
        QoSProfile,
        ReliabilityPolicy,
        qos_check_compatible,
    )

    from fcrn_ros.shell.inputs import reliability_for

    infos = node.get_publishers_info_by_topic(topic.name)
    wanted = reliability_for([info.qos_profile.reliability for info in infos])
    for info in infos:
        qos = info.qos_profile
        compatible, reason = qos_check_compatible(qos, QoSProfile(depth=1, reliability=wanted))
        offer = Offer(
            _full_name(info.node_name, info.node_namespace),
            info.topic_type,
            qos.reliability == ReliabilityPolicy.RELIABLE,
            qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            reason if compatible == QoSCompatibility.ERROR else '',
        )
        topic.offers.append(offer)
    return wanted


def _look_around(node: Node, graph: Graph) -> None:
    graph.rmw, graph.domain = _transport(node)
    pairs = [p for p in node.get_node_names_and_namespaces() if p[0] != DOCTOR]
    graph.nodes = sorted({_full_name(*pair) for pair in pairs})
    told = {name.partition(' ')[0] for name in graph.statuses}
    depth = [p for p in pairs if p[0] == DEPTH_NODE or _full_name(*p) in told]
    graph.depth_nodes = sorted({_full_name(*pair) for pair in depth})
    ours = {_full_name(DOCTOR, '/'), *graph.depth_nodes}
    for name, types in node.get_topic_names_and_types():
        infos = node.get_publishers_info_by_topic(name)
        if {_full_name(i.node_name, i.node_namespace) for i in infos} - ours:
            graph.topics[name] = types
    for pair in depth:
        with suppress(RuntimeError):  # it has gone meanwhile
            graph.reads |= dict(node.get_subscriber_names_and_types_by_node(*pair))


def _transport(node: Node) -> tuple[str, int]:
    from rclpy.utilities import get_rmw_implementation_identifier

    return get_rmw_implementation_identifier(), node.context.get_domain_id()


def _full_name(name: str, namespace: str) -> str:
    return f'{namespace.rstrip("/")}/{name}'

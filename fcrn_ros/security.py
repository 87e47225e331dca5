"""
The node's SROS2 policy: what it may do on the ROS graph, by name, and nothing else.

    python -m fcrn_ros.security --ros-args -r image:=/camera/color/image_raw --enclave /robot/depth

prints it for a node that is started with the same arguments: ROS resolves its names and reads its
parameters here as it does there. With DDS security on, whatever is not allowed is denied.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from fcrn_ros import parameters
from fcrn_ros.settings import Settings
from fcrn_ros.shell.inputs import image_topic
from fcrn_ros.shell.outputs import OUTPUTS

NODE = 'fcrn_depth'
ENCLAVE = f'/fcrn_ros/{NODE}'  # where the arguments name none
# beside OUTPUTS: the node's own, then those of every lifecycle node
PUBLISHED = ('/diagnostics', '/parameter_events', '/rosout', '~/transition_event')
SERVICES = (
    '~/change_state',
    '~/describe_parameters',
    '~/get_available_states',
    '~/get_available_transitions',
    '~/get_parameter_types',
    '~/get_parameters',
    '~/get_state',
    '~/get_transition_graph',
    '~/list_parameters',
    '~/set_parameters',
    '~/set_parameters_atomically',
)
TYPE_DESCRIPTION = 'start_type_description_service'  # rclpy's parameter, from Jazzy on
TF_READ = ('/tf', '/tf_static')
TF_WRITTEN = '/tf_static'  # where the floor is below a camera
TF_SERVICE = 'tf2_frames'  # of tf2_ros.Buffer
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by: python -m fcrn_ros.security -->
"""


@dataclass(frozen=True)
class Rights:
    """
    What one node may do; all names are complete and in order.

    :param enclave: whose identity it has.
    :param namespace: of the node.
    :param node: its name.
    :param publish: topics.
    :param subscribe: topics.
    :param reply: services that it serves.
    """

    enclave: str
    namespace: str
    node: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    reply: tuple[str, ...]


def rights_for(arguments: Sequence[str] = ()) -> Rights:
    """
    Return the rights of a node that is started with these arguments.

    A node of that name exists for a moment, to resolve names.

    :param arguments: for example ``['--ros-args', '-r', '__ns:=/robot']``.
    :raises ValueError: a parameter is refused.
    """
    context = Context()
    rclpy.init(args=list(arguments), context=context)
    try:
        node = Node(NODE, context=context, start_parameter_services=False, enable_rosout=False)
        try:
            return _rights(node, parameters.declare(node))
        finally:
            node.destroy_node()
    finally:
        context.try_shutdown()


def _rights(node: Node, settings: Settings) -> Rights:
    prefixes = [f'{camera}/' if camera else '' for camera in settings.cameras]
    published = [*PUBLISHED, *(f'{prefix}{output}' for prefix in prefixes for output in OUTPUTS)]
    read = [f'{prefix}camera_info' for prefix in prefixes]
    images = [image_topic(node, settings.image_transport, prefix) for prefix in prefixes]
    services = list(SERVICES)
    if node.get_parameter('use_sim_time').value:
        read.append('/clock')
    if node.has_parameter(TYPE_DESCRIPTION) and node.get_parameter(TYPE_DESCRIPTION).value:
        services.append('~/get_type_description')
    if settings.base_frame:
        read.extend(TF_READ)
        services.append(TF_SERVICE)
    elif not settings.scan_frame and any(map(settings.mounting, settings.cameras)):
        published.append(TF_WRITTEN)
    return Rights(
        _enclave(node),
        node.get_namespace(),
        node.get_name(),
        _sorted(map(node.resolve_topic_name, published)),
        _sorted([*map(node.resolve_topic_name, read), *images]),
        _sorted(map(node.resolve_service_name, services)),
    )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _enclave(node: Node) -> str:
    own = (node.get_name(), node.get_namespace())
    found = node.get_node_names_and_namespaces_with_enclaves()
    return next((e for *name, e in found if tuple(name) == own and e != '/'), ENCLAVE)


def policy_of(rights: Rights) -> str:
    """Return the policy's XML, by sros2's schema 0.2.0."""
    policy = ElementTree.Element('policy', version='0.2.0')
    enclaves = ElementTree.SubElement(policy, 'enclaves')
    enclave = ElementTree.SubElement(enclaves, 'enclave', path=rights.enclave)
    profiles = ElementTree.SubElement(enclave, 'profiles')
    profile = ElementTree.SubElement(profiles, 'profile', ns=rights.namespace, node=rights.node)
    for kind, rule, names in (
        ('topic', 'publish', rights.publish),
        ('topic', 'subscribe', rights.subscribe),
        ('service', 'reply', rights.reply),
    ):
        group = ElementTree.SubElement(profile, f'{kind}s', {rule: 'ALLOW'})
        for name in names:
            ElementTree.SubElement(group, kind).text = name
    ElementTree.indent(policy)
    return f'{HEAD}{ElementTree.tostring(policy, "unicode")}\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the policy for the node's arguments; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog='python -m fcrn_ros.security',
        description='Write the SROS2 policy of a node that is started with the same arguments.',
        epilog='--ros-args begins the arguments of the node.',
    )
    parser.add_argument('--out', type=Path, help='file to write; otherwise it is printed')
    # the node that resolves the names meets nobody, and needs no identity yet
    os.environ |= {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF', 'ROS_SECURITY_ENABLE': 'false'}
    try:
        out = parser.parse_args(remove_ros_args(given)).out
        policy = policy_of(rights_for(given))
    except (ValueError, RuntimeError) as err:  # a refused parameter; rclpy's own are RuntimeErrors
        parser.error(' '.join(str(err).split()))
    if out is None:
        print(policy, end='')
    else:
        out.write_text(policy)
    return 0


if __name__ == '__main__':
    sys.exit(main())

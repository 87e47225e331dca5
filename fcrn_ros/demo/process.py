"""The node as a process of its own, and the traffic around it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fcrn_ros.child import Child
from fcrn_ros.fastdds import PROFILE_VARIABLES, profile_path, profile_variables


def prepare_environment() -> None:
    """
    Set, for this process and its children, what the demo's traffic needs; before rclpy starts.

    Traffic stays on this machine, and the shared-memory segment is large enough for whole images.
    What the user has set stays.
    """
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if not any(name in os.environ for name in PROFILE_VARIABLES):
        variable, _ = profile_variables(os.environ.get('ROS_DISTRO', ''))
        os.environ[variable] = str(profile_path())


class NodeProcess(Child):
    """
    The depth node in a process of its own.

    :param namespace: of its topics.
    :param remappings: topic -> other name.
    :param parameters: of the node.
    :param log: file for its output.
    """

    def __init__(
        self,
        namespace: str,
        remappings: dict[str, str],
        parameters: dict[str, object],
        log: Path,
    ) -> None:
        rules = {'__ns': namespace, **remappings}
        arguments = [x for rule in rules.items() for x in ('-r', ':='.join(rule))]
        arguments += [x for k, v in parameters.items() for x in ('-p', f'{k}:={v}')]
        command = [sys.executable, '-m', 'fcrn_ros.node', '--ros-args', *arguments]
        super().__init__('the node', command, log)

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used [s]; NaN where /proc is absent."""
        try:
            fields = Path(f'/proc/{self.process.pid}/stat').read_text().rsplit(')', 1)[1].split()
        except OSError:
            return float('nan')
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

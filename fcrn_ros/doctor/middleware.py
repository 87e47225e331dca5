"""Checks of ROS 2 itself: whether it is there, which one, and what its transport needs."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fcrn_ros.doctor.finding import Finding, checked, ok, problem, warning
from fcrn_ros.engine.choice import is_installed
from fcrn_ros.fastdds import profile_path, profile_variables

INSTALL = "pip install 'fcrn_ros[ros]', or source a ROS 2 (source /opt/ros/DISTRO/setup.bash)"
# opens a node too: a domain or a profile that the middleware refuses may end the process
PROBE = """
import rclpy
rclpy.init(args=[])
rclpy.create_node('fcrn_doctor_probe', enable_rosout=False, start_parameter_services=False)
print('rmw=' + rclpy.get_rmw_implementation_identifier(), flush=True)
rclpy.try_shutdown()
"""
PROBE_SECONDS = 60
MESSAGES = ('sensor_msgs', 'std_msgs', 'diagnostic_msgs', 'lifecycle_msgs')
# what can keep rclpy from starting
SETTINGS = (
    'RMW_IMPLEMENTATION',
    'ROS_DOMAIN_ID',
    'FASTDDS_BUILTIN_TRANSPORTS',
    'ROS_SECURITY_ENABLE',
)
LARGE_SEGMENT = 8 * 1024 * 1024  # bytes: a cloud of 640x480 points and some frames of slack
RMEM = Path('/proc/sys/net/core/rmem_max')


@dataclass(frozen=True)
class Ros:
    """
    The ROS 2 that this Python finds.

    :param installed: whether rclpy is there.
    :param distribution: its name, or '' where it cannot be told.
    :param source: where it comes from, in words.
    :param rmw: the RMW implementation in use; '' where rclpy does not work.
    :param error: why rclpy does not work.
    """

    installed: bool
    distribution: str = ''
    source: str = ''
    rmw: str = ''
    error: str = ''


def find_ros() -> Ros:
    """
    Look for ROS 2.

    In a process of its own, since an RMW that does not fit ends it (``exiting with 102``).
    """
    distribution, source = _distribution()
    if not is_installed('rclpy'):
        return Ros(False, distribution, source)
    command = [sys.executable, '-c', PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ros(True, distribution, source, error=f'rclpy does not start: {error}')
    match = re.search(r'^rmw=(\w+)$', done.stdout, re.MULTILINE)
    if match:
        return Ros(True, distribution, source, match[1])
    return Ros(True, distribution, source, error=_last_words(done.stderr, done.returncode))


def _last_words(text: str, status: int) -> str:
    """Return the last line of an error output, without its colours and rcl's prefix."""
    lines = re.sub(r'\x1b\[[0-9;]*m', '', text).strip().splitlines()
    return re.sub(r'^(\[[^\]]*\] *)+:? *', '', lines[-1]) if lines else f'exit status {status}'


def _distribution() -> tuple[str, str]:
    sourced = os.environ.get('ROS_DISTRO', '')
    if sourced:
        return sourced, 'sourced'
    names = (d.metadata['Name'] or '' for d in importlib.metadata.distributions())
    matches = (re.fullmatch(r'ros-([a-z]+)-rclpy', name) for name in names)
    return next(((m[1], 'wheels') for m in matches if m), ('', 'distribution not known'))


def examine(ros: Ros) -> list[Finding]:
    """Run every check of ROS 2; of its transport only where it works."""
    findings = checked('ROS 2', partial(distribution, ros))
    if not ros.rmw:
        return findings
    findings += checked('ROS messages', messages)
    findings += checked('Fast DDS profile', partial(profile, ros))
    return findings + checked('socket buffers', socket_buffers)


def distribution(ros: Ros) -> Finding:
    """Check that rclpy works in this Python."""
    name = f'{ros.distribution or "ROS 2"} ({ros.source})'
    if ros.rmw:
        return ok('ROS 2', f'{name}, {ros.rmw}')
    if not ros.installed and ros.source != 'sourced':
        return warning('ROS 2', 'not found (no rclpy): the node and the demo cannot run', INSTALL)
    found = f'{name}, but rclpy does not work in {sys.executable}: {ros.error or "not found"}'
    advice = 'run fcrn with the Python that this ROS 2 was built for'
    given = [f'{name}={os.environ[name]}' for name in SETTINGS if os.environ.get(name)]
    if given and ros.installed:
        advice = f'check {", ".join(given)} of this shell; or {advice}'
    return problem('ROS 2', found, advice)


def messages() -> Finding:
    """Check that the message packages are there."""
    absent = [name for name in MESSAGES if not is_installed(name)]
    if absent:
        return problem('ROS messages', f'not installed: {", ".join(absent)}', INSTALL)
    return ok('ROS messages', ', '.join(MESSAGES))


def profile(ros: Ros) -> Iterator[Finding]:
    """Check Fast DDS's profile for large messages; nothing where another DDS is in use."""
    if 'fastrtps' not in ros.rmw:
        return
    subject, (variable, other) = 'Fast DDS profile', profile_variables(ros.distribution)
    path = os.environ.get(variable, '').removeprefix('file://')
    if path and not Path(path).is_file():
        yield problem(subject, f'{variable} is {path}, which is not there', profile_advice())
    elif path and _segment(Path(path)) < LARGE_SEGMENT:
        found = f'{path} sets no shared-memory segment of {LARGE_SEGMENT} bytes or more'
        yield warning(subject, found, profile_advice())
    elif path:
        yield ok(subject, f'{path}, segment of {_segment(Path(path)) / 1e6:.0f} MB')
    else:
        wrong = (
            f' ({other} is: the name that another Fast DDS reads)' if other in os.environ else ''
        )
        found = f'{variable} is not set{wrong}: large best-effort images and clouds get lost'
        yield warning(subject, found, profile_advice())


def profile_advice() -> str:
    """Return how to give Fast DDS room for large messages."""
    variable, _ = profile_variables(_distribution()[0])
    return (
        "in the shells of the camera, of the node and of the cloud's readers: "
        f'export {variable}={profile_path()}'
    )


def _segment(path: Path) -> int:
    text = path.read_text(encoding='utf-8', errors='replace')
    return max(map(int, re.findall(r'<segment_size>\s*(\d+)\s*</segment_size>', text)), default=0)


def socket_buffers() -> Finding:
    """Tell the kernel's limit; a larger ``sockets_size`` of Fast DDS stops all communication."""
    subject, limit = 'socket buffers', _rmem_max()
    if limit is None:
        return ok(subject, 'net.core.rmem_max is not known on this system')
    transports = os.environ.get('FASTDDS_BUILTIN_TRANSPORTS', '')
    match = re.search(r'sockets_size=(\d+)\s*([KMG]?)', transports, re.IGNORECASE)
    asked = int(match[1]) * 1000 ** ' KMG'.index(match[2].upper() or ' ') if match else 0
    if asked <= limit:
        return ok(subject, f'net.core.rmem_max is {limit} bytes')
    found = f'FASTDDS_BUILTIN_TRANSPORTS={transports}, but net.core.rmem_max is {limit} bytes'
    advice = f'sudo sysctl -w net.core.rmem_max={asked}, or ask for less: else nothing arrives'
    return problem(subject, found, advice)


def _rmem_max() -> int | None:
    try:
        return int(RMEM.read_text())
    except (OSError, ValueError):
        return None

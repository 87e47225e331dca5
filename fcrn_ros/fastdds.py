"""
Fast DDS's profile for large messages: the file, and the variable that names it.

By default Fast DDS moves images through shared memory of about 0.5 MB, which loses most
of what is larger and best effort. The profile raises it. Fast DDS 2 and 3 read different
variables.
"""

from __future__ import annotations

from pathlib import Path

from fcrn_ros.share import share_folder

FASTDDS_2 = ('humble', 'iron', 'jazzy')  # distributions with Fast DDS 2
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def profile_variables(distribution: str) -> tuple[str, str]:
    """Return the variable that this ROS distribution's Fast DDS reads, and the other one."""
    old, new = PROFILE_VARIABLES
    return (old, new) if distribution in FASTDDS_2 else (new, old)


def profile_path() -> Path:
    """Return the profile's file; :raises FileNotFoundError: the package's files are absent."""
    return share_folder() / 'config' / 'fastdds_large_messages.xml'

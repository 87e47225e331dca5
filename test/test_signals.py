"""A signal ends what is done, and is remembered."""

import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal, sys
from fcrn_ros.shell.signals import Interrupted, end_on_signals, was_interrupted
end_on_signals()
before = was_interrupted()
try:
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        signal.pause()
    except Interrupted as err:  # as a library may that converts a message
        raise RuntimeError('Unable to convert') from err
except RuntimeError:
    print(before, was_interrupted())
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_known_though_its_interruption_was_swallowed(number):
    done = subprocess.run(
        [sys.executable, '-c', CODE, str(int(number))], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, 'False True\n'), done.stderr

"""`fcrn view` as its users run it."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rerun', reason="needs rerun: pip install 'fcrn_ros[viz]'")

from viewer_recording import read  # noqa: E402

from fcrn_ros.cli import main  # noqa: E402
from fcrn_ros.sources import CLIP_MOUNTING  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60.0  # [s], of every wait
PORTS = ('--port', '0', '--grpc-port', '0', '--no-browser')


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three pictures of 96 x 64."""
    path = tmp_path / 'pictures'
    path.mkdir()
    for k in range(3):
        assert cv2.imwrite(str(path / f'{k}.png'), np.full((64, 96, 3), 60 + 40 * k, np.uint8))
    return path


@pytest.fixture
def view(tiny_model, tmp_path):
    """Return a function that starts the command; its output goes to ``log``."""
    started = []

    def start(*arguments):
        model = ('--model', tiny_model, '--backend', 'torch', '--precision', 'fp32')
        command = [sys.executable, '-m', 'fcrn_ros.cli', 'view', *PORTS, *model, *arguments]
        process = subprocess.Popen(
            [str(x) for x in command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_pictures_are_shown_and_recorded_until_ctrl_c(view, folder, tmp_path):
    path = tmp_path / 'a.rrd'
    options = ('--intrinsics', '80,75,46,33', '--height', '1.1', '--pitch', '12')
    process = view('--images', folder, '--save', path, *options)
    line = process.stdout.readline()
    address = re.fullmatch(r'open (http://127\.0\.0\.1:\d+) in a browser; Ctrl-C ends\n', line)[1]
    with urllib.request.urlopen(address, timeout=LIMIT) as answer:
        assert b'<canvas' in answer.read()
    assert process.stdout.readline() == 'these were all; the page stays until Ctrl-C\n'
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 0
    assert process.stdout.read() == ''
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=LIMIT)
    _require_shown(read(path))


def _require_shown(found):
    shown = {'/depth', '/confidence', '/camera/lens/color', '/camera/points', '/above/cells'}
    assert shown | {'/latency', '/scale', '/about', '/camera/lens'} <= set(found)
    stamps = [row['stamp'] for row in found['/depth']]
    assert stamps == sorted(stamps) and 1 <= len(stamps) <= 3
    (buffer,) = found['/depth'][0]['DepthImage:buffer']
    depth = np.array(buffer, np.uint8).view(np.float32).reshape(32, 48)
    assert (depth > 0).any() and np.isfinite(depth).all()
    assert 'White is floor' in found['/about'][0]['TextDocument:text'][0]


@pytest.mark.skipif(find_spec('rclpy') is None, reason='needs ROS 2 (rclpy)')
def test_sigterm_ends_it_as_well(view):
    process = view('--namespace', '/nobody')
    assert process.stdout.readline().startswith('open http://')
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and 'Traceback' not in output


def test_interrupt_while_the_model_loads_is_no_error(view, folder):
    process = view('--images', folder)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode in (0, 1) and 'Traceback' not in output
    assert 'ERROR' not in output


# -- what goes wrong ---------------------------------------------------------------------------


def _failed(capsys, arguments, *parts):
    assert main(['view', *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith('fcrn view: ') and err.count('\n') == 1, err
    for part in parts:
        assert part in err
    return out


@pytest.fixture
def signals():
    """Put the handlers back that the command replaces."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_without_rerun_it_says_what_to_install(capsys, monkeypatch, signals):
    from fcrn_ros.viewer import server

    monkeypatch.setattr(server, 'find_spec', lambda name: None)
    _failed(capsys, [], "needs rerun: pip install 'fcrn_ros[viz]'")


def test_port_that_is_taken_is_one_line(capsys, signals):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ['--namespace', '/x', '--no-browser', '--port', port, '--grpc-port', 0]
        _failed(capsys, arguments, f'port {port} cannot be used', 'or 0 for a free one')


@pytest.mark.parametrize(
    ('arguments', 'part'),
    [
        (['--images', '/nowhere'], '/nowhere is not a folder'),
        (['--video', '/nowhere'], '/nowhere was not found'),
        (['--height', '-1'], 'expected finite numbers and a height above 0'),
        (['--model', '/nowhere.safetensors'], '/nowhere.safetensors'),
    ],
)
def test_wrong_source_is_one_line(capsys, signals, arguments, part):
    assert _failed(capsys, [*PORTS, *arguments], part) == ''


@pytest.mark.parametrize(
    ('arguments', 'part'),
    [
        (['--rate', '0'], "'0' is not a number above 0"),
        (['--seconds', 'nan'], "'nan' is not a number above 0"),
        (['--namespace', '/a', '--images', 'b'], 'not allowed with argument'),
    ],
)
def test_wrong_usage(capsys, arguments, part):
    with pytest.raises(SystemExit) as exit_:
        main(['view', *arguments])
    assert exit_.value.code == 2 and part in capsys.readouterr().err


def test_clip_s_camera_is_where_it_was_rendered():
    """The path of demo/room_camera.py: within 2 cm and 1 degree of it at every moment."""
    sys.path.insert(0, str(ROOT / 'demo'))
    try:
        from room_camera import camera_pose
    except ImportError:
        pytest.skip('needs demo/room_camera.py')
    finally:
        sys.path.pop(0)
    for t in np.linspace(0, 1, 60):
        pose = camera_pose(t)
        assert abs(pose[2, 3] - CLIP_MOUNTING.height) < 0.02
        cosine = float(pose[2, :3] @ CLIP_MOUNTING.up)  # up in the optical frame, both ways
        assert cosine > np.cos(np.radians(1.0))

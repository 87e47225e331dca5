"""Rerun's server behind the page: on this machine alone, bounded, silent, and gone afterwards."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('rerun', reason="needs rerun: pip install 'fcrn_ros[viz]'")

from fcrn_ros.viewer.server import (  # noqa: E402
    MEMORY_LIMIT,
    ViewerServer,
    free_port,
    private_environment,
)

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 20.0  # [s], of every wait


@pytest.fixture(scope='module')
def server():
    with ViewerServer(0, 0) as running:
        yield running


def _get(server, path):
    connection = http.client.HTTPConnection('127.0.0.1', server.page.server_port, timeout=LIMIT)
    try:
        connection.request('GET', path)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def _answers(address, port):
    with socket.socket() as probe:
        probe.settimeout(LIMIT)
        return probe.connect_ex((address, port)) == 0


def _ports(server):
    return (
        server.page.server_port,
        server.page.viewer_port,
        int(re.search(r':(\d+)/proxy', server.data_url)[1]),
    )


def _wait_until(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- what it serves ----------------------------------------------------------------------------


def test_address_leads_to_the_viewer_of_this_data(server):
    answer, _ = _get(server, '/')
    assert answer.status == 302
    location = answer.getheader('Location')
    assert location == f'/?url=rerun%2Bhttp://127.0.0.1:{_ports(server)[2]}/proxy'
    answer, body = _get(server, location)
    assert answer.status == 200 and b'<canvas' in body and b'script' in body


@pytest.mark.parametrize(
    ('path', 'kind'),
    [
        ('/re_viewer.js', 'text/javascript'),
        ('/re_viewer_bg.wasm', 'application/wasm'),
        ('/favicon.ico', 'image/x-icon'),
    ],
)
def test_every_part_of_the_viewer_comes_from_the_package(server, path, kind):
    answer, body = _get(server, path)
    assert answer.status == 200 and len(body) > 100
    assert answer.getheader('Content-Type') == kind


def test_what_is_not_there_is_not_found(server):
    assert _get(server, '/etc/passwd')[0].status == 404
    assert _get(server, '/../../etc/passwd')[0].status == 404


# -- to whom -----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != 'linux', reason='needs the addresses 127.0.0.0/8: Linux')
def test_nobody_else_can_connect(server):
    """A server on every interface would answer on 127.0.0.2 too."""
    for port in _ports(server):
        assert _answers('127.0.0.1', port) and not _answers('127.0.0.2', port)
    with socket.create_server(('0.0.0.0', 0)) as everywhere:
        assert _answers('127.0.0.2', everywhere.getsockname()[1])


def test_page_may_talk_to_this_machine_alone(server):
    """Rerun's page asks for fonts, news and examples, and sends usage data: a browser refuses."""
    data_port = _ports(server)[2]
    for path in ('/?url=x', '/re_viewer.js', '/re_viewer_bg.wasm', '/nothing'):
        policy = _get(server, path)[0].getheader('Content-Security-Policy')
        rules = dict(rule.strip().split(' ', 1) for rule in policy.split(';'))
        assert rules['default-src'] == "'self'" and rules['frame-ancestors'] == "'none'"
        assert rules['connect-src'] == f"'self' http://127.0.0.1:{data_port} data: blob:"
        hosts = set(re.findall(r'\w+://[^\s;]+', policy))
        assert hosts == {f'http://127.0.0.1:{data_port}'} and '*' not in policy


def test_usage_data_is_off_by_rerun_s_own_switch(tmp_path, monkeypatch):
    """The user's own configuration, which says on, is neither read nor changed."""
    home, users = tmp_path / 'home', tmp_path / 'users'
    home.mkdir()
    monkeypatch.setenv('XDG_CONFIG_HOME', str(users))
    monkeypatch.setenv('FORCE_RERUN_ANALYTICS', '1')
    environment = private_environment(home)
    command = [sys.executable, '-m', 'rerun_cli', 'analytics', 'config']
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(said.stdout)
    assert found['analytics_enabled'] is False
    assert found['config_file_path'].startswith(str(home))
    assert 'FORCE_RERUN_ANALYTICS' not in environment and not users.exists()


def test_serving_records_no_usage(server):
    """Where usage data is on, every process that serves keeps a file of it, named by session."""
    home = Path(_environment(server)['HOME'])
    before = {p: p.stat().st_mtime_ns for p in home.rglob('*.json')}
    assert before and _get(server, '/re_viewer_bg.wasm')[0].status == 200
    time.sleep(0.3)
    assert {p: p.stat().st_mtime_ns for p in home.rglob('*.json')} == before


def test_logging_reads_no_configuration(tmp_path):
    """The SDK in the process that logs starts no usage data either."""
    code = (
        'import sys, rerun as rr; r = rr.RecordingStream("t"); r.save(sys.argv[1]);'
        'r.log("x", rr.Scalars(1.0)); r.flush()'
    )
    environment = {**os.environ, 'HOME': str(tmp_path)}
    for name in ('XDG_CONFIG_HOME', 'XDG_DATA_HOME'):
        environment.pop(name, None)
    command = [sys.executable, '-c', code, str(tmp_path / 'a.rrd')]
    subprocess.run(command, env=environment, check=True, timeout=60)
    assert [p.name for p in tmp_path.rglob('*') if 'rerun' in p.name] == []
    assert (tmp_path / 'a.rrd').stat().st_size > 100


def _environment(server):
    content = Path(f'/proc/{server.pid}/environ')
    if not content.exists():
        pytest.skip('needs /proc')
    pairs = content.read_text().rstrip('\0').split('\0')
    return dict(pair.split('=', 1) for pair in pairs)


# -- bounds and ends ---------------------------------------------------------------------------


def test_memory_is_bounded(server):
    path = Path(f'/proc/{server.pid}/cmdline')
    if not path.exists():
        pytest.skip('needs /proc')
    words = path.read_text().split('\0')
    assert words[words.index('--server-memory-limit') + 1] == MEMORY_LIMIT == '512MB'


@pytest.mark.parametrize('which', ['port', 'grpc_port'])
def test_port_that_is_taken_is_named(which):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f'port {port} cannot be used .*0 for a free one'):
            ViewerServer(**{'port': 0, 'grpc_port': 0, which: port})


def test_free_port_can_be_taken():
    port = free_port(0)
    assert free_port(port) == port > 0


def test_nothing_is_left_of_a_server_that_was_closed():
    with ViewerServer(0, 0) as running:
        ports, home = _ports(running), Path(_environment(running)['HOME'])
        pid = running.pid
        running.require_running()
        assert home.is_dir()
    assert not home.exists() and not any(_answers('127.0.0.1', p) for p in ports)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_server_that_ended_is_noticed():
    with ViewerServer(0, 0) as running:
        os.kill(running.pid, signal.SIGKILL)
        _wait_until(lambda: not _answers('127.0.0.1', _ports(running)[2]))
        with pytest.raises(RuntimeError, match="rerun's server ended with status -?[0-9]+: .+"):
            running.require_running()


@pytest.mark.skipif(sys.platform != 'linux', reason='needs prctl: Linux')
def test_server_ends_with_a_parent_that_was_killed(tmp_path):
    code = (
        'from fcrn_ros.viewer.server import ViewerServer; import time; s = ViewerServer(0, 0);'
        'print(s.pid, flush=True); time.sleep(60)'
    )
    command, environment = [sys.executable, '-c', code], {**os.environ, 'TMPDIR': str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    _wait_until(lambda: not Path(f'/proc/{pid}/cmdline').exists() or _is_zombie(pid))


def _is_zombie(pid):
    return Path(f'/proc/{pid}/cmdline').read_text() == ''

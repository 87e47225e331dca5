"""The cache: it gives back what was stored for exactly that key, or nothing, and never fails."""

import contextlib
import errno
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fcrn_ros.engine import cache as module
from fcrn_ros.engine.cache import MAGIC, Cache, default_folder

KEY = {'weights': 'ab' * 32, 'version': '10.1', 'gpu': 'H200', 'precision': 'fp16'}
PAYLOAD = bytes(range(256)) * 4 + b'\n\x00\n'


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / 'fcrn_ros')


@pytest.fixture(autouse=True)
def record_info(caplog):
    caplog.set_level(logging.INFO, module.__name__)


def _warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def _files(cache):
    return sorted(p.name for p in cache.folder.iterdir())


def _not_called():
    raise AssertionError('made again')


# What is kept


@pytest.mark.parametrize('payload', [PAYLOAD, b'', b'\n', MAGIC, b'\x00'])
def test_artefact_comes_back_as_it_was_stored(cache, payload, caplog):
    assert cache.get('plan', KEY) is None
    assert cache.put('plan', KEY, payload)
    assert cache.get('plan', KEY) == payload
    assert Cache(cache.folder).get('plan', dict(reversed(KEY.items()))) == payload
    assert caplog.messages == []


def test_made_once(cache):
    calls = []
    for _ in range(2):
        assert cache.get_or_make('plan', KEY, lambda: calls.append(1) or PAYLOAD) == PAYLOAD
    assert calls == [1]


@pytest.mark.parametrize('part', KEY)
def test_another_key_is_another_artefact(cache, part):
    cache.put('plan', KEY, PAYLOAD)
    assert cache.get('plan', KEY | {part: KEY[part] + '0'}) is None
    assert cache.get('plan', {k: v for k, v in KEY.items() if k != part}) is None
    assert cache.get('plan', KEY) == PAYLOAD


def test_kind_is_part_of_the_key(cache):
    cache.put('plan', KEY, PAYLOAD)
    assert cache.get('onnx', KEY) is None
    assert cache.path('plan', {'kind': 'onnx'}) != cache.path('plan', {'key': 'onnx'})
    digests = {cache.path(kind, key).name[-24:] for kind, key in (('a', {'kind': 'b'}), ('b', {}))}
    assert len(digests) == 2


def test_newer_artefact_replaces_the_older(cache):
    cache.put('plan', KEY, PAYLOAD)
    cache.put('plan', KEY, b'newer')
    assert cache.get('plan', KEY) == b'newer'
    assert _files(cache) == [cache.path('plan', KEY).name]


def test_discarded_artefact_is_absent(cache, caplog):
    cache.put('plan', KEY, PAYLOAD)
    cache.discard('plan', KEY)
    cache.discard('plan', KEY)
    assert cache.get('plan', KEY) is None and _files(cache) == []
    assert caplog.messages == []


def test_error_of_the_maker_is_the_callers(cache):
    with pytest.raises(ZeroDivisionError):
        cache.get_or_make('plan', KEY, lambda: 1 // 0)
    assert cache.get_or_make('plan', KEY, lambda: PAYLOAD) == PAYLOAD


# Damage


def _require_made_again(cache, caplog):
    """Check that the artefact is absent, said once, and made again."""
    assert cache.get_or_make('plan', KEY, lambda: b'again') == b'again'
    assert len(_warnings(caplog)) == 1
    assert f'{cache.path("plan", KEY)} is damaged: making it again' in caplog.text
    assert cache.get_or_make('plan', KEY, _not_called) == b'again'
    assert len(_warnings(caplog)) == 1


@pytest.mark.parametrize('tenth', range(10))
def test_truncated_file_is_made_again(cache, caplog, tenth):
    cache.put('plan', KEY, PAYLOAD)
    path = cache.path('plan', KEY)
    os.truncate(path, path.stat().st_size * tenth // 10)
    _require_made_again(cache, caplog)


@pytest.mark.parametrize(
    'content',
    [
        b'\x89PNG\r\n\x1a\n',
        MAGIC,
        MAGIC + b'not json\n' + PAYLOAD,
        MAGIC + b'[]\n' + PAYLOAD,
        MAGIC + b'\xff\xfe\n' + PAYLOAD,
        MAGIC + b'{}',
        MAGIC.replace(b'1', b'2') + b'{}\n',
    ],
)
def test_foreign_file_is_made_again(cache, caplog, content):
    cache.folder.mkdir()
    cache.path('plan', KEY).write_bytes(content)
    _require_made_again(cache, caplog)


def test_every_flipped_bit_is_seen(cache):
    """One bit in every 13th byte of magic, header and payload, the last byte included."""
    cache.put('plan', KEY, PAYLOAD)
    path = cache.path('plan', KEY)
    whole = path.read_bytes()
    for place in (*range(0, len(whole), 13), len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert cache.get('plan', KEY) is None, place
    path.write_bytes(whole)
    assert cache.get('plan', KEY) == PAYLOAD


def test_file_of_another_key_is_not_taken(cache):
    """A renamed file, or two keys whose digests meet."""
    other = KEY | {'gpu': 'Orin'}
    cache.put('plan', other, PAYLOAD)
    cache.path('plan', other).rename(cache.path('plan', KEY))
    assert cache.get('plan', KEY) is None


# Writing


@pytest.mark.parametrize('umask', [0o000, 0o022, 0o077])
@pytest.mark.parametrize('locked', [False, True])
def test_files_are_private(tmp_path, umask, locked):
    cache = Cache(tmp_path / 'deep' / 'fcrn_ros')
    before = os.umask(umask)
    try:
        with cache.lock('plan', KEY) if locked else contextlib.nullcontext():
            assert cache.put('plan', KEY, PAYLOAD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert len(_files(cache)) == 1 + locked
    assert {stat.S_IMODE(p.stat().st_mode) for p in cache.folder.iterdir()} == {0o600}


def _full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize('function', ['fsync', 'replace'])
def test_reader_never_sees_half_a_file(cache, monkeypatch, function):
    """Writing fails before and after the content is there: the old one stays, nothing else."""
    cache.put('plan', KEY, b'old')
    with monkeypatch.context() as patch:
        patch.setattr(os, function, _full)
        assert not cache.put('plan', KEY, PAYLOAD)
    assert cache.get('plan', KEY) == b'old'
    assert _files(cache) == [cache.path('plan', KEY).name]


def test_interrupted_writing_leaves_nothing(cache, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'fsync', interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.put('plan', KEY, PAYLOAD)
    assert _files(cache) == []


def test_leftovers_of_killed_processes_are_removed(cache):
    """Of any artefact, but not a young one: another process may be writing it."""
    cache.folder.mkdir()
    old = cache.path('other', KEY).with_name('other-0.x1.part')
    young = cache.path('plan', KEY).with_name('plan-0.x2.part')
    for path in (old, young):
        path.write_bytes(b'half')
    past = time.time() - module.LEFTOVER_SECONDS - 60
    os.utime(old, (past, past))
    assert cache.put('plan', KEY, PAYLOAD)
    assert set(_files(cache)) == {cache.path('plan', KEY).name, young.name}


def test_two_writers_without_a_lock_both_succeed(cache, monkeypatch, caplog):
    """The second writes while the first is about to rename."""
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) == 1:
            assert Cache(cache.folder).put('plan', KEY, b'second')
        real(source, target)

    monkeypatch.setattr(os, 'replace', replace)
    assert cache.put('plan', KEY, b'first')
    assert len(calls) == 2 and caplog.messages == []
    assert cache.get('plan', KEY) == b'first'


# A cache that cannot be used is slower, never an error


def _require_useless(cache, caplog):
    """Check that everything works without keeping anything, and says so once."""
    for _ in range(2):
        assert cache.get_or_make('plan', KEY, lambda: PAYLOAD) == PAYLOAD
    assert not cache.put('plan', KEY, PAYLOAD)
    cache.discard('plan', KEY)
    (warning,) = _warnings(caplog)
    assert f'the cache {cache.folder} is not usable' in warning and 'going on without' in warning


def test_folder_below_a_file_is_no_error(tmp_path, caplog):
    (tmp_path / 'file').touch()
    _require_useless(Cache(tmp_path / 'file' / 'fcrn_ros'), caplog)


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='needs /proc')
def test_folder_that_nobody_can_make_is_no_error(caplog):
    _require_useless(Cache(Path('/proc/fcrn_ros')), caplog)


def test_unreadable_artefact_is_no_error(cache, caplog):
    """A folder in its place can neither be read nor replaced."""
    cache.path('plan', KEY).mkdir(parents=True)
    _require_useless(cache, caplog)


@pytest.mark.parametrize('function', ['fsync', 'replace', 'mkdir'])
def test_full_disk_is_no_error(cache, monkeypatch, caplog, function):
    monkeypatch.setattr(os, function, _full)
    _require_useless(cache, caplog)
    assert os.strerror(errno.ENOSPC) in caplog.text


def test_what_was_stored_is_read_from_a_full_disk(cache, monkeypatch):
    cache.put('plan', KEY, PAYLOAD)
    monkeypatch.setattr(os, 'fsync', _full)
    assert cache.get_or_make('plan', KEY, _not_called) == PAYLOAD


# Locks


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_used_all_the_same(cache, monkeypatch, caplog, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    fcntl = pytest.importorskip('fcntl', reason='needs POSIX locks')
    monkeypatch.setattr(fcntl, 'flock', fail)
    assert cache.get_or_make('plan', KEY, lambda: PAYLOAD) == PAYLOAD
    assert cache.get_or_make('plan', KEY, _not_called) == PAYLOAD
    assert 'cannot be locked' in caplog.text and _warnings(caplog) == []


def test_system_without_locks_is_used_all_the_same(cache, monkeypatch):
    monkeypatch.setattr(module, 'fcntl', None)
    assert cache.get_or_make('plan', KEY, lambda: PAYLOAD) == PAYLOAD
    assert _files(cache) == [cache.path('plan', KEY).name]


@pytest.mark.parametrize('kinds', [('plan', 'onnx'), ('onnx.fp16', 'onnx.fp32')])
def test_artefact_may_be_made_of_another(cache, kinds):
    """Their locks are two, else this would wait for ever; and the holder may store by itself."""
    outer, inner = kinds
    with cache.lock(outer, KEY):
        assert cache.get_or_make(inner, KEY, lambda: PAYLOAD) == PAYLOAD
        assert cache.put(outer, KEY, PAYLOAD)
    assert cache.get(outer, KEY) == PAYLOAD


MAKER = """
import sys, time
from pathlib import Path
from fcrn_ros.engine.cache import Cache

folder, markers, name, seconds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

def make():
    (markers / f'{name}.making').touch()
    time.sleep(float(seconds))
    return name.encode() * 1000

found = Cache(folder).get_or_make('plan', {'a': 'b'}, make)
(markers / f'{name}.done').write_bytes(found)
"""


@pytest.fixture
def maker(cache, tmp_path):
    """Return a function that starts a process which makes an artefact; it ends with the test."""
    processes = []

    def start(name, seconds):
        command = [sys.executable, '-c', MAKER, cache.folder, tmp_path, name, seconds]
        processes.append(subprocess.Popen(list(map(str, command)), cwd=Path(__file__).parents[1]))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def _wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f'{path} did not come'
        time.sleep(0.01)


def test_two_processes_make_an_artefact_once(maker, tmp_path):
    """The second starts while the first is at it."""
    first = maker('first', 2)
    _wait_for(tmp_path / 'first.making')
    second = maker('second', 0)
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert not (tmp_path / 'second.making').exists()
    for name in ('first', 'second'):
        assert (tmp_path / f'{name}.done').read_bytes() == b'first' * 1000


def test_killed_process_leaves_its_lock_and_no_damage(cache, maker, tmp_path, caplog):
    holder = maker('holder', 600)
    _wait_for(tmp_path / 'holder.making')
    waiting = maker('waiting', 0)
    holder.send_signal(signal.SIGKILL)
    assert waiting.wait(60) == 0
    assert (tmp_path / 'waiting.done').read_bytes() == b'waiting' * 1000
    assert cache.get('plan', {'a': 'b'}) == b'waiting' * 1000
    assert not list(cache.folder.glob('*.part')) and caplog.messages == []


# Where it lies


@pytest.mark.parametrize('given', ['', 'relative/cache', '~/cache', '.'])
def test_relative_folder_of_the_environment_is_ignored(monkeypatch, tmp_path, given):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', given)
    assert default_folder() == tmp_path / '.cache' / 'fcrn_ros'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert default_folder() == tmp_path / '.cache' / 'fcrn_ros'


def test_folder_of_the_environment_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_folder() == Cache().folder == tmp_path / 'fcrn_ros'


def test_user_without_a_home_is_no_error(monkeypatch):
    """A container's user of any number: the system knows no home, and ~ stays as it is."""
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
    assert default_folder() == Path('/.cache/fcrn_ros')


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to give a file away')
def test_another_users_artefact_is_not_read(tmp_path, monkeypatch, caplog):
    """Plans are trusted: in a shared folder somebody else's must not be."""
    cache = Cache(tmp_path)
    cache.put('plan', KEY, b'payload')
    os.chown(cache.path('plan', KEY), 12345, -1)
    assert cache.get('plan', KEY) is None
    assert 'belongs to user 12345' in caplog.text

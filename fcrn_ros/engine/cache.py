"""
What an engine builds once and keeps: ONNX files, plans, reference depths, measured choices.

An artefact lies in ``$XDG_CACHE_HOME/fcrn_ros`` as one file: a line that names the format, a line
of JSON with the key and the payload's sha256, the payload. The key holds everything that the
payload depends on; a file whose key or checksum is not the expected one is treated as absent.
Files are written whole and are private to the user; another user's are not read. A lock file keeps
two processes from building the same thing twice; the kernel releases it when its holder dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fcrn_ros.whole_file import write_whole

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes may build the same thing twice
    fcntl = None  # type: ignore[assignment]

LOGGER = logging.getLogger(__name__)
MAGIC = b'fcrn_ros artefact 1\n'
LEFTOVER_SECONDS = 3600.0  # a half-written file this old is nobody's any more
Key = Mapping[str, str]
_COMPLAINED_OF: set[Path] = set()  # folders, once in a process


def default_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/fcrn_ros``, by default ``~/.cache/fcrn_ros``."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    if os.path.isabs(base):  # the XDG specification has relative paths ignored
        return Path(base, 'fcrn_ros')
    home = os.path.expanduser('~')  # stays ~ for a user that the system does not know
    return Path(home if os.path.isabs(home) else os.sep, '.cache', 'fcrn_ros')


class Cache:
    """
    Artefacts by kind and key.

    A cache that cannot be read or written is slower, never an error: it says so once.

    :param folder: None takes ``default_folder()``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def path(self, kind: str, key: Key) -> Path:
        """Return where an artefact lies, there or not."""
        digest = hashlib.sha256(_canonical(kind, key)).hexdigest()
        return self.folder / f'{kind}-{digest[:24]}'

    def require_writable(self) -> None:
        """Raise OSError where nothing can be kept."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder):
            pass

    def get(self, kind: str, key: Key) -> bytes | None:
        """Return an artefact's payload; None where it is absent, damaged or of another key."""
        content = self._read(self.path(kind, key))
        if content is None:
            return None
        payload = _unpack(content, kind, key)
        if payload is None:
            LOGGER.warning('%s is damaged: making it again', self.path(kind, key))
        return payload

    def put(self, kind: str, key: Key, payload: bytes) -> bool:
        """Write an artefact whole; return whether it is stored."""
        path = self.path(kind, key)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_leftovers(path.parent)
            write_whole(path, _pack(kind, key, payload), private=True)
        except OSError as err:
            self._complain(err)
            return False
        return True

    def discard(self, kind: str, key: Key) -> None:
        """Remove an artefact that turned out to be unusable."""
        try:
            self.path(kind, key).unlink(missing_ok=True)
        except OSError as err:
            self._complain(err)

    def get_or_make(self, kind: str, key: Key, make: Callable[[], bytes]) -> bytes:
        """Return an artefact, made and stored where it is absent; errors are those of ``make``."""
        payload = _unpack(self._read(self.path(kind, key)) or b'', kind, key)
        if payload is not None:
            return payload
        with self.lock(kind, key):
            payload = self.get(kind, key)  # another process may have made it meanwhile
            if payload is None:
                payload = make()
                self.put(kind, key, payload)
        return payload

    @contextlib.contextmanager
    def lock(self, kind: str, key: Key) -> Iterator[None]:
        """Hold the artefact's lock; without one where the folder cannot be written."""
        path = self.path(kind, key)
        handle = self._open_lock(path.with_name(f'{path.name}.lock'))
        try:
            if handle is not None:
                _wait_for(handle, path)
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open('rb') as file:
                owner = os.fstat(file.fileno()).st_uid
                if owner in (os.geteuid(), 0):
                    return file.read()
            raise PermissionError(f'{path} belongs to user {owner}; expected your own')
        except FileNotFoundError:
            return None
        except OSError as err:
            self._complain(err)
            return None

    def _open_lock(self, path: Path) -> int | None:
        if fcntl is None:
            return None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            self._complain(err)
            return None

    def _complain(self, err: OSError) -> None:
        if self.folder not in _COMPLAINED_OF:
            _COMPLAINED_OF.add(self.folder)
            LOGGER.warning('the cache %s is not usable (%s): going on without', self.folder, err)


def _wait_for(handle: int, path: Path) -> None:
    """Take a lock; go on without it where the file system has none."""
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOGGER.info('waiting for another process that builds %s', path.name)
            fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as err:
        LOGGER.info('%s cannot be locked (%s): another process may build it too', path, err)


def _canonical(kind: str, key: Key) -> bytes:
    return json.dumps({'kind': kind, 'key': dict(key)}, sort_keys=True).encode()


def _pack(kind: str, key: Key, payload: bytes) -> bytes:
    header = {'kind': kind, 'key': dict(key), 'sha256': hashlib.sha256(payload).hexdigest()}
    return MAGIC + json.dumps(header, sort_keys=True).encode() + b'\n' + payload


def _unpack(content: bytes, kind: str, key: Key) -> bytes | None:
    if not content.startswith(MAGIC):
        return None
    header, _, payload = content[len(MAGIC) :].partition(b'\n')
    try:
        found = json.loads(header)
    except ValueError:
        return None
    expected = {'kind': kind, 'key': dict(key), 'sha256': hashlib.sha256(payload).hexdigest()}
    return payload if found == expected else None


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written; a young file may be in another's hands."""
    for part in folder.glob('*.part'):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > LEFTOVER_SECONDS:
                part.unlink()

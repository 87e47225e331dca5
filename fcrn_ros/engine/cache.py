"""
What an engine builds once and keeps: ONNX files, plans, reference depths, measured choices.

An artefact lies in ``$XDG_CACHE_HOME/fcrn_ros`` as one file: a line that names the format, a line
of JSON with the key and the payload's sha256, the payload. The key holds everything that the
payload depends on; a file whose key or checksum is not the expected one is treated as absent.
Files are written whole and are private to the user. A lock file keeps two processes from building
the same thing twice; the kernel releases it when its holder dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes may build the same thing twice
    fcntl = None  # type: ignore[assignment]

LOGGER = logging.getLogger(__name__)
MAGIC = b'fcrn_ros artefact 1\n'
Key = Mapping[str, str]


def default_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/fcrn_ros``, by default ``~/.cache/fcrn_ros``."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    # the XDG specification has relative paths ignored
    root = Path(base) if os.path.isabs(base) else Path.home() / '.cache'
    return root / 'fcrn_ros'


class Cache:
    """
    Artefacts by kind and key.

    A cache that cannot be read or written is slower, never an error: it says so once.

    :param folder: None takes ``default_folder()``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self._complained = False

    def path(self, kind: str, key: Key) -> Path:
        """Return where an artefact lies, there or not."""
        digest = hashlib.sha256(_canonical(kind, key)).hexdigest()
        return self.folder / f'{kind}-{digest[:24]}'

    def get(self, kind: str, key: Key) -> bytes | None:
        """Return an artefact's payload; None where it is absent, damaged or of another key."""
        path = self.path(kind, key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as err:
            self._complain(err)
            return None
        payload = _unpack(content, kind, key)
        if payload is None:
            LOGGER.warning('%s is damaged: making it again', path)
        return payload

    def put(self, kind: str, key: Key, payload: bytes) -> bool:
        """Write an artefact whole; return whether it is stored."""
        path = self.path(kind, key)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_whole(path, _pack(kind, key, payload))
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
        payload = self.get(kind, key)
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
        handle = self._open_lock(self.path(kind, key).with_suffix('.lock'))
        try:
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _open_lock(self, path: Path) -> int | None:
        if fcntl is None:
            return None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            self._complain(err)
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOGGER.info('waiting for another process that builds %s', path.stem)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as err:  # a file system without locks
            self._complain(err)
        return handle

    def _complain(self, err: OSError) -> None:
        if not self._complained:
            self._complained = True
            LOGGER.warning('the cache %s is not usable (%s): going on without', self.folder, err)


def _canonical(kind: str, key: Key) -> bytes:
    return json.dumps({'kind': kind, **key}, sort_keys=True).encode()


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


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one."""
    _remove_leftovers(path)
    handle, part = tempfile.mkstemp(prefix=f'{path.name}.', suffix='.part', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:  # mkstemp made it private
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed process left half written; the lock says that no other one writes."""
    for part in path.parent.glob(f'{path.name}.*.part'):
        part.unlink(missing_ok=True)

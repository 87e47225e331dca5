"""Files that a reader sees whole: the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes, private: bool = False) -> None:
    """
    Write beside the target, then rename.

    :param path: of the file; its folder exists.
    :param private: nobody but the user may read it.
    """
    part = path.with_name(f'{path.name}.{uuid.uuid4().hex}.part')
    mode = 0o600 if private else 0o666
    try:
        with open(part, 'wb', opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

"""A scene that writes into a file, and what was written."""

from __future__ import annotations

import pytest

rr = pytest.importorskip('rerun', reason="needs rerun: pip install 'fcrn_ros[viz]'")

from rerun.chunk import RrdReader  # noqa: E402

from fcrn_ros.viewer.scene import Scene  # noqa: E402


def read(path):
    """Return {entity: [{column: value} of every row]} of a recording."""
    found = {}
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        for i in range(batch.num_rows):
            row = {'static': chunk.is_static}
            for name in batch.schema.names:
                value = batch.column(name)[i]
                row[name] = value.value if name in ('stamp', 'log_time') else value.as_py()
            found.setdefault(chunk.entity_path, []).append(row)
    return found


class Recorded:
    """A scene that writes to a file, and what is in it."""

    def __init__(self, path, mounting=None):
        self.path = path
        self._recording = rr.RecordingStream('test')
        self._recording.save(path)
        self.scene = Scene(self._recording, 'a test', mounting)

    def read(self):
        """Return what was written."""
        self._recording.flush()
        self._recording.disconnect()
        return read(self.path)

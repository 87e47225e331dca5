"""One thread that always works on the newest item; an older one that waits is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar('Item')


class NewestFirst(Generic[Item]):
    """
    Hands items to one worker thread; at most one waits.

    :param work: called in the thread; it must not raise.
    :param dropped: called, in the thread of :meth:`put`, for every item that was replaced.
    """

    def __init__(self, work: Callable[[Item], None], dropped: Callable[[Item], None]) -> None:
        self._work, self._dropped = work, dropped
        self._waiting: Item | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name='depth', daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Leave an item for the worker; never blocks on its work."""
        with self._changed:
            replaced, self._waiting = self._waiting, item
            self._changed.notify()
        if replaced is not None:
            self._dropped(replaced)

    def stop(self, timeout: float = 5.0) -> None:
        """Let the item in work finish, forget the one that waits, and end the thread."""
        with self._changed:
            self._stopping, self._waiting = True, None
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                item, self._waiting = self._waiting, None
            assert item is not None
            self._work(item)

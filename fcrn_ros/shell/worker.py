"""
One thread that always works on the newest items; an older one that waits is replaced.

Items have keys, one for each camera. Items of several keys that come within a few milliseconds of
one another are worked on together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar('Item')
TOGETHER = 0.005  # [s] that an item waits for those of the other keys


class NewestFirst(Generic[Item]):
    """
    Hands items to one worker thread; at most one of each key waits.

    :param work: called in the thread with the items that wait, in the order of the keys; it must
        not raise.
    :param dropped: called, in the thread of :meth:`put`, for every item that was replaced.
    :param keys: all that there are.
    """

    def __init__(
        self,
        work: Callable[[dict[str, Item]], None],
        dropped: Callable[[str, Item], None],
        keys: Sequence[str] = ('',),
    ) -> None:
        self._work, self._dropped, self._keys = work, dropped, tuple(keys)
        self._waiting: dict[str, Item] = {}
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name='depth', daemon=True)
        self._thread.start()

    def put(self, item: Item, key: str = '') -> None:
        """Leave an item, not None, for the worker; never blocks on its work."""
        with self._changed:
            replaced = self._waiting.get(key)
            self._waiting[key] = item
            self._changed.notify()
        if replaced is not None:
            self._dropped(key, replaced)

    def stop(self, timeout: float = 5.0) -> None:
        """Let the items in work finish, forget those that wait, and end the thread."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                self._changed.wait_for(self._complete, TOGETHER)
                if self._stopping:
                    return
                items = {key: self._waiting[key] for key in self._keys if key in self._waiting}
                self._waiting.clear()
            self._work(items)

    def _complete(self) -> bool:
        return self._stopping or len(self._waiting) == len(self._keys)

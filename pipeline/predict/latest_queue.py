"""A bounded queue between a thread that must not wait and one that may be slow: it drops the oldest."""

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestQueue(Generic[Item]):
    """Holds the latest items.

    Attributes:
        put_count: how many items were put in.
        dropped: how many of them were dropped unread.
    """

    def __init__(self, capacity: int) -> None:
        self.put_count = self.dropped = 0
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> None:
        """Add an item at once; if there is no room, the oldest one goes."""
        with self._changed:
            self.put_count += 1
            if len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes; `error` is raised where the items end."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def get(self, timeout_seconds: float) -> Item | None:
        """Return the oldest item, or None if none came in time.

        Raises:
            EOFError: there are none left, and the other thread has ended without an error.
            BaseException: the same, with its error.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._ended, timeout_seconds)
            if self._items:
                return self._items.popleft()
            if not self._ended:
                return None
            raise self._error or EOFError

"""A bounded queue between two stages that can be closed from either end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class StageQueue(Generic[T]):
    """At most ``capacity`` items, in order. Full: ``put`` waits, or the oldest item is dropped.

    ``queue.Queue`` learned to shut down only in Python 3.13, and cannot drop its oldest item.
    """

    def __init__(self, capacity: int, *, drop_oldest: bool = False) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._closed = False
        self._dropped = 0
        self._changed = threading.Condition()

    @property
    def dropped(self) -> int:
        """How many items gave way to newer ones."""
        return self._dropped

    def put(self, item: T) -> bool:
        """Add ``item``; False, and ``item`` is not taken, where the queue has been closed."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                if self._drop_oldest:
                    self._items.popleft()
                    self._dropped += 1
                else:
                    self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Take no more items; those inside can still be had."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Take no more items and forget those inside."""
        with self._changed:
            self._items.clear()
            self.close()

    def __iter__(self) -> Iterator[T]:
        """All items, waiting for each, until the queue is closed and empty."""
        while True:
            with self._changed:
                while not self._items and not self._closed:
                    self._changed.wait()
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

"""The mailbox between subscriptions and the worker thread: of every sender the newest item wins; senders take turns."""
import threading
from collections import OrderedDict
from typing import Generic, Optional, Sequence, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Holds at most one item of each sender; a newer one replaces it.

    Args:
        priorities: one per sender. Of those with the highest priority that wait, the one that has waited longest is
            next: since its first item, not since the one that replaced it, or the most frequent sender would wait
            longest.
    """

    def __init__(self, priorities: Sequence[int] = (0,)) -> None:
        self._priorities = priorities
        self._waiting: 'OrderedDict[int, Item]' = OrderedDict()  # A replaced item keeps its place.
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item, sender: int = 0) -> bool:
        """Store the newest item of a sender and return whether an older one was thrown away for it."""
        with self._changed:
            replaced = sender in self._waiting
            self._waiting[sender] = item
            self._changed.notify()
            return replaced

    def take(self, timeout: Optional[float] = None) -> Optional[Item]:
        """Wait for an item and remove it; None after `timeout` seconds or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            if self._closed or not self._waiting:
                return None
            return self._waiting.pop(max(self._waiting, key=self._priorities.__getitem__))  # The first of several.

    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._waiting

    def close(self) -> None:
        """Wake whoever waits; from now on `take` gives None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

"""The one-slot mailbox between the subscription and the worker thread: the newest frame wins."""
import threading
from typing import Generic, Optional, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Holds at most one item; a newer one replaces it."""

    def __init__(self) -> None:
        self._item: Optional[Item] = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """Store the newest item and return whether an older one was thrown away for it."""
        with self._changed:
            replaced = self._item is not None
            self._item = item
            self._changed.notify()
            return replaced

    def take(self, timeout: Optional[float] = None) -> Optional[Item]:
        """Wait for an item and remove it; None after `timeout` seconds or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake whoever waits; from now on `take` gives None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

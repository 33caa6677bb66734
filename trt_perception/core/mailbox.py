"""The mailbox between subscriptions and the worker thread: keeps the newest item of each sender; senders take turns."""
import threading
from typing import Dict, Generic, Optional, Sequence, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Holds at most one item of each sender; a newer one replaces it.

    Args:
        priorities: one per sender. The highest priority that waits goes first; among equal ones, the sender whose last
            turn is longest ago. The order of arrival is not used: if senders always send in the same order, the first
            would get more turns.
    """

    def __init__(self, priorities: Sequence[int] = (0,)) -> None:
        self._priorities = priorities
        self._waiting: Dict[int, Item] = {}
        self._turns = 0
        self._last_turns = [0] * len(priorities)
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item, sender: int = 0) -> bool:
        """Store the newest item of a sender and return whether it replaced an older one."""
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
            sender = max(self._waiting, key=lambda each: (self._priorities[each], -self._last_turns[each]))
            self._turns += 1
            self._last_turns[sender] = self._turns
            return self._waiting.pop(sender)

    def close(self) -> None:
        """Wake the thread that waits; from now on `take` returns None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

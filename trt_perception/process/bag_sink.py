"""The topics of a bag that is written, as the publishers of results see them."""
from fnmatch import fnmatchcase
from typing import Any, Callable, List, Sequence

from ..ros.sink import Sink
from .bag_types import BagTypes

Write = Callable[[str, bytes], None]
"""Takes a full topic name and a serialised message."""


class BagPublisher:
    """Writes the messages of one topic; one that is not wanted counts as without subscribers."""

    def __init__(self, topic: str, types: BagTypes, write: Write, is_wanted: bool) -> None:
        self._topic = topic
        self._types = types
        self._write = write
        self._is_wanted = is_wanted

    def publish(self, message: Any) -> None:
        """Write a message."""
        if self._is_wanted:
            self._write(self._topic, self._types.serialize(message))

    def get_subscription_count(self) -> int:
        """Return 1 if the topic is to be written."""
        return int(self._is_wanted)


class BagSink(Sink):
    """Writes into a bag.

    Args:
        namespace: of the topics, without slashes around it; '' = none.
        patterns: of the topics to write, without namespace.
        declare: called with name, type and whether it is latched of each topic to write, before `write`.

    Attributes:
        topics: all that there are, without namespace.
    """

    def __init__(self, types: BagTypes, namespace: str, patterns: Sequence[str],
                 declare: Callable[[str, str, bool], None], write: Write, now_ns: Callable[[], int],
                 warn: Callable[[str], None]) -> None:
        self.types = types.types
        self.topics: List[str] = []
        self._types = types
        self._prefix = '/{}/'.format(namespace) if namespace else '/'
        self._patterns = patterns
        self._declare = declare
        self._write = write
        self._now_ns = now_ns
        self._warn = warn

    def create_publisher(self, topic: str, kind: Any, latched: bool) -> BagPublisher:
        """See Sink."""
        self.topics.append(topic)
        is_wanted = any(fnmatchcase(topic, pattern) for pattern in self._patterns)
        name = self._prefix + topic
        if is_wanted:
            self._declare(name, kind.__msgtype__, latched)
        return BagPublisher(name, self._types, self._write, is_wanted)

    def now_ns(self) -> int:
        """Return the time of recording of the message in hand, ns."""
        return self._now_ns()

    def warn(self, text: str) -> None:
        """Note what is wrong with a message."""
        self._warn(text)

"""One or several files of a bag, opened by the `rosbags` package, or, where it refuses them, record by record."""
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

from .core.errors import ConfigError
from .unfinished_mcap import UnfinishedMcap


class Recorded(NamedTuple):
    """One message of a bag."""

    topic: str
    time_ns: int
    """Time of recording, ns."""
    data: bytes
    """CDR."""


class BagSource(NamedTuple):
    """An opened bag, or a part of it."""

    types: Dict[str, str]
    """Message type by topic, of all topics."""
    counts: Dict[str, int]
    """Number of messages by topic."""
    start_ns: int
    end_ns: int
    messages: Callable[[List[str], Optional[int], Optional[int]], Iterator[Recorded]]
    """Yields the messages of some topics, recorded at or after one time and before another; None = no limit."""
    faults: List[str]
    """Faults that occurred, human-readable."""
    close: Callable[[], None]


def open_with_rosbags(paths: List[Path]) -> BagSource:
    """Open a bag, or files of one, with rosbags.

    Raises:
        ConfigError: rosbags is not installed.
        Exception: any error of rosbags for a damaged bag, from its own to Unicode's.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ConfigError('bags are read with the Python package rosbags, which is not installed here (it needs '
                          'Python 3.8). Run: pip install rosbags') from error
    store = get_typestore(Stores.LATEST)
    reader = AnyReader(paths, default_typestore=store)
    reader.open()
    counts: Dict[str, int] = {}
    for each in reader.connections:
        counts[each.topic] = counts.get(each.topic, 0) + each.msgcount

    def messages(topics: List[str], start_ns: Optional[int], end_ns: Optional[int]) -> Iterator[Recorded]:
        connections = [each for each in reader.connections if each.topic in topics]
        if not connections:  # For rosbags, none means all.
            return
        for connection, time_ns, data in reader.messages(connections, start_ns, end_ns):
            # With the types of ROS 2, because those of a ROS 1 bag have the header's `seq`.
            cdr = data if reader.is2 else store.ros1_to_cdr(data, connection.msgtype)
            yield Recorded(connection.topic, time_ns, bytes(cdr))

    return BagSource({each.topic: each.msgtype for each in reader.connections}, counts, reader.start_time,
                     reader.end_time, messages, [], reader.close)


def open_unfinished(path: Path) -> BagSource:
    """Open an MCAP file that may be incomplete.

    Raises:
        ValueError: it is not an MCAP file.
        OSError: it cannot be read.
    """
    file = UnfinishedMcap(path)

    def messages(topics: List[str], start_ns: Optional[int], end_ns: Optional[int]) -> Iterator[Recorded]:
        for channel, time_ns, data in file.messages():
            if channel.topic in topics and (start_ns or 0) <= time_ns and (end_ns is None or time_ns < end_ns):
                yield Recorded(channel.topic, time_ns, data)

    return BagSource({each.topic: each.msgtype for each in file.channels}, file.counts, file.start_ns, file.end_ns,
                     messages, file.faults, lambda: None)  # It is opened for each reading.

"""Reads a damaged or unfinished MCAP file record by record, from the beginning, without its index.

If the recorder was killed or the disk was full, there is no index, and `rosbags` refuses the whole file.
"""
import struct
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

MAGIC = b'\x89MCAP0\r\n'
_HEADER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END, _FOOTER = 0x01, 0x03, 0x04, 0x05, 0x06, 0x0f, 0x02
_MOST_BYTES = 2**32
"""Largest unpacked chunk, bytes; a larger one is damaged."""


class Channel(NamedTuple):
    """A topic of the file."""

    topic: str
    msgtype: str


class UnfinishedMcap:
    """The complete messages of an MCAP file.

    Attributes:
        channels: channels with messages.
        counts: number of messages by topic.
        faults: parts that could not be read, human-readable.

    Raises:
        ValueError: it is not an MCAP file.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.channels: List[Channel] = []
        self.counts: Dict[str, int] = {}
        self.faults: List[str] = []
        self.start_ns, self.end_ns = 2**63 - 1, 0
        with path.open('rb') as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError('it does not begin as an MCAP file')
        for channel, time_ns, _ in self._messages(self.faults):
            if channel not in self.channels:
                self.channels.append(channel)
            self.counts[channel.topic] = self.counts.get(channel.topic, 0) + 1
            self.start_ns, self.end_ns = min(self.start_ns, time_ns), max(self.end_ns, time_ns)

    def messages(self) -> Iterator[Tuple[Channel, int, bytes]]:
        """Yield channel, time of recording (ns) and CDR of each message; within a chunk in order of time."""
        return self._messages([])

    def _messages(self, faults: List[str]) -> Iterator[Tuple[Channel, int, bytes]]:
        schemas: Dict[int, str] = {}
        channels: Dict[int, Channel] = {}
        size = self._path.stat().st_size
        with self._path.open('rb') as file:
            file.seek(len(MAGIC))
            while True:
                head = file.read(9)
                if len(head) < 9:
                    faults.append('it ends without an index' if not head else 'it ends within a record')
                    return
                kind, length = struct.unpack('<BQ', head)
                if kind in (_DATA_END, _FOOTER):
                    return
                if file.tell() + length > size:
                    faults.append('it ends within a record, {} bytes from its end'.format(size - file.tell() + 9))
                    return
                if kind not in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK):
                    file.seek(length, 1)
                    continue
                where = file.tell()
                try:
                    found = list(_read(kind, file.read(length), schemas, channels))
                except (ValueError, struct.error, KeyError, UnicodeDecodeError, MemoryError) as error:
                    faults.append('a damaged record at byte {} is left out: {}'.format(
                        where, str(error) or type(error).__name__))
                    continue
                yield from sorted(found, key=lambda each: each[1])


def _read(kind: int, data: bytes, schemas: Dict[int, str], channels: Dict[int, Channel]
          ) -> Iterator[Tuple[Channel, int, bytes]]:
    """Yield the messages of a record; record a schema or channel."""
    if kind == _SCHEMA:
        schemas[struct.unpack_from('<H', data)[0]] = _text(data, 2)
    elif kind == _CHANNEL:
        number, schema = struct.unpack_from('<HH', data)
        channels[number] = Channel(_text(data, 4), schemas.get(schema, ''))
    elif kind == _MESSAGE:
        number, _, time_ns, _ = struct.unpack_from('<HIQQ', data)
        if time_ns < 2**63:
            yield channels[number], time_ns, data[22:]
    elif kind == _CHUNK:
        records = _unpacked(data)
        place = 0
        while place < len(records):
            inner, length = struct.unpack_from('<BQ', records, place)
            place += 9
            if place + length > len(records):
                raise ValueError('a record is longer than its chunk')
            if inner in (_SCHEMA, _CHANNEL, _MESSAGE):
                yield from _read(inner, records[place:place + length], schemas, channels)
            place += length


def _text(data: bytes, place: int) -> str:
    length, = struct.unpack_from('<I', data, place)
    return data[place + 4:place + 4 + length].decode()


def _unpacked(data: bytes) -> bytes:
    """Return the records of a chunk."""
    _, _, size, checksum = struct.unpack_from('<QQQI', data)
    method = _text(data, 28)
    length, = struct.unpack_from('<Q', data, 32 + len(method))
    packed = data[40 + len(method):40 + len(method) + length]
    if size > _MOST_BYTES:
        raise ValueError('a chunk says that it has {} bytes'.format(size))
    if method:
        unpack = _decompressor(method)
        if unpack is None:
            raise ValueError('it is compressed with {!r}, which cannot be unpacked here'.format(method))
        try:
            packed = unpack(packed)
        except Exception as error:  # Each library has its own errors.
            raise ValueError('a chunk cannot be unpacked: {}'.format(error)) from error
    if len(packed) != size or checksum and zlib.crc32(packed) != checksum:
        raise ValueError('the checksum of a chunk is wrong')
    return packed


def _decompressor(method: str) -> Optional[Callable[[bytes], Any]]:
    """Return the function that unpacks a chunk, from dependencies of rosbags; that for zstd varies by version."""
    try:
        if method == 'lz4':
            from lz4.frame import decompress
            return decompress
        if method == 'zstd':
            for module in ('compression.zstd', 'backports.zstd', 'zstandard'):
                try:
                    return __import__(module, fromlist=['decompress']).decompress
                except ImportError:
                    continue
    except ImportError:
        pass
    return None

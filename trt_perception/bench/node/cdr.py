"""The stamp of a serialised message that begins with a std_msgs/Header."""
import struct

_PLACES = {b'\x00\x00': '>iI', b'\x00\x01': '<iI'}
"""Byte order by the first two bytes of CDR; sec and nanosec follow the first four."""


def read_stamp(data: bytes) -> int:
    """Return the stamp in ns."""
    sec, nanosec = struct.unpack_from(_PLACES[bytes(data[:2])], data, 4)
    return int(sec) * 10**9 + int(nanosec)


def write_stamp(data: bytearray, stamp_ns: int) -> None:
    """Set the stamp, ns."""
    struct.pack_into(_PLACES[bytes(data[:2])], data, 4, stamp_ns // 10**9, stamp_ns % 10**9)

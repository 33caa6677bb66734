"""Keeps freed image memory in this process."""
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc reuse image-sized blocks, which it would otherwise unmap and map again with every message.

    Taking a 2048x1024 image is several times faster: docs/measurements/message_path.md.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # its largest value
        libc.mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)

"""The structure of JPEG and PNG files, checked before anything is decoded. Knows bytes; decodes nothing."""
import struct
import zlib
from typing import Any, List, NamedTuple

import numpy as np

from .errors import FrameError
from .limits import MAX_IMAGE_FILE_PARTS, MAX_IMAGE_PIXELS, MAX_JPEG_SCANS, MAX_UNCHECKED_PNG_BYTES

JPEG, PNG = 'JPEG', 'PNG'

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Chunks that decide the pixels. Others are left out: they may hold compressed text of any size, or an animation.
_PNG_CHUNKS = (b'IHDR', b'PLTE', b'IDAT', b'IEND')

_SOI, _EOI, _SOS, _DHT, _DAC, _DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xCC, 0xDD
_JPEG_FRAMES = {0xC0: 'baseline', 0xC1: 'extended sequential', 0xC2: 'progressive'}


class ImageFile(NamedTuple):
    """A compressed image whose structure is sound."""

    kind: str
    """JPEG or PNG."""
    height: int
    width: int
    channels: int
    bits: int
    """Bits per channel."""
    data: bytes
    """Bytes to decode: without data after the image, and with an end marker."""
    scan_ends: List[int]
    """JPEG only: positions in `data` of the markers after each scan."""
    is_progressive: bool = False
    has_end_marker: bool = True


def read_image_file(data: bytes) -> ImageFile:
    """Check the structure of a JPEG or PNG file and return the contents of its header.

    A missing end marker is added, because some cameras never send it.

    Raises:
        FrameError: another format, a missing or damaged part, or more pixels than limits.MAX_IMAGE_PIXELS.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _read_png(data)
    if data.startswith(bytes((0xFF, _SOI, 0xFF))):
        return _read_jpeg(data)
    raise FrameError('compressed image: got {} bytes that begin with {!r}, expected a JPEG or PNG file.'.format(
        len(data), data[:8]))


def _read_png(data: bytes) -> ImageFile:
    view = memoryview(data)
    kept: List[Any] = [view[:8]]
    at = 8
    name = b''
    header = (0, 0, 0, 0)
    for _ in range(MAX_IMAGE_FILE_PARTS):
        if name == b'IEND':
            height, width, bits, color = header
            if at > MAX_UNCHECKED_PNG_BYTES:
                kept = _unpacked(data, kept, height * (width * _PNG_CHANNELS[color] * bits // 8 + 2))
            return ImageFile(PNG, height, width, _PNG_CHANNELS[color], bits, b''.join(kept), [])
        if at + 12 > len(data):
            raise _damaged(PNG, data, 'it ends before its IEND chunk')
        length, name = struct.unpack_from('>I4s', data, at)
        end = at + 12 + length
        if end > len(data):
            raise _damaged(PNG, data, 'its chunk {!r} claims {} bytes'.format(name, length))
        if (at == 8) != (name == b'IHDR'):
            raise _damaged(PNG, data, 'its first chunk, and no other, must be IHDR, got {!r}'.format(name))
        if name in _PNG_CHUNKS:
            if zlib.crc32(view[at + 4:end - 4]) & 0xFFFFFFFF != struct.unpack_from('>I', data, end - 4)[0]:
                raise _damaged(PNG, data, 'the checksum of its chunk {!r} is wrong'.format(name))
            kept.append(view[at:end])
        elif not name[0] & 0x20:  # An upper-case first letter: the chunk is critical for reading the image.
            raise _damaged(PNG, data, 'it has the unknown critical chunk {!r}'.format(name))
        if name == b'IHDR':
            header = _png_header(data, at + 8, length)
        at = end
    raise _damaged(PNG, data, 'it has more than {} chunks'.format(MAX_IMAGE_FILE_PARTS))


def _unpacked(data: bytes, chunks: List[Any], size: int) -> List[Any]:
    """Return the chunks of a PNG with its pixels unpacked, so that the decoder need not do it again.

    A PNG that unpacks to far more than its pixels is refused, because a decoder would read all of it.

    Args:
        size: bytes of the pixels; interlaced images may have nearly twice as many rows, each with an extra byte.
    """
    inflater, packer = zlib.decompressobj(), zlib.compressobj(0)
    left = 2 * size + 2**10
    stored = [b'IDAT']
    for chunk in chunks:
        packed = bytes(chunk[8:-4]) if chunk[4:8] == b'IDAT' else b''
        while packed and left >= 0:
            try:
                part = inflater.decompress(packed, 2**20)
            except zlib.error as error:
                raise _damaged(PNG, data, str(error)) from error
            left -= len(part)
            stored.append(packer.compress(part))
            packed = inflater.unconsumed_tail
    if left < 0:
        raise _damaged(PNG, data, 'it unpacks to more than its pixels')
    stored.append(packer.flush())
    checksum = 0
    for part in stored:
        checksum = zlib.crc32(part, checksum)
    return [each for each in chunks[:-1] if each[4:8] != b'IDAT'] + [
        struct.pack('>I', sum(map(len, stored)) - 4), *stored, struct.pack('>I', checksum & 0xFFFFFFFF), chunks[-1]]


def _png_header(data: bytes, at: int, length: int) -> tuple:
    if length != 13:
        raise _damaged(PNG, data, 'its header has {} bytes, not 13'.format(length))
    width, height, bits, color, compression, filtering, interlace = struct.unpack_from('>IIBBBBB', data, at)
    if bits not in _PNG_DEPTHS.get(color, ()) or compression or filtering or interlace > 1:
        raise _damaged(PNG, data, 'its header names a kind of pixels that PNG does not have')
    _check_size(PNG, height, width)
    return height, width, bits, color


def _read_jpeg(data: bytes) -> ImageFile:
    markers = _jpeg_markers(data)
    end = len(data.rstrip(b'\xff'))  # A marker that was split, or fill bytes.
    has_end_marker = False
    at = 2
    frame = None
    scan_ends: List[int] = []
    for _ in range(MAX_IMAGE_FILE_PARTS):
        if scan_ends and at >= end:
            at = end
            break
        while data[at:at + 2] == b'\xff\xff':  # Fill bytes.
            at += 1
        if at + 2 > len(data) or data[at] != 0xFF:
            raise _damaged(JPEG, data, 'there is no marker at byte {}'.format(at))
        marker = data[at + 1]
        if marker == _EOI:
            has_end_marker = True
            break
        if not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= _SOI:
            raise _damaged(JPEG, data, 'marker {:#04x} at byte {} is out of place'.format(marker, at))
        length = int.from_bytes(data[at + 2:at + 4], 'big')
        if length < 2 or at + 2 + length > len(data):
            raise _damaged(JPEG, data, 'its segment {:#04x} at byte {} claims {} bytes'.format(marker, at, length))
        body = data[at + 4:at + 2 + length]
        at += 2 + length
        if 0xC0 <= marker <= 0xCF and marker not in (_DHT, 0xC8, _DAC):
            if frame is not None:
                raise _damaged(JPEG, data, 'it has two frame headers')
            frame = _jpeg_frame(data, marker, body)
        elif marker == _SOS:
            following = int(np.searchsorted(markers, at))
            at = int(markers[following]) if following < len(markers) else end
            scan_ends.append(at)
            if len(scan_ends) > MAX_JPEG_SCANS:
                raise _damaged(JPEG, data, 'it has more than {} scans'.format(MAX_JPEG_SCANS))
    else:
        raise _damaged(JPEG, data, 'it has more than {} segments'.format(MAX_IMAGE_FILE_PARTS))
    if frame is None or not scan_ends:
        raise _damaged(JPEG, data, 'it has no pixels')
    height, width, channels, is_progressive = frame
    return ImageFile(JPEG, height, width, channels, 8, data[:at] + bytes((0xFF, _EOI)), scan_ends, is_progressive,
                     has_end_marker)


def _jpeg_markers(data: bytes) -> np.ndarray:
    """Return the positions of markers that end a scan: (N,) int, sorted. Restart markers and stuffed bytes do not."""
    array = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(array[:-1] == 0xFF)
    code = array[at + 1]
    return at[(code >= 0xC0) & (code < 0xFF) & ((code < 0xD0) | (code > 0xD7))]


def _jpeg_frame(data: bytes, marker: int, body: bytes) -> tuple:
    if marker not in _JPEG_FRAMES:
        raise FrameError('JPEG: got frame type {:#04x} (lossless, hierarchical or arithmetic), expected {}. Choose '
                         'another in the camera driver.'.format(marker, ' or '.join(_JPEG_FRAMES.values())))
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _damaged(JPEG, data, 'its frame header is cut')
    bits, height, width, channels = struct.unpack_from('>BHHB', body)
    if bits != 8 or channels not in (1, 3):
        raise FrameError('JPEG: got {} channels of {} bits, expected 1 or 3 of 8 bits. Choose that in the camera '
                         'driver.'.format(channels, bits))
    _check_size(JPEG, height, width)
    return height, width, channels, marker == 0xC2


def _check_size(kind: str, height: int, width: int) -> None:
    if not 0 < height * width <= MAX_IMAGE_PIXELS:
        raise FrameError('{}: got a header of {}x{} px, expected 1 to {} px in all. Reduce the resolution.'.format(
            kind, height, width, MAX_IMAGE_PIXELS))


def _damaged(kind: str, data: bytes, what: str) -> FrameError:
    return FrameError('{}: got {} bytes that are no whole image: {}. Check the camera and the connection.'.format(
        kind, len(data), what))

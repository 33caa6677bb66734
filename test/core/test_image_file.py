import struct
import time
import zlib

import cv2
import numpy as np
import pytest

from trt_perception.core import image_file
from trt_perception.core.errors import FrameError
from trt_perception.core.image_file import JPEG, PNG, read_image_file
from trt_perception.core.limits import MAX_IMAGE_FILE_PARTS, MAX_IMAGE_PIXELS, MAX_JPEG_SCANS

SIGNATURE = b'\x89PNG\r\n\x1a\n'


def chunk(name, data=b'', length=None, crc=None):
    crc = zlib.crc32(name + data) & 0xFFFFFFFF if crc is None else crc
    return struct.pack('>I', len(data) if length is None else length) + name + data + struct.pack('>I', crc)


def header(width=4, height=3, bits=8, color=2, rest=(0, 0, 0)):
    return chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, color, *rest))


PIXELS = chunk(b'IDAT', zlib.compress(b'\0' + bytes(12)) * 3)
END = chunk(b'IEND')


def jpeg(size=(30, 20), *options):
    pixels = np.random.RandomState(1).randint(0, 256, size + (3,)).astype(np.uint8)
    return cv2.imencode('.jpg', pixels, list(options))[1].tobytes()


def frame_header(marker=0xC0, bits=8, height=3, width=4, channels=3, extra=b''):
    body = struct.pack('>BHHB', bits, height, width, channels) + b'\1\x11\0' * channels + extra
    return struct.pack('>BBH', 0xFF, marker, len(body) + 2) + body


SCAN = b'\xff\xda\0\x08\1\1\0\0\x3f\0' + b'\x12\x34\xff\0\x56'


def refusal(data):
    with pytest.raises(FrameError) as caught:
        read_image_file(data)
    return str(caught.value)


def test_a_jpeg_tells_its_size_and_kind():
    file = read_image_file(jpeg())
    assert file[:5] == (JPEG, 30, 20, 3, 8)
    assert (file.is_progressive, file.has_end_marker) == (False, True)
    assert file.data == jpeg()
    assert file.scan_ends == [len(jpeg()) - 2]
    file = read_image_file(jpeg((30, 20), cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    assert file.is_progressive
    assert len(file.scan_ends) == file.data.count(b'\xff\xda') == 10


def test_a_png_tells_its_size_and_kind():
    assert read_image_file(SIGNATURE + header(7, 5, 16, 0) + PIXELS + END)[:5] == (PNG, 5, 7, 1, 16)
    assert read_image_file(SIGNATURE + header(7, 5, 8, 6) + PIXELS + END)[:5] == (PNG, 5, 7, 4, 8)


def test_what_follows_the_image_is_cut_off():
    assert read_image_file(jpeg() + b'rest\xff\xd8\xff').data == jpeg()
    whole = SIGNATURE + header() + PIXELS + END
    assert read_image_file(whole + b'rest').data == whole


def test_a_missing_end_marker_of_a_jpeg_is_added():
    for end in (b'', b'\xff', b'\xff\xff\xff'):
        file = read_image_file(jpeg()[:-2] + end)
        assert file.data == jpeg()
        assert not file.has_end_marker


def test_an_end_marker_inside_a_thumbnail_does_not_end_the_image():
    thumbnail = b'Exif\0\0' + jpeg((8, 8))
    data = jpeg()[:2] + struct.pack('>BBH', 0xFF, 0xE1, len(thumbnail) + 2) + thumbnail + jpeg()[2:]
    assert read_image_file(data).data == data
    assert read_image_file(data)[1:3] == (30, 20)
    assert not read_image_file(data[:-50]).has_end_marker


def test_chunks_that_do_not_decide_the_pixels_are_left_out():
    text = chunk(b'zTXt', b'name\0\0' + zlib.compress(bytes(10**6)))
    data = SIGNATURE + header() + text + chunk(b'acTL', bytes(8)) + PIXELS + chunk(b'fdAT', b'1234') + END
    assert read_image_file(data).data == SIGNATURE + header() + PIXELS + END


@pytest.mark.parametrize(('data', 'text'), [
    (b'', "compressed image: got 0 bytes that begin with b'', expected a JPEG or PNG file."),
    (b'RIFF1234WEBPVP8 ', "compressed image: got 16 bytes that begin with b'RIFF1234', expected a JPEG or PNG file."),
    (SIGNATURE, 'PNG: got 8 bytes that are no whole image: it ends before its IEND chunk. Check the camera and the '
                'connection.'),
    (SIGNATURE + header() + PIXELS, 'it ends before its IEND chunk'),
    (SIGNATURE + header() + chunk(b'IDAT', b'12', length=2**32 - 1) + END, "its chunk b'IDAT' claims 4294967295 bytes"),
    (SIGNATURE + header() + chunk(b'IDAT', b'12', crc=1) + END, "the checksum of its chunk b'IDAT' is wrong"),
    (SIGNATURE + PIXELS + END, "its first chunk, and no other, must be IHDR, got b'IDAT'"),
    (SIGNATURE + header() + header() + END, "its first chunk, and no other, must be IHDR, got b'IHDR'"),
    (SIGNATURE + chunk(b'IHDR', b'12') + END, 'its header has 2 bytes, not 13'),
    (SIGNATURE + header(bits=3) + END, 'its header names a kind of pixels that PNG does not have'),
    (SIGNATURE + header(rest=(0, 0, 2)) + END, 'its header names a kind of pixels that PNG does not have'),
    (SIGNATURE + header() + chunk(b'ABCD') + END, "it has the unknown critical chunk b'ABCD'"),
    (SIGNATURE + header(0, 5) + END, 'PNG: got a header of 5x0 px, expected 1 to 33554432 px in all.'),
    (SIGNATURE + header(30000, 30000) + PIXELS + END, 'PNG: got a header of 30000x30000 px, expected 1 to 33554432 px'),
    (SIGNATURE + header() + chunk(b'tEXt') * MAX_IMAGE_FILE_PARTS + END, 'it has more than 16384 chunks'),
    (b'\xff\xd8\xff\xd9', 'JPEG: got 4 bytes that are no whole image: it has no pixels.'),
    (b'\xff\xd8\xff\xe0\0', 'its segment 0xe0 at byte 2 claims 0 bytes'),
    (b'\xff\xd8\xff\xe0\0\x09abc', 'its segment 0xe0 at byte 2 claims 9 bytes'),
    (b'\xff\xd8\xff\xe0\0\2abc', 'there is no marker at byte 6'),
    (b'\xff\xd8\xff\xd0', 'marker 0xd0 at byte 2 is out of place'),
    (b'\xff\xd8' + frame_header(), 'there is no marker at byte 21'),
    (b'\xff\xd8\xff\xda\0\2\xff\xd9', 'it has no pixels'),
    (b'\xff\xd8' + frame_header() * 2 + SCAN, 'it has two frame headers'),
    (b'\xff\xd8' + frame_header(extra=b'1') + SCAN, 'its frame header is cut'),
    (b'\xff\xd8' + frame_header(marker=0xC9) + SCAN, 'JPEG: got frame type 0xc9 (lossless, '),
    (b'\xff\xd8' + frame_header(bits=12) + SCAN, 'JPEG: got 3 channels of 12 bits, expected 1 or 3 of 8 bits.'),
    (b'\xff\xd8' + frame_header(channels=4) + SCAN, 'JPEG: got 4 channels of 8 bits, expected 1 or 3 of 8 bits.'),
    (b'\xff\xd8' + frame_header(height=0) + SCAN, 'JPEG: got a header of 0x4 px, expected 1 to 33554432 px'),
    (b'\xff\xd8' + frame_header(height=65535, width=65535) + SCAN, 'JPEG: got a header of 65535x65535 px'),
    (b'\xff\xd8' + frame_header(0xC2) + SCAN * (MAX_JPEG_SCANS + 1), 'it has more than 32 scans'),
    (b'\xff\xd8' + b'\xff\xfe\0\2' * MAX_IMAGE_FILE_PARTS + b'\xff\xd9', 'it has more than 16384 segments'),
])
def test_a_file_that_is_not_sound_is_refused_with_the_place(data, text):
    assert text in refusal(data)


@pytest.mark.parametrize('whole', [jpeg((8, 8)), SIGNATURE + header() + PIXELS + END], ids=[JPEG, PNG])
def test_every_byte_may_be_wrong(whole):
    for at in range(len(whole)):
        for value in (0, 0xFF, whole[at] ^ 1, whole[at] ^ 0x80):
            for data in (whole[:at] + bytes([value]) + whole[at + 1:], whole[:at] + whole[at + 1:], whole[:at]):
                try:
                    file = read_image_file(data)
                except FrameError:
                    continue
                assert 0 < file.height * file.width <= MAX_IMAGE_PIXELS


def interlaced_bytes(width, height, pixel_bytes):
    """Return how many bytes the rows of the seven passes of an interlaced PNG have."""
    total = 0
    for x, y, right, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                              (0, 1, 1, 2)):
        columns, rows = len(range(x, width, right)), len(range(y, height, down))
        total += rows * (1 + columns * pixel_bytes) if columns else 0
    return total


@pytest.mark.parametrize('interlaced', [0, 1])
@pytest.mark.parametrize(('width', 'height'), [(1, 1), (5, 3), (1, 4000), (4000, 1), (640, 480)])
def test_a_png_may_not_unpack_to_much_more_than_its_pixels(monkeypatch, width, height, interlaced):
    monkeypatch.setattr(image_file, 'MAX_UNCHECKED_PNG_BYTES', 0)
    size = interlaced_bytes(width, height, 3) if interlaced else height * (1 + 3 * width)

    def png(count):
        packed = zlib.compress(bytes(count))
        half = len(packed) // 2
        return SIGNATURE + header(width, height, rest=(0, 0, interlaced)) + chunk(b'IDAT', packed[:half]) + chunk(
            b'IDAT', packed[half:]) + END
    data = read_image_file(png(size)).data
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (height, width, 3)
    assert 'it unpacks to more than its pixels' in refusal(png(4 * size + 2**12))
    assert 'it unpacks to more than its pixels' in refusal(png(2**26))


@pytest.mark.parametrize(('color', 'bits', 'pixel_bytes'), [(0, 8, 1), (0, 16, 2), (2, 8, 3), (3, 8, 1), (6, 8, 4)])
def test_a_large_png_is_handed_on_unpacked_with_the_same_pixels(monkeypatch, color, bits, pixel_bytes):
    monkeypatch.setattr(image_file, 'MAX_UNCHECKED_PNG_BYTES', 0)
    random = np.random.RandomState(0)
    rows = np.hstack([random.randint(0, 5, (30, 1)), random.randint(0, 256, (30, 20 * pixel_bytes))]).astype(np.uint8)
    packed = zlib.compress(rows.tobytes(), 9)
    palette = chunk(b'PLTE', bytes(random.randint(0, 256, 768).astype(np.uint8))) if color == 3 else b''
    data = b'\x89PNG\r\n\x1a\n' + header(20, 30, bits, color) + palette + b''.join(
        chunk(b'IDAT', packed[at:at + 100]) for at in range(0, len(packed), 100)) + chunk(b'IEND')
    found = read_image_file(data).data
    assert found.count(b'IDAT') == 1
    assert found != data
    pixels, expected = (cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_UNCHANGED) for each in (found, data))
    assert expected.shape[:2] == (30, 20)
    np.testing.assert_array_equal(pixels, expected)


def test_pixels_that_cannot_be_unpacked_are_refused(monkeypatch):
    monkeypatch.setattr(image_file, 'MAX_UNCHECKED_PNG_BYTES', 0)
    assert 'incorrect header check' in refusal(SIGNATURE + header() + chunk(b'IDAT', b'no zlib stream') + END)


def test_a_large_file_is_checked_in_little_time():
    data = b'\xff\xd8' + frame_header() + SCAN[:-5] + b'\xff\0\x12' * 2**20 + b'\xff\xd9'
    began_s = time.process_time()
    read_image_file(data)
    assert time.process_time() - began_s < 1

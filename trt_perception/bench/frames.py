"""Input of a bench: camera images as bytes, synthetic from a seed, or from a bag."""
import re
from typing import Any, List, NamedTuple

import numpy as np

from ..bag import CAMERA_INFO, IMAGE, Bag
from ..core.compressed import decode_compressed
from ..core.data import Frame
from ..core.errors import ConfigError
from ..core.image import Size, make_frame

_MOST_BYTES = 256 * 2**20


class EncodedImage(NamedTuple):
    """One camera image as a driver publishes it."""

    data: np.ndarray
    """(N,) uint8: pixels, or a JPEG or PNG file."""
    height: int
    width: int
    step: int
    encoding: str
    """Encoding as in sensor_msgs/Image; '' = compressed; height, width and step are then 0."""
    is_bigendian: bool = False


def read_image(image: EncodedImage, stamp_ns: int) -> Frame:
    """Return an image as a Frame; raw ones are viewed, compressed ones decoded.

    Raises:
        FrameError: it is not an image.
    """
    if not image.encoding:
        return decode_compressed(image.data, stamp_ns, 'bench')
    return make_frame(image.data, image.height, image.width, image.step, image.encoding, stamp_ns, 'bench',
                      image.is_bigendian)


def parse_camera(text: str) -> Size:
    """Return (height, width) of '640x480', which is width x height, as usual for cameras.

    Raises:
        ConfigError: it is something else.
    """
    match = re.match(r'(\d+)x(\d+)$', text)
    size = (int(match.group(2)), int(match.group(1))) if match else (0, 0)
    if not 16 <= min(size) <= max(size) <= 16384:
        raise ConfigError('--camera: got {!r}, expected WIDTHxHEIGHT in px, e.g. 640x480.'.format(text))
    return size


def synthetic_images(size: Size, count: int = 8, seed: int = 0) -> List[EncodedImage]:
    """Draw bgr8 images of a textured plane that moves by a few px from image to image."""
    height, width = size
    random = np.random.RandomState(seed)
    margin = 3 * count
    plane = np.zeros((height + margin, width + 2 * margin, 3), np.float32)
    for cell, strength in ((64, 90), (16, 50), (4, 20)):
        squares = random.uniform(-strength, strength, (plane.shape[0] // cell + 1, plane.shape[1] // cell + 1, 3))
        plane += np.repeat(np.repeat(squares, cell, 0), cell, 1)[:plane.shape[0], :plane.shape[1]]
    plane += random.normal(128, 3, plane.shape)
    levels = plane.clip(0, 255).astype(np.uint8)
    images = []
    for number in range(count):
        part = levels[2 * number:2 * number + height, 3 * number:3 * number + width]
        images.append(EncodedImage(part.reshape(-1).copy(), height, width, 3 * width, 'bgr8'))
    return images


def read_images(path: str, topic: str = '', most: int = 256) -> List[EncodedImage]:
    """Return the first images of a bag, at most `most` and 256 MB.

    Args:
        topic: '' = the only image topic.

    Raises:
        ConfigError: no readable bag, no image in it, or several topics to choose from.
    """
    bag = Bag(path, [topic] if topic else None)
    from rosbags.typesys import Stores, get_typestore  # Bag reports the remedy if it is not installed.
    topics = [name for name, kind in bag.types.items() if kind != CAMERA_INFO]
    if len(topics) > 1:
        raise ConfigError('--frames {}: got {} image topics: {}. Choose one with --topic.'.format(
            path, len(topics), ', '.join(topics)))
    types = get_typestore(Stores.LATEST)
    images: List[EncodedImage] = []
    size = 0
    for recorded in bag.messages():
        if recorded.topic != topics[0]:
            continue
        message: Any = types.deserialize_cdr(recorded.data, bag.types[recorded.topic])
        data = np.array(message.data, np.uint8)
        images.append(EncodedImage(data, message.height, message.width, message.step, message.encoding,
                                bool(message.is_bigendian))
                        if bag.types[recorded.topic] == IMAGE else EncodedImage(data, 0, 0, 0, ''))
        size += data.size
        if len(images) == most or size > _MOST_BYTES:
            break
    if not images:
        raise ConfigError('--frames {}: no image on {}. Give a bag in which there is one.'.format(path, topics[0]))
    return images

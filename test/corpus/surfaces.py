"""Where input from outside enters the package: good examples of each kind, and what the package does with one.

`feed` raises a PerceptionError for what it refuses; whatever else it raises is a fault of the package.
"""
import json
import random
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

import cv2
import networks
import numpy as np

from trt_perception.core.compressed import decode_compressed
from trt_perception.core.data import Frame
from trt_perception.core.image import ENCODINGS, FrameDecoder, make_frame
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.engines.tensorrt import golden
from trt_perception.engines.tensorrt.cache import EngineCache, EngineKey

SIZE = (24, 32)


class Surface(NamedTuple):
    """One kind of input."""

    examples: Callable[[Path], List[bytes]]
    """Good inputs; may put what they need into a folder."""
    feed: Callable[[bytes, Path], None]
    """Let the package use an input; the folder is that of the examples."""


def _image(seed: int = 0) -> np.ndarray:
    noise = np.random.RandomState(seed).randint(0, 256, SIZE + (3,)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 0)


def _look(frame: Frame) -> None:
    decoder = FrameDecoder()
    for color in ('rgb', 'gray'):
        found = decoder.image(frame, color, SIZE)
        assert found.shape[:2] == SIZE


# Images.

def _image_examples(folder: Path) -> List[bytes]:
    from sensor_msgs.msg import Image
    messages = []
    for encoding, layout in ENCODINGS.items():
        step = SIZE[1] * layout.bytes_per_pixel
        rows = SIZE[0] * layout.planes[0] // layout.planes[1]
        messages.append(Image(height=SIZE[0], width=SIZE[1], step=step, encoding=encoding, data=bytes(rows * step)))
    return [_serialized(message) for message in messages]


def _feed_image(data: bytes, folder: Path) -> None:
    from sensor_msgs.msg import Image

    from trt_perception.ros.messages import frame_from_image
    message = _deserialized(data, Image)
    if message is not None:
        _look(frame_from_image(message, random.Random(len(data)).choice([8, 12, 16])))


def _info_examples(folder: Path) -> List[bytes]:
    from sensor_msgs.msg import CameraInfo
    return [_serialized(CameraInfo(height=24, width=32, k=[float(n) for n in range(9)], binning_x=n, binning_y=n))
            for n in range(3)]


def _feed_info(data: bytes, folder: Path) -> None:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header

    from trt_perception.ros.messages import scaled_camera_info, stamp_ns
    message = _deserialized(data, CameraInfo)
    if message is not None:
        stamp_ns(message.header.stamp)
        for target in ((24, 32), (448, 608), (1, 1)):
            scaled = scaled_camera_info(message, (24, 32), target, Header())
            assert _deserialized(_serialized(scaled), CameraInfo).roi == scaled.roi


def _file_examples(folder: Path) -> List[bytes]:
    pixels = _image()
    files = [('.jpg', pixels, []), ('.jpg', pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
             ('.jpg', pixels, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]), ('.jpg', pixels[..., 0], []), ('.png', pixels, []),
             ('.png', pixels[..., 0].astype(np.uint16) * 257, []), ('.webp', pixels, []), ('.tiff', pixels, [])]
    return [cv2.imencode(ending, levels, options)[1].tobytes() for ending, levels, options in files]


def _feed_file(data: bytes, folder: Path) -> None:
    _look(decode_compressed(np.frombuffer(data, np.uint8), 0, ''))


# Files of a model.

def _yaml_examples(folder: Path) -> List[bytes]:
    examples = []
    for name in ('swiftnet_camvid', 'tinypwc'):
        with open(load_model(name).path, 'rb') as file:
            examples.append(file.read())
    return examples + [b'a: &a [1, 2]\nb: [*a, *a]\n', b'task: !!int "3"\nwhen: 2001-12-14\n']


def _feed_yaml(data: bytes, folder: Path) -> None:
    path = folder / 'mutated.yaml'
    path.write_bytes(data)
    load_model(str(path))


def _network_examples(folder: Path) -> List[bytes]:
    networks.segmentation_model(folder, size=SIZE)
    return [(folder / 'tiny.onnx').read_bytes()]


def _feed_network(data: bytes, folder: Path) -> None:
    model = load_model(str(folder / 'tiny.yaml'))
    (folder / 'tiny.onnx').write_bytes(data)
    engine = open_engine(model, EngineOptions('onnxruntime', 'fp32', 1))
    try:
        engine.put_image('image', make_frame(_image().reshape(-1), *SIZE, 3 * SIZE[1], 'bgr8', 0, ''))
        engine.infer()
    finally:
        engine.close()


# Files of the engine cache.

def _golden_examples(folder: Path) -> List[bytes]:
    path = str(folder / 'good.npz')
    golden.write(path, golden.Golden({'image': _image()}, {'labels': np.ones((1,) + SIZE, np.uint8)}, 'test'))
    with open(path, 'rb') as file:
        return [file.read()]


def _feed_golden(data: bytes, folder: Path) -> None:
    path = folder / 'mutated.npz'
    path.write_bytes(data)
    golden.read(str(path))


_KEY = EngineKey('tiny', 'fp16', 'a1', '8.2.1', 'NVIDIA Tegra X2, sm_62', 0, -1, '', 1)


def _side_car_examples(folder: Path) -> List[bytes]:
    cache = EngineCache(str(folder / 'cache'))
    with cache.lock(lambda: None):
        cache.publish(_KEY, cache.draft(_KEY, b'engine'), {'summary': 'all well'})
    text = (folder / 'cache' / (_KEY.stem + '.json')).read_text()
    return [text.encode(), json.dumps(dict(json.loads(text), replaced_by='../other', warning='none')).encode()]


def _feed_side_car(data: bytes, folder: Path) -> None:
    (folder / 'cache' / (_KEY.stem + '.json')).write_bytes(data)
    built = EngineCache(str(folder / 'cache')).find(_KEY)
    assert built is None or all(isinstance(text, str) for text in built)


# Bags.

def _bag_examples(folder: Path) -> List[bytes]:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore
    store = get_typestore(Stores.ROS2_FOXY)
    types = store.types
    stamp = types['builtin_interfaces/msg/Time'](sec=5, nanosec=6)
    header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera')
    image = types['sensor_msgs/msg/Image'](header, *SIZE, 'bgr8', 0, 3 * SIZE[1], _image().reshape(-1))
    examples = []
    for plugin, ending in ((StoragePlugin.MCAP, '.mcap'), (StoragePlugin.SQLITE3, '.db3')):
        with Writer(folder / ending, version=8, storage_plugin=plugin) as writer:
            connection = writer.add_connection('/camera/image', image.__msgtype__, typestore=store)
            for number in range(2):
                writer.write(connection, 10**9 * (number + 5), store.serialize_cdr(image, image.__msgtype__))
        [file] = (folder / ending).glob('*' + ending)
        examples.append(file.read_bytes())
    return examples


def _feed_bag(data: bytes, folder: Path) -> None:
    from trt_perception.bag import Bag
    path = folder / ('mutated.db3' if data[:6] == b'SQLite' else 'mutated.mcap')
    path.write_bytes(data)
    for _ in Bag(str(path)).messages():
        pass


def _serialized(message: object) -> bytes:
    from rclpy.serialization import serialize_message
    return serialize_message(message)


def _deserialized(data: bytes, kind: type) -> object:
    """Return a message, or None for bytes that ROS does not hand to the node either."""
    from rclpy.serialization import deserialize_message
    try:
        return deserialize_message(data, kind)
    except Exception:
        return None


SURFACES: Dict[str, Surface] = {
    'image message': Surface(_image_examples, _feed_image),
    'camera_info message': Surface(_info_examples, _feed_info),
    'compressed image': Surface(_file_examples, _feed_file),
    'model YAML': Surface(_yaml_examples, _feed_yaml),
    'golden frame': Surface(_golden_examples, _feed_golden),
    'side-car file': Surface(_side_car_examples, _feed_side_car),
    # The slowest last: they get the time that the others leave.
    'bag': Surface(_bag_examples, _feed_bag),
    'ONNX network': Surface(_network_examples, _feed_network),
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a damaged copy: cut, bits flipped, extreme bytes, bytes lost or put in, numbers replaced by huge ones."""
    if chance.random() < 0.1:
        return data[:chance.randrange(len(data) + 1)]
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 4, 16])):
        if not damaged:
            break
        # Often at either end, where headers and indices are.
        end = chance.choice([len(damaged), min(64, len(damaged)), min(400, len(damaged))])
        at = chance.randrange(end) if chance.random() < 0.7 else len(damaged) - 1 - chance.randrange(end)
        kind = chance.randrange(6)
        if kind == 0:
            damaged[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            damaged[at] = chance.choice([0, 1, 127, 128, 255])
        elif kind == 2:
            del damaged[at:at + chance.randrange(1, 9)]
        elif kind == 3:
            damaged[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        elif kind == 4:
            damaged[at:at + 4] = chance.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1]).to_bytes(4, chance.choice(
                ['big', 'little']))
        else:
            part = damaged[at:at + chance.randrange(1, 64)]
            where = chance.randrange(len(damaged))
            damaged[where:where + chance.choice([0, len(part)])] = part
    return bytes(damaged)

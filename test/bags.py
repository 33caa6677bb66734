"""Bags for tests, written by rosbags: images of any kind, calibrations, whatever else."""
import hashlib
from pathlib import Path

import cv2
import numpy as np
from random_images import random_image
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from trt_perception.process.bag_types import BagTypes

START_NS = 1_700_000_000 * 10**9 + 5
PERIOD_NS = 50 * 10**6
TYPES = BagTypes()
ROS = TYPES.types


def stamped(number, frame_id='camera'):
    """Return the header of an image that was taken a little before it was recorded."""
    sec, nanosec = divmod(START_NS + number * PERIOD_NS - 7, 10**9)
    return ROS.Header(stamp=ROS.Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def image(number, size=(6, 8), encoding='rgb8', seed=None):
    """Return a random image of 3 bytes per pixel."""
    pixels = random_image(number if seed is None else seed, size=size)
    return ROS.Image(header=stamped(number), height=size[0], width=size[1], encoding=encoding, step=3 * size[1],
                     data=pixels.reshape(-1))


def compressed(number, size=(6, 8)):
    """Return the same image as PNG."""
    data = cv2.imencode('.png', random_image(number, size=size)[..., ::-1])[1].reshape(-1)
    return ROS.CompressedImage(header=stamped(number), format='rgb8; png compressed bgr8', data=data)


def camera_info(number, size=(6, 8)):
    """Return a calibration."""
    return ROS.CameraInfo(header=stamped(number), height=size[0], width=size[1], distortion_model='plumb_bob',
                          k=np.arange(9.0) + number, p=np.arange(12.0))


def images(count, topic='/camera/image_raw', make=image, **options):
    """Return topic, message and time of so many images."""
    return [(topic, make(number, **options), START_NS + number * PERIOD_NS) for number in range(count)]


def write_bag(path, messages, storage=StoragePlugin.MCAP, compression=CompressionMode.NONE):
    """Write (topic, message, time in ns) each, and return the path as text."""
    writer = Writer(path, version=8, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, message, time_ns in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES.store)
            writer.write(connections[topic], time_ns, TYPES.serialize(message))
    return str(path)


def digests(folder):
    """Return the SHA-256 of each file, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


def read_bag(path):
    """Return topic, time and message of everything in a bag."""
    with AnyReader([Path(path)], default_typestore=TYPES.store) as reader:
        return [(connection.topic, time_ns, TYPES.deserialize(data, connection.msgtype))
                for connection, time_ns, data in reader.messages()]

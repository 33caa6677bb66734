"""Bags as the nodes or `trt_perception process` write them, with results that a test chooses."""
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.LATEST)
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
CLASSES = [{'id': 0, 'name': 'road', 'color': [128, 64, 128]}, {'id': 1, 'name': 'car', 'color': [200, 40, 10]},
           {'id': 2, 'name': 'tree', 'color': [0, 160, 40]}]


def ros(kind: str, **fields: Any) -> Any:
    """Return a message, e.g. ros('std_msgs/msg/String', data='x')."""
    return STORE.types[kind](**fields)


def header(stamp_ns: int) -> Any:
    """Return the header of a camera's image."""
    stamp = ros('builtin_interfaces/msg/Time', sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return ros('std_msgs/msg/Header', stamp=stamp, frame_id='camera')


def image(pixels: np.ndarray, stamp_ns: int, encoding: str) -> Any:
    """Return an Image of an array."""
    height, width = pixels.shape[:2]
    data = np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8)
    return ros('sensor_msgs/msg/Image', header=header(stamp_ns), height=height, width=width, encoding=encoding,
               is_bigendian=0, step=data.size // height, data=data)


def label_info(classes: list[dict[str, Any]] | None = None) -> Any:
    """Return what the ids of a label map mean."""
    return ros('std_msgs/msg/String', data=json.dumps(
        {'model': 'tiny', 'label_set': 'three', 'void': 255, 'classes': CLASSES if classes is None else classes}))


def diagnostics(stamp_ns: int, message: str = 'running', **values: str) -> Any:
    """Return diagnostics of one node."""
    pairs = [ros('diagnostic_msgs/msg/KeyValue', key=key, value=value) for key, value in values.items()]
    status = ros('diagnostic_msgs/msg/DiagnosticStatus', level=0, name='perception', message=message, hardware_id='',
                 values=pairs)
    return ros('diagnostic_msgs/msg/DiagnosticArray', header=header(stamp_ns), status=[status])


def write_bag(path: Path, messages: Iterable[tuple[str, Any]], delay_ns: int = 0) -> Path:
    """Write (topic, message) as a bag; each is recorded at the stamp of the last header, and a delay."""
    time_ns = START_NS
    connections = {}
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, message in messages:
            if hasattr(message, 'header'):
                time_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=STORE)
            writer.write(connections[topic], time_ns + delay_ns, STORE.serialize_cdr(message, message.__msgtype__))
    return path


def write_run(path: Path, labels: Iterable[np.ndarray], flows: Iterable[np.ndarray] = (), namespace: str = '',
              stamps: Iterable[int] | None = None, classes: list[dict[str, Any]] | None = None) -> Path:
    """Write label maps (H, W) uint8, flow fields (H, W, 2) float32 of the same images, and what the labels mean."""
    labels, flows = list(labels), list(flows)
    stamps = list(stamps) if stamps is not None else [START_NS + n * PERIOD_NS for n in range(len(labels))]
    messages: list[tuple[str, Any]] = [(f'{namespace}/segmentation/label_info_json', label_info(classes))]
    for number, stamp_ns in enumerate(stamps):
        messages.append((f'{namespace}/segmentation/label_map', image(labels[number], stamp_ns, 'mono8')))
        if number < len(flows):
            messages.append((f'{namespace}/optical_flow/flow',
                             image(flows[number].astype(np.float32), stamp_ns, '32FC2')))
    return write_bag(path, messages)

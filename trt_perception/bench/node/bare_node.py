"""The minimal node: takes an image's bytes, runs the network, publishes bytes that were prepared.

Its overhead over the network alone is that of ROS; the rest of the deployed node's overhead is ours.
"""
import sys
from typing import Any, List, Optional

import rclpy
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from ...core.image import FrameDecoder
from ...core.model import Model, load_model
from ...core.tasks import find_task
from ...engines import EngineOptions, open_engine
from ...ros.memory import keep_freed_memory
from ...ros.messages import frame_from_compressed, frame_from_image
from ...ros.qos import BEST_EFFORT, RELIABLE
from ...transport import use_shared_memory_profile
from .cdr import read_stamp, write_stamp


class BareNode(Node):
    """Publishes a blank result of the camera's size for every image, after a run of the network."""

    def __init__(self, model: Model, options: EngineOptions, compressed: bool) -> None:
        super().__init__('bare', start_parameter_services=False)
        self._engine = open_engine(model, options, FrameDecoder())
        self._kind: Any = CompressedImage if compressed else Image
        self._frame_of: Any = frame_from_compressed if compressed else frame_from_image
        self._task = find_task(model.task)
        self._result: Optional[bytearray] = None
        self._publisher = self.create_publisher(Image, self._task.result_topic, RELIABLE)
        self._subscription = self.create_subscription(
            self._kind, 'image/compressed' if compressed else 'image', self._take, BEST_EFFORT, raw=True)

    def _take(self, data: bytes) -> None:
        self._engine.infer()
        if self._result is None:
            frame = self._frame_of(deserialize_message(data, self._kind))
            step = frame.width * self._task.pixel_bytes
            self._result = bytearray(serialize_message(Image(
                height=frame.height, width=frame.width, step=step, encoding=self._task.encoding,
                data=bytes(frame.height * step))))
        write_stamp(self._result, read_stamp(data))
        self._publisher.publish(bytes(self._result))


def main(argv: List[str]) -> None:
    """Run the node; arguments: MODEL ENGINE PRECISION THREADS raw|compressed, then those of ROS."""
    use_shared_memory_profile()
    keep_freed_memory()
    rclpy.init(args=argv[5:])
    options = EngineOptions(argv[1], argv[2], int(argv[3]))
    rclpy.spin(BareNode(load_model(argv[0]), options, argv[4] == 'compressed'))


if __name__ == '__main__':
    main(sys.argv[1:])

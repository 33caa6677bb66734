"""The node of common tutorials: subscribe, run the loop of `bench.tutorial` in the callback, publish a new message."""
import sys
from typing import List

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from ...core.model import load_model
from ...transport import use_shared_memory_profile
from ..tutorial import Tutorial


class TutorialNode(Node):
    """Publishes a label map for every image."""

    def __init__(self, file: str, model: str, threads: int) -> None:
        super().__init__('tutorial')
        self._tutorial = Tutorial(file, load_model(model), threads)
        self._publisher = self.create_publisher(Image, 'segmentation/label_map', 10)
        self._subscription = self.create_subscription(Image, 'image', self._take, 10)

    def _take(self, image: Image) -> None:
        data = np.frombuffer(image.data, np.uint8)
        labels = Image()
        labels.header = image.header
        labels.height = image.height
        labels.width = image.width
        labels.encoding = 'mono8'
        labels.step = image.width
        labels.data = self._tutorial.segment(data, image.height, image.width, image.step)
        self._publisher.publish(labels)


def main(argv: List[str]) -> None:
    """Run the node; arguments: LOGITS.onnx MODEL THREADS, then those of ROS."""
    # Not common, but without it Fast DDS loses images above 512 KB, and there would be nothing to measure.
    use_shared_memory_profile()
    rclpy.init(args=argv[3:])
    rclpy.spin(TutorialNode(argv[0], argv[1], int(argv[2])))


if __name__ == '__main__':
    main(sys.argv[1:])

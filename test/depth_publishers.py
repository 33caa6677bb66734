"""The topics of the tests' third task."""
from depth_task import TASK

from trt_perception.ros.publishers import TaskPublishers


class DepthPublishers(TaskPublishers):
    """map, camera_info."""

    task = 'depth'

    def __init__(self, sink, model, settings, decoder):
        super().__init__(sink, model, settings, decoder)
        self._create_image('map', TASK.encoding)

    def allocate(self, role, shape, dtype):
        return self._images['map'].array(shape, dtype)

    def publish(self, frame, result, info):
        header = self._header(result)
        self._publish_image('map', header)
        self._publish_camera_info(info, frame, result.depth.shape, header)

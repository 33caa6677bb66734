"""A third task, known to tests alone: depth, from one image. Its line of the table, its pipeline, a tiny network."""
from typing import NamedTuple

import networks
import numpy as np
from onnx import helper

from trt_perception.core.errors import EngineError
from trt_perception.core.model import load_model
from trt_perception.core.pipeline import Pipeline
from trt_perception.core.setting import Setting
from trt_perception.core.tasks import PROPAGATE, Task
from trt_perception.core.tensors import map_size

TASK = Task(
    'depth_task:DepthPipeline', 'depth_publishers:DepthPublishers', images=1, outputs=('depth',),
    carrying='depth_task:HeldDepth', numbers={'depth_scale': 1.0}, result_topic='depth/map', encoding='32FC1',
    pixel_bytes=4,
    settings=(Setting('depth.model', 'none', 'Depth model'),
              Setting('depth.farthest', 100.0, 'Larger depths are cut (m)', limits=(0, 1e4), runtime=True), PROPAGATE))


class DepthMap(NamedTuple):
    """Depth of every pixel of one frame."""

    depth: np.ndarray
    """(H, W) float32, m."""
    stamp_ns: int
    frame_id: str


class DepthPipeline(Pipeline):
    """Runs a depth engine on frames."""

    task = 'depth'

    def _process(self, frame):
        with self._timer.stage('depth preprocess'):
            self._engine.put_image(self._model.input.names[0], frame)
        self._set_target(frame)
        with self._timer.stage('depth infer'):
            depth = self._engine.infer()[self._model.output.names['depth']].reshape(self._size)
        with self._timer.stage('depth decode'):
            rows, columns = (np.arange(new) * old // new for new, old in zip(self._target, self._size))
            np.multiply(depth[rows[:, np.newaxis], columns], self._model.output.numbers['depth_scale'], out=self._depth)
            np.minimum(self._depth, self._farthest, out=self._depth)
        return DepthMap(self._depth, frame.stamp_ns, frame.frame_id)

    def reset(self):
        pass

    @staticmethod
    def difference(result, other):
        return '{:.3f} m apart'.format(float(np.abs(result - other).mean()))

    def _check_outputs(self):
        [spec] = self._engine.outputs
        size = map_size(spec.shape)
        if size is None or spec.dtype != np.float32:
            raise EngineError('{}: no depth.'.format(self._engine.file))
        return size

    def _configured(self):
        self._farthest = self._settings['depth.farthest']

    def _resize(self, target):
        self._depth = self._allocate('depth', target, np.float32)


class HeldDepth(DepthPipeline):
    """Runs the engine on every n-th frame, n being `propagate`; in between it adds the flow's mean u to the last depth.

    Attributes:
        latest: the last one that was made.
    """

    latest = None

    def __init__(self, *args, flow_engine, shared_flow, has_time, counts):
        super().__init__(*args)
        self.flow_model = flow_engine.model
        self._shared_flow = shared_flow
        self._counts = counts
        self._number = 0
        HeldDepth.latest = self

    def _process(self, frame):
        number, self._number = self._number, self._number + 1
        field = self._shared_flow()()
        if number % self._settings['propagate'] == 0:
            self._counts['segmented'] += 1
            return super()._process(frame)
        self._counts['carried'] += 1
        self._depth += field.flow[..., 0].mean()
        return DepthMap(self._depth, frame.stamp_ns, frame.frame_id)


def depth_model(folder, size=(6, 8)):
    """Write a network whose depth is the sum of a pixel's grey levels, in units of 0.5 m, and return its model."""
    nodes = [helper.make_node('Cast', ['image'], ['float'], to=1),
             helper.make_node('ReduceSum', ['float', 'axes'], ['depth'], keepdims=0)]
    networks.save_network(folder / 'tiny.onnx', nodes, [('image', 'uint8', [1] + list(size) + [3])],
                          [('depth', 'float32', [1] + list(size))], [('axes', np.array([3]))])
    return load_model(networks.write_model(folder, {
        'task': 'depth', 'description': 'sum of the channels', 'license': 'none',
        'files': {'onnx': {'fp32': 'tiny.onnx'}},
        'input': {'names': ['image'], 'color': 'rgb'}, 'output': {'depth': 'depth', 'depth_scale': 0.5}}))

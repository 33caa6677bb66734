"""Time per frame of each model's pipeline on the demo's clip, the models taking turns, in one run.

    .venv/bin/python docs/measurements/models.py [MODEL ...]

Prints a Markdown table; models.md holds one. Preprocessing, network and decoding at 480x640; no ROS.
"""
import sys

import numpy as np

from trt_perception.core.image import decode_compressed
from trt_perception.core.model import SEGMENTATION, load_model, model_names
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.timing import StageTimer
from trt_perception.engines import open_engine
from trt_perception.ros.bag import Bag
from trt_perception_tools.demo import STORE

ROUNDS = 2


def main() -> None:
    """Measure and print."""
    names = sys.argv[1:] or model_names()
    timers = {name: StageTimer() for name in names}
    pipelines = {}
    for name in names:
        model = load_model(name)
        kind = SegmentationPipeline if model.task == SEGMENTATION else OpticalFlowPipeline
        pipelines[name] = kind(open_engine(model), model)
    for _ in range(ROUNDS):
        for recorded in Bag('demo/street').messages():
            message = STORE.deserialize_cdr(recorded.data, 'sensor_msgs/msg/CompressedImage')
            frame = decode_compressed(np.asarray(message.data), recorded.time_ns, 'camera')
            for name in names:
                with timers[name].stage('frame'):
                    pipelines[name].process(frame)
    print('| model | p50, ms | p95, ms | p50 over that of the first |\n|---|---|---|---|')
    first = timers[names[0]].summary()['frame'].p50
    for name in names:
        p = timers[name].summary()['frame']
        print(f'| `{name}` | {p.p50:.1f} | {p.p95:.1f} | {p.p50 / first:.2f} |')


if __name__ == '__main__':
    main()

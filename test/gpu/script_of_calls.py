"""A script: use tiny engines as the pipelines do, and wrongly. Prints what came of each step, one JSON value per line.

Run with the doubles and with the real TensorRT, it must print the same.
"""
import json
import os
import sys

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for _folder in (TEST, os.path.dirname(TEST)):
    sys.path.append(_folder)

from random_images import frame_showing, random_image  # noqa: E402

from trt_perception.core.errors import PerceptionError  # noqa: E402
from trt_perception.core.model import load_model  # noqa: E402
from trt_perception.engines import EngineOptions, open_engine, prepare_engine  # noqa: E402


def tell(step, value):
    print(json.dumps([step, value]), flush=True)


def attempt(step, call):
    """Tell what a call gives: arrays as lists; of an error its class alone, for TensorRT's words are its own."""
    try:
        result = call()
    except PerceptionError as error:
        return tell(step, type(error).__name__)
    if isinstance(result, dict):
        result = {name: array.tolist() for name, array in result.items()}
    tell(step, result if isinstance(result, (dict, str, int, bool)) else None)


def main():
    segmentation, flow = (load_model(path) for path in sys.argv[1:3])
    options = EngineOptions('tensorrt', 'fp32', cache_dir=sys.argv[3])
    built = prepare_engine(segmentation, options, lambda text: None)
    tell('built', [built.precision, built.warning])
    engine = open_engine(segmentation, options)
    tell('inputs', [str(each) for each in engine.inputs])
    tell('outputs', [str(each) for each in engine.outputs])
    attempt('zeros', engine.infer)
    for seed in range(3):
        engine.put_image('image', frame_showing(random_image(seed)))
        attempt('labels', engine.infer)
    attempt('resize', lambda: engine.resize_output('labels', (12, 16), None))
    attempt('resized', engine.infer)
    attempt('unknown input', lambda: engine.put_image('nobody', frame_showing(random_image(0))))
    engine.close()
    attempt('closed', engine.infer)
    engine = open_engine(flow, options)
    for seed, name in enumerate(('first', 'second')):
        engine.put_image(name, frame_showing(random_image(seed, 1)))
    attempt('flow', engine.infer)
    engine.swap('first', 'second')
    attempt('swapped', engine.infer)
    attempt('scaled', lambda: engine.resize_output('flow', (6, 8), (2.0, -1.0)))
    attempt('scaled flow', engine.infer)
    engine.close()
    with open(built.path, 'r+b') as file:
        file.write(b'damaged!')
    engine = open_engine(segmentation, options)
    engine.put_image('image', frame_showing(random_image(7)))
    attempt('rebuilt', engine.infer)
    engine.close()
    bad = segmentation._replace(output=segmentation.output._replace(names={'labels': 'nobody'}))
    attempt('wrong output', lambda: open_engine(bad, options))


if __name__ == '__main__':
    main()

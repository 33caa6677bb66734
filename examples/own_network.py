"""Your own network, end to end: train it in PyTorch, export it to ONNX, describe it as a model, run it as the nodes do.

    python3 examples/own_network.py OUTPUT

The network learns in some seconds to distinguish red, green and blue. OUTPUT then has colours.onnx and colours.yaml.
To run the model on a camera:
    ros2 launch trt_perception perception.launch.py segmentation_model:=$PWD/OUTPUT/colours.yaml
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import open_engine
from trt_perception_tools import cli

CLASSES = ('red', 'green', 'blue')
SIZE = (120, 160)


def train(steps: int = 150) -> nn.Module:
    """Return a network, (1, 3, H, W) float32 RGB in 0..1 -> (1, 3, H, W) scores, that finds the brightest channel."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, len(CLASSES), 1))
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(steps):
        squares = torch.rand(8, 3, 6, 8)
        images = nn.functional.interpolate(squares, scale_factor=8)
        loss = nn.functional.cross_entropy(network(images), images.argmax(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f'trained: loss {loss.item():.3f}')
    return network.eval()


def main(arguments: list[str] | None = None) -> int:
    """Train, export, import and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('output', type=Path)
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)

    # 1. Your network as an ONNX file: NCHW, float32, scores per class. No argmax, no normalisation needed inside.
    scores = args.output / 'colours_scores.onnx'
    torch.onnx.export(train(), (torch.zeros(1, 3, *SIZE),), str(scores), dynamo=False, opset_version=13,
                      input_names=['image'], output_names=['scores'])

    # 2. A model of this package: labels and confidence computed in the graph, and the YAML that says how to feed it.
    failed = cli.main(['import-model', str(scores), '--task', 'segmentation', '--output', str(args.output),
                       '--name', 'colours', '--color', 'rgb', '--mean', '0', '0', '0', '--std', '255', '255', '255',
                       '--class-names', *CLASSES, '--license', 'Apache-2.0', '--overwrite'])
    if failed:
        return failed

    # 3. The pipeline that the nodes run.
    model = load_model(str(args.output / 'colours.yaml'))
    pipeline = SegmentationPipeline(open_engine(model), model)
    image = np.full((*SIZE, 3), (200, 40, 40), np.uint8)  # RGB: red, with a blue right half.
    image[:, SIZE[1] // 2:] = (40, 40, 200)
    result = pipeline.process(frame_from_array(image, color='rgb'))
    for half, labels in (('left', result.labels[:, :SIZE[1] // 2]), ('right', result.labels[:, SIZE[1] // 2:])):
        print(f'{half} half: {CLASSES[np.bincount(labels.ravel()).argmax()]}')
    print(f'Run it: ros2 launch trt_perception perception.launch.py segmentation_model:={model.path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())

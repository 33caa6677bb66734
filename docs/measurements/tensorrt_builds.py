"""Builds every network in FP32, FP16 and INT8 with NVIDIA's own parser and builder, without a GPU.

    make tensorrt        or        .venv/bin/python docs/measurements/tensorrt_builds.py [SUBJECT ...]

Prints the Markdown table of tensorrt_builds.md; the exit status is 1 if a graph is refused. Networks that are not
shipped have random weights, and INT8 ranges from noise, which does not matter for a build.
"""
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from trt_perception.core.errors import PerceptionError
from trt_perception.core.model import load_model
from trt_perception_tools import cli
from trt_perception_tools.graphs.trial_build import Trial, trial_build

MODELS = ('swiftnet_camvid', 'tinypwc', 'espnet_camvid', 'nanoflownet')
NETWORKS = {'swiftnet,classes=19': ((256, 512), (512, 1024), (1024, 2048)),
            'swiftnet,classes=19,encoder=mobilenet_v2': ((512, 1024),), 'swiftnet,width=0.5': ((448, 608),),
            'espnet': ((360, 480),), 'tinypwc': ((240, 320), (480, 640)), 'nanoflownet': ((384, 512),),
            'flownets': ((384, 512),), 'pwcnet': ((256, 512), (448, 1024))}
PRECISIONS = ('fp32', 'fp16', 'int8')


def graphs(network: Path, model: Path | str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield precision and file: of an FP32 network, and of what `quantize` makes of it."""
    yield 'fp32', network
    images = folder / 'images'
    if not images.exists():
        images.mkdir()
        for number in range(3):
            noise = np.random.default_rng(number).integers(0, 256, (64, 96, 3), np.uint8)
            cv2.imwrite(str(images / f'{number}.png'), noise)
    for precision in PRECISIONS[1:]:
        output = folder / f'{network.stem}.{precision}.onnx'
        run('quantize', network, '--model', model, '--precision', precision, '--for', 'tensorrt', '--output', output,
            *(['--images', images, '--count', 2, '--calibration', 'minmax'] if precision == 'int8' else []))
        yield precision, output


def random_network(subject: str, size: tuple[int, int], folder: Path) -> Path:
    """Export a network with random weights, its model card beside it, and return the file."""
    output = folder / '{}_{}x{}.onnx'.format(subject.replace(',', '_').replace('=', ''), *size)
    run('export', subject, '--weights', 'random', '--size', *size, '--for', 'tensorrt', '--output', output)
    return output


def run(*arguments: object) -> None:
    """Run a command of trt_perception_tools; what it prints is shown where it fails."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        status = cli.main([str(each) for each in arguments])
    if status:
        raise PerceptionError(f'{" ".join(map(str, arguments))}: {text.getvalue()}')


def row(what: str, size: str, precision: str, trial: Trial) -> str:
    """Return a line of the table."""
    if trial.faults:
        return f'| {what} | {size} | {precision} | refused: {trial.faults[0].text} | | |'
    return f'| {what} | {size} | {precision} | {trial.layers} | {trial.plan_bytes / 1e6:.1f} | {trial.seconds:.1f} |'


def main() -> int:
    """Build all, or the subjects that the command line names, and print."""
    wanted = sys.argv[1:]
    refused = 0
    print('| network | input | precision | layers | engine, MB | build, s |\n|---|---|---|---|---|---|', flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subjects: list[tuple[str, tuple[int, int] | None]] = [(model, None) for model in MODELS]
        subjects += [(network, size) for network, sizes in NETWORKS.items() for size in sizes]
        for subject, size in subjects:
            if wanted and subject not in wanted:
                continue
            if size is None:
                model: Path | str = subject
                network = Path(load_model(subject).network_file('tensorrt', 'fp32'))
                if not network.exists():
                    print(f'| {subject} | | | not here: `make models` | | |')
                    continue
            else:
                network = random_network(subject, size, folder)
                model = network.with_suffix('.yaml')
            for precision, file in graphs(network, model, folder):
                trial = trial_build(file)
                refused += bool(trial.faults)
                shown = '{}x{}'.format(*size) if size else 'as shipped'
                print(row(subject, shown, precision, trial), flush=True)
    return 1 if refused else 0


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    sys.exit(main())

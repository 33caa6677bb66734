"""Comparison of the CPU runtimes: TensorFlow Lite, ONNX Runtime and OpenVINO; precisions, time and accuracy.

    .venv/bin/python docs/measurements/runtimes.py [--rounds 3] [--tflite out/tflite] [--data ../shared/data]

Prints the two Markdown tables of runtimes.md, which also says how to make the TFLite files. The first has the seconds
to read a folder of images, to compute the flow of each from the previous one, and to write it as images. The second
has every shipped model on ONNX Runtime and OpenVINO. The contenders of a table are interleaved, image by image.
"""
import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from trt_perception.core.colors import color_flow
from trt_perception.core.compressed import encode_png
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.tasks import SEGMENTATION
from trt_perception.engines import BACKENDS, EngineOptions, open_engine
from trt_perception_tools.datasets.images import read_image
from trt_perception_tools.evaluate.data import open_dataset
from trt_perception_tools.evaluate.scoring import evaluate
from trt_perception_tools.quantize.calibration import bag_frames

FLOW = 'tinypwc'
CLIP = Path('demo/street')
TFLITE = {'unquantised': ('fp32', '.tflite'), 'weights quantised': ('fp32', '.weights.tflite'),
          'convolutions quantised': ('int8', '.convolutions.tflite'), 'fully quantised': ('int8', '.full.tflite')}
STAGES = ('read', 'infer', 'write')
INTERVAL_NS = 100_000_000
COLOR_MAX_PX = 8.0
DATA = {SEGMENTATION: 'camvid', 'optical_flow': 'flow_middlebury'}


class Contender(NamedTuple):
    """A network on a runtime."""

    title: str
    model: Model
    options: EngineOptions


def contenders(model: Model, folder: Path, threads: int) -> list[Contender]:
    """Return a flow model on all runtimes, those of TensorFlow Lite first."""
    found = [Contender(f'TensorFlow Lite, {kind}',
                       model._replace(files={'tflite': {precision: str((folder / f'{FLOW}{suffix}').resolve())}}),
                       EngineOptions('tflite', precision, threads)) for kind, (precision, suffix) in TFLITE.items()]
    return found + runtimes(model, threads)


def runtimes(model: Model, threads: int) -> list[Contender]:
    """Return a model on ONNX Runtime and OpenVINO, in every precision for which it has a file."""
    titles = {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}
    return [Contender(f'{titles[name]}, {precision.upper()}', model, EngineOptions(name, precision, threads))
            for name in titles if not BACKENDS[name].missing for precision in model.files.get(name, {})]


def seconds(each: list[Contender], files: list[Path], out: Path, rounds: int) -> np.ndarray:
    """Return (rounds, contenders, stages): seconds for all files."""
    pipelines = [OpticalFlowPipeline(open_engine(model, options), model) for _, model, options in each]
    times = np.zeros((rounds, len(each), len(STAGES)))
    for round_number in range(rounds):
        for pipeline in pipelines:
            pipeline.reset()
        for number, file in enumerate(files):
            for contender, pipeline in enumerate(pipelines):
                start = time.perf_counter()
                frame = frame_from_array(read_image(file), number * INTERVAL_NS)
                read = time.perf_counter()
                field = pipeline.process(frame)
                inferred = time.perf_counter()
                if field is not None:  # The first image has none before it.
                    image = color_flow(field.flow, COLOR_MAX_PX)
                    (out / f'{contender}_{file.name}').write_bytes(encode_png(image[..., ::-1]))
                    times[round_number, contender] += read - start, inferred - read, time.perf_counter() - inferred
    return times


def report(folder: Path, data: Path, threads: int, rounds: int, most: int) -> None:
    """Print the table of the TF-Lite report."""
    each = contenders(load_model(FLOW), folder, threads)
    scores = evaluate([(model, options) for _, model, options in each],
                      open_dataset(data / DATA['optical_flow'], 'optical_flow', '', '', 0)).scores
    with TemporaryDirectory() as temporary:
        out = Path(temporary)
        files = []
        for number, (frame,) in enumerate(bag_frames(CLIP, most, False)):
            files.append(out / f'{number:04d}.png')
            files[-1].write_bytes(encode_png(frame.data.reshape(frame.height, frame.width, 3)))
        times = seconds(each, files, out, rounds)
    medians = np.median(times, axis=0)
    infer = times[:, :, 1] / times[:, :1, 1]
    print(f'| {FLOW}, {len(files) - 1} pairs, seconds | ' + ' | '.join(STAGES) + ' | infer, ratio | MB | EPE, px |')
    print('|---' * 7 + '|')
    for number, (title, model, options) in enumerate(each):
        file = Path(model.network_file(options.backend, options.precision))
        weights = file.with_suffix('.weights')
        size = file.stat().st_size + (weights.stat().st_size if file.suffix == '.onnx' and weights.is_file() else 0)
        print(f'| {title} | ' + ' | '.join(f'{value:.2f}' for value in medians[number])
              + f' | {np.median(infer[:, number]):.2f} ({infer[:, number].min():.2f} - {infer[:, number].max():.2f})'
              f' | {size / 1e6:.2f} | {scores[number].total:.2f} |')


def models(names: list[str], data: Path, threads: int) -> None:
    """Print time and accuracy of models on ONNX Runtime and OpenVINO."""
    print('\n| model | runtime | time, ratio | mIoU, % / EPE, px | difference from the first row |\n'
          + '|---' * 5 + '|')
    for name in names:
        model = load_model(name)
        each = runtimes(model, threads)
        dataset = open_dataset(data / DATA[model.task], model.task, 'test', '', 0)
        scores = evaluate([(model, options) for _, model, options in each], dataset).scores
        for contender, score in zip(each, scores, strict=True):
            segments = model.task == SEGMENTATION
            other = f'{1 - score.agreement:.2%} of the labels' if segments else f'{score.agreement:.3f} px'
            print(f'| `{name}` | {contender.title} | {score.milliseconds / scores[0].milliseconds:.2f} | '
                  + (f'{100 * score.total:.2f}' if segments else f'{score.total:.3f}')
                  + f' | {other if score is not scores[0] else "-"} |')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=3, help='through the folder (default: %(default)s)')
    parser.add_argument('--images', type=int, default=1000, help='at most, of the clip (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=0, help='per engine; 0 = all cores (default)')
    parser.add_argument('--tflite', type=Path, default=Path('out/tflite'), metavar='DIR', help='the TFLite files')
    parser.add_argument('--data', type=Path, default=Path('../shared/data'), metavar='DIR')
    parser.add_argument('models', nargs='*', default=['swiftnet_camvid', 'espnet_camvid', FLOW, 'nanoflownet'])
    args = parser.parse_args()
    report(args.tflite, args.data, args.threads, args.rounds, args.images)
    models(args.models, args.data, args.threads)


if __name__ == '__main__':
    main()

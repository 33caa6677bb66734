"""Accuracy and time of FP16 and INT8 on a CPU: every variant of a model, in one run.

    .venv/bin/python docs/measurements/precision.py [--rounds 60] [--threads 2] [--limit N] [MODEL ...]

Makes the variants with `quantize`, scores them with `evaluate` on ../shared/data, and times the networks interleaved.
INT8 is calibrated on CamVid's training images, or, for flow, on the demo's clip. Prints the Markdown
table of precision.md.
"""
import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import yaml

from trt_perception.core.model import Model, load_model, model_names
from trt_perception.core.tasks import SEGMENTATION
from trt_perception.engines import EngineOptions, open_engine
from trt_perception_tools import cli
from trt_perception_tools.graphs.slim import simplify
from trt_perception_tools.quantize.calibration import METHODS, bag_frames
from trt_perception_tools.quantize.channels_last_scores import decide_channels_last

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / 'shared' / 'data'
CLIP = ROOT / 'demo' / 'street'


def tool(*arguments: object) -> None:
    """Run a verb of the tools; what it prints goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        status = cli.main([str(each) for each in arguments])
    finally:
        sys.stdout = out
    if status:
        sys.exit(status)


def make_variants(model: Model, folder: Path) -> dict[str, tuple[str, Path]]:
    """Write the variants, each with a YAML, and return name -> (precision, YAML)."""
    source = model.network_file('onnxruntime', 'fp32')
    files = {'FP32': ('fp32', Path(source)), 'FP16': ('fp16', folder / 'fp16.onnx')}
    if model.task == SEGMENTATION:
        images: list[object] = ['--images', DATA / 'camvid' / 'train']
        # INT8 graphs have their scores like this too: to see what is not due to the precision.
        turned = onnx.shape_inference.infer_shapes(simplify(onnx.load(source)))
        if decide_channels_last(turned):
            onnx.save(turned, str(folder / 'turned.onnx'))
            files['FP32, channels last'] = 'fp32', folder / 'turned.onnx'
    else:
        images = ['--bag', CLIP]
    tool('quantize', model.path, '--precision', 'fp16', '--output', files['FP16'][1])
    for method in METHODS:
        file = folder / f'{method}.onnx'
        tool('quantize', model.path, '--precision', 'int8', '--calibration', method, '--output', file, *images)
        files[f'INT8, {method}'] = 'int8', file
    variants = {}
    for number, (name, (precision, file)) in enumerate(files.items()):
        fields = yaml.safe_load(Path(model.path).read_text())
        fields['files'] = {'onnxruntime': {'fp32': source, precision: str(file)}}
        card = folder / f'variant{number}.yaml'
        card.write_text(yaml.safe_dump(fields))
        variants[name] = precision, card
    return variants


def score(model: Model, precision: str, card: Path, folder: Path, limit: Sequence[object]) -> dict[str, Any]:
    """Return the entry of `evaluate` of one variant, compared with FP32 where it is another file."""
    engines = ['onnxruntime:fp32', *([] if precision == 'fp32' else [f'onnxruntime:{precision}'])]
    total: dict[str, Any] = {}
    folders = ['camvid'] if model.task == SEGMENTATION else ['flow_middlebury', 'flow_flyingchairs']
    for name in folders:
        tool('evaluate', card, '--data', DATA / name, '--engine', *engines, '--json', folder / 'score.json', *limit)
        total[name] = json.loads((folder / 'score.json').read_text())[-1]
    return total


def medians(variants: dict[str, tuple[str, Path]], threads: int, rounds: int) -> dict[str, np.ndarray]:
    """Return the times of every variant's network, ms, from rounds in which they take turns."""
    engines = []
    for precision, card in variants.values():
        model = load_model(str(card))
        engine = open_engine(model, EngineOptions('onnxruntime', precision, threads))
        [frames] = bag_frames(CLIP, 1, True)
        for name, frame in zip(model.input.names, reversed(frames), strict=False):
            engine.put_image(name, frame)
        engines.append(engine)
    times = np.zeros((rounds, len(engines)))
    for each in times:
        for number, engine in enumerate(engines):
            start = time.perf_counter()
            engine.infer()
            each[number] = (time.perf_counter() - start) * 1e3
    return dict(zip(variants, times.T, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='MODEL')
    parser.add_argument('--rounds', type=int, default=60)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--limit', type=int, help='score so many images only')
    args = parser.parse_args()
    limit = ['--limit', args.limit] if args.limit else []
    print('| model | variant | score | agreement with FP32 | p50, ms | speed-up over FP32, median (quartiles) |\n'
          '|---|---|---|---|---|---|')
    for name in args.models or model_names():
        model = load_model(name)
        with TemporaryDirectory() as place:
            folder = Path(place)
            variants = make_variants(model, folder)
            times = medians(variants, args.threads, args.rounds)
            for variant, (precision, card) in variants.items():
                entries = score(model, precision, card, folder, limit).values()
                factor, unit = (100, ' %') if model.task == SEGMENTATION else (1, ' px')
                ratios = np.percentile(times['FP32'] / times[variant], (50, 25, 75))
                print('| `{}` | {} | {}{} | {} | {:.1f} | {:.2f} ({:.2f} - {:.2f}) |'.format(
                    name, variant, ' / '.join(f'{entry["total"] * factor:.2f}' for entry in entries), unit,
                    ' / '.join('' if entry['agreement'] is None else f'{entry["agreement"] * factor:.2f}{unit}'
                               for entry in entries), np.median(times[variant]), *ratios), flush=True)


if __name__ == '__main__':
    main()

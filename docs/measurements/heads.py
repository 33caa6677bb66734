"""Cost and accuracy of the last layers of segmentation: upsampling, and the place of the argmax.

    .venv/bin/python docs/measurements/heads.py [--data ../shared/data/camvid] [--rounds 60]

Prints the Markdown tables of heads.md. ONNX Runtime, 2 threads, interleaved variants. Needs the weights of the
default model (tools/configs/swiftnet_camvid.yaml makes them) and CamVid.
"""
import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trt_perception.core.image import frame_from_array
from trt_perception.core.model import ModelOutput, load_model
from trt_perception.core.tasks import SEGMENTATION
from trt_perception.engines import EngineOptions, open_engine
from trt_perception_tools.evaluate.data import open_dataset
from trt_perception_tools.evaluate.scoring import evaluate
from trt_perception_tools.export.exporter import HeadOptions
from trt_perception_tools.export.random_network import random_module, take_statistics, write_card
from trt_perception_tools.export.to_onnx import export_module
from trt_perception_tools.networks import NETWORKS
from trt_perception_tools.networks.weights import read_weights

WEIGHTS = Path('out/train/swiftnet_camvid/best.pt')
OPTIONS = EngineOptions('onnxruntime', 'fp32', 2)
NETWORK = NETWORKS['swiftnet']
HOST = 'scores as output, numpy argmax on the host'
WARM_UP = 2
"""Rounds."""
# Upsampling inside the network, decision (see tools/trt_perception_tools/export/heads.py), confidence too.
VARIANTS = {
    'argmax at full resolution, bilinear': ('bilinear', 'labels', False),
    'the same, with confidence (the default)': ('bilinear', 'labels', True),
    'argmax at full resolution, nearest in the decoder': ('nearest', 'labels', False),
    'argmax at 1/4, labels upsampled': ('bilinear', 'quarter', False),
    'argmax at 1/4, labels upsampled, nearest in the decoder': ('nearest', 'quarter', False),
    HOST: ('bilinear', 'logits', False),
}
FIRST = next(iter(VARIANTS))


def export_variants(folder, base, module_of, size):
    """Return the variants of a model as models, by name."""
    models = {}
    for number, (name, (upsample, decision, confidence)) in enumerate(VARIANTS.items()):
        file = folder / f'{size[0]}_{number}.onnx'
        names = ('labels', 'confidence') if confidence else ('labels',)
        model = base._replace(name=name, path=str(folder / 'variants.yaml'), files={'onnxruntime': {'fp32': str(file)}},
                              output=ModelOutput({name: name for name in names}))
        export_module(model, NETWORK, module_of(upsample), {}, size, file, options=HeadOptions(decision=decision))
        models[name] = model._replace(output=ModelOutput({'labels': 'logits'})) if decision == 'logits' else model
    return models


def measure(models, size, rounds):
    """Print ms per variant and the ratios to the first, for the network from its input to labels on the host."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    engines = {name: open_engine(model, OPTIONS) for name, model in models.items()}
    for name, engine in engines.items():
        engine.put_image(models[name].input.names[0], frame_from_array(noise))
    times = {name: [] for name in engines}
    labels = {}
    for _ in range(rounds + WARM_UP):
        for name, engine in engines.items():
            start = time.perf_counter(), time.process_time()
            output = engine.infer()[models[name].output.labels]
            labels[name] = output if output.dtype == np.uint8 else np.argmax(output, 1).astype(np.uint8)
            times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    assert (labels[HOST] == labels[FIRST]).all()
    print('| variant | ms, median | shortest | time over that of the first: median of the rounds (quartiles) | of the '
          'shortest | CPU time |\n|---|---|---|---|---|---|')
    first = np.array(times[FIRST][WARM_UP:])
    for name, values in times.items():
        wall, cpu = 1e3 * np.array(values[WARM_UP:]).T
        low, middle, high = np.percentile(wall / first[:, 0] / 1e3, [25, 50, 75])
        print(f'| {name} | {np.median(wall):.1f} | {wall.min():.1f} | **{middle:.3f}** ({low:.3f} - {high:.3f}) | '
              f'{wall.min() / first[:, 0].min() / 1e3:.3f} | {np.median(cpu) / np.median(first[:, 1]) / 1e3:.3f} |')


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, default=Path('../shared/data/camvid'))
    parser.add_argument('--rounds', type=int, default=40)
    args = parser.parse_args()
    with TemporaryDirectory() as text:
        folder = Path(text)
        weights = read_weights(WEIGHTS)
        shipped = load_model('swiftnet_camvid')
        models = export_variants(folder, shipped,
                                 lambda upsample: NETWORK.load(weights, str(WEIGHTS), upsample=upsample), (448, 608))
        print('## `swiftnet_camvid`, 448x608, 11 classes\n')
        measure(models, (448, 608), args.rounds)
        pipelines = [(model, OPTIONS) for model in models.values() if model.output.labels == 'labels']
        dataset = open_dataset(args.data, SEGMENTATION, 'test', '', 0)
        print(f'\n{len(dataset.names)} images of {dataset.title}:\n')
        print('| variant | mean IoU, % | pixel accuracy, % | labels as in the first, % |\n|---|---|---|---|')
        for score in evaluate(pipelines, dataset).scores:
            agreement = f'{100 * score.agreement:.2f}' if score.reference else ''
            accuracy = score.measures['pixel_accuracy']
            print(f'| {score.model} | {100 * score.total:.2f} | {100 * accuracy:.2f} | {agreement} |')
        for size in ((256, 512), (512, 1024)):
            modules = {each: random_module(NETWORK, {'classes': 19, 'upsample': each}, 0)
                       for each in ('bilinear', 'nearest')}
            base = write_card(NETWORK, {'classes': 19}, modules['bilinear'], 0, folder / 'random.onnx', 'onnxruntime')
            for module in modules.values():
                take_statistics(module, NETWORK, base)
            models = export_variants(folder, base, modules.get, size)
            print('\n## SwiftNet RN-18, {}x{}, 19 classes, random weights\n'.format(*size))
            measure(models, size, max(1, args.rounds // 2))


if __name__ == '__main__':
    main()

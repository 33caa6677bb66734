"""Import a third-party network: FILE.onnx, a TensorFlow frozen graph (FILE.pb) or FILE.tflite.

Writes NAME.onnx, which follows the package's contract, NAME.yaml, which describes its input and output, and, for new
class names, NAME_labels.yaml. It asks for what the file does not tell; every question has an option, too. At the end,
a frame runs through the pipeline of the nodes.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from trt_perception.bench.contender import RESTING
from trt_perception.core.data import VOID, LabelMap
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size, frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.pipeline import Pipeline
from trt_perception.core.tasks import find_task, pipeline_class
from trt_perception.engines import EngineOptions, open_engine

from ..graphs import edit
from ..graphs.check import check, report
from ..graphs.difference import Difference
from ..graphs.opset import OPSET, opset_of
from ..graphs.read import foreign
from ..graphs.runtimes import Runtime
from ..tasks import importer_of, tasks_with
from . import fit, interface, left_over, model_card
from . import output as outputs
from .examples import as_fed, example_frames, recorded_frames
from .importer import Importer
from .interface import Images
from .model_card import Interview, Normalisation, Question
from .output import Output
from .questions import ask_colors, ask_fields, ask_size
from .reader import SUFFIXES, read_network, tensor_name
from .running import run_each

_INTERVAL_NS = 100_000_000
_TENSORRT = '8.2'


class Import(NamedTuple):
    """The written files, and the results of the checks."""

    model: Model
    size: Size
    """(height, width) of the network's image, px."""
    opset: int
    difference: Difference
    """Difference from the file's own output, the largest of all example frames."""
    decisions: tuple[str, ...]
    """Decisions that were made without asking, in words."""
    faults: tuple[str, ...] | None
    """Parts that TensorRT 8.2 does not support, if a file for it was requested."""
    removed: tuple[str, ...]
    """Names of further outputs of the file."""
    unseen: int
    """Number of scores after those of the label set's classes."""
    unknown_ids: tuple[int, ...]
    """Labels of the frames that the label set does not have."""
    only: int | None
    """The label that all pixels of all example frames have, if there is one."""
    milliseconds: float
    """Time of a frame in the pipeline."""


class _Fitted(NamedTuple):
    """A network with the package's contract."""

    network: onnx.ModelProto
    difference: Difference


class _Tried(NamedTuple):
    """Results of the file's own network for the example frames."""

    planes: list[list[np.ndarray]]
    """Per frame and image: (1, H, W, C), as preprocessed by an engine."""
    results: list[dict[str, np.ndarray]]


def import_model(args: argparse.Namespace, interview: Interview) -> Import:
    """Import a network by the options and the answers. Nothing is left behind if it fails.

    Raises:
        ConfigError: file, options or answers are not usable.
        EngineError: the result does not run.
    """
    name = interview.ask(Question('--name', 'Name of the model', _model_name, _stem(args.file), True), args.name)
    card = args.output / f'{name}.yaml'
    if card.exists() and not args.overwrite:
        raise ConfigError(f'{card}: already exists. Choose another --name or --output, or give --overwrite.')
    importer, where = importer_of(args.task), str(args.file)
    given = [tensor_name(args.file, each) for each in args.input_names or ()]
    wanted = [tensor_name(args.file, each) for each in args.output_name or ()]
    network = interface.with_constants(read_network(args.file, given, wanted), args.constant or (), where)
    ways = interface.find_images(network, args.task, given, where)
    size = ask_size(interview, ways[0], args)
    images, static, results = interface.settle(network, ways, size, where)
    output = outputs.find_output(results, static, importer, wanted, images, size, where)
    unused = sorted(set(images.names) - edit.needed_tensors(static.graph, *output.names))
    if unused:
        raise ConfigError(f'{where}: output {output.names[0]} does not depend on input {unused[0]}. Choose another '
                          'output with --output-name; if there is none, the file was exported wrongly.')
    color, values = ask_colors(interview, images, args)
    fit.check_range(static, images, values, where)
    tried = _try(static, images, color, values, size, args)
    output = outputs.decide(output, static, tried.results, importer, where)
    fields, labels = ask_fields(interview, importer, images, output, name, color, values, args)
    classes = min(output.channels, max(each.id for each in labels.classes) + 1) if labels else 0

    def fitted_for(runtime: Runtime) -> _Fitted:
        return _fitted(static, images, output, importer, size, classes, tried, runtime, where)

    files: dict[Runtime, _Fitted] = {'onnxruntime': fitted_for('onnxruntime')}
    if args.tensorrt:
        files['tensorrt'] = fitted_for('tensorrt')
        fields['files']['tensorrt'] = {'fp32': f'{name}_tensorrt.onnx'}
    digest = hashlib.sha256(args.file.read_bytes()).hexdigest()
    for runtime, each in files.items():
        onnx.helper.set_model_props(each.network, {'model': name, 'license': fields['license'], 'runtime': runtime,
                                                   'source': args.file.name, 'source_sha256': digest})
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output, prefix='.import-') as folder:
        written = Path(folder)
        for runtime, each in files.items():
            onnx.save(each.network, written / (f'{name}.onnx' if runtime == 'onnxruntime' else
                                               f'{name}_{runtime}.onnx'))
        (written / f'{name}.yaml').write_text(
            model_card.card_text(fields, f'{args.file.name}, sha256 {digest[:16]}...'), encoding='utf-8')
        if labels and fields['labels'].endswith('.yaml'):
            (written / fields['labels']).write_text(model_card.labels_text(labels), encoding='utf-8')
        seen, milliseconds = _run(load_model(str(written / f'{name}.yaml')), size)
        for path in sorted(written.iterdir(), key=lambda path: path.name == card.name):  # It names the others.
            os.chmod(path, 0o644)
            os.replace(path, args.output / path.name)
    known = {VOID, *(each.id for each in labels.classes)} if labels else seen
    used = [each.name for each in network.graph.output if each.name not in output.names]
    return Import(
        load_model(str(card)), size, opset_of(files['onnxruntime'].network), files['onnxruntime'].difference,
        (*_decisions(images, output), *left_over.lost_slopes(network)),
        _faults(files['tensorrt'].network) if args.tensorrt else None, tuple(used),
        max(0, output.channels - classes) if output.channels > 1 and labels else 0, tuple(sorted(seen - known)),
        next(iter(seen)) if len(seen) == 1 else None, milliseconds)


def _try(static: onnx.ModelProto, images: Images, color: str, values: Normalisation, size: Size,
         args: argparse.Namespace) -> _Tried:
    frames = recorded_frames(args.images, size) if args.images else example_frames(size)
    count = find_task(args.task).images
    planes = [[as_fed(image, color, values.mean, values.std, images.fed) for image in frame[:count]]
              for frame in frames]
    return _Tried(planes, run_each(static, [images.feeds(each) for each in planes], str(args.file)))


def _fitted(static: onnx.ModelProto, images: Images, output: Output, importer: Importer, size: Size, classes: int,
            tried: _Tried, runtime: Runtime, where: str) -> _Fitted:
    """Fit a network and compare it with the file's; if lowering the opset changes its results, the opset is kept."""
    for lower in (True, False):
        network = fit.fit(static, images, output, importer, size, classes, where, runtime, lower)
        try:
            return _Fitted(network, fit.compare_each(network, tried.planes, tried.results, output, importer, classes,
                                                     where))
        except fit.UnequalError:
            if not lower or opset_of(static) <= OPSET:
                raise
    raise AssertionError


def _decisions(images: Images, output: Output) -> list[str]:
    lines = []
    if len(images.names) == 2:
        lines.append(f'Earlier image: {images.names[0]}; later image: {images.names[1]} ({images.order}). '
                     'If it is the other way round: --input-names')
    elif images.joined:
        lines.append(f'{images.names[0]} takes both images, the earlier one first')
    if images.dtype == np.int8:
        lines.append(f'{images.names[0]} takes int8: grey level - 128')
    what = {outputs.LABELS: 'class ids', outputs.FLOW: 'flow'}.get(
        output.kind, f'{output.kind} of {max(2, output.channels)} classes')
    lines.append(f'{" and ".join(output.names)}: {what}' + (f' ({output.why})' if output.why else ''))
    if any(output.border):
        lines.append(f'Its convolutions have no padding: {output.border[0]} rows and {output.border[1]} columns at '
                     f'each side have no class ({VOID})')
    return lines


def _faults(network: onnx.ModelProto) -> tuple[str, ...]:
    findings = [each for each in check(network, _TENSORRT) if each.fault]
    return tuple(report(findings).splitlines()) if findings else ()


def _run(model: Model, size: Size) -> tuple[set[int], float]:
    """Run frames, or pairs, through the pipeline; return the occurring labels, and the time of the last one, ms."""
    engine = open_engine(model, EngineOptions('onnxruntime'))
    pipeline: Pipeline[Any] = pipeline_class(model.task)(engine, model, RESTING)
    seen: set[int] = set()
    milliseconds = 0.0
    for frame in example_frames(size):
        pipeline.reset()
        for number, image in enumerate(frame):
            start = time.perf_counter()
            result = pipeline.process(frame_from_array(image[..., ::-1].copy(), number * _INTERVAL_NS))
            milliseconds = (time.perf_counter() - start) * 1e3
            if isinstance(result, LabelMap):
                seen.update(np.unique(result.labels).tolist())
    engine.close()
    return seen, milliseconds


def _model_name(text: str) -> str:
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.-]*', text):
        raise ValueError('letters, digits, _ . and -')
    return text


def _stem(file: Path) -> str:
    return re.sub(r'[^A-Za-z0-9_.-]+', '_', file.stem).strip('_.-') or 'model'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('file', type=Path, metavar='FILE', help=', '.join(SUFFIXES))
    parser.add_argument('--task', choices=tasks_with('importer'), required=True)
    parser.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder to write to')
    parser.add_argument('--name', help="of the model (default: the file's)")
    parser.add_argument('--overwrite', action='store_true', help='replace a model of that name in DIR')
    parser.add_argument('--tensorrt', action=argparse.BooleanOptionalAction, default=True,
                        help=f'write NAME_tensorrt.onnx too, without the bytes that TensorRT {_TENSORRT} does not have '
                             '(default: yes)')
    parser.add_argument('--images', type=Path, metavar='DIR',
                        help='frames of the camera to try the network on (default: synthetic ones)')
    network = parser.add_argument_group('network', 'only if the file leaves a choice')
    network.add_argument('--size', nargs='+', metavar='N',
                         help="H W or HxW of the network's image, px; for dynamic sizes")
    network.add_argument('--input-names', nargs='+', metavar='NAME',
                         help='the image, or the earlier and the later image')
    network.add_argument('--output-name', nargs='+', metavar='NAME',
                         help='labels, scores or flow, or u and v; any tensor of the file; others are removed')
    network.add_argument('--constant', nargs='+', metavar='NAME=X[,X...]',
                         help='values of inputs other than images, e.g. scale_factor=1')
    answers = parser.add_argument_group('answers', 'asked for on a terminal if the option is not given')
    answers.add_argument('--color', metavar='ORDER', help='rgb or bgr; gray follows from the network')
    answers.add_argument('--normalise', metavar='PRESET', help=', '.join(model_card.PRESETS))
    answers.add_argument('--mean', nargs='+', metavar='X', help='instead: per channel, grey levels 0..255')
    answers.add_argument('--std', nargs='+', metavar='X', help='likewise')
    answers.add_argument('--labels', metavar='LABELS',
                         help='a label set of config/labels, its YAML, or a text file or JSON of class names')
    answers.add_argument('--class-names', nargs='+', metavar='NAME', help='instead: of class 0, 1, 2 ...')
    answers.add_argument('--flow-scale', metavar='X',
                         help="network's output times this = px of its image; 1/4.5 works")
    answers.add_argument('--license', metavar='TEXT', help='of the weights and their data')
    answers.add_argument('--description', metavar='TEXT')


def execute(args: argparse.Namespace) -> int:
    """Import, and print the result and how to use it."""
    with foreign(args.file, 'import-model'):
        done = import_model(args, Interview())
    model = done.model
    file = Path(model.network_file('onnxruntime', 'fp32'))
    for line in done.decisions:
        print(line)
    print(f'{file}: {done.size[0]}x{done.size[1]}, opset {done.opset}, {file.stat().st_size / 1e6:.1f} MB; '
          f"{done.difference.text} from the file's")
    print(f'{model.path}: one frame of that size took {done.milliseconds:.1f} ms through the pipeline')
    if done.removed:
        print(f'Outputs removed: {", ".join(done.removed)}')
    if done.unseen and model.labels:
        print(f'NOTE: scores not seen, behind those of the {len(model.labels.classes)} classes: {done.unseen}')
    if done.unknown_ids:
        print(f'NOTE: the label set has no class for {", ".join(map(str, done.unknown_ids))}, which the network gave')
    if done.only is not None:
        print(f'NOTE: every pixel of every example frame got label {done.only}. Check --color and the normalisation')
    if done.faults is None:
        print('NOTE: no file for TensorRT was written, as --no-tensorrt says: on a Jetson the network runs on the CPU')
    elif done.faults:
        print(f'NOTE: TensorRT {_TENSORRT} does not support the file for it, a newer version may:\n'
              + '\n'.join(done.faults))
    if done.opset > OPSET:
        print(f'NOTE: opset {done.opset} could not be lowered to {OPSET}, the newest that TensorRT {_TENSORRT} reads')
    path = Path(model.path).resolve()
    shown = 'BEFORE AFTER' if find_task(model.task).images == 2 else 'IMAGE'
    print(f'\nUse it:\n  trt_perception_tools overlay {shown} {path} --output overlay.png\n'
          f'  ros2 launch trt_perception perception.launch.py {model.task}_model:={path}\n'
          f'  trt_perception run -p {model.task}.model:={path}\n'
          f'  trt_perception_tools evaluate {path} --data DIR')
    return 0

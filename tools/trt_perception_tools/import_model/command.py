"""Import a network that others made: FILE.onnx, a TensorFlow frozen graph (FILE.pb) or FILE.tflite.

Writes NAME.onnx, which keeps the package's contract, NAME.yaml, which says how to feed and read it, and, for new class
names, NAME_labels.yaml. What the file does not say is asked for; every question has an option too. In the end one
frame runs through the pipeline that the nodes run.
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

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size, frame_from_picture
from trt_perception.core.model import LabelSet, Model, load_model
from trt_perception.core.tasks import find_task, pipeline_class
from trt_perception.engines import EngineOptions, open_engine

from ..graphs.check import check, report
from ..graphs.difference import Difference
from ..graphs.edit import OPSET, opset_of
from ..tasks import importer_of, input_names, tasks_with
from . import fit, interface, model_card
from .importer import Importer
from .interface import Output, Pictures
from .model_card import Interview, Question
from .reader import SUFFIXES, read_network, tensor_name

_INTERVAL_NS = 100_000_000
_TENSORRT = '8.2'


class Import(NamedTuple):
    """What was written, and how it did."""

    model: Model
    size: Size
    """(height, width) of the network's picture, px."""
    opset: int
    difference: Difference
    """From the file's own output."""
    faults: tuple[str, ...] | None
    """What TensorRT 8.2 cannot take, where a file for it was asked for."""
    removed: tuple[str, ...]
    """Names of outputs that the file has besides."""
    unseen: int
    """Scores behind those of the label set's classes."""
    unknown_ids: tuple[int, ...]
    """Labels of the frame that the label set does not have."""
    milliseconds: float
    """Of the frame in the pipeline."""


def import_model(args: argparse.Namespace, interview: Interview) -> Import:
    """Import a network as the options and the answers say. Nothing is left behind when it fails.

    Raises:
        ConfigError: file, options or answers are not usable.
        EngineError: the result does not run.
    """
    name = interview.ask(Question('--name', 'Name of the model', _model_name, _stem(args.file), True), args.name)
    card = args.output / f'{name}.yaml'
    if card.exists() and not args.overwrite:
        raise ConfigError(f'{card}: is there already. Choose another --name or --output, or give --overwrite.')
    importer, where = importer_of(args.task), str(args.file)
    given = [tensor_name(args.file, each) for each in args.input_names or ()]
    wanted = tensor_name(args.file, args.output_name) if args.output_name else ''
    network = read_network(args.file, given, [wanted] if wanted else [])
    pictures = interface.find_pictures(network, args.task, given, where)
    size = _ask_size(interview, pictures, args)
    static = interface.make_static(network, pictures, size, where)
    feeds = interface.example_feeds(pictures, find_task(args.task).images, size)
    results = interface.run_network(static, feeds, where)
    output = interface.find_output(results, importer, wanted, size, where)
    fields, labels = _ask_fields(interview, importer, pictures, output, name, args)
    classes = min(output.channels, max(each.id for each in labels.classes) + 1) if labels else 0
    fitted = fit.fit(static, pictures, output, importer, size, classes, where)
    difference = fit.compare(fitted, feeds, results[output.name], pictures, output, importer, classes, where)
    special, same = None, False
    if args.tensorrt:
        special = fit.fit(static, pictures, output, importer, size, classes, where, tensorrt=True)
        fit.compare(special, feeds, results[output.name], pictures, output, importer, classes, where)
        same = special.SerializeToString() == fitted.SerializeToString()
        fields['files']['tensorrt'] = {'fp32': f'{name}.onnx' if same else f'{name}_tensorrt.onnx'}
    digest = hashlib.sha256(args.file.read_bytes()).hexdigest()
    for each in (fitted, special) if special else (fitted,):
        onnx.helper.set_model_props(each, {'model': name, 'license': fields['license'], 'source': args.file.name,
                                           'source_sha256': digest})
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output, prefix='.import-') as folder:
        written = Path(folder)
        onnx.save(fitted, written / f'{name}.onnx')
        if special and not same:
            onnx.save(special, written / f'{name}_tensorrt.onnx')
        (written / f'{name}.yaml').write_text(
            model_card.card_text(fields, f'{args.file.name}, sha256 {digest[:16]}...'), encoding='utf-8')
        if labels and fields['labels'].endswith('.yaml'):
            (written / fields['labels']).write_text(model_card.labels_text(labels), encoding='utf-8')
        unknown_ids, milliseconds = _run(load_model(str(written / f'{name}.yaml')), size)
        for path in sorted(written.iterdir(), key=lambda path: path.name == card.name):  # It names the others.
            os.chmod(path, 0o644)
            os.replace(path, args.output / path.name)
    removed = tuple(each.name for each in network.graph.output if each.name != output.name)
    return Import(load_model(str(card)), size, opset_of(fitted), difference, _faults(special), removed,
                  max(0, output.channels - classes) if output.channels > 1 and labels else 0, unknown_ids, milliseconds)


def _ask_size(interview: Interview, pictures: Pictures, args: argparse.Namespace) -> Size:
    height, width = pictures.size
    if height and width:
        if args.size and model_card.picture_size(' '.join(args.size)) != (height, width):
            raise ConfigError(f'--size: got {"x".join(args.size)}, but {args.file} is fixed to {height}x{width}. Leave '
                              'it out, or export the network with that size.')
        return height, width
    default = f'{height or 480} {width or 640}'
    size: Size = interview.ask(Question('--size', 'Height and width of the picture that the network sees, px',
                                        model_card.picture_size, default), args.size)
    for fixed, got, side in zip(pictures.size, size, ('height', 'width'), strict=True):
        if fixed not in (None, got):
            raise ConfigError(f'--size: got the {side} {got}, but {args.file} is fixed to {fixed}. Give that one.')
    return size


def _ask_fields(interview: Interview, importer: Importer, pictures: Pictures, output: Output, name: str,
                args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
    """Return the fields of the model's YAML, and the label set of a segmentation model."""
    colors = ('gray',) if pictures.channels == 1 else ('rgb', 'bgr')
    color = interview.ask(Question('--color', 'Channel order that the network was trained on: rgb or bgr',
                                   model_card.one_of(colors), 'rgb'),
                          colors[0] if len(colors) == 1 and args.color is None else args.color)
    image: dict[str, Any] = {'names': list(input_names(args.task)), 'color': color}
    if pictures.fed == np.float32:
        values = model_card.ask_normalisation(interview, color, args.normalise, args.mean, args.std)
        image.update(mean=list(values.mean), std=list(values.std))
    elif args.normalise or args.mean or args.std:
        raise ConfigError(f'--normalise, --mean, --std: {args.file} takes bytes and normalises them itself. Leave the '
                          'options out.')
    results, labels = importer.ask(interview, output, name, args)
    license = interview.ask(Question('--license', 'Licence of the weights, and of the data they were trained on',
                                     model_card.words('a licence, or "unknown"')), args.license)
    description = interview.ask(Question('--description', 'Description, one line', model_card.words('a line of text'),
                                         f'imported from {args.file.name}', True), args.description)
    fields = {'task': args.task, 'description': description, 'license': license,
              'files': {'onnxruntime': {'fp32': f'{name}.onnx'}},
              **({'labels': _labels_reference(labels, name, args)} if labels else {}),
              'input': image, 'output': results}
    return fields, labels


def _labels_reference(labels: LabelSet, name: str, args: argparse.Namespace) -> str:
    # A label set that ships is named; any other travels with the model.
    shipped = labels.name if args.class_names is None and labels.name != f'{name}_labels' else ''
    try:
        from_name = model_card.load_labels(shipped) if shipped else None
    except ConfigError:
        from_name = None
    return shipped if from_name == labels else f'{name}_labels.yaml'


def _faults(network: onnx.ModelProto | None) -> tuple[str, ...] | None:
    if network is None:
        return None
    findings = [each for each in check(network, _TENSORRT) if each.fault]
    return tuple(report(findings).splitlines()) if findings else ()


def _run(model: Model, size: Size) -> tuple[tuple[int, ...], float]:
    """Run one frame, or pair, through the pipeline; return unknown label ids and the time, ms."""
    pipeline = pipeline_class(model.task)(open_engine(model, EngineOptions('onnxruntime')), model)
    pictures = interface.example_pictures(2, size)
    first, second = (frame_from_picture(picture, number * _INTERVAL_NS) for number, picture in enumerate(pictures))
    pipeline.process(first)
    start = time.perf_counter()
    result = pipeline.process(second)[0]
    milliseconds = (time.perf_counter() - start) * 1e3
    if model.labels is None:
        return (), milliseconds
    known = {VOID, *(each.id for each in model.labels.classes)}
    return tuple(sorted({int(each) for each in np.unique(result)} - known)), milliseconds


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
    parser.add_argument('--tensorrt', action='store_true',
                        help=f'write NAME_tensorrt.onnx too, without the bytes that TensorRT {_TENSORRT} does not have')
    network = parser.add_argument_group('network', 'only where the file leaves a choice')
    network.add_argument('--size', nargs=2, metavar=('H', 'W'), help="of the network's picture, px; for dynamic sizes")
    network.add_argument('--input-names', nargs='+', metavar='NAME', help='the picture, or first and second picture')
    network.add_argument('--output-name', metavar='NAME', help='labels, scores or flow; other outputs are removed')
    answers = parser.add_argument_group('answers', 'asked for on a terminal where the option is not given')
    answers.add_argument('--color', metavar='ORDER', help='rgb or bgr; gray follows from the network')
    answers.add_argument('--normalise', metavar='PRESET', help=', '.join(model_card.PRESETS))
    answers.add_argument('--mean', nargs='+', metavar='X', help='instead: per channel, grey levels 0..255')
    answers.add_argument('--std', nargs='+', metavar='X', help='likewise')
    answers.add_argument('--labels', metavar='LABELS',
                         help='a label set of config/labels, its YAML, or a text file with one class name per line')
    answers.add_argument('--class-names', nargs='+', metavar='NAME', help='instead: of class 0, 1, 2 ...')
    answers.add_argument('--flow-scale', metavar='X',
                         help="network's output times this = px of its picture; 1/4.5 works")
    answers.add_argument('--license', metavar='TEXT', help='of the weights and their data')
    answers.add_argument('--description', metavar='TEXT')


def execute(args: argparse.Namespace) -> int:
    """Import, and say what was done and how to use it."""
    done = import_model(args, Interview())
    model = done.model
    file = Path(model.network_file('onnxruntime', 'fp32'))
    print(f'{file}: {done.size[0]}x{done.size[1]}, opset {done.opset}, {file.stat().st_size / 1e6:.1f} MB; '
          f"{done.difference.text} from the file's")
    print(f'{model.path}: one frame of that size took {done.milliseconds:.1f} ms through the pipeline')
    if done.removed:
        print(f'Outputs removed: {", ".join(done.removed)}')
    if done.unseen and model.labels:
        print(f'Scores not seen, behind those of the {len(model.labels.classes)} classes: {done.unseen}')
    if done.unknown_ids:
        print(f'NOTE: the label set has no class for {", ".join(map(str, done.unknown_ids))}, which the network gave')
    if done.faults:
        print(f'NOTE: TensorRT {_TENSORRT} cannot take the file for it:\n' + '\n'.join(done.faults))
    if done.opset > OPSET:
        print(f'NOTE: opset {done.opset} could not be converted to {OPSET}, the newest that TensorRT {_TENSORRT} '
              f'reads. Export the file with opset {OPSET} for it')
    path = Path(model.path).resolve()
    print(f'\nUse it:\n  ros2 launch trt_perception perception.launch.py {model.task}_model:={path}\n'
          f'  trt_perception run -p {model.task}.model:={path}\n'
          f'  trt_perception_tools evaluate {path} --data DIR')
    return 0

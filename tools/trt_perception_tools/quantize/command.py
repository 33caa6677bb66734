"""Make a network smaller and faster: FP16, or INT8 with ranges from images, in the ONNX file itself.

FP16 is for GPUs; on a CPU it only shows the effect on accuracy, and is not faster. INT8 needs images like those in
use, but never those of the test. Inputs and outputs stay unchanged.

    trt_perception_tools quantize swiftnet_camvid --precision int8 --images camvid/train --output swiftnet.int8.onnx
"""
from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
from onnx import ModelProto, TensorProto

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.model import Model, load_model, model_names
from trt_perception.core.tasks import find_task

from ..graphs.check import check, report
from ..graphs.read import foreign, read_graph
from ..graphs.runtimes import RUNTIMES, Runtime
from . import sensitivity
from .calibration import METHODS, Feeds, bag_frames, folder_frames, prepare, tensor_ranges
from .fp16 import to_fp16
from .int8 import CONVOLUTIONS, OPERATORS, quantisable, quantise
from .int8 import prepare as prepare_graph

_COMPARED = 24
"""Number of images on which results are compared."""
_CHECKED_FOR = '8.2'
_QUANTISED = frozenset({'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'ConvInteger', 'MatMulInteger',
                        'QLinearConv', 'QLinearMatMul'})


def read_network(file: Path) -> ModelProto:
    """Read an FP32 network; nodes without a name get one, by which they can be kept.

    Raises:
        ConfigError: ONNX Runtime cannot run the file, or it is in FP16 or INT8 already.
    """
    network = read_graph(file)
    kinds = sorted({node.op_type for node in network.graph.node} & _QUANTISED)
    half = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    if any(tensor.data_type in half for tensor in network.graph.initializer) or any(
            each.i in half for node in network.graph.node if node.op_type == 'Cast' for each in node.attribute):
        kinds.append('tensors in half precision')
    if kinds:
        raise ConfigError(f'{file}: it is quantised already: it has {", ".join(kinds)}. Give the FP32 file that it was '
                          'made from.')
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        ort.InferenceSession(network.SerializeToString(), settings, providers=['CPUExecutionProvider'])
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        raise ConfigError(f'{file}: ONNX Runtime {ort.__version__} cannot run it: {error}. Only networks of standard '
                          'operators can be quantised.') from error
    names: set[str] = set()
    for number, node in enumerate(network.graph.node):
        if not node.name or node.name in names:
            node.name = f'{node.op_type}_{number}'
        names.add(node.name)
    return network


def runtime_of(network: ModelProto) -> Runtime:
    """Return the runtime for which `export` wrote a graph, else onnxruntime."""
    written = {each.key: each.value for each in network.metadata_props}.get('runtime')
    return 'tensorrt' if written == 'tensorrt' else 'onnxruntime'


def save(network: ModelProto, output: Path, runtime: Runtime, properties: dict[str, str]) -> None:
    """Write a network: complete and checked, or not at all.

    Raises:
        PerceptionError: ONNX Runtime cannot open it, or it is for TensorRT, and TensorRT 8.2 does not support it.
    """
    known = {each.key: each.value for each in network.metadata_props}
    onnx.helper.set_model_props(network, {**known, 'runtime': runtime, **properties})
    onnx.checker.check_model(network, full_check=True)
    faults = [each for each in check(network, _CHECKED_FOR) if each.fault] if runtime == 'tensorrt' else []
    if faults:
        raise PerceptionError(f'{output}: TensorRT {_CHECKED_FOR} does not support the graph:\n{report(faults)}')
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent) as folder:
        unfinished = Path(folder, output.name)
        onnx.save(network, str(unfinished))
        os.replace(unfinished, output)


def _source(args: argparse.Namespace) -> tuple[Path, Model | None]:
    """Return the file to quantise, and the model that describes its input."""
    if args.network.endswith('.onnx'):
        return Path(args.network), load_model(args.model) if args.model else None
    if args.model:
        raise ConfigError(f'--model {args.model}: got the model {args.network} already. Leave one of them out.')
    model = load_model(args.network)
    return Path(model.network_file(args.runtime or RUNTIMES[0], 'fp32')), model


def _images(args: argparse.Namespace, model: Model | None, network: ModelProto, file: Path) -> list[Feeds]:
    if model is None:
        raise ConfigError(f'{file}: images are fed as the model of this network says. Give its name or YAML with '
                          '--model.')
    pairs = find_task(model.task).images == 2
    frames = folder_frames(args.images, args.count, pairs) if args.images else bag_frames(
        args.bag, args.count, pairs, args.topic)
    return prepare(model, network, frames, str(file))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('network', metavar='MODEL|FILE.onnx',
                        help=f'one of {", ".join(model_names())}, the path of a model YAML, or an FP32 ONNX file')
    parser.add_argument('--precision', choices=('fp16', 'int8'), required=True)
    parser.add_argument('--output', type=Path, metavar='FILE',
                        help='the .onnx to write; may be left out with --sensitivity')
    parser.add_argument('--model', help='for an ONNX file: the model (name or YAML) that describes its input')
    parser.add_argument('--for', dest='runtime', choices=RUNTIMES,
                        help='back-end of the graph (default: onnxruntime, or what export wrote into the ONNX file)')
    images = parser.add_mutually_exclusive_group()
    images.add_argument('--images', type=Path, metavar='DIR', help='images to find ranges on; for flow, in order')
    images.add_argument('--bag', type=Path, metavar='BAG', help='or the images of a bag')
    parser.add_argument('--topic', default='', help='of the bag (default: the only one with images)')
    parser.add_argument('--count', type=int, default=64, metavar='N',
                        help='how many of them, evenly spread (default: 64)')
    parser.add_argument('--calibration', choices=METHODS, default='entropy',
                        help='how a range follows from values (default: entropy)')
    parser.add_argument('--sensitivity', action='store_true',
                        help='print what each convolution costs when it alone is in INT8')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write these costs there too')
    parser.add_argument('--keep-fp32', nargs='+', default=[], metavar='NAME', help='convolutions that stay FP32')
    parser.add_argument('--keep-worst', type=int, default=0, metavar='N',
                        help='the N convolutions that cost most stay FP32; measures that first')


def execute(args: argparse.Namespace) -> int:
    """Write the file, and print the difference of its results from FP32."""
    if args.output is None and not args.sensitivity:
        raise ConfigError('--output: missing. Give the .onnx to write, or --sensitivity to look only.')
    for option, value, least in (('--count', args.count, 1), ('--keep-worst', args.keep_worst, 0)):
        if value < least:
            raise ConfigError(f'{option}: got {value}, expected at least {least}.')
    file, model = _source(args)
    with foreign(file, 'quantize'):
        network = read_network(file)
        return (_to_fp16 if args.precision == 'fp16' else _to_int8)(args, file, network, model)


def _to_fp16(args: argparse.Namespace, file: Path, network: ModelProto, model: Model | None) -> int:
    if args.sensitivity or args.keep_worst or args.keep_fp32:
        raise ConfigError('--sensitivity, --keep-fp32, --keep-worst: are for --precision int8. In FP16, coordinates, '
                          'sums and what follows the last convolution stay FP32 by themselves.')
    feeds = _images(args, model, network, file) if args.images or args.bag else []
    half = to_fp16(network) if model is None else to_fp16(network, model.keep_fp32)
    runtime = args.runtime or runtime_of(network)
    save(half, args.output, runtime, {'precision': 'fp16'})
    print(f'{args.output}: FP16 for {runtime}, {_size(half)} (FP32: {_size(network)})'
          + (_comparison(model, network, half, feeds) if model is not None and feeds else ''))
    return 0


def _to_int8(args: argparse.Namespace, file: Path, network: ModelProto, model: Model | None) -> int:
    if not (args.images or args.bag):
        raise ConfigError('--images or --bag: missing: INT8 needs images like those that the network will see. '
                          '`trt_perception calibrate-capture` saves them from a camera.')
    feeds = _images(args, model, network, file)
    assert model is not None
    runtime: Runtime = args.runtime or runtime_of(network)
    prepared = prepare_graph(network, runtime)
    candidates = quantisable(prepared)
    for name in args.keep_fp32:
        if name not in candidates:
            raise ConfigError(f'--keep-fp32: got {name!r}, expected of {", ".join(candidates) or "nothing"}.')
    ranges = tensor_ranges(prepared, feeds, args.calibration, OPERATORS, signed=runtime == 'tensorrt')
    compared = feeds[::max(1, -(-len(feeds) // _COMPARED))]
    kept = list(args.keep_fp32)
    if args.sensitivity or args.keep_worst:
        losses = sensitivity.measure(prepared, ranges, runtime, model, compared)
        print(sensitivity.table(losses, model))
        if args.json:
            args.json.write_text(sensitivity.as_json(losses), encoding='utf-8')
        kept += [each.name for each in losses[:args.keep_worst]]
    if args.output is None:
        return 0
    quantised = quantise(prepared, ranges, runtime, kept)
    save(quantised, args.output, runtime,
         {'precision': 'int8', 'calibration': f'{args.calibration}, {len(feeds)} images'})
    inside = len(set(candidates) - set(kept))
    print(f'{args.output}: INT8 for {runtime}, {_size(quantised)} (FP32: {_size(network)}), {inside} convolutions in '
          f'INT8, {sum(node.op_type in CONVOLUTIONS for node in prepared.graph.node) - inside} in FP32; '
          f'{args.calibration} on {len(feeds)} images'
          + _comparison(model, network, quantised, compared))
    return 0


def _size(network: ModelProto) -> str:
    return f'{network.ByteSize() / 1e6:.1f} MB'


def _comparison(model: Model, network: ModelProto, changed: ModelProto, feeds: Sequence[Feeds]) -> str:
    reference, results = (sensitivity.run(each, model, feeds) for each in (network, changed))
    value = sensitivity.difference(model, reference, results)
    return f'\nagainst FP32 on {len(feeds)} of these images: {sensitivity.as_text(model, value)}'

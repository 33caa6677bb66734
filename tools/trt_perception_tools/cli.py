"""The command `trt_perception_tools` and the table of its verbs."""
from __future__ import annotations

import argparse
import importlib
import sys
from typing import NamedTuple

from trt_perception.core.errors import ConfigError, PerceptionError


class Verb(NamedTuple):
    """A command: a module of this package with `add_arguments(parser)` and `execute(args)`, and a line of help."""

    module: str
    help: str


VERBS = {
    'export': Verb('export.to_onnx', 'export a network with its published weights to ONNX'),
    'to-tflite': Verb('export.to_tflite',
                      'export a network with its published weights to TensorFlow Lite, quantised or not'),
    'import-model': Verb('import_model.command',
                         'import a third-party network: ONNX, TensorFlow frozen graph or TFLite'),
    'check-onnx': Verb('graphs.check', 'list what TensorRT 8.2 to 11 does not support in an ONNX file'),
    'slim-onnx': Verb('graphs.slim', 'simplify an ONNX file, and remove unused outputs'),
    'share-weights': Verb('graphs.share_weights', 'store the common weights of several ONNX files once'),
    'quantize': Verb('quantize.command', 'make an FP16 or INT8 network from an FP32 one'),
    'describe-network': Verb('export.describe_network',
                             'count parameters, operations and layers before and after export'),
    'estimate': Verb('estimate.command', 'estimate the time of a network on a board you do not have'),
    'golden': Verb('export.golden', 'store the result of a network for an image, to check TensorRT engines'),
    'evaluate': Verb('evaluate.command', 'score models on a dataset, through the deployed pipeline'),
    'export-dataset': Verb('export_dataset.command', 'write recorded results as PNG labels, COCO, KITTI or Middlebury'),
    'overlay': Verb('evaluate.overlay', 'show the result of a model for an image or a pair: labels or flow in colours'),
    'calibrate': Verb('evaluate.calibrate', 'calibrate the confidence of labels on held-out images'),
    'bench': Verb('bench.command', 'measure times as trt_perception bench does, with PyTorch as well'),
    'report': Verb('report.command', 'make a page with plots from the results of a bench'),
    'train': Verb('train.command', 'train a network by a recipe and keep its best weights'),
    'balance': Verb('train.balance', 'shift the scores of each class to raise the mean IoU'),
    'prune': Verb('train.prune', 'remove channels of a trained network and fine-tune it'),
    'view': Verb('view.command', 'look at a recording or at live topics in Rerun, in a browser'),
    'compare': Verb('compare.command', 'compare two recordings of the same images, or one with ground truth'),
    'process': Verb('fleet.command', 'process many bags, on a Ray cluster or here, without doing work twice'),
    'soak': Verb('soak.command', 'run the node with injected faults, and check it against limits'),
    'demo': Verb('demo.command', 'run the nodes on a street clip and make images of their results'),
    'street-bag': Verb('demo.street_bag', "make the demo's clip from a video"),
    'readme': Verb('readme', 'renew the generated parts of the documentation and of config/'),
}

PACKAGES = {'rerun': 'rerun-sdk', 'ray': "'ray[data]'"}
"""Package to install for a module of another name."""


def main(argv: list[str] | None = None) -> int:
    """Run a verb and return its exit status: 2 when the user must change something first."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog='trt_perception_tools', description='Offline tools of trt_perception.')
    verbs = parser.add_subparsers(dest='verb', metavar='VERB')
    chosen = None
    try:
        for name, entry in VERBS.items():
            verb = verbs.add_parser(name, help=entry.help, formatter_class=argparse.RawDescriptionHelpFormatter)
            if name in argv[:1]:  # Only this one is imported: torch takes seconds and may not be installed.
                chosen = importlib.import_module('.' + entry.module, __package__)
                verb.description = chosen.__doc__
                chosen.add_arguments(verb)
        args = parser.parse_args(argv)
        if chosen is None:
            parser.print_help()
            return 2
        return int(chosen.execute(args))
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('trt_perception'):
            raise
        package = PACKAGES.get(error.name or '', error.name)
        return _refused(argv[0], ConfigError(f'needs the Python package {package}, which is not installed. Run: pip '
                                             f'install {package}'))
    except PerceptionError as error:
        return _refused(argv[0], error)
    except OSError as error:  # A path on the command line, or a full disk.
        reason = f'{error.filename or "output"}: {error.strerror or error}'
        return _refused(argv[0], ConfigError(f'{reason}. Give a path that can be read, or written, with enough space.'))
    except KeyboardInterrupt:
        return 130


def _refused(verb: str, error: PerceptionError) -> int:
    print(f'trt_perception_tools {verb}: {type(error).__name__}: {error}', file=sys.stderr)
    return 2

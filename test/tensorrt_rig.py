"""TensorRT on a GPU for tests: the doubles, found by this process and by the children that it starts; tiny networks."""
import importlib
import json
import os
import sys

import networks
import numpy as np
from networks import CLASSES, save_network, write_yaml
from onnx import helper

from trt_perception.core.model import load_model
from trt_perception.engines import tensorrt

DOUBLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'doubles')

# They look at TensorRT and pycuda when they are imported.
_OURS = ('cuda', 'log', 'context', 'file', 'engine', 'callbacks', 'layers', 'build')
_THEIRS = ('tensorrt', 'pycuda', 'pycuda.driver', 'pycuda.compiler', 'the_gpu')


class TensorRT:
    """Puts a GPU with TensorRT of a generation into this process and into its children.

    Args:
        kernels: folder for the compiled kernels; '' = engines are built and opened, but not run.
    """

    def __init__(self, monkeypatch, folder, kernels=''):
        self._monkeypatch = monkeypatch
        self._kernels = str(kernels)
        self.journal = str(folder / 'journal')
        self.cache = str(folder / 'cache')
        monkeypatch.setenv('XDG_CACHE_HOME', str(folder / 'no_cache'))
        monkeypatch.setenv('PYTHONPATH', DOUBLES)
        monkeypatch.syspath_prepend(DOUBLES)

    def use(self, generation='8.6', gpu=None, **builder):
        """Return the state of the builders (tensorrt_builder_double.BuilderState) of this process's GPU."""
        self.forget()
        self._monkeypatch.setenv('TENSORRT_DOUBLE', json.dumps({
            'generation': generation, 'gpu': gpu or {}, 'kernels': self._kernels,
            'builder': dict(builder, journal=self.journal)}))
        return importlib.import_module('the_gpu').GPU.builder

    @staticmethod
    def forget():
        """Forget the doubles, and our modules that have seen them."""
        for name in _THEIRS:
            sys.modules.pop(name, None)
        for name in _OURS:
            sys.modules.pop('trt_perception.engines.tensorrt.' + name, None)
            vars(tensorrt).pop(name, None)

    @property
    def builds(self):
        """What each build was asked for, oldest first, in whichever process."""
        if not os.path.exists(self.journal):
            return []
        with open(self.journal) as file:
            return [json.loads(line) for line in file]


def children_of(pid):
    with open('/proc/{0}/task/{0}/children'.format(pid)) as file:
        return [int(number) for number in file.read().split()]


def segmentation_model(folder, size=(6, 8), gain=(1, 1, 1), files=None, name='tiny'):
    """Write a segmentation network with the TensorRT head and return its model.

    The label of a pixel is the index of its largest channel, each multiplied by its `gain`.

    Args:
        files: of the YAML; None = the network, in fp32, for TensorRT and for ONNX Runtime.
    """
    nodes = [helper.make_node('Mul', ['image', 'gain'], ['weighted'], name='/head/Mul'),
             helper.make_node('ArgMax', ['weighted'], ['index'], name='/head/ArgMax', axis=1, keepdims=0),
             helper.make_node('Cast', ['index'], ['labels'], name='/head/Cast', to=6)]
    save_network(folder / (name + '.onnx'), nodes, [('image', 'float32', [1, 3] + list(size))],
                 [('labels', 'int32', [1] + list(size))],
                 [('gain', np.array(gain, np.float32).reshape(1, 3, 1, 1))])
    write_yaml(folder / 'tiny_labels.yaml', {'classes': CLASSES})
    return load_model(write_yaml(folder / (name + '.yaml'), {
        'task': 'segmentation', 'description': 'brightest channel', 'license': 'none', 'labels': 'tiny_labels.yaml',
        'files': files or {'tensorrt': {'fp32': name + '.onnx'}},
        'input': {'names': ['image'], 'color': 'rgb'}, 'output': {'labels': 'labels'}}))


def flow_model(folder, size=(6, 8), gain=1.0, name='flow'):
    """Write a flow network with the TensorRT head and return its model: u and v are the two grey levels times `gain`.

    Its first layer has a name that must stay FP32.
    """
    nodes = [helper.make_node('Concat', ['first', 'second'], ['both'], name='/warp/coordinates/Concat', axis=1),
             helper.make_node('Cast', ['both'], ['whole'], name='/warp/coordinates/Cast', to=6),
             helper.make_node('Cast', ['whole'], ['levels'], name='/warp/Cast', to=1),
             helper.make_node('Mul', ['levels', 'gain'], ['flow'], name='/head/Mul')]
    shape = [1, 1] + list(size)
    save_network(folder / (name + '.onnx'), nodes, [('first', 'float32', shape), ('second', 'float32', shape)],
                 [('flow', 'float32', [1, 2] + list(size))], [('gain', np.float32(gain))])
    return load_model(write_yaml(folder / (name + '.yaml'), {
        'task': 'optical_flow', 'description': 'grey levels', 'license': 'none',
        'files': {'tensorrt': {'fp32': name + '.onnx'}}, 'keep_fp32': ['/coordinates'],
        'input': {'names': ['first', 'second'], 'color': 'gray'}, 'output': {'flow': 'flow'}}))


def model_of_both_runtimes(folder, task):
    """Write a network for ONNX Runtime and one for TensorRT that do the same, and return the model with both."""
    if task == 'segmentation':
        segmentation_model(folder, name='on_tensorrt')
        fields, write = networks.segmentation_fields(), networks.segmentation_model
        del fields['output']['confidence']
    else:
        flow_model(folder, name='on_tensorrt')
        fields, write = networks.flow_fields(), networks.flow_model
    fields['files']['tensorrt'] = {'fp32': 'on_tensorrt.onnx'}
    return write(folder, fields=fields)

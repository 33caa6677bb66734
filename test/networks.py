"""Tiny real ONNX networks whose outputs are plain functions of their inputs, each with a model YAML beside it.

Only the weights are made up: the files, the engines and the pipelines that run them are the real ones.
"""
import os
import time

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.engines import EngineOptions, open_engine

TASKS = (SEGMENTATION, OPTICAL_FLOW)
"""Those that it writes networks for; there may be others."""

CLASSES = [{'id': 0, 'name': 'reddish', 'color': [255, 0, 0]},
           {'id': 1, 'name': 'greenish', 'color': [0, 255, 0]},
           {'id': 2, 'name': 'bluish', 'color': [0, 0, 255]}]

_TYPES = {'uint8': TensorProto.UINT8, 'float32': TensorProto.FLOAT, 'float16': TensorProto.FLOAT16,
          'int32': TensorProto.INT32, 'int64': TensorProto.INT64, 'bool': TensorProto.BOOL}


def segmentation_fields():
    """Return the fields of the YAML of `segmentation_model`, to be changed by a test."""
    return {'task': 'segmentation', 'description': 'brightest channel', 'license': 'none',
            'files': {'onnxruntime': {'fp32': 'tiny.onnx'}}, 'labels': 'tiny_labels.yaml',
            'input': {'names': ['image'], 'color': 'rgb', 'mean': [0, 0, 0], 'std': [1, 1, 1]},
            'output': {'labels': 'labels', 'confidence': 'confidence'}}


def flow_fields():
    """Return the fields of the YAML of `flow_model`, to be changed by a test."""
    return {'task': 'optical_flow', 'description': 'grey levels of both images', 'license': 'none',
            'files': {'onnxruntime': {'fp32': 'tiny.onnx'}},
            'input': {'names': ['first', 'second'], 'color': 'gray', 'mean': [0], 'std': [1]},
            'output': {'flow': 'flow'}}


def write_yaml(path, content):
    """Write a value, or text as it is, and return the path as text."""
    with open(str(path), 'w') as file:
        file.write(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def write_model(folder, fields):
    """Write tiny.yaml and its label set into a folder and return the path of tiny.yaml."""
    write_yaml(folder / 'tiny_labels.yaml', {'classes': CLASSES})
    return write_yaml(folder / 'tiny.yaml', fields)


def save_network(path, nodes, inputs, outputs, constants=()):
    """Write an ONNX file of opset 13.

    Args:
        inputs, outputs: (name, type name, shape) each.
        constants: (name, array) each.
    """
    graph = helper.make_graph(
        nodes, 'tiny', *[[helper.make_tensor_value_info(name, _TYPES[kind], shape) for name, kind, shape in values]
                         for values in (inputs, outputs)],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def segmentation_model(folder, size=(6, 8), layout='NHWC', kind='uint8', labels='uint8', channels=3, batch=1,
                       labels_shape=None, confidence='uint8', confidence_size=None, fields=None):
    """Write a segmentation network and return its model.

    The label is the index of the largest input channel, the confidence that channel's value within 0..255.

    Args:
        size: of the input, px; a text makes that side dynamic.
        labels: type of the output `labels`; float32 = the scores themselves.
        labels_shape: of the output `labels`; None = (1, H, W).
        confidence: type of the output `confidence`.
        confidence_size: of the output `confidence`; None = that of the input.
    """
    last = layout == 'NHWC'
    nodes = [] if last else [helper.make_node('Transpose', ['image'], ['pixels'], perm=[0, 2, 3, 1])]
    nodes += [helper.make_node('Cast', ['image' if last else 'pixels'], ['float'], to=TensorProto.FLOAT),
              helper.make_node('MatMul', ['float', 'weights'], ['scores']),
              helper.make_node('ReduceMax', ['scores'], ['largest'], axes=[3], keepdims=0),
              helper.make_node('Clip', ['largest', 'zero', 'full'], ['clipped'])]
    constants = [('weights', np.eye(channels, dtype=np.float32)), ('zero', np.float32(0)), ('full', np.float32(255))]
    if confidence_size is None:
        nodes.append(helper.make_node('Cast', ['clipped'], ['confidence'], to=_TYPES[confidence]))
    else:
        nodes += [helper.make_node('Slice', ['clipped', 'begin', 'end', 'axes'], ['part']),
                  helper.make_node('Cast', ['part'], ['confidence'], to=_TYPES[confidence])]
        constants += [('begin', np.array([0, 0])), ('end', np.array(confidence_size)), ('axes', np.array([1, 2]))]
    shape = [batch] + list(size)
    if labels == 'float32':
        nodes.append(helper.make_node('Identity', ['scores'], ['labels']))
        labels_shape = shape + [channels]
    else:
        nodes += [helper.make_node('ArgMax', ['scores'], ['index'], axis=3, keepdims=0),
                  helper.make_node('Cast', ['index'], ['flat'], to=_TYPES[labels])]
        if labels_shape is None:
            labels_shape = shape
            nodes.append(helper.make_node('Identity', ['flat'], ['labels']))
        else:
            nodes.append(helper.make_node('Reshape', ['flat', 'shape'], ['labels']))
            constants.append(('shape', np.array(labels_shape, np.int64)))
    image = shape + [channels] if last else [batch, channels] + list(size)
    save_network(folder / 'tiny.onnx', nodes, [('image', kind, image)],
                 [('labels', labels, labels_shape),
                  ('confidence', confidence, [batch] + list(confidence_size or size))], constants)
    return load_model(write_model(folder, fields or segmentation_fields()))


def flow_model(folder, size=(6, 8), layout='NHWC', output_layout='NHWC', kind='uint8', stride=1, divide=False,
               confidence='', fields=None):
    """Write an optical-flow network and return its model.

    Its u is the grey level of the first image, its v that of the second: an output tells which frame went where.

    Args:
        confidence: type of an output `confidence`, (1, H, W), the grey level of the first image; '' = none.
        stride: the output is the top left pixel of every block of this many pixels, as (H / stride, W / stride).
        divide: u is first / second instead: 0 / 0 gives NaN, 1 / 0 infinity.
    """
    axis = 3 if layout == 'NHWC' else 1
    nodes = [helper.make_node('Cast', [name], [name + ' float'], to=TensorProto.FLOAT) for name in ('first', 'second')]
    u = 'first float'
    if divide:
        nodes.append(helper.make_node('Div', ['first float', 'second float'], ['ratio']))
        u = 'ratio'
    nodes += [helper.make_node('Concat', [u, 'second float'], ['both'], axis=axis),
              helper.make_node('Slice', ['both', 'begin', 'end', 'axes', 'steps'], ['part'])]
    if layout == output_layout:
        nodes.append(helper.make_node('Identity', ['part'], ['flow']))
    else:
        nodes.append(helper.make_node('Transpose', ['part'], ['flow'],
                                      perm=[0, 3, 1, 2] if layout == 'NHWC' else [0, 2, 3, 1]))
    small = [side // stride for side in size]
    shape = [1] + list(size) + [1] if layout == 'NHWC' else [1, 1] + list(size)
    outputs = [('flow', 'float32', [1] + small + [2] if output_layout == 'NHWC' else [1, 2] + small)]
    constants = [('begin', np.array([0, 0])), ('end', np.array(size)), ('steps', np.array([stride, stride])),
                 ('axes', np.array([1, 2] if layout == 'NHWC' else [2, 3]))]
    fields = fields or flow_fields()
    if confidence:
        nodes += [helper.make_node('Reshape', ['first', 'map'], ['flat']),
                  helper.make_node('Cast', ['flat'], ['confidence'], to=_TYPES[confidence])]
        outputs.append(('confidence', confidence, [1] + list(size)))
        constants.append(('map', np.array([1] + list(size))))
        fields['output']['confidence'] = 'confidence'
    save_network(folder / 'tiny.onnx', nodes, [('first', kind, shape), ('second', kind, shape)], outputs, constants)
    return load_model(write_model(folder, fields))


def ros_arguments(folder):
    """Write a model of each task, each into a folder of its own, and return the ROS arguments that choose them."""
    arguments = []
    for task, make in zip(TASKS, (segmentation_model, flow_model)):
        (folder / task).mkdir()
        make(folder / task)
        arguments += ['-p', '{0}.model:={1}/{0}/tiny.yaml'.format(task, folder)]
    return arguments


def network_path(model):
    """Return the path of a tiny model's ONNX file, as error texts write it."""
    return os.path.join(os.path.dirname(model.path), 'tiny.onnx')


def slow_segmentation_model(folder, layers, size=(120, 160), channels=16):
    """Write a segmentation network that works hard for its result, and return its model.

    As `segmentation_model`, but between input and scores there are `layers` dense 3x3 convolutions, each of which
    gives back what it is given: the label of a pixel stays the index of its largest channel.
    """
    first = np.zeros((channels, 3, 1, 1), np.float32)
    first[range(3), range(3)] = 1
    same = np.zeros((channels, channels, 3, 3), np.float32)
    same[range(channels), range(channels), 1, 1] = 1
    nodes = [helper.make_node('Transpose', ['image'], ['planes'], perm=[0, 3, 1, 2]),
             helper.make_node('Cast', ['planes'], ['float'], to=TensorProto.FLOAT),
             helper.make_node('Conv', ['float', 'first'], ['layer 0'])]
    nodes += [helper.make_node('Conv', ['layer {}'.format(n), 'same'], ['layer {}'.format(n + 1)], pads=[1, 1, 1, 1])
              for n in range(layers)]
    nodes += [helper.make_node('ArgMax', ['layer {}'.format(layers)], ['index'], axis=1, keepdims=0),
              helper.make_node('Cast', ['index'], ['labels'], to=TensorProto.UINT8)]
    save_network(folder / 'tiny.onnx', nodes, [('image', 'uint8', [1] + list(size) + [3])],
                 [('labels', 'uint8', [1] + list(size))], [('first', first), ('same', same)])
    fields = segmentation_fields()
    del fields['output']['confidence']
    return load_model(write_model(folder, fields))


def segmentation_model_that_takes(folder, milliseconds):
    """Write a `slow_segmentation_model` that takes about so much CPU time here, and return its number of layers."""
    few, many = 4, 24
    few_ms, many_ms = (_cpu_ms(slow_segmentation_model(folder, layers)) for layers in (few, many))
    per_layer_ms = max((many_ms - few_ms) / (many - few), 0.05)
    layers = max(1, round(few + (milliseconds - few_ms) / per_layer_ms))
    slow_segmentation_model(folder, layers)
    return layers


def _cpu_ms(model, runs=30):
    """Return the least CPU time of some runs on one thread: unlike wall time, other programs make it little longer."""
    engine = open_engine(model, EngineOptions(num_threads=1))
    engine.put_image('image', frame_from_array(np.zeros((480, 640, 3), np.uint8)))
    times_ms = []
    for _ in range(runs):
        began_s = time.thread_time()
        engine.infer()
        times_ms.append((time.thread_time() - began_s) * 1e3)
    engine.close()
    return min(times_ms)


def logits_network(path):
    """Write a network whose scores are its input, (1, 3, 24, 32) float32, and return its path as text."""
    save_network(path, [helper.make_node('Identity', ['image'], ['scores'])],
                 [('image', 'float32', [1, 3, 24, 32])], [('scores', 'float32', [1, 3, 24, 32])])
    return str(path)

"""The tiny networks of `networks`, as real TFLite files: written with the schema that comes with ai_edge_litert."""
import flatbuffers
import networks
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from trt_perception.core.model import load_model

_TYPES = {'float32': schema.TensorType.FLOAT32, 'uint8': schema.TensorType.UINT8, 'int8': schema.TensorType.INT8,
          'int32': schema.TensorType.INT32}


class Network:
    """Collects tensors and operators of a graph."""

    def __init__(self):
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model = schema.ModelT()
        self._model.version, self._model.subgraphs = 3, [self._graph]
        self._model.operatorCodes, self._model.buffers = [], [schema.BufferT()]
        self._numbers = {}

    def tensor(self, name, kind, shape, quantisation=None, signature=None, data=None):
        """Add a tensor and return its name.

        Args:
            quantisation: (scale, zero point).
            signature: the shape with -1 where it is open.
            data: of a constant.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape, tensor.buffer = name, _TYPES[kind], list(shape), 0
        if signature is not None:
            tensor.shapeSignature = list(signature)
        if quantisation is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantisation[0]], [quantisation[1]]
        if data is not None:
            tensor.buffer = len(self._model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(data, kind).tobytes(), np.uint8)
            self._model.buffers.append(buffer)
        self._numbers[name] = len(self._graph.tensors)
        self._graph.tensors.append(tensor)
        return name

    def operator(self, kind, inputs, output, version=1, **options):
        """Add an operator of the schema's name `kind`; `options` are the fields of its options."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), version
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes)
        operator.inputs, operator.outputs = [self._numbers[name] for name in inputs], [self._numbers[output]]
        words = {'ARG_MAX': 'ArgMaxOptions', 'CONCATENATION': 'ConcatenationOptions', 'REDUCE_MAX': 'ReducerOptions',
                 'GATHER': 'GatherOptions'}
        if kind in words:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, words[kind])
            operator.builtinOptions = getattr(schema, words[kind] + 'T')()
            for name, value in options.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        self._model.operatorCodes.append(code)
        self._graph.operators.append(operator)

    def save(self, path, inputs, outputs):
        """Write the file."""
        self._graph.inputs = [self._numbers[name] for name in inputs]
        self._graph.outputs = [self._numbers[name] for name in outputs]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self._model.Pack(builder), b'TFL3')
        with open(str(path), 'wb') as file:
            file.write(builder.Output())


def segmentation_model(folder, size=(6, 8), kind='uint8', quantisation=None, channels=3, batch=1, signature=None,
                       fields=None):
    """Write a segmentation network and return its model.

    The label is the index of the largest input channel, the confidence that channel's value.

    Args:
        quantisation: (scale, zero point) of an input of 8 bits.
        signature: of the input, with -1 where it is open.
    """
    shape = [batch] + list(size)
    network = Network()
    network.tensor('image', kind, shape + [channels], quantisation, signature)
    scores = network.tensor('scores', 'float32', shape + [channels])
    network.operator('DEQUANTIZE' if quantisation else 'CAST', ['image'], scores, 2 if kind == 'int8' else 1)
    network.tensor('axis', 'int32', [1], data=[3])
    network.tensor('index', 'int32', shape)
    network.tensor('labels', 'uint8', shape)
    network.operator('ARG_MAX', [scores, 'axis'], 'index', outputType=schema.TensorType.INT32)
    network.operator('CAST', ['index'], 'labels')
    network.tensor('largest', 'float32', shape)
    network.tensor('confidence', 'uint8', shape)
    network.operator('REDUCE_MAX', [scores, 'axis'], 'largest')
    network.operator('CAST', ['largest'], 'confidence')
    network.save(folder / 'tiny.tflite', ['image'], ['labels', 'confidence'])
    return load_model(networks.write_model(folder, fields or segmentation_fields()))


def flow_model(folder, size=(6, 8), layout='NHWC', first=None, second=None, output=None, kind='int8', fields=None):
    """Write an optical-flow network and return its model.

    Its u is the value of the first image, its v that of the second.

    Args:
        first, second, output: quantisation of the images and of the flow, (scale, zero point); None = float32.
        kind: of what is quantised.
    """
    shape = [1] + list(size) + [1] if layout == 'NHWC' else [1, 1] + list(size)
    axis = 3 if layout == 'NHWC' else 1
    network = Network()
    both = []
    for name, quantisation in (('first', first), ('second', second)):
        network.tensor(name, kind if quantisation else 'float32', shape, quantisation)
        both.append(name)
        if quantisation:
            both[-1] = network.tensor(name + ' float', 'float32', shape)
            network.operator('DEQUANTIZE', [name], both[-1], 2 if kind == 'int8' else 1)
    shape[axis] = 2
    whole = network.tensor('whole' if output else 'flow', 'float32', shape)
    network.operator('CONCATENATION', both, whole, axis=axis)
    if output:
        network.tensor('flow', kind, shape, output)
        network.operator('QUANTIZE', [whole], 'flow')
    network.save(folder / 'tiny.tflite', ['first', 'second'], ['flow'])
    return load_model(networks.write_model(folder, fields or flow_fields()))


def segmentation_fields(precision='fp32'):
    """Return the fields of the YAML of `segmentation_model`, to be changed by a test."""
    return dict(networks.segmentation_fields(), files={'tflite': {precision: 'tiny.tflite'}})


def flow_fields(precision='fp32'):
    """Return the fields of the YAML of `flow_model`, to be changed by a test."""
    return dict(networks.flow_fields(), files={'tflite': {precision: 'tiny.tflite'}})


def network_path(model):
    """Return the path of a tiny model's TFLite file, as error texts write it."""
    return networks.network_path(model)[:-len('onnx')] + 'tflite'

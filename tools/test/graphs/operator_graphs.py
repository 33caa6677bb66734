"""Small graphs, one per ONNX operator and type, to hold tables and a parser to."""
from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

TYPES = {'FP32': TensorProto.FLOAT, 'FP16': TensorProto.FLOAT16, 'BF16': TensorProto.BFLOAT16,
         'INT8': TensorProto.INT8, 'UINT8': TensorProto.UINT8, 'INT32': TensorProto.INT32, 'INT64': TensorProto.INT64,
         'BOOL': TensorProto.BOOL}
"""As the tables name them."""

_IMAGE = 'T[1,4,6,6]'


def _each(operators: str, text: str) -> dict[str, str]:
    return dict.fromkeys(operators.split(), text)


_OPERATORS: dict[str, str] = {
    **_each(
        'Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Det Dropout Elu Erf Exp Floor Gelu GlobalAveragePool '
        'GlobalLpPool GlobalMaxPool HardSigmoid HardSwish Hardmax Identity IsInf IsNaN LeakyRelu Log LogSoftmax '
        'LpNormalization MeanVarianceNormalization Mish Neg NonZero Not RandomNormalLike RandomUniformLike Reciprocal '
        'Relu Round Selu Shape Shrink Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign Sqrt Swish Tan Tanh '
        'ThresholdedRelu Transpose Flatten BitwiseNot', f'x:{_IMAGE}'),
    **_each(
        'Add And Div Equal Greater GreaterOrEqual Less LessOrEqual MatMul Max Mean Min Mul Or PRelu Pow Sub Sum Xor '
        'BitwiseAnd BitwiseOr BitwiseXor', f'x:{_IMAGE} z:{_IMAGE}'),
    **_each(
        'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum '
        'ReduceSumSquare', f'x:{_IMAGE} axes={{1}}'),
    **_each('AveragePool LpPool MaxPool', f'x:{_IMAGE} kernel_shape:=[2,2]'),
    'AffineGrid': 'x:T[1,2,3] size={1,4,6,6}',
    'ArgMax': f'x:{_IMAGE} axis:=1',
    'ArgMin': f'x:{_IMAGE} axis:=1',
    'Attention': 'q:T[1,2,64,64] k:T[1,2,64,64] v:T[1,2,64,64]',
    'BatchNormalization': f'x:{_IMAGE} scale=T[4] bias=T[4] mean=T[4] variance=T[4]',
    'BitShift': f'x:{_IMAGE} z:{_IMAGE} direction:="LEFT"',
    'BlackmanWindow': 'size=8 output_datatype:=T',
    'Cast': f'x:{_IMAGE} to:=1',
    'CastLike': f'x:{_IMAGE} z:FLOAT[1]',
    'Clip': f'x:{_IMAGE} low=T[] high=T[]',
    'Col2Im': 'x:T[1,4,9] image={4,4} block={2,2}',
    'Compress': f'x:{_IMAGE} which=BOOL[4] axis:=1',
    'Concat': f'x:{_IMAGE} z:{_IMAGE} axis:=1',
    'Constant': 'value:=T[2]',
    'ConstantOfShape': 'shape={1,4} value:=T[1]',
    'Conv': f'x:{_IMAGE} w=T[4,4,3,3]',
    'ConvTranspose': f'x:{_IMAGE} w=T[4,4,2,2] strides:=[2,2]',
    'CumProd': f'x:{_IMAGE} axis={{1}}',
    'CumSum': f'x:{_IMAGE} axis=1',
    'DeformConv': f'x:{_IMAGE} w=T[4,4,3,3] offset:T[1,18,4,4]',
    'DepthToSpace': f'x:{_IMAGE} blocksize:=2',
    'DequantizeLinear': f'x:{_IMAGE} scale=FLOAT[]',
    'Einsum': 'x:T[2,3] z:T[3,2] equation:="ij,jk->ik"',
    'Expand': 'x:T[1,4] shape={3,4}',
    'EyeLike': 'x:T[3,4]',
    'GRU': 'x:T[3,1,4] w=T[1,15,4] r=T[1,15,5] hidden_size:=5',
    'Gather': f'x:{_IMAGE} indices={{0,2}} axis:=1',
    'GatherElements': 'x:T[2,3] indices=INT64[2,3] axis:=1',
    'GatherND': 'x:T[2,3] indices=INT64[2,1]',
    'Gemm': 'x:T[2,3] z=T[3,4]',
    'GridSample': f'x:{_IMAGE} grid:T[1,5,5,2]',
    'GroupNormalization': f'x:{_IMAGE} scale=T[4] bias=T[4] num_groups:=2',
    'HammingWindow': 'size=8 output_datatype:=T',
    'HannWindow': 'size=8 output_datatype:=T',
    'InstanceNormalization': f'x:{_IMAGE} scale=T[4] bias=T[4]',
    'LRN': f'x:{_IMAGE} size:=3',
    'LSTM': 'x:T[3,1,4] w=T[1,20,4] r=T[1,20,5] hidden_size:=5',
    'LayerNormalization': f'x:{_IMAGE} scale=T[6] bias=T[6]',
    'Mod': f'x:{_IMAGE} z:{_IMAGE} fmod:=1',
    'NonMaxSuppression': 'boxes:T[1,6,4] scores:T[1,1,6] most={3}',
    'OneHot': 'indices:INT64[4] depth=4 values=T[2]',
    'Pad': f'x:{_IMAGE} pads={{0,0,1,1,0,0,1,1}}',
    'QuantizeLinear': f'x:{_IMAGE} scale=FLOAT[] zero=INT8[]',
    'RMSNormalization': f'x:{_IMAGE} scale=T[6]',
    'RNN': 'x:T[3,1,4] w=T[1,5,4] r=T[1,5,5] hidden_size:=5',
    'RandomNormal': 'shape:=[2,3] dtype:=T',
    'RandomUniform': 'shape:=[2,3] dtype:=T',
    'Range': 'start=T[] limit=T[] delta=T[]',
    'Reshape': f'x:{_IMAGE} shape={{4,36}}',
    'Resize': f'x:{_IMAGE} roi=FLOAT[0] scales=FLOAT{{1,1,2,2}} mode:="linear"',
    'ReverseSequence': 'x:T[4,2] lengths={1,2}',
    'RoiAlign': f'x:{_IMAGE} rois:T[2,4] batch={{0,0}}',
    'RotaryEmbedding': 'x:T[1,2,4,8] cos:T[1,4,4] sin:T[1,4,4]',
    'STFT': 'x:T[1,32,1] step=8 window=T[16]',
    'ScatterElements': 'x:T[2,3] indices=INT64[1,3] z:T[1,3]',
    'ScatterND': 'x:T[2,3] indices=INT64[2,1] z:T[2,3]',
    'Slice': f'x:{_IMAGE} start={{1}} end={{3}} axis={{2}}',
    'SpaceToDepth': f'x:{_IMAGE} blocksize:=2',
    'Split': f'x:{_IMAGE} num_outputs:=2 axis:=1',
    'Squeeze': f'x:{_IMAGE} axes={{0}}',
    'TensorScatter': 'x:T[1,2,4,8] z:T[1,2,1,8] index={0}',
    'Tile': 'x:T[2,3] times={1,2}',
    'TopK': f'x:{_IMAGE} count={{2}} axis:=1',
    'Trilu': 'x:T[3,4]',
    'Unique': 'x:T[8]',
    'Unsqueeze': f'x:{_IMAGE} axes={{0}}',
    'Where': f'c:BOOL[1,4,6,6] x:{_IMAGE} z:{_IMAGE}',
}
"""Operator -> inputs (`name:TYPE[shape]`), initialisers (`name=TYPE[shape]`, of ones, or `name={values}`, of INT64) and
attributes (`name:=value`); T is the type in question."""

_OUTPUTS = {'Split': 2, 'TopK': 2}
_NEEDS_OPSET = {'Swish': 24, 'TensorScatter': 24, 'Attention': 23, 'RMSNormalization': 23, 'RotaryEmbedding': 23,
                'GroupNormalization': 21, 'CumProd': 26}
_OPSET = 20


def graphs() -> Iterator[tuple[str, str, ModelProto]]:
    """Yield operator, type and graph, of all pairs that ONNX knows."""
    for operator in sorted(_OPERATORS):
        for dtype in TYPES:
            model = graph(operator, dtype)
            if model is not None:
                yield operator, dtype, model


def graph(operator: str, dtype: str) -> ModelProto | None:
    """Return the graph of one operator, or None where ONNX has no such operator for that type."""
    inputs, initialisers, attributes, names = [], [], {}, []
    for name, kind, text in re.findall(r'(\w+)(:=|:|=)(\S+)', _OPERATORS[operator]):
        if kind == ':=':
            attributes[name] = _attribute(text, dtype)
            continue
        # An optional input that is not there has no name.
        names.append('' if text.endswith('[0]') else name)
        if kind == ':':
            inputs.append(helper.make_tensor_value_info(name, *_type_and_shape(text, dtype)))
        elif names[-1]:
            initialisers.append(_initialiser(name, text, dtype))
    outputs = [f'y{number}' for number in range(_OUTPUTS.get(operator, 1))]
    node = helper.make_node(operator, names, outputs, name=operator, **attributes)
    opset = helper.make_opsetid('', _NEEDS_OPSET.get(operator, _OPSET))
    model = helper.make_model(helper.make_graph([node], operator, inputs, [
        helper.make_value_info(name, onnx.TypeProto()) for name in outputs], initialisers),
        opset_imports=[opset], ir_version=10)
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return None
    return model


def _type_and_shape(text: str, dtype: str) -> tuple[int, list[int]]:
    name, shape = text.rstrip(']').split('[')
    return _type(name, dtype), [int(side) for side in shape.split(',') if side]


def _type(name: str, dtype: str) -> int:
    return TYPES[dtype] if name == 'T' else int(TensorProto.DataType.Value(name))


def _initialiser(name: str, text: str, dtype: str) -> TensorProto:
    if text.isdecimal():
        return helper.make_tensor(name, TensorProto.INT64, [], [int(text)])
    if text.endswith('}'):
        kind, values = text.rstrip('}').split('{')
        numbers = [float(value) for value in values.split(',')]
        return helper.make_tensor(name, _type(kind or 'INT64', dtype), [len(numbers)], numbers if kind else [
            int(number) for number in numbers])
    kind, shape = _type_and_shape(text, dtype)
    value = 0 if name in ('zero', 'indices') else 1
    return helper.make_tensor(name, kind, shape, np.full(shape, value).ravel())


def _attribute(text: str, dtype: str) -> object:
    if text == 'T':
        return TYPES[dtype]
    if text.startswith('T['):
        return _initialiser('value', text, dtype)
    if text.startswith('['):
        return [int(value) for value in text.strip('[]').split(',')]
    return text.strip('"') if text.startswith('"') else int(text)

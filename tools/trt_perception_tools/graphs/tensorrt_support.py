"""Operators and types that the ONNX parsers of TensorRT support, as published: the data of check.py.

The data are from docs/operators.md of github.com/onnx/onnx-tensorrt, in the version of each generation; those of 11
are corrected by tests of NVIDIA's own parser and builder. A generation includes all its releases, so its table is that
of the oldest; 8.6 also includes 8.5, with the exceptions named there.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Generation(NamedTuple):
    """The parser of one generation of TensorRT."""

    source: str
    opset: tuple[int, int]
    """Oldest and newest opset that it reads."""
    operators: dict[str, frozenset[str]]
    """Operator -> types of its data; an operator that is not here is not supported."""
    constant_inputs: dict[str, tuple[int, ...]]
    """Operator -> numbers of the inputs that must be initialisers."""
    uint8_io: bool
    """UINT8 as the type of a network's inputs and outputs, for which only Cast is allowed."""
    int64: bool
    """INT64 stays INT64; elsewhere the parser narrows it to INT32."""
    einsum_extras: bool
    """Einsum with ellipsis, diagonals and broadcasting."""
    resize_modes: tuple[str, ...] = ('nearest', 'linear')


def _table(groups: Mapping[str, str]) -> dict[str, frozenset[str]]:
    return {operator: frozenset(types.split()) for types, operators in groups.items() for operator in operators.split()}


_TENSORRT_8_2 = _table({
    'FP32 FP16': 'Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum Dropout '
                 'Einsum Erf Exp Floor GRU ImageScaler InstanceNormalization LRN LSTM Log LogSoftmax LpNormalization '
                 'MatMul NonMaxSuppression Pow QuantizeLinear RNN RandomUniform RandomUniformLike '
                 # operators.md of that release does not list Reciprocal, but it has an importer.
                 'Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd '
                 'ReduceSum ReduceSumSquare Resize ReverseSequence Scan Sin Sinh Softmax Sqrt Tan TopK Upsample',
    'FP32 FP16 INT32': 'Abs Add DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean Min Mul '
                       # operators.md gives Where BOOL too, but its importer refuses that.
                       'Neg Range SpaceToDepth Sub Sum Where',
    'FP32 FP16 INT8': 'Clip Conv ConvTranspose Elu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool HardSigmoid '
                      'LeakyRelu LpPool MaxPool PRelu ParametricSoftplus Relu Round ScaledTanh Selu Sigmoid Softplus '
                      'Softsign Tanh ThresholdedRelu',
    'FP32 FP16 INT8 INT32': 'AveragePool Gather GatherElements GatherND Pad Scatter ScatterElements ScatterND Sign',
    'FP32 FP16 INT32 BOOL': 'Expand EyeLike Flatten If Loop Split Tile',
    'FP32 FP16 INT8 INT32 BOOL': 'Cast Concat Constant Identity Reshape Shape Size Slice Squeeze Transpose Unsqueeze',
    'FP32': 'ConstantOfShape',
    'INT8': 'DequantizeLinear',
    'BOOL': 'And Not Or',
})
_TENSORRT_8_6 = {**_TENSORRT_8_2, **_table({
    # New in 8.6, not in 8.5: GroupNormalization, IsInf, LayerNormalization, and INT32 for ArgMax, ArgMin and TopK.
    'FP32 FP16': 'GridSample GroupNormalization IsInf LayerNormalization MeanVarianceNormalization NonZero '
                 'RandomNormal RandomNormalLike RoiAlign',
    'FP32 FP16 INT32': 'ArgMax ArgMin Mod Shrink TopK',
    'FP32 FP16 INT8': 'HardSwish',
    'FP32 FP16 INT32 BOOL': 'OneHot Where',
    'FP32 FP16 INT8 INT32 BOOL': 'Gather GatherElements GatherND ReverseSequence Trilu',
    'FP32 FP16 INT8 UINT8 INT32 BOOL': 'Cast',
    'BOOL': 'Xor',
})}
_TENSORRT_10 = _table({
    'FP32 FP16': 'GridSample Mish NonMaxSuppression NonZero RoiAlign',
    'FP32 FP16 BF16': 'Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv '
                      'ConvTranspose Cos Cosh CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool '
                      'GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Hardmax ImageScaler '
                      'InstanceNormalization IsInf LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax '
                      'LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu ParametricSoftplus Pow '
                      'QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal '
                      'Resize Round ScaledTanh Scan Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh '
                      'ThresholdedRelu Upsample',
    'FP32 FP16 BF16 INT32 INT64': 'Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less '
                                  'LessOrEqual Max Min Mod Mul Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum '
                                  'ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum '
                                  'ReduceSumSquare Relu Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth '
                                  'Sub Sum TopK',
    'FP32 FP16 BF16 INT32 INT64 BOOL': 'Concat Constant Expand EyeLike Flatten Gather GatherElements GatherND '
                                       'Identity If Loop OneHot Reshape ReverseSequence Shape Size Slice Split '
                                       'Squeeze Tile Transpose Trilu Unsqueeze Where',
    'FP32 FP16 BF16 UINT8 INT32 INT64 BOOL': 'Cast CastLike',
    'FP32 FP16 BF16 INT8 INT32 INT64': 'Gelu',
    'FP32 FP16 BF16 FP8 INT32 INT64': 'Mean',
    'FP32': 'ConstantOfShape',
    'INT8 INT4 FP8': 'DequantizeLinear',
    'BOOL': 'And Not Or Xor',
})
# As TensorRT for RTX 1.7.1 parses and builds it: tools/test/graphs/test_tensorrt_support.py. The published table of
# 10.15 lacks INT8 in most places, and has types that the parser refuses.
_TENSORRT_11 = {**_TENSORRT_10, **_table({
    'FP32': 'BlackmanWindow HammingWindow HannWindow',
    'FP32 FP16': 'DeformConv',
    'FP32 FP16 BF16': 'RMSNormalization ReduceL2 ReduceLogSum ReduceLogSumExp RotaryEmbedding STFT Swish TensorScatter',
    'FP32 FP16 BF16 INT32 INT64': 'CumSum Pow',
    'FP32 FP16 BF16 INT8': 'MaxPool Resize',
    'FP32 FP16 BF16 INT8 FP8': 'Attention',
    'FP32 FP16 BF16 INT8 INT32 INT64': 'Abs Add ArgMax ArgMin Clip DepthToSpace Div Greater GreaterOrEqual Less '
                                       'LessOrEqual Max Min Mul Neg ReduceMax ReduceMin Shrink Sign SpaceToDepth Sub '
                                       'TopK',
    'FP32 FP16 BF16 INT8 INT32 INT64 BOOL': 'Concat Expand EyeLike Flatten Gather GatherElements GatherND Pad Reshape '
                                            'ReverseSequence ScatterElements ScatterND Slice Split Squeeze Tile '
                                            'Transpose Trilu Unsqueeze Where',
    'FP32 FP16 BF16 INT8 INT64': 'Relu',
    'FP32 FP16 BF16 INT8 UINT8 INT32 INT64 BOOL': 'Cast CastLike Equal Identity Shape Size',
    'FP32 FP16 BF16 INT32 INT64 INT4 FP8 FP4 BOOL': 'Constant ConstantOfShape',
    'INT8 INT4 FP8 FP4': 'DequantizeLinear',
})}

_AXES = dict.fromkeys(('ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceMax', 'ReduceMean',
                       'ReduceMin', 'ReduceProd', 'ReduceSum', 'ReduceSumSquare', 'Squeeze', 'Unsqueeze', 'CumSum'),
                      (1,))

GENERATIONS = {
    '8.2': Generation(
        source='onnx-tensorrt 8.2-GA (f42daee), and its importers', opset=(7, 13),
        operators=_TENSORRT_8_2,
        constant_inputs={**_AXES, 'Clip': (1, 2), 'Conv': (1, 2), 'ConvTranspose': (1, 2),
                         'InstanceNormalization': (1, 2), 'NonMaxSuppression': (2, 3, 4), 'Resize': (2,),
                         'Slice': (3,), 'TopK': (1,), 'Upsample': (1,)},
        uint8_io=False, int64=False, einsum_extras=False),
    '8.6': Generation(
        source='onnx-tensorrt 8.6-GA (ee0b139)', opset=(7, 17), operators=_TENSORRT_8_6,
        constant_inputs={**_AXES, 'InstanceNormalization': (1, 2), 'Slice': (3,), 'Upsample': (1,)},
        uint8_io=True, int64=False, einsum_extras=False),
    '10': Generation(
        source='onnx-tensorrt 10.0-GA (73f629e)', opset=(9, 20), operators=_TENSORRT_10,
        constant_inputs={**_AXES, 'OneHot': (1,), 'Pad': (3,), 'Slice': (3,)},
        uint8_io=True, int64=True, einsum_extras=True),
    '11': Generation(
        source='TensorRT for RTX 1.7.1, where it could be asked, and onnx-tensorrt 10.15',
        opset=(9, 24), operators=_TENSORRT_11,
        constant_inputs={**_AXES, 'OneHot': (1,), 'Resize': (2,)},
        uint8_io=True, int64=True, einsum_extras=True, resize_modes=('nearest', 'linear', 'cubic')),
}
"""Parsers by their names in `check-onnx --tensorrt`."""
